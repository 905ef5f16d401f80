"""A study: one TOML file that names everything a report is made from.

Owns its keys, their defaults and the error for a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actstore.ablation.design import Design, conditions, design_of, design_table, load_plugins
from actstore.ablation.preflight import (
    check_checkpoints,
    check_chosen_steps,
    check_corpus,
    check_design,
    check_model,
    check_tagger,
)
from actstore.ablation.readout import Readout, default_readouts, readouts_of
from actstore.config import CHECKPOINTS, MODEL, RunConfig, TextConfig
from actstore.errors import ActstoreError
from actstore.files import checked_name
from actstore.settings import anchored, build, located, read_toml, setting, with_settings
from analysis.config import SEED, PairsConfig, SelectionConfig
from reports.names import model_names

_SOME_NEURONS = 10_000
"""Conditions are counted before the model is known; the size of its layers changes no number of conditions, but for `auto`."""
_OF_ABLATIONS = ("text", "readouts")
"""Tables of a study that hold for every ablation that does not say otherwise."""


@dataclass(frozen=True)
class AblationStudy:
    """One of `[[ablations]]`: a design of `actstore ablate` with a name.

    Attributes
    ----------
    name : str
    design : Design
        Its `statistics` are filled in when the study runs.
    surprisal : bool
        Whether mixed-effects models of surprisal are fitted; the text must have parts of speech.
    """

    name: str
    design: Design
    surprisal: bool = False

    def n_conditions(self) -> int:
        """Conditions at each checkpoint, the intact model among them."""
        return len(conditions(self.design, max([1, *(spec.layer_groups for spec in self.design.cohorts)]), _SOME_NEURONS))


@with_settings
class Study:
    """A whole study."""

    name: str = setting("of its folder of runs")
    models: tuple[str, ...] = setting(
        f"{MODEL}. The first is described neuron by neuron and ablated unless a design names another; the others are compared "
        "with it",
        is_path=True,
        is_some=True,
    )
    title: str = setting("of the report; made from the model if left out", default="")
    checkpoints: str = setting(f"of the first model: {CHECKPOINTS}; of the others the last is taken", default="main")
    seed: int = SEED
    plugins: tuple[str, ...] = setting("modules or .py files of one's own, loaded in every step", default=())
    extraction_text: TextConfig = setting("what pre-activations are extracted on", default_factory=TextConfig)
    run: RunConfig = setting("how the models run, in extraction and in every ablation", default_factory=RunConfig)
    selection: SelectionConfig = setting("which neurons count as Wasserstein neurons", default_factory=SelectionConfig)
    pairs: PairsConfig = setting("the similar inputs that neurons drive apart", default_factory=PairsConfig)
    text: TextConfig = setting(
        "what perplexity and surprisal are measured on, in every ablation that does not say otherwise",
        default_factory=lambda: TextConfig("builtin-evaluation"),
    )
    readouts: tuple[Readout, ...] = setting(
        "what every ablation asks that names none; one that it names has its options from here",
        default_factory=default_readouts,
    )
    ablations: tuple[AblationStudy, ...] = setting("designs of `actstore ablate`, each with a name", default=())

    def extracted_checkpoints(self, model: str) -> str:
        """The checkpoints of one of the models that are extracted."""
        return self.checkpoints if model == self.models[0] else "main"

    @property
    def has_training(self) -> bool:
        """Whether the first model is followed over checkpoints."""
        return self.checkpoints != "main" and not self.checkpoints.isdecimal()


def load_study(path: str | Path) -> Study:
    """Read a study; names of files beside it are relative to its folder.

    Raises
    ------
    ActstoreError
        If the file cannot be read, is no TOML, misses a key, or has a wrong key or value; with its line.
    """
    path = Path(path)
    table = read_toml(path, "study")
    of_ablations = {key: table[key] for key in _OF_ABLATIONS if key in table}
    ablations = table.pop("ablations", [])
    table["plugins"] = load_plugins(table, path)
    if "readouts" in table:
        table["readouts"] = readouts_of(table["readouts"], path)
    study = anchored(build(Study, table, path), path.parent)
    checked_name(study.name, f"{located(path, 'name')}: name")
    try:
        model_names(study.models)
    except ActstoreError as error:
        raise ActstoreError(f"{located(path, 'models')}: {error}") from None
    if not isinstance(ablations, list):
        raise ActstoreError(f"{located(path, 'ablations')}: write [[ablations]] in double brackets, one table each")
    designs = tuple(_ablation(ablation, study, of_ablations, path) for ablation in ablations)
    names = [ablation.name for ablation in designs]
    if len({name.casefold() for name in names}) < len(names):
        raise ActstoreError(f"{path}: two ablations have one name: {', '.join(names)}")
    return replace(study, ablations=designs)


def _ablation(table: Any, study: Study, of_ablations: dict[str, Any], path: Path) -> AblationStudy:
    """One of `[[ablations]]`, with what it leaves out from the study."""
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ActstoreError(f"{path}: each of [[ablations]] needs a name")
    table = dict(table)
    name, surprisal = checked_name(table.pop("name"), f"{path}: the name of an ablation"), table.pop("surprisal", False)
    where = f"[[ablations]] {name!r}"
    if not isinstance(surprisal, bool):
        raise ActstoreError(f"{located(path, 'surprisal')}: surprisal must be true or false, got {surprisal!r}")
    for key in ("statistics", "run", "plugins"):
        if key in table:
            raise ActstoreError(f"{located(path, key)}: {key} is set for the whole study; leave it out of {where}")
    if "cohorts" in table:
        table["cohorts"] = _with_fraction(table["cohorts"], study)
    design = _design(table, study, of_ablations, path, where)
    if design.model not in study.models:
        raise ActstoreError(
            f"{located(path, 'model')}: {where} ablates {design.model!r}, which is not among the study's models"
        )
    if not design.cohorts:
        raise ActstoreError(f"{path}: {where} edits nothing: add [[ablations.cohorts]]")
    ablation = AblationStudy(name, design, surprisal)
    try:
        ablation.n_conditions()  # names of rules and interventions are checked before hours of work
    except ActstoreError as error:
        raise ActstoreError(f"{path}: {where}: {error}") from None
    return ablation


def _with_fraction(cohorts: Any, study: Study) -> Any:
    """Cohorts of a design, one or several; one that says no fraction has that of the study's Wasserstein neurons."""
    if isinstance(cohorts, list):
        return [_with_fraction(cohort, study) for cohort in cohorts]
    return {"fraction": study.selection.fraction, **cohorts} if isinstance(cohorts, dict) else cohorts


