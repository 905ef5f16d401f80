"""The report: analysis results in, one self-contained HTML file out.

Owns the order of figures and tables and the text around them; the page itself is
`templates/report.html`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actstore.errors import StoreError, run_reporting
from actstore.schema import BASELINE, Selection
from actstore.store import open_store
from analysis.results import ENTANGLEMENT, load_dataset, load_table
from reports import figures, tables
from reports.study import Study, load_study
from reports.style import styled, to_data_uri


@dataclass(frozen=True)
class Panel:
    """A figure on the page with what it shows and what it found."""

    title: str
    image: str
    alt: str
    finding: str
    note: str


@dataclass(frozen=True)
class Results:
    """All that a report is made from."""

    tables: dict[str, pd.DataFrame]
    selection: Selection
    provenance: dict[str, dict[str, str]]


_WHERE = {"layer": "each layer", "all": "all layers together"}


def load_results(folder: Path) -> Results:
    """Everything that the steps before left in a run's folder."""
    results = folder / "analysis"
    names = ("neurons", "trajectory", "histogram", "perplexity", "surprisal_by_upos", "accuracy_by_phenomenon", "probes")
    found = {name: load_table(results / f"{name}.csv") for name in names if (results / f"{name}.csv").exists()}
    selection = Selection.load(results / "selections" / "top.json")
    store, ablation = open_store(folder / "store.zarr"), open_store(folder / "ablation.zarr")
    last = load_dataset(results, ENTANGLEMENT).isel(checkpoint=-1)
    provenance = {
        "Extraction": {key: str(value) for key, value in store.attrs.items() if key not in ("configuration", "coordinates")}
        | {"tokens": f"{store.sizes['token']:,}", "checkpoints": ", ".join(map(str, store["checkpoint"].values))},
        "Selection": {
            "rule": f"{selection.rule} {selection.fraction:g} of {_WHERE[selection.scope]} by {selection.statistic}",
            "neurons": str(selection.n_neurons),
            "checkpoint": str(selection.checkpoint),
            "weights": selection.weights_fingerprint,
            "tokens": str(last.attrs["n_tokens"]),
        },
        "Ablation": {key: str(value) for key, value in ablation.attrs.items() if key not in ("configuration", "coordinates")}
        | {"tokens": f"{ablation.sizes['token']:,}", "conditions": ", ".join(map(str, ablation["condition"].values))},
    }
    return Results(found, selection, provenance)


def _draw(draw: Callable[[Axes], object], size: tuple[float, float]) -> str:
    with styled():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        return to_data_uri(figure)


def _by_cohort(table: pd.DataFrame, **match: Any) -> dict[str, pd.Series]:
    """The one row of each ablated cohort, for the first intervention."""
    rows = table[table["intervention"] != BASELINE]
    rows = rows[rows["intervention"] == rows["intervention"].iloc[0]]
    for column, value in match.items():
        rows = rows[rows[column] == value]
    return {row["rule"]: row for _, row in rows.iterrows()}


def _last(table: pd.DataFrame) -> pd.DataFrame:
    last: pd.DataFrame = table[table["checkpoint"] == table["checkpoint"].max()]
    return last


def panels(results: Results) -> list[Panel]:
    """All figures of the report, in order."""
    found = results.tables
    made = [_distances(found["neurons"], results.selection), _neuron(found["histogram"])]
    if found["trajectory"]["checkpoint"].nunique() > 1:
        made.append(_training(found["trajectory"]))
    made.append(_perplexity(_last(found["perplexity"])))
    if "accuracy_by_phenomenon" in found:
        made.append(_grammar(_last(found["accuracy_by_phenomenon"])))
    if "probes" in found:
        made.append(_memory(_last(found["probes"])))
    if "surprisal_by_upos" in found:
        made.append(_upos(_last(found["surprisal_by_upos"])))
    return made


