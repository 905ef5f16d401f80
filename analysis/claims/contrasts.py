"""The contrasts of each claim, from the tables of a model and of its ablations.

Owns which row of which table a claim rests on, and what is said to be missing where there is none. The numbers are those of the
tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from analysis.ablation.trends import ACCUMULATED, MARGIN, OVER_DEPTH, OVER_TRAINING, PERPLEXITY
from analysis.contrasts import COLUMNS
from analysis.neurons import distance_contrasts
from analysis.pairs.contrasts import FUNCTIONAL, MEAN, NEGATIVE, NOTHING, SHAPE, SLOPE
from analysis.rows import comparable, is_on_all_layers, of_intact, of_main_intervention, over_all_paradigms, tops
from analysis.surprisal.models import WORD_CLASSES
from analysis.training.cohorts import REST
from analysis.training.rise import ITSELF

CEILING = 0.95
"""Above this accuracy of the intact model, margins are read before accuracy."""
_RULES = {"random": "as many random neurons", "matched": "as many neurons matched on covariates"}
_PERPLEXITY_MATCHED = "perplexity-matched"
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Evidence:
    """What was measured of a model.

    Attributes
    ----------
    model : str
        Its name, for display.
    nonlinearity : str
        As in its store.
    tables : mapping of str to DataFrame
        Of its neurons, by name: `distance_contrasts`, `pair_contrasts`, `rise`.
    ablations : mapping of str to mapping of str to DataFrame
        By the ablation's name, its tables: those of `ablation_tables` and `surprisal_contrasts`.
    """

    model: str
    nonlinearity: str
    tables: Tables = field(default_factory=dict)
    ablations: Mapping[str, Tables] = field(default_factory=dict)


class Contrast(NamedTuple):
    """One contrast of a claim."""

    name: str
    """In words."""
    sign: int
    """1 if the claim says above 0, -1 if below."""
    units: str
    values: Mapping[str, float]
    """Its columns; empty where it was not tested."""
    source: str
    """Its table, below the folder of the model or ablation; empty where there is none."""
    missing: str = ""
    """What is not there, if it was not tested."""
    is_main: bool = True
    """Whether the claim's verdict rests on it."""


def not_tested(name: str, sign: int, missing: str) -> Contrast:
    """A main contrast that could not be tested."""
    return Contrast(name, sign, "", {}, "", missing)


def distance(evidence: Evidence) -> Iterator[Contrast]:
    """C1: a few neurons are far from Gaussian, more than their shape says."""
    for given in (distance_contrasts.NOTHING, distance_contrasts.SHAPE):
        name = "Wasserstein distance, top less rest" + ("" if given == distance_contrasts.NOTHING else f", at equal {given}")
        rows = _where(evidence.tables, "distance_contrasts", given=given)
        yield _of_row(name, 1, "SD", rows, "distance_contrasts", "no distances on text that neurons were not chosen on")


def differentiation(evidence: Evidence) -> Iterator[Contrast]:
    """C2: they drive similar inputs apart on the negative side, most in early layers."""
    for measure, over, given, sign, is_main in (
        (FUNCTIONAL, MEAN, NOTHING, 1, True),
        (FUNCTIONAL, MEAN, SHAPE, 1, False),
        (NEGATIVE, MEAN, NOTHING, 1, False),
        (FUNCTIONAL, SLOPE, NOTHING, -1, False),
    ):
        name = f"{measure} beyond matched pairs, top less rest"
        name += f", at equal {given}" if given != NOTHING else ", from first to last layer" if over == SLOPE else ""
        rows = _where(evidence.tables, "pair_contrasts", measure=measure, over=over, given=given)
        yield _of_row(name, sign, "share", rows, "pair_contrasts", "no similar pairs", is_main)


