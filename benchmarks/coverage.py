"""How often 95% intervals hold the truth, for every kind of interval and clustered test of the report, when clusters are few.

    python -m benchmarks.coverage --simulations 300

Prints a table in Markdown. The tables' own functions are asked about made-up results whose truth is known
(`benchmarks.planted`).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

import analysis
from actstore.selection.selection import Selection
from analysis.kernels.ranks import explained, spearman
from analysis.surprisal.mixed_model import FitWarning
from benchmarks.planted import ACCURACY, CHANGE, item_store, layer_store, text_store, word_table
from benchmarks.sizes import parsed

SIZES, DRAWS = (2, 5, 10, 20, 50), (2, 5, 10)
_N_COHORTS = 10
"""Cohorts of one store, each with an answer: simulating a store is what takes time."""
_STEPS = np.array([0, *(2**power for power in range(13))])
Answer = dict[str, Sequence[bool]]
"""Name of an interval → whether each holds the truth; where there is no interval, it does not count."""


class Kind(NamedTuple):
    """Intervals that one simulation asks about."""

    unit: str
    simulate: Callable[[np.random.Generator, int], Answer]
    cost: int = 1
    """How many times longer than the cheapest a simulation takes; it is run so many times less often."""
    sizes: tuple[int, ...] = SIZES


def _holds(table: pd.DataFrame, name: str, truth: float | NDArray[np.float64]) -> list[bool]:
    """Whether each row's interval holds the truth, of those that have one."""
    lower, upper = (table[f"{name}_{side}"].to_numpy(dtype=float) for side in ("lower", "upper"))
    holds = (lower <= truth) & ((truth <= upper) | np.isnan(upper))  # a step without an upper bound may be any later one
    return holds[~np.isnan(lower)].tolist()


def _tops(n: int = _N_COHORTS) -> list[tuple[str, str, str, int]]:
    return [(f"top-{k}", "top", "", 1) for k in range(n)]


def _controls(n_draws: int) -> list[tuple[str, str, str, int]]:
    return [("top", "top", "", 1), ("random", "random", "layer", n_draws)]


def of_text(rng: np.random.Generator, size: int) -> Answer:
    store = text_store(rng, size, _tops())
    perplexity = analysis.perplexity_table(store).query("rule == 'top'")
    by_upos = analysis.surprisal_by_upos(store)
    common, rare = (by_upos[by_upos["upos"] == upos] for upos in ("NOUN", "INTJ"))
    return {
        "perplexity ratio": _holds(perplexity, "perplexity_ratio", 1),
        "change of surprisal, a part of speech in all documents": _holds(common, "delta_surprisal", 0),
        "change of surprisal, a part of speech in a fifth of them": _holds(rare, "delta_surprisal", 0),
    }


def of_percentiles(rng: np.random.Generator, size: int) -> Answer:
    store = text_store(rng, size, _tops())
    change = (store["ablated_surprisal"] - store["ablated_surprisal"][:, 0]).values[0, 1:]
    document = store["document"].values
    counts = np.bincount(document)
    sums = np.stack([np.bincount(document, weights=row) for row in change])
    drawn = rng.multinomial(size, np.full(size, 1 / size), size=500)
    lower, upper = np.quantile(drawn @ sums.T / (drawn @ counts)[:, None], [0.025, 0.975], axis=0)
    return {"(a percentile bootstrap of the same, which is not used)": ((lower <= 0) & (upper >= 0)).tolist()}


def of_items(rng: np.random.Generator, size: int) -> Answer:
    store = item_store(rng, size, _tops())
    pairs, probes = analysis.pair_accuracy(store), analysis.probe_table(store)
    pairs = pairs[pairs["phenomenon"] == "all"]
    changed = pairs["rule"] == "top"
    after = np.where(changed, ACCURACY + CHANGE, ACCURACY)
    return {
        "accuracy of minimal pairs": _holds(pairs, "accuracy", after),
        "change of accuracy of minimal pairs": _holds(pairs[changed], "delta_accuracy", CHANGE),
        "change of accuracy of probes and tasks": _holds(probes[probes["rule"] == "top"], "delta_accuracy", CHANGE),
    }