def _distances(neurons: pd.DataFrame, selection: Selection) -> Panel:
    chosen = neurons["selected"].astype(bool)
    inside, outside = (neurons.loc[mask, "wasserstein_distance"] for mask in (chosen, ~chosen))
    return Panel(
        "Wasserstein distance by layer",
        _draw(lambda ax: figures.wasserstein_by_layer(neurons, ax), (7.5, 4.2)),
        f"Dots: the Wasserstein distance of each of {len(neurons)} neurons by layer; {chosen.sum()} selected ones are diamonds.",
        f"The {chosen.sum()} selected neurons lie at {inside.min():.3f} to {inside.max():.3f} SD; the median of the others is "
        f"{outside.median():.3f} SD.",
        f"Checkpoint {selection.checkpoint}; {selection.fraction:.0%} of {_WHERE[selection.scope]}. Distance 0 is exactly Gaussian.",
    )


def _neuron(histogram: pd.DataFrame) -> Panel:
    row = histogram.iloc[0]
    return Panel(
        f"The most entangled neuron: layer {row['layer']:.0f}, neuron {row['neuron']:.0f}",
        _draw(lambda ax: figures.neuron_histogram(histogram, ax), (7.5, 3.6)),
        "Histogram of one neuron's standardised pre-activations with the standard normal density; the negative region is shaded.",
        f"Raw zero falls at {row['zero']:+.2f} SD; pre-activations below it are negative.",
        f"Checkpoint {row['checkpoint']:.0f}, {row['n_tokens']:,.0f} tokens.",
    )


def _training(table: pd.DataFrame) -> Panel:
    first, last = table["checkpoint"].min(), table["checkpoint"].max()
    cohort = table[table["cohort"] != "rest"]
    start, end = (cohort.loc[cohort["checkpoint"] == step, "mean"] for step in (first, last))
    return Panel(
        "Wasserstein distance over training",
        _draw(lambda ax: figures.trajectory(table, ax), (8.5, 4.2)),
        "Lines: mean Wasserstein distance of the final cohort (solid) and of all other neurons (dashed) by layer and training step.",
        f"From step {first} to step {last} the cohort's mean goes from {start.min():.3f}–{start.max():.3f} SD (range over layers) "
        f"to {end.min():.3f}–{end.max():.3f} SD.",
        "The cohort is chosen at the last checkpoint, so its rise is partly selection. Bands: 95% normal interval over neurons. "
        "Checkpoints whose weights repeat an earlier one are left out.",
    )


def _perplexity(table: pd.DataFrame) -> Panel:
    rows = _by_cohort(table)
    return Panel(
        "Perplexity under ablation",
        _draw(
            lambda ax: figures.interval_plot(
                table, "intervention", "perplexity_ratio", "perplexity, ratio to the intact model", 1, ax
            ),
            (7.5, 2.2),
        ),
        "Dots with intervals: perplexity relative to the intact model, for the selected neurons and the random control.",
        tables.contrast(rows["top"], rows.get("random"), "perplexity_ratio", 1, "perplexity"),
        f"{table['n_tokens'].iloc[0]:,} tokens of held-out text. Intervals: 95% bootstrap over documents and, for the control, seeds.",
    )


def _grammar(table: pd.DataFrame) -> Panel:
    table = table[table["phenomenon"] != "all pairs"]
    rows = _by_cohort(table, phenomenon="all")
    n_pairs = int(rows["top"]["n_pairs"])
    return Panel(
        "Minimal pairs under ablation, by phenomenon",
        _draw(
            lambda ax: figures.interval_plot(table, "phenomenon", "delta_accuracy", "change in accuracy", 0, ax),
            (7.5, 0.36 * table["phenomenon"].nunique() + 1.2),
        ),
        "Dots with intervals: change of minimal-pair accuracy against the intact model, by phenomenon and cohort.",
        tables.contrast(rows["top"], rows.get("random"), "delta_accuracy", 0, "accuracy over all paradigms"),
        f"{n_pairs:,} pairs, macro-averaged over paradigms, scored by total log-probability. Intervals: 95% bootstrap over pairs "
        "within paradigms and, for the control, seeds. No correction for the number of phenomena.",
    )