def smooth_less_relu(evidence: Evidence, others: Sequence[Evidence]) -> Iterator[Contrast]:
    """C3: not so in ReLU models."""
    name = "functional share beyond matched pairs, top less rest: smooth less ReLU"
    if evidence.nonlinearity == "relu":
        yield not_tested(name, 1, "this is the ReLU model that others are compared with")
        return
    relus = [other for other in others if other.nonlinearity == "relu" and "pair_contrasts" in other.tables]
    if not relus or "pair_contrasts" not in evidence.tables:
        yield not_tested(name, 1, "no ReLU model in the study")
        return
    for measure, is_main in ((FUNCTIONAL, True), (NEGATIVE, False)):
        keys = {"measure": measure, "over": MEAN, "given": NOTHING}
        smooth, relu = (_where(of_model.tables, "pair_contrasts", **keys) for of_model in (evidence, relus[0]))
        if len(smooth) and len(relu):
            values = _difference(smooth.iloc[0], relu.iloc[0])
            yield Contrast(name.replace(FUNCTIONAL, measure), 1, "share", values, "pair_contrasts.csv", "", is_main)


def perplexity(evidence: Evidence) -> Iterator[Contrast]:
    """C4: removing the negative side costs perplexity far beyond random neurons; other shares of neurons beside the main one."""
    ablation, table = _main(evidence, "perplexity_contrasts")
    fraction = float(table["fraction"].iloc[0]) if len(table) else np.nan
    top = f"top {100 * fraction:g}% of each layer" if len(table) else "top"
    for rule, words in _RULES.items():
        name, source = f"log perplexity, {top} less {words}", f"{ablation}/perplexity_contrasts"
        yield _of_row(name, 1, "nat", _controls(table, rule), source, f"no control of rule {rule}", rule == "random")
    for ablation, tables in evidence.ablations.items():
        if "perplexity_contrasts" not in tables:
            continue
        rows = tops(of_main_intervention(tables["perplexity_contrasts"]))
        rows = rows[rows["checkpoint"] == rows["checkpoint"].max()]
        rows = rows[is_on_all_layers(rows) & (rows["chosen_at"] == "same") & (rows["fraction"] != fraction)]
        for rule, words in _RULES.items():
            for value, of_share in _controls(rows, rule).groupby("fraction"):
                name = f"log perplexity, top {100 * float(str(value)):g}% of each layer less {words}"
                yield _of_row(name, 1, "nat", of_share, f"{ablation}/perplexity_contrasts", "", is_main=False)


def grammar(evidence: Evidence) -> Iterator[Contrast]:
    """C5: and grammar beyond perplexity-matched controls."""
    ablation, table = _main(evidence, "paired_tests")
    rows = _matched(over_all_paradigms(table)) if len(table) else table
    if rows.empty:
        yield not_tested("margin of minimal pairs, top less perplexity-matched", -1, _unmatched(table))
        return
    accuracy = evidence.ablations[ablation]["accuracy_by_phenomenon"]
    for _, row in rows.iterrows():
        is_margin_first = margin_is_first(accuracy, row["benchmark"])
        source, of = f"{ablation}/paired_tests.csv", f"{row['benchmark']}, top less {row['against']}"
        margin = Contrast(f"margin on {of}", -1, "nat", _values(row, "delta_margin", "margin_"), source, "", is_margin_first)
        right = Contrast(f"accuracy on {of}", -1, "share", _values(row, "delta_accuracy"), source, "", not is_margin_first)
        yield from (margin, right) if is_margin_first else (right, margin)


def other_abilities(evidence: Evidence) -> Iterator[Contrast]:
    """C6: while other abilities suffer less than under those controls."""
    ablation, table = _main(evidence, "dissociation")
    rows = _matched(table) if len(table) else table
    name = "cost of grammar less cost of other tasks, top less perplexity-matched"
    if rows.empty:
        yield not_tested(name, 1, _unmatched(table) if len(table) else "no readout beside minimal pairs")
        return
    main = "margin" if margin_is_first(evidence.ablations[ablation]["accuracy_by_phenomenon"]) else "accuracy"
    for _, row in rows.sort_values("outcome", key=lambda outcomes: outcomes != main, kind="stable").iterrows():
        units, words = ("nat", "margins") if row["outcome"] == "margin" else ("share", "accuracy")
        words = f"cost of grammar less cost of other tasks ({words}), top less {row['against']}"
        source = f"{ablation}/dissociation.csv"
        yield Contrast(words, 1, units, _values(row, "interaction"), source, "", row["outcome"] == main)


