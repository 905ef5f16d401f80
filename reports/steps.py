"""The steps of a study: which commands bring it up to date, on what each depends and what each leaves.

Owns the folders of a study. What is run again, and how, is in `pipeline.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from actstore import plugins
from actstore.cli.options import words_of
from actstore.registry import kinds_of
from actstore.settings import paths_in
from reports.names import model_names
from reports.study import AblationStudy, Study, ablation_design

_PYTHON = (sys.executable, "-P", "-m")  # -P: what lies in the user's folder must not take the place of our modules
_ACTSTORE, _ANALYSIS = (*_PYTHON, "actstore"), (*_PYTHON, "analysis")


@dataclass(frozen=True)
class Step:
    """One command: what it needs, what it runs on, what it leaves."""

    name: str
    command: tuple[str, ...]
    """Without the options that load plugins."""
    code: tuple[str, ...]
    """Modules of this project, and other files, whose source the result depends on; with all that the modules import."""
    outputs: tuple[Path, ...]
    after: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    """Names that may be an embedded model or files of the user's (model, corpus, pairs); their contents enter the key."""
    work: str = ""
    """How much there is to do, in words."""
    file: tuple[Path, str] | None = None
    """A file to write first, and its text."""
    plugins: tuple[str, ...] = ()
    """Modules of the user's that the command loads first. They are no part of the key: what depends on one has its source in `data`."""
    store: Path | None = None
    """Of the command's arguments the store that it writes; the one that is there is replaced by a finished one alone."""


def steps_of(study: Study, study_file: Path, folder: Path) -> list[Step]:
    """The steps of a study, in order: every model, every ablation, the report."""
    names = model_names(study.models)
    steps = [step for model, name in names.items() for step in _model_steps(study, model, name, folder)]
    for ablation in study.ablations:
        steps += _ablation_steps(study, ablation, names[ablation.design.model], folder)
    steps = [replace(step, plugins=study.plugins) for step in steps]
    report = folder / "report"
    page = Step(
        "report",
        (*_PYTHON, "reports.build", "--study", str(study_file), "--runs", str(folder), "--out", str(report)),
        ("reports.build", "reports/templates", str(study_file)),
        (report / "index.html", report / "results.json"),
        tuple(step.name for step in steps),
        _plugin_files(study, "figure"),
    )
    return [*steps, page]


def model_folder(folder: Path, name: str) -> Path:
    """Where the store (`store.zarr`) and results (`analysis/`) of a model of that name are."""
    return folder / "models" / name


def ablation_folder(folder: Path, name: str) -> Path:
    """Where an ablation's design, store (`store.zarr`) and tables (`analysis/`) are."""
    return folder / "ablations" / name


def _model_steps(study: Study, model: str, name: str, folder: Path) -> Iterator[Step]:
    store, results = model_folder(folder, name) / "store.zarr", model_folder(folder, name) / "analysis"
    is_first = model == study.models[0]
    yield _extract(study, model, name, store)
    yield _entanglement(study, name, store, results)
    shared = ("--store", str(store), "--results", str(results), "--seed", str(study.seed))
    yield Step(
        f"pairs {name}",
        (*_ANALYSIS, "pairs", *shared, *words_of(study.pairs, names={"tokens": "pair_tokens"})),
        ("analysis.commands.pairs",),
        (results / "pairs.zarr", *_csv(results, ("pair_signs", "pair_labels", "pair_functional", "pair_contrasts"))),
        (f"entanglement {name}",),
    )
    if is_first:
        yield Step(
            f"atlas {name}",
            (*_ANALYSIS, "atlas", *shared),
            ("analysis.commands.atlas",),
            (results / "profiles.zarr", *_csv(results, ("atlas", "neuron_histograms", "neuron_pairs", "neuron_story"))),
            (f"pairs {name}",),
        )
    if is_first and study.has_training:
        yield Step(
            f"dynamics {name}",
            (*_ANALYSIS, "dynamics", *shared),
            ("analysis.commands.dynamics",),
            _csv(results, ("emergence", "cohorts", "weights", "overlap", "rise")),
            (f"entanglement {name}",),
        )


def _extract(study: Study, model: str, name: str, store: Path) -> Step:
    checkpoints = study.extracted_checkpoints(model)
    options = ("--model", model, "--checkpoints", checkpoints, *words_of(study.extraction_text), *words_of(study.run))
    return Step(
        f"extract {name}",
        (*_ACTSTORE, "extract", *options, "--store", str(store)),
        ("actstore.extraction.run",),
        (store,),
        data=(model, study.extraction_text.corpus, *_plugin_files(study, "family")),
        work=f"{study.extraction_text.tokens} tokens × checkpoints {checkpoints}",
        store=store,
    )


def _entanglement(study: Study, name: str, store: Path, results: Path) -> Step:
    tables = (
        "neurons",
        "trajectory",
        "negative_trajectory",
        "histogram",
        "rank_correlations",
        "explained_by_shape",
        "distance_contrasts",
    )
    draws = [f"random-{seed}" for seed in range(study.selection.random_seeds)]
    selections = [results / "selections" / f"{label}.json" for label in ("top", *draws)]
    options = ("--store", str(store), "--out", str(results), *words_of(study.selection))
    return Step(
        f"entanglement {name}",
        (*_ANALYSIS, "entanglement", *options),
        ("analysis.commands.entanglement",),
        (results / "entanglement.zarr", *selections, *_csv(results, tables)),
        (f"extract {name}",),
        _plugin_files(study, "neuron statistic"),
    )


def _ablation_steps(study: Study, ablation: AblationStudy, model: str, folder: Path) -> Iterator[Step]:
    place, design = ablation_folder(folder, ablation.name), ablation.design
    store, results = place / "store.zarr", place / "analysis"
    extraction = model_folder(folder, model)
    yield Step(
        f"ablate {ablation.name}",
        (*_ACTSTORE, "ablate", str(place / "design.toml"), "--store", str(store)),
        ("actstore.ablation.run",),
        (store,),
        (f"entanglement {model}",),
        (*paths_in(design), *_plugin_files(study, "family", "intervention", "readout")),
        work=f"{ablation.n_conditions()} conditions × checkpoints {design.checkpoints}",
        file=(place / "design.toml", tomli_w.dumps(ablation_design(ablation, extraction / "analysis" / "entanglement.zarr"))),
        store=store,
    )
    options = ("--store", str(store), "--out", str(results))
    yield Step(
        f"tables of {ablation.name}",
        (*_ANALYSIS, "tables", *options, "--extraction", str(extraction / "store.zarr")),
        ("analysis.commands.tables",),
        _csv(results, ("perplexity", "edited_by_layer", "text_overlap")),
        (f"ablate {ablation.name}",),
    )
    if ablation.surprisal:
        yield Step(
            f"surprisal of {ablation.name}",
            (*_ANALYSIS, "surprisal", *options),
            ("analysis.commands.surprisal",),
            _csv(results, ("surprisal_means", "surprisal_fits")),
            (f"ablate {ablation.name}",),
        )


def _plugin_files(study: Study, *kinds: str) -> tuple[str, ...]:
    """The sources of plugins that register something of these kinds."""
    modules = [module for module in map(plugins.module_of, study.plugins) if kinds_of(module) & {*kinds}]
    return tuple(str(file) for module in modules for file in plugins.files_of(module))


def _csv(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(folder / f"{name}.csv" for name in names)