def of_dissociation(rng: np.random.Generator, size: int) -> Answer:
    table = analysis.dissociation(item_store(rng, size, _tops()))
    return {
        "cost of grammar less cost of the rest": _holds(table, "interaction", 0),
        "the same in log-odds, where they exist": _holds(table, "log_odds_interaction", 0),
    }


def of_paired_tests(rng: np.random.Generator, size: int) -> Answer:
    """Both cohorts lose alike, so that a test of one against the other should not reject."""
    store = item_store(rng, size, [("top", "top", "", 1), ("random", "random", "layer", 1)])
    table = analysis.paired_tests(store).query("against.str.startswith('random') and phenomenon == 'all'")
    return {"paired test of minimal pairs (not rejected)": (table["p"] >= 0.05).tolist()}


def _over_neurons(values: NDArray[np.float64]) -> tuple[xr.DataArray, Selection]:
    """(checkpoint, layer, neuron) with every neuron selected."""
    n_layers, n_neurons = values.shape[1:]
    coords = {"checkpoint": _STEPS[: len(values)], "layer": np.arange(n_layers)}
    array = xr.DataArray(
        values, coords | {"duplicate_of": ("checkpoint", [-1] * len(values))}, ("checkpoint", "layer", "neuron")
    )
    return array, _selection({layer: tuple(range(n_neurons)) for layer in range(n_layers)}, n_neurons)


def _selection(neurons: dict[int, tuple[int, ...]], n_neurons: int) -> Selection:
    """These neurons as the top ones of layers of so many."""
    return Selection(
        neurons,
        "top",
        "wasserstein_distance",
        0.5,
        model="m",
        site="s",
        weights_fingerprint="w",
        checkpoint=0,
        n_neurons_per_layer=n_neurons,
    )


def of_neurons(rng: np.random.Generator, size: int) -> Answer:
    table = analysis.cohort_trajectory(*_over_neurons(rng.gamma(2, size=(1, _N_COHORTS, size))))
    return {"mean over neurons": _holds(table[table["cohort"] == "top"], "mean", 2)}