def _memory(table: pd.DataFrame) -> Panel:
    rows = _by_cohort(table, probe="facts")
    return Panel(
        "Non-grammatical probes under ablation",
        _draw(lambda ax: figures.interval_plot(table, "probe", "delta_accuracy", "change in accuracy", 0, ax), (7.5, 2.4)),
        "Dots with intervals: change of accuracy on facts and on recall of a repeated string.",
        tables.contrast(rows["top"], rows.get("random"), "delta_accuracy", 0, "accuracy on facts"),
        f"Four options each, all grammatical; chance is {table['chance'].iloc[0]:.0%}. Intervals: 95% bootstrap over items and seeds.",
    )


def _upos(table: pd.DataFrame) -> Panel:
    rows = table[(table["rule"] == "top") & (table["intervention"] == table["intervention"].iloc[0])]
    away = rows[(rows["delta_surprisal_lower"] > 0) | (rows["delta_surprisal_upper"] < 0)]
    away = away.sort_values("delta_surprisal", key=abs, ascending=False)
    if away.empty:
        finding = "For no part of speech does the interval of the top cohort exclude 0."
    else:
        named = ", ".join(f"{row['upos']} {tables.with_interval(row, 'delta_surprisal')}" for _, row in away.head(4).iterrows())
        finding = f"Under the top cohort {len(away)} of {len(rows)} parts of speech have an interval that excludes 0; largest: {named}."
    return Panel(
        "Change in surprisal by part of speech",
        _draw(
            lambda ax: figures.interval_plot(table, "upos", "delta_surprisal", "change in surprisal (nats per word)", 0, ax),
            (7.5, 0.36 * table["upos"].nunique() + 1.2),
        ),
        "Dots with intervals: mean change of a word's surprisal against the intact model, by universal part of speech.",
        finding,
        f"{int(rows['n_words'].sum()):,} words, each counted once with the surprisal of all its pieces. Intervals: 95% bootstrap over "
        "documents and, for the control, seeds. No correction for the number of classes.",
    )


def page_tables(results: Results) -> list[tables.Table]:
    """The tables below the figures."""
    found = results.tables
    made = [tables.perplexity(found["perplexity"])]
    if "accuracy_by_phenomenon" in found:
        caption = "Minimal pairs by phenomenon (macro-average over paradigms)."
        made.append(tables.accuracy(_last(found["accuracy_by_phenomenon"]), "phenomenon", "n_pairs", caption))
    if "probes" in found:
        made.append(tables.accuracy(_last(found["probes"]), "probe", "n_items", "Non-grammatical probes."))
    return [*made, tables.selected_neurons(found["neurons"])]


def render(study: Study, results: Results) -> str:
    """The whole page as one string; everything from data is escaped."""
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html").render(
        study=study,
        configuration={key: value for key, value in asdict(study).items() if not isinstance(value, dict)},
        panels=panels(results),
        tables=page_tables(results),
        provenance=results.provenance,
        version=version("actstore"),
    )


def build(study: Study, runs: Path, out: Path) -> Path:
    """Write `index.html` under its final name only when whole."""
    mpl.use("Agg")
    page = render(study, load_results(runs))
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial = out / "index.html.partial"
        partial.write_text(page, encoding="utf-8")
        return partial.replace(out / "index.html")
    except OSError as error:
        raise StoreError(f"cannot write the report to {out}: {error.strerror}; make space or choose another folder") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the report of a finished run."""
    parser = argparse.ArgumentParser(prog="python -m reports.build", description="Render the report of a finished run.")
    parser.add_argument("--study", type=Path, required=True, help="the study file")
    parser.add_argument("--runs", type=Path, required=True, help="the run's folder")
    parser.add_argument("--out", type=Path, required=True, help="folder to write index.html to")
    options = parser.parse_args(arguments)
    return run_reporting(lambda: build(load_study(options.study), options.runs, options.out), "reports")


if __name__ == "__main__":
    sys.exit(main())
