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
from numpy.typing import NDArray

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
    text = TextConfig(options.corpus, options.tokens, options.window, documents=options.documents, spacy="none")
    run = RunConfig(options.device, options.compute_dtype)
    config = ExtractConfig(options.model, text=text, run=run)
    job = prepare(config)
    layout = job.layout
    size = f"{len(layout.layers)} layers × {layout.n_neurons} neurons, {layout.n_tokens:,} tokens"
    machine = f"{run.compute_dtype} on {run.device}, {torch.get_num_threads()} threads"
    batch = piece_tokens(layout, text.window, run.device)
    print(f"{job.source.name}: {size}, {machine}, {batch} tokens a batch")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        time_extraction(job, Path(folder), options.rounds)
        measure_compression(Path(folder) / "0.zarr")
        time_reading(Path(folder), options.reading_tokens)


def time_extraction(job: Job, folder: Path, n_rounds: int) -> None:
    """Both by turns; the store of the first round stays in `folder`."""
    model, sites, fingerprint = job.load(job.steps[0])

    def extract(path: Path) -> None:
        with StoreWriter(path, job.configuration, job.attrs, lambda writer: write_axes(writer, job)) as writer:
            with BlockRunner(job.table, job.layout, job.config.text.window, job.config.run.device, writer.workspace) as runner:
                for block in job.blocks:
                    for _ in runner.run(model, sites, block, fingerprint):
                        pass
                runner.wait()
            writer.finish(close=lambda: write_checkpoint_axis(writer, job))

    bare_times, times = [], []
    _bare(job, model, limit=1)
    for index in range(n_rounds):
        bare_times.append(_seconds(lambda: _bare(job, model)))
        base = reset_peak()
        times.append(_seconds(lambda path=folder / f"{index}.zarr": extract(path)))
        if index == 0:
            used = peak() - base
        else:
            shutil.rmtree(folder / f"{index}.zarr")
    _report_times(np.array(bare_times), np.array(times), job.layout.n_tokens)
    n_bytes = sum(file.stat().st_size for file in (folder / "0.zarr").rglob("*") if file.is_file())
    print(f"written: {n_bytes / 1e9:.2f} GB; peak memory beyond the loaded model: {used / 2**20:,.0f} MiB (aim ≤ 1,024)")


def _report_times(bare_times: NDArray[np.float64], times: NDArray[np.float64], n_tokens: int) -> None:
    """Of both, (round, 2): wall and processor seconds."""
    print(f"{'':<26} {'min s':>8} {'median s':>9} {'tokens/s':>9} {'processor s':>12}")
    for name, values in (("bare forward with logits", bare_times), ("extraction to disk", times)):
        wall, busy = np.median(values, axis=0)
        print(f"{name:<26} {values[:, 0].min():>8.2f} {wall:>9.2f} {n_tokens / wall:>9.0f} {busy:>12.2f}")
    ratios = times / bare_times
    by_round = ", ".join(f"{ratio:.3f}" for ratio in ratios[:, 0])
    wall, busy = np.median(ratios, axis=0)
    print(f"ratio by round: {by_round}; median {wall:.3f} (aim ≤ 1.10); of processor time {busy:.3f}")


@torch.inference_mode()
def _bare(job: Job, model: torch.nn.Module, limit: int | None = None) -> None:
    """The model alone, logits and all, on the batches that extraction forms."""
    capacity = piece_tokens(job.layout, job.config.text.window, job.config.run.device)
    for block in job.blocks[:limit]:
        for windows in pieces(job.table.window_bounds, block, capacity):
            for batch in scoring.batches(windows[:, 1] - windows[:, 0], capacity):
                ids, mask = scoring.pad(
                    [job.table.token_id[a:b] for a, b in windows[batch]], torch.device(job.config.run.device)
                )
                model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, 0, 0].item()
            if limit:
                return


def time_reading(folder: Path, n_tokens: int) -> None:
    """Reading all tokens of 64 neurons of one layer, against the same files from end to end."""
    path = folder / "reading.zarr"
    _write_normal_numbers(path, n_tokens)
    files = sorted(file for file in (path / "preactivation" / "c").rglob("*") if file.is_file())
    stored = open_store(path)["preactivation"]

    def neurons(index: int) -> int:
        first = 64 * (index + 1)
        return stored.isel(checkpoint=0, layer=index % 2, neuron=slice(first, first + 64)).values.nbytes

    def sequential(_: int) -> int:
        return _read_through(files)

    sequential(0)  # so that all of it is in the page cache
    for state, uncached in (("page cache", []), ("disk", files)):
        ours, usual = (_bytes_per_second(read, uncached) / 1e6 for read in (neurons, sequential))
        rates = f"64 neurons {ours:,.0f} MB/s, end to end {usual:,.0f} MB/s"
        print(f"reading from the {state}: {rates}, ratio {ours / usual:.2f}")


def _write_normal_numbers(path: Path, n_tokens: int) -> None:
    """A store of 2 layers × 1,536 neurons: 805 MB at 131,072 tokens. Tokens are a multiple of 1,024."""
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


def _read_through(files: Sequence[Path]) -> int:
    """Read files from end to end; how many bytes that were."""
    buffer, total = bytearray(2**22), 0
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while n_read := stream.readinto(buffer):
                total += n_read
    return total


def _bytes_per_second(read: Callable[[int], int], uncached: Sequence[Path]) -> float:
    """The median of 16 reads, each after these files were dropped from the page cache."""
    rates = []
    for index in range(16):
        _forget(uncached)
        start = time.perf_counter()
        rates.append(read(index) / (time.perf_counter() - start))
    return float(np.median(rates))


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
    megabytes = values.nbytes / 1e6
    for name, codec in codecs.items():
        packed = codec.encode(values)
        packing, _ = _seconds(lambda codec=codec: codec.encode(values))
        unpacking, _ = _seconds(lambda codec=codec, packed=packed: codec.decode(packed))
        rates = f"in {megabytes / packing:,.0f} MB/s, out {megabytes / unpacking:,.0f} MB/s"
        print(f"compression, {name:<27} {values.nbytes / len(packed):.3f}×, {rates}")


def _seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Wall time and processor time of all threads."""
    start, busy = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - busy


def _forget(files: Sequence[Path]) -> None:
    """Drop files from the page cache."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


if __name__ == "__main__":
    main()