def _design(table: dict[str, Any], study: Study, of_ablations: dict[str, Any], path: Path, where: str) -> Design:
    """The design of an ablation: its own keys, before those of the study."""
    table = {"model": study.models[0], "run": study.run, "plugins": study.plugins, **table}
    if "text" in of_ablations:
        table["text"] = _merged(of_ablations["text"], table.get("text", {}))
    if "readouts" in of_ablations:
        table["readouts"] = _merged_readouts(of_ablations["readouts"], table.get("readouts"))
    return design_of(table, path, where)


def _merged(general: Any, own: Any) -> Any:
    """A table of the study with an ablation's own keys in place of its; what is no table is left for `build` to refuse."""
    return {**general, **own} if isinstance(own, dict) else own


def _merged_readouts(general: Any, own: Any) -> Any:
    """The readouts that an ablation names, or those of the study; the options of each are merged."""
    if not isinstance(own, dict):
        return general if own is None else own
    return {name: _merged(general.get(name, {}), options) for name, options in own.items()}


def check_study(study: Study) -> None:
    """Refuse a study that names a model, text, minimal pairs, task folder or checkpoint that is not there, or ablates neurons
    that are chosen at a checkpoint which is not extracted; nothing is downloaded.

    Raises
    ------
    ActstoreError
        If one is missing; the message names it.
    """
    for model in study.models:
        check_model(model)
    check_checkpoints(study.models[0], study.checkpoints)
    check_corpus(study.extraction_text.corpus)
    check_tagger(study.extraction_text.spacy)
    for ablation in study.ablations:
        try:
            check_design(ablation.design)
            check_chosen_steps(ablation.design, study.extracted_checkpoints(ablation.design.model))
        except ActstoreError as error:
            raise ActstoreError(f"[[ablations]] {ablation.name!r}: {error}") from None


def ablation_design(ablation: AblationStudy, statistics: Path) -> dict[str, Any]:
    """The design of an ablation as the tables of a TOML file."""
    return design_table(replace(ablation.design, statistics=str(statistics.resolve())))
