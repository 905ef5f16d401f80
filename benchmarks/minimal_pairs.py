"""Scoring minimal pairs against the plain way, and what changing an intervention costs.

    python -m benchmarks.minimal_pairs --model path/to/model.gguf --pairs path/to/blimp --per-paradigm 20

The plain way pads a batch of sentences, takes the log-softmax of all logits and gathers the targets.
Same model, sentences and dtype, in one process, by turns; every step from one to the other is timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from actstore.ablation.applied import applied
from actstore.ablation.readout import Subject
from actstore.ablation.readouts.minimal_pairs import PairScorer
from actstore.extraction.job import COMPUTE_DTYPES
from actstore.model import prefixes, scoring, sources
from actstore.model.interventions import intervention
from actstore.text.minimal_pairs import read_pairs
from benchmarks.memory import peak, reset_peak
from benchmarks.sizes import parsed

_PLAIN_BATCHES = (16, 32, 64)
_CHECKED = 100


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pico-neox", help="as in actstore extract (default pico-neox)")
    parser.add_argument("--pairs", default="builtin", help="as in actstore ablate (default builtin)")
    parser.add_argument("--per-paradigm", type=int, default=20)
    parser.add_argument("--compute-dtype", default="float32", choices=COMPUTE_DTYPES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    options = parsed(parser, arguments, per_paradigm=1, rounds=1)
    source = sources.resolve(options.model)
    step = sources.choose_checkpoints(source, "main")[0]
    model = sources.load(source, step, COMPUTE_DTYPES[options.compute_dtype], options.device)
    tokenizer = sources.load_tokenizer(source)
    pairs = read_pairs(options.pairs, options.per_paradigm)
    sentences = [text for pair in pairs for text in (pair.sentence_good, pair.sentence_bad)]
    sequences = scoring.encode(tokenizer, sentences, scoring.context_length(model))
    report_sizes(source.name, pairs, sequences, options)
    readout = PairScorer(Subject(tokenizer, scoring.context_length(model)), pairs)
    base = reset_peak()
    readout.read(model)
    used = peak() - base
    time_scoring(model, readout, sequences, options.rounds)
    print(f"peak memory beyond the loaded model: {used / 2**20:,.0f} MiB (aim ≤ 1,024)")
    time_switching(model)


def report_sizes(name: str, pairs: list[Any], sequences: list[np.ndarray], options: argparse.Namespace) -> None:
    n_tokens = sum(map(len, sequences))
    n_nodes = sum(len(pack.node_id) for pack in prefixes.packs(sequences, prefixes._PACK_NODES))
    padded = ", ".join(f"{_padded(sequences, size) / n_tokens:.2f} in batches of {size}" for size in _PLAIN_BATCHES)
    n_paradigms = len({pair.paradigm for pair in pairs})
    machine = f"{options.compute_dtype} on {options.device}, {torch.get_num_threads()} threads"
    print(f"{name}: {len(pairs):,} pairs of {n_paradigms} paradigms, {machine}")
    print(f"{n_tokens:,} tokens; padded {padded} times as many; each beginning once: {n_nodes / n_tokens:.2f}")


def time_scoring(model: Any, readout: PairScorer, sequences: list[np.ndarray], n_rounds: int) -> None:
    n_pairs = len(sequences) // 2
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    by_length = [sequences[i] for i in order]
    ways: dict[str, Callable[[], object]] = {
        f"plain, batches of {size}": lambda size=size: plain(model, sequences, size) for size in _PLAIN_BATCHES
    }
    ways |= {
        "plain, sorted by length, batches of 64": lambda: plain(model, by_length, 64),
        "and projection reduced in tiles": lambda: scoring.sequence_surprisals(model, sequences),
        "and each beginning once: actstore": lambda: readout.read(model),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, Any] = {}
    for _ in range(n_rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            results[name] = way()
            times[name].append(time.perf_counter() - start)
    ours = np.median(times["and each beginning once: actstore"])
    print(f"{'':<42} {'median s':>9} {'pairs/s':>8} {'actstore is faster':>19}")
    for name, values in times.items():
        print(f"{name:<42} {np.median(values):>9.2f} {n_pairs / np.median(values):>8.1f} {np.median(values) / ours:>18.2f}×")
    compare_scores(model, results["and each beginning once: actstore"], sequences)


def compare_scores(model: Any, scores: dict[str, np.ndarray], sequences: list[np.ndarray]) -> None:
    """What the readout gives against one sentence at a time, for a sample of sentences."""
    ours = np.stack([scores["log_probability_good"], scores["log_probability_bad"]], axis=1).ravel()
    sample = np.linspace(0, len(sequences) - 1, min(_CHECKED, len(sequences))).astype(int)
    alone = np.array([-scoring.sequence_surprisals(model, [sequences[i]])[0].sum(dtype=np.float64) for i in sample])
    largest = np.abs(ours[sample] - alone).max()
    print(f"largest difference to one sentence at a time, of {len(sample)}: {largest:.1e} nats (aim ≤ 1e-4)")


@torch.inference_mode()
def plain(model: Any, sequences: list[np.ndarray], size: int) -> np.ndarray:
    """Total log-probability of every sequence."""
    totals = []
    for first in range(0, len(sequences), size):
        ids, mask = scoring.pad(sequences[first : first + size], model.device)
        log_probabilities = torch.log_softmax(model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float(), dim=-1)
        of_targets = log_probabilities[:, :-1].gather(-1, ids[:, 1:, None]).squeeze(-1) * mask[:, 1:]
        totals.append(of_targets.sum(1).cpu().numpy())
    return np.concatenate(totals)


def time_switching(model: Any) -> None:
    """Changing the intervention on every layer."""
    from actstore.model.families import adapter_for

    sites = adapter_for(model).modules(model)
    n_neurons = int(sites[0].get_parameter("weight").numel()) // int(model.config.hidden_size)
    neurons = {layer: range(0, n_neurons, 10) for layer in range(len(sites))}
    times = []
    for name in ("negative-zero", "sign-flip", "both-zero") * 5:
        start = time.perf_counter()
        with applied(model, intervention(name), neurons):
            pass
        times.append(time.perf_counter() - start)
    print(f"changing the intervention on a tenth of all neurons: {1000 * np.median(times):.1f} ms (aim < 50)")


def _padded(sequences: list[np.ndarray], size: int) -> int:
    batches = [sequences[first : first + size] for first in range(0, len(sequences), size)]
    return sum(len(batch) * max(map(len, batch)) for batch in batches)


if __name__ == "__main__":
    main()
