"""Statistics of one layer against the usual way, on the same arrays: SciPy, neuron by neuron, in a pool of processes.

    python -m benchmarks.analysis
    python -m benchmarks.analysis --store path/to/store.zarr      # also times all of a store

Prints wall times and their ratios. The usual Wasserstein distance compares with a sample of as many
normal numbers (`scipy.stats.wasserstein_distance`); the usual mapping difficulty computes the
distances of the inputs for every neuron, or once for all of them (`hoisted`).
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from actstore.store.opening import open_store
from analysis import find_pairs, neuron_atlas, neuron_statistics, pair_differentiation, pair_labels, select
from analysis.kernels.mapping import mapping_difficulty
from analysis.kernels.parallel import n_processors
from analysis.kernels.transport import wasserstein_to_normal
from analysis.labels import at_checkpoint
from benchmarks.sizes import parsed

T = TypeVar("T")
_shared: dict[str, NDArray[np.float32]] = {}
"""What the processes of the pool inherit."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=1536)
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--pairs", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", type=Path, help="a store of actstore extract, to be analysed whole")
    options = parsed(parser, arguments, neurons=96, tokens=512, hidden=32, pairs=128, rounds=1)
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((options.neurons, options.tokens), np.float32)
    outputs[::16] = np.where(rng.random(outputs[::16].shape) < 0.1, -4, 0.4) + 0.1 * outputs[::16]  # Wasserstein neurons
    inputs = rng.standard_normal((options.tokens, options.hidden), np.float32)
    pairs = rng.integers(0, options.tokens, size=(options.pairs, 2))
    _shared.update(outputs=outputs, inputs=inputs, pairs=pairs, normal=rng.standard_normal(options.tokens, np.float32))
    print(f"{options.neurons:,} neurons × {options.tokens:,} tokens, float32, {n_processors()} processors")
    compare_distance(outputs, options.rounds)
    compare_difficulty(inputs, outputs, pairs, options.rounds)
    if options.store is not None:
        time_store(options.store)


def compare_distance(outputs: NDArray[np.float32], n_rounds: int) -> None:
    ours = _best(lambda: wasserstein_to_normal(outputs), n_rounds)
    sort = _best(lambda: np.sort(outputs, axis=1), n_rounds)
    with Pool(n_processors()) as pool:
        usual = _best(lambda: pool.map(_usual_distance, range(len(outputs)), chunksize=16), 1)
        sampled = np.array(pool.map(_usual_distance, range(64)))
    exact = wasserstein_to_normal(outputs[:64]).distance
    against_scipy = f"SciPy in a pool {usual:.2f} s, {usual / ours:.0f}× (aim ≥ 20×)"
    against_sort = f"np.sort {sort:.3f} s, {ours / sort:.2f} of it (aim ≤ 4)"
    print(f"Wasserstein distance: {ours:.3f} s; {against_scipy}; {against_sort}")
    print(
        f"  greatest difference between the two in 64 neurons: {np.abs(sampled - exact).max():.4f} (the normal sample's noise)"
    )


def compare_difficulty(
    inputs: NDArray[np.float32], outputs: NDArray[np.float32], pairs: NDArray[np.int64], n_rounds: int
) -> None:
    stored = np.ascontiguousarray(outputs.T)  # as a store has it
    ours = _best(lambda: mapping_difficulty(inputs, stored, pairs), n_rounds)
    n_sample = max(16, len(outputs) // 24)
    with Pool(n_processors()) as pool:
        usual = _best(lambda: pool.map(_usual_difficulty, range(n_sample), chunksize=4), 1) * len(outputs) / n_sample
        hoisted = _best(lambda: pool.map(_hoisted_difficulty, range(len(outputs)), chunksize=16), 1)
        expected = np.array(pool.map(_usual_difficulty, range(8)))
    against_usual = f"neuron by neuron in a pool {usual:.1f} s (from {n_sample} neurons), {usual / ours:.0f}× (aim ≥ 50×)"
    against_hoisted = f"hoisted {hoisted:.2f} s, {hoisted / ours:.1f}×"
    print(f"mapping difficulty, {len(pairs):,} pairs: {ours:.3f} s; {against_usual}; {against_hoisted}")
    difficulty = mapping_difficulty(inputs, stored, pairs).difficulty[:8]
    print(f"  greatest difference between the two in 8 neurons: {np.abs(expected - difficulty).max():.1e}")


def _usual_distance(neuron: int) -> float:
    values = _shared["outputs"][neuron]
    return float(wasserstein_distance((values - values.mean()) / values.std(), _shared["normal"]))


def _input_distances() -> NDArray[np.floating]:
    x, pairs = _shared["inputs"], _shared["pairs"]
    return np.asarray(np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1))


def _usual_difficulty(neuron: int) -> float:
    return _difficulty(neuron, _input_distances())


def _hoisted_difficulty(neuron: int) -> float:
    if "distances" not in _shared:
        _shared["distances"] = _input_distances()
    return _difficulty(neuron, _shared["distances"])


def _difficulty(neuron: int, distance: NDArray[np.floating]) -> float:
    y, pairs = _shared["outputs"][neuron], _shared["pairs"]
    gap = np.abs(y[pairs[:, 0]] - y[pairs[:, 1]])
    is_distinct = distance > 0
    gap, distance = gap[is_distinct], distance[is_distinct]
    return float(np.mean((gap / np.median(gap)) / (distance / distance.max())))


def time_store(path: Path) -> None:
    """Each part of the analysis of a store, one after another, and the greatest memory."""
    store = open_store(path)
    print(f"{path.name}: {', '.join(f'{size:,} {dim}' for dim, size in store.sizes.items())}")
    start = time.perf_counter()
    statistics = _timed("Wasserstein, shape, mapping difficulty", lambda: neuron_statistics(store))
    cohort = select(at_checkpoint(statistics)["wasserstein_distance"])
    pairs = _timed("similar and matched pairs", lambda: find_pairs(store))
    _timed("signs of the furthest pairs", lambda: pair_differentiation(store, pairs, cohort))
    _timed("words of the furthest pairs", lambda: pair_labels(store, pairs, cohort))
    _timed(f"atlas of {cohort.n_neurons} neurons", lambda: neuron_atlas(store, cohort, pairs))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  {'in all':<40} {time.perf_counter() - start:>7.1f} s (aim ≤ 300), {peak:.2f} GiB (aim ≤ 3)")


def _timed(name: str, action: Callable[[], T]) -> T:
    """Run one part and print its wall time."""
    start = time.perf_counter()
    result = action()
    print(f"  {name:<40} {time.perf_counter() - start:>7.1f} s")
    return result


def _best(action: Callable[[], object], n_rounds: int) -> float:
    """Least wall time of some rounds, after one to warm up where there are more than one."""
    if n_rounds > 1:
        action()
    times = []
    for _ in range(n_rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