def scaffolding(evidence: Evidence) -> Iterator[Contrast]:
    """C7: the excess surprisal is on syntactic scaffolding."""
    name = "change of surprisal, scaffolding less content words: top less each control"
    for ablation, tables in evidence.ablations.items():
        if "surprisal_contrasts" not in tables:
            continue
        table = of_main_intervention(tables["surprisal_contrasts"])
        rows = table[(table["level"] == " less ".join(WORD_CLASSES)) & (table["is_matched"] != 0)]
        for _, row in rows[rows["condition"] == rows["condition"].iloc[0]].iterrows() if len(rows) else ():
            against = str(row["against"]).removeprefix(f"{row['intervention']} of ")
            values = _from_interval(row["estimate"], row["robust_lower"], row["robust_upper"], row["robust_p"])
            words = f"change of surprisal, scaffolding less content words: top less {against}"
            yield Contrast(words, 1, "nat a word", values, f"{ablation}/surprisal_contrasts.csv")
        return
    yield not_tested(name, 1, "no model of surprisal with parts of speech")


def depth(evidence: Evidence) -> Iterator[Contrast]:
    """C8: early layers matter most, damage accumulates."""
    for trend, sign, words in (
        (OVER_DEPTH, -1, "one group of layers at a time, from first to last layer"),
        (ACCUMULATED, 1, "all groups of layers less the first alone"),
    ):
        yield from _trends(evidence, trend, sign, words, "no ablation of groups of layers")


def training(evidence: Evidence) -> Iterator[Contrast]:
    """C9: neurons and damage emerge together over training."""
    for against, less in ((ITSELF, ""), (REST, " less that of the rest")):
        name = f"Wasserstein distance of a cohort chosen early: its rise{less}"
        rows = _where(evidence.tables, "rise", against=against)
        yield _of_row(name, 1, "SD", rows, "rise", "one checkpoint", is_main=against == ITSELF)
    yield from _trends(
        evidence, OVER_TRAINING, 1, "from the first to the last checkpoint", "no ablation at several checkpoints"
    )


def _trends(evidence: Evidence, trend: str, sign: int, words: str, missing: str) -> Iterator[Contrast]:
    for ablation, tables in evidence.ablations.items():
        rows = _where(tables, "damage_trends", trend=trend)
        if rows.empty:
            continue
        rows = of_main_intervention(rows)
        rows = rows[rows["chosen_at"] == ("same" if "same" in set(rows["chosen_at"]) else rows["chosen_at"].iloc[0])]
        for outcome, label in ((PERPLEXITY, "log perplexity"), (MARGIN, "loss of margin")):
            of_outcome = rows[rows["outcome"] == outcome]
            if len(of_outcome):
                control = "top less random" if of_outcome["against"].iloc[0] == "random" else "top less intact"
                name = f"{label}, {control}: {words}"
                yield _of_row(name, sign, "nat", of_outcome, f"{ablation}/damage_trends", missing, outcome == PERPLEXITY)
        return
    yield not_tested(f"log perplexity, top less random: {words}", sign, missing)


CLAIMS: Mapping[str, tuple[str, Callable[..., Iterator[Contrast]]]] = {
    "C1": ("A few neurons are far from Gaussian, more than their skewness, kurtosis and bimodality say.", distance),
    "C2": ("They drive similar inputs apart on their negative side.", differentiation),
    "C3": ("In ReLU models they do not.", smooth_less_relu),
    "C4": ("Removing their negative side costs more perplexity than removing that of random neurons.", perplexity),
    "C5": ("It costs more grammar than an ablation of other neurons that costs as much perplexity.", grammar),
    "C6": ("It costs other abilities less than such an ablation does.", other_abilities),
    "C7": ("The added surprisal falls on words that hold sentences together.", scaffolding),
    "C8": ("Early layers matter most, and damage adds up over layers.", depth),
    "C9": ("The neurons and the damage emerge together over training.", training),
}
"""Claim → its statement, and the function that gives its contrasts."""


