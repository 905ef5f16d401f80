"""Extraction to disk against the bare forward pass, on the same model, batches and dtype.

    python -m benchmarks.extraction --model path/to/model.gguf --tokens 16384

Prints wall time of both and their ratio, peak memory beyond the model, the rate of reading 64
neurons against reading the same files from end to end, and what compression would give.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numcodecs import Blosc, Zstd

from actstore.config import ExtractConfig, RunConfig, TextConfig
from actstore.extraction.block import BlockRunner, piece_tokens, pieces
from actstore.extraction.job import Job, prepare
from actstore.extraction.run import write_axes, write_checkpoint_axis
from actstore.model import scoring
from actstore.store.layout import Layout
from actstore.store.ledger import Seal
from actstore.store.opening import open_store
from actstore.store.schema import CHECKPOINT
from actstore.store.shards import ShardWriter
from actstore.store.writer import StoreWriter
from benchmarks.memory import peak, reset_peak
from benchmarks.sizes import parsed


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pico-neox", help="as in actstore extract (default pico-neox)")
    parser.add_argument("--corpus", default="builtin")
    parser.add_argument("--documents", default="file")
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--compute-dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reading-tokens", type=int, default=131_072, help="of the store that is read (131072)")
    parser.add_argument("--folder", type=Path, help="where the store goes (default the system's temporary folder)")
    options = parsed(parser, arguments, tokens=512, rounds=1, reading_tokens=2048)
    config = ExtractConfig(options.model, text=TextConfig(corpus=options.corpus, documents=options.documents, tokens=options.tokens, window=options.window, spacy="none"), run=RunConfig(compute_dtype=options.compute_dtype, device=options.device))  # fmt: skip
    job = prepare(config)
    layout = job.layout
    print(f"{job.source.name}: {len(layout.layers)} layers × {layout.n_neurons} neurons, {layout.n_tokens:,} tokens, "
          f"{config.compute_dtype} on {config.device}, {torch.get_num_threads()} threads, "
          f"{piece_tokens(layout, config.window, config.device)} tokens a batch")  # fmt: skip
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        time_extraction(job, Path(folder), options.rounds)
        measure_compression(Path(folder) / "0.zarr")
        time_reading(Path(folder), options.reading_tokens)


def time_extraction(job: Job, folder: Path, n_rounds: int) -> None:
    model, sites, fingerprint = job.load(job.steps[0])
    base = reset_peak()

    def extract(path: Path) -> None:
        with StoreWriter(path, job.configuration, job.attrs, lambda writer: write_axes(writer, job)) as writer:
            with BlockRunner(job.table, job.layout, job.config.window, job.config.device, writer.workspace) as runner:
                for block in job.blocks:
                    for _ in runner.run(model, sites, block, fingerprint):
                        pass
                runner.wait()
            writer.finish(close=lambda: write_checkpoint_axis(writer, job))

    bare_times, times = [], []
    _bare(job, model, limit=1)
    for index in range(n_rounds):
        bare_times.append(_seconds(lambda: _bare(job, model)))
        if index == 0:
            base = reset_peak()
        times.append(_seconds(lambda path=folder / f"{index}.zarr": extract(path)))
        if index > 0:
            shutil.rmtree(folder / f"{index}.zarr")
        if index == 0:
            used = peak() - base
    n_bytes = sum(file.stat().st_size for file in (folder / "0.zarr").rglob("*") if file.is_file())
    n = job.layout.n_tokens
    print(f"{'':<26} {'min s':>8} {'median s':>9} {'tokens/s':>9} {'processor s':>12}")
    for name, values in (("bare forward with logits", np.array(bare_times)), ("extraction to disk", np.array(times))):
        wall, busy = np.median(values, axis=0)
        print(f"{name:<26} {values[:, 0].min():>8.2f} {wall:>9.2f} {n / wall:>9.0f} {busy:>12.2f}")
    ratios = np.array(times) / np.array(bare_times)
    listed = ", ".join(f"{ratio:.3f}" for ratio in ratios[:, 0])
    print(f"ratio by round: {listed}; median {np.median(ratios[:, 0]):.3f} (aim ≤ 1.10); "
          f"of processor time {np.median(ratios[:, 1]):.3f}")  # fmt: skip
    print(f"written: {n_bytes / 1e9:.2f} GB; peak memory beyond the loaded model: {used / 2**20:,.0f} MiB (aim ≤ 1,024)")


@torch.inference_mode()
def _bare(job: Job, model: torch.nn.Module, limit: int | None = None) -> None:
    """The model alone, logits and all, on the batches that extraction forms."""
    capacity = piece_tokens(job.layout, job.config.window, job.config.device)
    for block in job.blocks[:limit]:
        for windows in pieces(job.table.window_bounds, block, capacity):
            for chosen in scoring.batches(windows[:, 1] - windows[:, 0], capacity):
                ids, mask = scoring.pad([job.table.token_id[a:b] for a, b in windows[chosen]], torch.device(job.config.device))
                model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, 0, 0].item()
            if limit:
                return


def time_reading(folder: Path, n_tokens: int) -> None:
    """Reading all tokens of 64 neurons of one layer, against the same files from end to end.

    On a store of 2 layers × 1,536 neurons of normal numbers: 805 MB at 131,072 tokens. Tokens are a multiple of 1,024.
    """
    path = folder / "reading.zarr"
    layout = Layout(1, (0, 1), n_tokens, 1536, 64, "float16")
    array = layout.arrays["preactivation"]
    run = np.random.default_rng(0).standard_normal((array.n_chunks, 1024, array.width), np.float32).astype(np.float16)
    with StoreWriter(path, {}, {"model": "normal numbers"}) as writer:
        writer.declare(array)
        writer.write(CHECKPOINT, np.zeros(1, int))
        for shard, (start, stop) in enumerate(layout.bounds):
            file = ShardWriter(array, writer.workspace.data / array.key(0, shard), writer.workspace.scratch / "x", 0, shard)
            for _ in range(layout.shard_tokens // 1024):
                file.append(run)
            writer.ledger.add(Seal(0, start, stop, "", {array.name: file.finish()}))
        writer.finish()
    files = sorted(file for file in (path / "preactivation" / "c").rglob("*") if file.is_file())
    stored = open_store(path)["preactivation"]

    def neurons(index: int) -> int:
        first = 64 * (index + 1)
        return stored.isel(checkpoint=0, layer=index % 2, neuron=slice(first, first + 64)).values.nbytes

    def sequential(_: int) -> int:
        buffer, total = bytearray(2**22), 0
        for file in files:
            with file.open("rb", buffering=0) as stream:
                while n_read := stream.readinto(buffer):
                    total += n_read
        return total

    sequential(0)  # so that all of it is in the page cache
    for state in ("page cache", "disk"):
        rates = {}
        for name, read in (("64 neurons", neurons), ("end to end", sequential)):
            measured = []
            for index in range(16):
                if state == "disk":
                    _forget(files)
                start = time.perf_counter()
                measured.append(read(index) / (time.perf_counter() - start))
            rates[name] = float(np.median(measured))
        print(f"reading from the {state}: 64 neurons {rates['64 neurons'] / 1e6:,.0f} MB/s, end to end "
              f"{rates['end to end'] / 1e6:,.0f} MB/s, ratio {rates['64 neurons'] / rates['end to end']:.2f}")  # fmt: skip


def measure_compression(path: Path) -> None:
    """What the usual compressors make of stored pre-activations."""
    store = open_store(path)["preactivation"]
    values = np.ascontiguousarray(store.isel(checkpoint=0, layer=store.sizes["layer"] // 2, neuron=slice(0, 64)).values)
    codecs = {
        "zstd 1": Zstd(1),
        "blosc zstd 3, byte shuffle": Blosc("zstd", 3, Blosc.SHUFFLE),
        "blosc zstd 3, bit shuffle": Blosc("zstd", 3, Blosc.BITSHUFFLE),
        "blosc lz4, bit shuffle": Blosc("lz4", 5, Blosc.BITSHUFFLE),
    }
    for name, codec in codecs.items():
        start = time.perf_counter()
        packed = codec.encode(values)
        middle = time.perf_counter()
        codec.decode(packed)
        end = time.perf_counter()
        print(f"compression, {name:<27} {values.nbytes / len(packed):.3f}×, in {values.nbytes / (middle - start) / 1e6:,.0f} MB/s, "
              f"out {values.nbytes / (end - middle) / 1e6:,.0f} MB/s")  # fmt: skip


def _seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Wall time and processor time of all threads."""
    start, busy = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - busy


def _forget(files: list[Path]) -> None:
    """Drop files from the page cache."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


if __name__ == "__main__":
    main()
