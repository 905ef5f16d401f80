"""All that a report is made from: the tables and attributes that a study's steps left.

Owns where they are found, and questions that several panels ask of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from actstore.errors import StoreError
from actstore.selection.selection import Selection
from actstore.store import manifest
from actstore.store.opening import open_store
from actstore.store.schema import BASELINE
from analysis.belonging import Origin, check_belonging, origin_of, origin_of_results, origin_of_selection
from analysis.results import ENTANGLEMENT, load_table
from reports.names import model_names
from reports.steps import ablation_folder, model_folder
from reports.study import AblationStudy, Study

_LEFT_OUT = {"surprisal_words"}


@dataclass(frozen=True)
class Run:
    """A model's statistics, or an ablation."""

    name: str
    tables: dict[str, pd.DataFrame]
    attributes: dict[str, str]
    """Of its store."""
    sizes: dict[str, int]
    model: str = ""
    """The name of its model's folder."""
    origin: Origin | None = None
    """What its store is of."""

    def has(self, *names: str) -> bool:
        """Whether it has all these tables."""
        return all(name in self.tables for name in names)

    def last(self, name: str) -> pd.DataFrame:
        """A table at its last checkpoint."""
        table = self.tables[name]
        found: pd.DataFrame = table[table["checkpoint"] == table["checkpoint"].max()]
        return found


@dataclass(frozen=True)
class Results:
    """Everything that the steps of a study left."""

    study: Study
    models: dict[str, Run]
    """By the name of their folder; the first is the study's main model."""
    ablations: dict[str, Run]
    selection: Selection
    designs: dict[str, AblationStudy] = field(default_factory=dict)

    @property
    def main(self) -> Run:
        """The model that is described neuron by neuron."""
        return next(iter(self.models.values()))

    def ablation(self, test: Callable[[Run], bool]) -> Run | None:
        """The first ablation of the main model that passes a test."""
        return next((run for run in self.of_main() if test(run)), None)

    def of_main(self) -> list[Run]:
        """The ablations of the main model."""
        return [run for run in self.ablations.values() if run.model == self.main.model]

    def called(self, run: Run) -> str:
        """The name of a run's model: its store's, or its folder's where two models have one name."""
        name = run.attributes["model"]
        alike = [model for model in self.models.values() if model.attributes["model"] == name]
        return run.model if len(alike) > 1 else name


def load_results(study: Study, folder: Path) -> Results:
    """Read what the steps before left in a run's folder.

    Raises
    ------
    StoreError
        If a step has not been run, or what the steps left does not belong together.
    """
    names = model_names(study.models)
    models = {name: _run(model_folder(folder, name), name) for name in names.values()}
    ablations = {
        ablation.name: _run(ablation_folder(folder, ablation.name), names[ablation.design.model])
        for ablation in study.ablations
    }
    path = model_folder(folder, names[study.models[0]]) / "analysis" / "selections" / "top.json"
    selection = Selection.load(path)
    _check_origins(folder, models, ablations, origin_of_selection(selection, path))
    return Results(study, models, ablations, selection, {ablation.name: ablation for ablation in study.ablations})


def _check_origins(folder: Path, models: dict[str, Run], ablations: dict[str, Run], selection: Origin) -> None:
    """Refuse stores, statistics and a selection that are not of the same models: the page would mix them."""
    origins = {name: run.origin for name, run in models.items() if run.origin is not None}
    for name, origin in origins.items():
        check_belonging(origin, origin_of_results(model_folder(folder, name) / "analysis", ENTANGLEMENT))
    check_belonging(next(iter(origins.values())), selection)
    for run in ablations.values():
        check_belonging(origins[run.model], run.origin)


def _run(place: Path, model: str) -> Run:
    if not (place / "analysis").is_dir():
        raise StoreError(f"no results in {place / 'analysis'}; run the study first (`actstore report STUDY`)")
    if wrong := manifest.damaged(place / "analysis"):
        raise StoreError(f"{place / 'analysis'} is damaged: {'; '.join(wrong[:3])}. Remove the folder and run the study again")
    files = sorted((place / "analysis").glob("*.csv"))
    tables = {file.stem: load_table(file) for file in files if file.stem not in _LEFT_OUT and file.stat().st_size > 1}
    store = open_store(place / "store.zarr")
    attributes = {key: str(value) for key, value in store.attrs.items() if key not in ("configuration", "coordinates")}
    for name in ("checkpoint", "condition"):
        if name in store.coords:
            attributes[f"{name}s"] = ", ".join(map(str, store[name].values))
    origin = origin_of(store, str(place / "store.zarr"), has_own_text="condition" in store.dims)
    if "weights_fingerprint" in store.coords:
        attributes["weights"] = ", ".join(map(str, store["weights_fingerprint"].values))
    return Run(place.name, tables, attributes, {str(name): size for name, size in store.sizes.items()}, model, origin)


def ablated(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of conditions that edit something."""
    found: pd.DataFrame = table[table["intervention"] != BASELINE]
    return found


def first_top(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first top cohort."""
    tops = table[table["rule"] == "top"]
    rows: pd.DataFrame = tops[tops["cohort"].isin(tops["cohort"].head(1))]
    return rows


def main_intervention(table: pd.DataFrame) -> str:
    """negative-zero where it was run, else the first."""
    names = list(dict.fromkeys(ablated(table)["intervention"]))
    return "negative-zero" if "negative-zero" in names else names[0]


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the main intervention on all layers, at the last checkpoint, of cohorts chosen there, at the first fraction of the top."""
    rows = ablated(table)
    rows = rows[(rows["checkpoint"] == rows["checkpoint"].max()) & (rows["intervention"] == main_intervention(rows))]
    rows = rows[rows["cohort_layers"].isin(["all", ""]) & rows["chosen_at"].isin(["same", ""])]
    top = rows.loc[rows["rule"] == "top", "fraction"]
    found: pd.DataFrame = rows[rows["fraction"] == top.iloc[0]] if len(top) else rows
    return found