def _main(evidence: Evidence, name: str) -> tuple[str, pd.DataFrame]:
    """The ablation with most cohorts to compare with its first top cohort, and the rows of a table that are so compared."""
    best, rows = "", pd.DataFrame()
    for ablation, tables in evidence.ablations.items():
        if name in tables and len(tables[name]):
            found = tops(comparable(tables[name]))
            if len(found) > len(rows):
                best, rows = ablation, found
    return best, rows


def _controls(table: pd.DataFrame, rule: str) -> pd.DataFrame:
    return table[table["against_rule"] == rule] if len(table) else table


def _matched(table: pd.DataFrame) -> pd.DataFrame:
    """Comparisons with perplexity-matched controls that are matched."""
    return table[(table["against_rule"] == _PERPLEXITY_MATCHED) & (table["is_matched"] == 1)]


def _unmatched(table: pd.DataFrame) -> str:
    if table.empty:
        return "no minimal pairs"
    has_one = (table["against_rule"] == _PERPLEXITY_MATCHED).any()
    return "no control reaches the perplexity of the top cohort" if has_one else "no perplexity-matched control"


def margin_is_first(accuracy: pd.DataFrame, benchmark: str = "") -> bool:
    """Whether the intact model is right so often that margins are read before accuracy.

    Parameters
    ----------
    accuracy : DataFrame
        Of `pair_accuracy`; the last checkpoint counts.
    benchmark : str
        Empty for all, each of which must be above the ceiling.
    """
    rows = of_intact(over_all_paradigms(accuracy))
    rows = rows[(rows["checkpoint"] == rows["checkpoint"].max()) & (rows["benchmark"].eq(benchmark) | (benchmark == ""))]
    return bool((rows["accuracy"] > CEILING).all())


def _values(row: pd.Series, value: str, prefix: str = "") -> dict[str, float]:
    """The columns of a contrast, from a row that has its value and bounds, and the others with a prefix."""
    columns = {"estimate": value, "lower": f"{value}_lower", "upper": f"{value}_upper"}
    return {name: float(row[columns.get(name, f"{prefix}{name}")]) for name in COLUMNS}


def _where(tables: Tables, name: str, **keys: Any) -> pd.DataFrame:
    table = tables.get(name, pd.DataFrame())
    for column, value in keys.items():
        table = table[table[column] == value] if len(table) else table
    return table


def _of_row(name: str, sign: int, units: str, rows: pd.DataFrame, source: str, missing: str, is_main: bool = True) -> Contrast:
    """A contrast from the first of these rows."""
    if rows.empty:
        return Contrast(name, sign, units, {}, "", missing, is_main)
    return Contrast(name, sign, units, {key: float(rows.iloc[0][key]) for key in COLUMNS}, f"{source}.csv", "", is_main)


def _difference(first: pd.Series, second: pd.Series) -> dict[str, float]:
    """The difference of two independent estimates: Zou and Donner's bounds from theirs."""
    value = float(first["estimate"] - second["estimate"])
    below = np.hypot(first["estimate"] - first["lower"], second["upper"] - second["estimate"])
    above = np.hypot(first["upper"] - first["estimate"], second["estimate"] - second["lower"])
    return _from_interval(value, value - below, value + above)


def _from_interval(estimate: float, lower: float, upper: float, p: float | None = None) -> dict[str, float]:
    """The columns of a contrast of which only the interval is known, as if it were that of a normal estimate."""
    error = float(upper - lower) / 2 / norm.ppf(0.975)
    if p is None:
        p = float(2 * norm.sf(abs(estimate) / error)) if error > 0 else float(estimate == 0)
    bounds = {
        "equivalence_bound": abs(estimate) + norm.ppf(0.95) * error,
        "detectable": (norm.ppf(0.975) + norm.ppf(0.8)) * error,
    }
    return {"estimate": float(estimate), "lower": float(lower), "upper": float(upper), "p": float(p), **bounds}