def _curves(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(checkpoint, …) Curves that rise around a step of their own, by a height of their own."""
    doublings = np.log2(1 + _STEPS).reshape(-1, *[1] * len(shape))
    return rng.gamma(4, 0.25, shape) / (1 + np.exp(-2 * (doublings - rng.normal(6.3, 1.5, shape))))


@cache
def _emergence_truth() -> tuple[float, float, float]:
    """Steepest slope, its step, and the step of half the rise, of the mean of very many neurons."""
    mean = _curves(np.random.default_rng(0), (200_000,)).mean(axis=1)
    slopes = np.diff(mean) / np.diff(np.log2(1 + _STEPS))
    half = _STEPS[((mean - mean[0]) >= (mean[-1] - mean[0]) / 2).argmax()]
    return slopes.max(), float(_STEPS[slopes.argmax() + 1]), float(half)


def of_emergence(rng: np.random.Generator, size: int) -> Answer:
    slope, step, half = _emergence_truth()
    table = analysis.emergence(*_over_neurons(_curves(rng, (_N_COHORTS, size)))).query("layer >= 0")
    return {
        "emergence: steepest slope": _holds(table, "slope", slope),
        "emergence: step of the steepest rise": _holds(table, "step_to", step),
        "emergence: step of half the rise": _holds(table, "half_rise_step", half),
    }


def _shape(rng: np.random.Generator, n: int) -> xr.Dataset:
    """Wasserstein distances of neurons, and tails that explain a part of them."""
    tail, skewness = rng.gamma(0.5, 2, n), rng.normal(size=n)
    skewness = np.abs(skewness) * np.sqrt(tail) + 0.1 * rng.normal(size=n)
    distance = np.exp(0.5 * np.log(tail + 0.1) + 0.3 * skewness + rng.normal(size=n))
    bimodality = 1 / (tail + 3) + skewness**2 / (tail + 3)
    columns = {
        "wasserstein_distance": distance,
        "skewness": skewness,
        "excess_kurtosis": tail,
        "bimodality_coefficient": bimodality,
    }
    return xr.Dataset({name: (("layer", "neuron"), values[None]) for name, values in columns.items()}, {"layer": [0]})


def of_ranks(rng: np.random.Generator, size: int) -> Answer:
    table = analysis.rank_correlations(_shape(rng, size)).query("statistic == 'excess_kurtosis'")
    r2 = analysis.explained_by_shape(_shape(rng, size))
    rho, explanation = _rank_truth()
    return {
        "rank correlation": _holds(table, "rank_correlation", rho),
        "rank variance explained by shape": _holds(r2, "r2", explanation),
    }


@cache
def _rank_truth() -> tuple[float, float]:
    """Rank correlation and explained rank variance of very many neurons."""
    data = _shape(np.random.default_rng(0), 200_000)
    distance, *tails = (
        data[name].values[0] for name in ("wasserstein_distance", "skewness", "excess_kurtosis", "bimodality_coefficient")
    )
    return spearman(distance, tails[1])[0], explained(distance, np.abs(np.stack(tails, axis=1)))


def of_signs(rng: np.random.Generator, size: int) -> Answer:
    """Neurons that know nothing of their inputs: no excess over matched pairs, and no cohort has more than the other."""
    store = layer_store(rng, size)
    pairs = analysis.find_pairs(store, n_neighbours=3, seed=int(rng.integers(2**31)))
    cohort = _selection({0: tuple(range(6))}, store.sizes["neuron"])
    signs = analysis.pair_differentiation(store, pairs, cohort, n_top=60, n_permutations=0)
    table = analysis.cohort_table(signs).query("pool == 'matched'")
    lower, upper = signs["cohort_difference_bounds"].values[0].T
    return {
        "excess of signs over matched pairs": _holds(table, "excess", 0),
        "the same, selected neurons less the rest": ((lower <= 0) & (upper >= 0)).tolist(),
    }


def of_labels(rng: np.random.Generator, size: int) -> Answer:
    store = layer_store(rng, size)
    pairs = analysis.find_pairs(store, n_neighbours=3, seed=int(rng.integers(2**31)))
    cohort = _selection({0: tuple(range(6))}, store.sizes["neuron"])
    table = analysis.pair_labels(store, pairs, cohort, n_top=60, n_permutations=99, features=("upos",))
    return {"log-odds of a part of speech in the furthest pairs": _holds(table, "beyond", 0)}


def _contrasts(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Top less random, by class of word, from the default model without and with slopes: the one that is not singular."""
    formula = "delta ~ condition * word_class + position"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        model = analysis.fit_surprisal_model(
            table, formula, {"word_type": [], "document": ["condition"]}, n_replicates=400, seed=seed
        )
        if any(model.fit.singular):
            model = analysis.fit_surprisal_model(table, formula, n_replicates=400, seed=seed)
    return model.contrasts("condition", [("top", "random")], ["word_class"])


def of_surprisal(rng: np.random.Generator, size: int) -> Answer:
    table = _contrasts(word_table(rng, size), int(rng.integers(2**31)))
    common, rare = table[table["word_class"] != "rare"], table[table["word_class"] == "rare"]
    return {
        "model of surprisal, cluster-robust (in figures)": _holds(common, "robust", 0),
        "the same of a class in a fifth of the documents": _holds(rare, "robust", 0),
        "model of surprisal, the model's own": _holds(
            table.rename(columns={"lower": "own_lower", "upper": "own_upper"}), "own", 0
        ),
        "model of surprisal, bootstrap": _holds(table, "bootstrap", 0),
    }


def of_drawn_text(rng: np.random.Generator, n_draws: int) -> Answer:
    cohorts = [(f"random-{k}", "random", "", n_draws) for k in range(_N_COHORTS)]
    store = text_store(rng, 50, cohorts)
    perplexity, by_upos = analysis.perplexity_table(store), analysis.surprisal_by_upos(store)
    return {
        "perplexity ratio of a random control": _holds(perplexity.query("rule == 'random'"), "perplexity_ratio", 1),
        "change of surprisal by part of speech": _holds(by_upos[by_upos["upos"] == "NOUN"], "delta_surprisal", 0),
    }


def of_drawn_items(rng: np.random.Generator, n_draws: int) -> Answer:
    store = item_store(rng, 100, _controls(n_draws))
    pairs, probes = (table(store).query("rule == 'random'") for table in (analysis.pair_accuracy, analysis.probe_table))
    tests = analysis.paired_tests(store).query("against.str.startswith('random') and phenomenon == 'all'")
    dissociation = analysis.dissociation(store).query("against.str.startswith('random')")
    return {
        "change of accuracy of minimal pairs": _holds(pairs[pairs["phenomenon"] == "all"], "delta_accuracy", CHANGE),
        "change of accuracy of probes and tasks": _holds(probes, "delta_accuracy", CHANGE),
        "paired test against a random control (not rejected)": (tests["p"] >= 0.05).tolist(),
        "cost of grammar less cost of the rest, against one": _holds(dissociation, "interaction", 0),
        "the same in log-odds": _holds(dissociation, "log_odds_interaction", 0),
    }


def of_drawn_surprisal(rng: np.random.Generator, n_draws: int) -> Answer:
    table = _contrasts(word_table(rng, 50, n_draws), int(rng.integers(2**31)))
    return {"model of surprisal, top less random, cluster-robust": _holds(table, "robust", 0)}


OVER_CLUSTERS = (
    Kind("documents", of_text),
    Kind("documents", of_percentiles),
    Kind("documents", of_signs, 5),
    Kind("documents", of_labels, 5),
    Kind("documents", of_surprisal),
    Kind("clusters a paradigm, items", of_items),
    Kind("clusters a paradigm, items", of_dissociation),
    Kind("clusters a paradigm", of_paired_tests),
    Kind("neurons", of_neurons),
    Kind("neurons", of_emergence),
    Kind("neurons", of_ranks),
)
OVER_DRAWS = (
    Kind("50 documents", of_drawn_text, 1, DRAWS),
    Kind("100 clusters a paradigm, 100 items", of_drawn_items, 1, DRAWS),
    Kind("50 documents", of_drawn_surprisal, 1, DRAWS),
)


def coverage(kind: Kind, size: int, n_simulations: int, seed: int = 0) -> dict[str, float]:
    """Share of the intervals that hold the truth, by name; NaN where none was given."""
    answers: dict[str, list[bool]] = {}
    for index in range(max(1, n_simulations // kind.cost)):
        for name, holds in kind.simulate(np.random.default_rng([seed, size, index]), size).items():
            answers.setdefault(name, []).extend(holds)
    return {name: float(np.mean(holds)) if holds else np.nan for name, holds in answers.items()}


def rows(kinds: Sequence[Kind], n_simulations: int) -> Iterator[str]:
    """Lines of a table in Markdown, as they become known."""
    sizes = kinds[0].sizes
    yield f"| interval | clusters | {' | '.join(map(str, sizes))} |"
    yield f"|---|---|{'---|' * len(sizes)}"
    for kind in kinds:
        by_size = [coverage(kind, size, n_simulations) for size in sizes]
        for name in by_size[0]:
            shares = ["–" if np.isnan(part[name]) else f"{100 * part[name]:.0f}%" for part in by_size]
            yield f"| {name} | {kind.unit} | {' | '.join(shares)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=300, help="of the cheaper kinds; of pairs a fifth (300)")
    options = parsed(parser, arguments, simulations=1)
    for heading, kinds in (("Over clusters", OVER_CLUSTERS), ("Over draws of a random control", OVER_DRAWS)):
        print(f"\n## {heading}\n")
        for line in rows(kinds, options.simulations):
            print(line, flush=True)


if __name__ == "__main__":
    main()
