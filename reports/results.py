"""The tables and attributes that a report is made from, as the steps of a study left them.

Owns where they are read from, and which of them belong together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import xarray as xr

from actstore.errors import StoreError
from actstore.selection.selection import Selection
from actstore.store import manifest
from actstore.store.opening import open_store
from analysis.belonging import Origin, check_belonging, origin_of, origin_of_results, origin_of_selection
from analysis.results import ENTANGLEMENT, PROFILES, load_dataset, load_table
from analysis.rows import comparable
from reports.names import model_names
from reports.steps import ablation_folder, model_folder
from reports.study import AblationStudy, Study

_LEFT_OUT = {"surprisal_words"}
"""Tables that no report needs; this one has a row for every word."""


@dataclass(frozen=True)
class Run:
    """A model's statistics, or an ablation."""

    name: str
    tables: dict[str, pd.DataFrame]
    attributes: dict[str, str]
    """Of its store."""
    sizes: dict[str, int]
    """Of its store's dims."""
    model: str = ""
    """The name of its model's folder."""
    origin: Origin | None = None
    """The model and text of its store."""
    profiles: xr.Dataset | None = None
    """Of every neuron, of the model that is described neuron by neuron."""

    def has(self, *names: str) -> bool:
        """Whether it has all these tables."""
        return all(name in self.tables for name in names)

    def last(self, name: str) -> pd.DataFrame:
        """A table at its last checkpoint."""
        table = self.tables[name]
        rows: pd.DataFrame = table[table["checkpoint"] == table["checkpoint"].max()]
        return rows


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

    def of_main(self) -> list[Run]:
        """The ablations of the main model."""
        return [run for run in self.ablations.values() if run.model == self.main.model]

    def ablation(self, test: Callable[[Run], bool]) -> Run | None:
        """The first ablation of the main model that passes a test."""
        return next((run for run in self.of_main() if test(run)), None)

    @property
    def main_ablation(self) -> Run | None:
        """The ablation of the main model with most cohorts to compare with its first top cohort."""
        return max(self.of_main(), key=lambda run: len(comparable(run.tables["perplexity"])), default=None)

    def model_name(self, run: Run) -> str:
        """The name of a run's model: its store's, or its folder's where two models share a name."""
        name = run.attributes["model"]
        n_models = sum(model.attributes["model"] == name for model in self.models.values())
        return run.model if n_models > 1 else name


def load_results(study: Study, folder: Path) -> Results:
    """Read what the earlier steps left in a run's folder.

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


def _run(folder: Path, model: str) -> Run:
    tables = _tables(folder / "analysis")
    store = open_store(folder / "store.zarr")
    origin = origin_of(store, str(folder / "store.zarr"), has_own_text="condition" in store.dims)
    sizes = {str(dim): size for dim, size in store.sizes.items()}
    profiles = load_dataset(folder / "analysis", PROFILES) if (folder / "analysis" / f"{PROFILES}.zarr").exists() else None
    return Run(folder.name, tables, _attributes(store), sizes, model, origin, profiles)


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    """All tables in a folder of results that have rows."""
    if not folder.is_dir():
        raise StoreError(f"no results in {folder}; run the study first (`actstore report STUDY`)")
    if damages := manifest.damaged(folder):
        raise StoreError(f"{folder} is damaged: {'; '.join(damages[:3])}. Remove the folder and run the study again")
    files = sorted(folder.glob("*.csv"))
    return {file.stem: load_table(file) for file in files if file.stem not in _LEFT_OUT and file.stat().st_size > 1}


def _attributes(store: xr.Dataset) -> dict[str, str]:
    """What the page says of a store: its attributes, checkpoints, conditions and weights."""
    attributes = {str(key): str(value) for key, value in store.attrs.items() if key not in ("configuration", "coordinates")}
    for name, coordinate in (
        ("checkpoints", "checkpoint"),
        ("conditions", "condition"),
        ("weights", "weights_fingerprint"),
    ):
        if coordinate in store.coords:
            attributes[name] = ", ".join(map(str, store[coordinate].values))
    return attributes
