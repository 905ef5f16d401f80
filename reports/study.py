"""A study: one TOML file that names everything a report is made from.

Owns its keys, their defaults and the error for a wrong one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from actstore import bounds
from actstore.ablation.design import CohortSpec, Design, Readouts, Text, conditions
from actstore.ablation.preflight import check_checkpoints, check_corpus, check_design, check_model, check_tagger
from actstore.errors import ActstoreError
from actstore.files import checked_name
from actstore.settings import build, located, read_toml, tables
from reports.names import model_names


@dataclass(frozen=True)
class SelectionStudy:
    """`[selection]`: which neurons count as Wasserstein neurons.

    Attributes
    ----------
    fraction : float
        Share of each layer; above 0, at most 1.
    random_seeds : int
        Random selections to write beside them, 0 to 1,000.
    """

    fraction: float = 0.01
    random_seeds: int = 5

    def __post_init__(self) -> None:
        bounds.check_fraction("fraction", self.fraction)
        bounds.check("random_seeds", self.random_seeds, 0, bounds.MOST_DRAWS)


@dataclass(frozen=True)
class PairsStudy:
    """`[pairs]`: the similar inputs that neurons drive apart.

    Attributes
    ----------
    tokens : int
        Tokens to draw.
    neighbours : int
        Nearest neighbours of each.
    top : int
        Pairs of a neuron that count as driven furthest apart.
    """

    tokens: int = 4096
    neighbours: int = 4
    top: int = 100

    def __post_init__(self) -> None:
        bounds.check("tokens", self.tokens, 2, bounds.MOST_TOKENS)
        bounds.check("neighbours", self.neighbours, 1, bounds.MOST_NEIGHBOURS)
        bounds.check("top", self.top, 1, bounds.MOST_ITEMS)


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
        return len(conditions(self.design, max([1, *(spec.layer_groups for spec in self.design.cohorts)])))


@dataclass(frozen=True)
class Study:
    """A whole study.

    Attributes
    ----------
    name : str
        Of its folder of runs.
    models : tuple of str
        As in `actstore extract`. The first is described neuron by neuron and ablated unless a design names
        another; the others are compared with it.
    title : str
        Of the report; made from the model if left out.
    checkpoints : str
        Of the first model; of the others the last is taken.
    corpus, documents, spacy, tokens, window, seed, device, compute_dtype
        Of the extraction, as in `actstore extract`.
    site : str
        The module whose outputs are the neurons, of the extraction and of every ablation; empty for
        the family's own.
    selection : SelectionStudy
    pairs : PairsStudy
    text : Text
        What perplexity and surprisal are measured on, in every ablation that does not say otherwise.
    readouts : Readouts
        What every ablation asks that does not say otherwise.
    ablations : tuple of AblationStudy
    """

    name: str
    models: tuple[str, ...]
    title: str = ""
    checkpoints: str = "main"
    corpus: str = "builtin"
    documents: str = "file"
    spacy: str = ""
    tokens: int = 16_384
    window: int = 128
    seed: int = 0
    device: str = "cpu"
    compute_dtype: str = "float32"
    site: str = ""
    selection: SelectionStudy = field(default_factory=SelectionStudy)
    pairs: PairsStudy = field(default_factory=PairsStudy)
    text: Text = field(default_factory=Text)
    readouts: Readouts = field(default_factory=Readouts)
    ablations: tuple[AblationStudy, ...] = ()

    def __post_init__(self) -> None:
        bounds.check("tokens", self.tokens, 0, bounds.MOST_TOKENS)
        bounds.check_window(self.window)
        bounds.check("seed", self.seed, 0, bounds.LARGEST_SEED)
        bounds.check_choice("compute_dtype", self.compute_dtype, bounds.COMPUTE_DTYPES)
        bounds.check_choice("documents", self.documents, bounds.DOCUMENTS)
        bounds.check_device(self.device)
        if self.site:
            bounds.check_site(self.site)

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
    raw = read_toml(path, "study")
    kinds: dict[str, Any] = {"selection": SelectionStudy, "pairs": PairsStudy, "text": Text, "readouts": Readouts}
    given = {key: raw.pop(key, {}) for key in kinds}
    ablations = raw.pop("ablations", [])
    parts = {key: build(kind, given[key], f"key of [{key}]", path) for key, kind in kinds.items()}
    study = _anchored(build(Study, {**raw, **parts}, "key", path), path.parent)
    checked_name(study.name, f"{located(path, 'name')}: name")
    if not study.models:
        raise ActstoreError(f"{located(path, 'models')}: models must name at least one")
    try:
        model_names(study.models)
    except ActstoreError as error:
        raise ActstoreError(f"{located(path, 'models')}: {error}") from None
    if not isinstance(ablations, list):
        raise ActstoreError(f"{located(path, 'ablations')}: write [[ablations]] in double brackets, one table each")
    made = tuple(_ablation(table, study, given, path) for table in ablations)
    names = [ablation.name for ablation in made]
    if len({name.casefold() for name in names}) < len(names):
        raise ActstoreError(f"{path}: two ablations have one name: {', '.join(names)}")
    return replace(study, ablations=made)


def _ablation(table: Any, study: Study, given: dict[str, Any], path: Path) -> AblationStudy:
    """One of `[[ablations]]`, with what it leaves out from the study."""
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ActstoreError(f"{path}: each of [[ablations]] needs a name")
    table = dict(table)
    name, surprisal = checked_name(table.pop("name"), f"{path}: the name of an ablation"), table.pop("surprisal", False)
    where = f"[[ablations]] {name!r}"
    if not isinstance(surprisal, bool):
        raise ActstoreError(f"{located(path, 'surprisal')}: surprisal must be true or false, got {surprisal!r}")
    cohorts = tables(table.pop("cohorts", []), f"the cohorts of {where}", path, "cohorts")
    specs = [build(CohortSpec, spec, f"key of the cohorts of {where}", path) for spec in cohorts]
    kinds: dict[str, Any] = {"text": Text, "readouts": Readouts}
    parts = {
        key: build(kind, _merged(given[key], table.pop(key, {})), f"key of {key} of {where}", path)
        for key, kind in kinds.items()
    }
    general = {"model": study.models[0], "device": study.device, "compute_dtype": study.compute_dtype}
    general |= {"site": study.site} if study.site else {}
    if "statistics" in table:
        raise ActstoreError(f"{located(path, 'statistics')}: the study computes the statistics; leave them out")
    design = _anchored_design(
        build(Design, {**general, **table, **parts, "cohorts": specs}, f"key of {where}", path), path.parent
    )
    if design.model not in study.models:
        raise ActstoreError(
            f"{located(path, 'model')}: {where} ablates {design.model!r}, which is not among the study's models"
        )
    if design.site != (study.site or None):
        raise ActstoreError(
            f"{located(path, 'site')}: {where} is at the site {design.site}, the study at {study.site or 'the one of the family'}; "
            "name the site once, for the whole study"
        )
    if not design.cohorts:
        raise ActstoreError(f"{path}: {where} edits nothing: add [[ablations.cohorts]]")
    made = AblationStudy(name, design, surprisal)
    try:
        made.n_conditions()  # names of rules and interventions are checked before hours of work
    except ActstoreError as error:
        raise ActstoreError(f"{path}: {where}: {error}") from None
    return made


def _merged(general: dict[str, Any], own: Any) -> Any:
    """The study's table with an ablation's own keys in place of its; what is no table is left for `build` to refuse."""
    return {**general, **own} if isinstance(own, dict) else own


def _place(name: str, folder: Path) -> str:
    return str((folder / name).resolve()) if name and (folder / name).exists() else name


def _anchored(study: Study, folder: Path) -> Study:
    """With every name of something beside the study file turned into its path."""
    return replace(study, models=tuple(_place(name, folder) for name in study.models), corpus=_place(study.corpus, folder))


def _anchored_design(design: Design, folder: Path) -> Design:
    readouts = design.readouts
    pairs = tuple(_place(name, folder) for name in readouts.pairs)
    selections = [tuple(_place(name, folder) for name in spec.selection) for spec in design.cohorts]
    return replace(
        design,
        cohorts=tuple(replace(spec, selection=names) for spec, names in zip(design.cohorts, selections, strict=True)),
        model=_place(design.model, folder),
        text=replace(design.text, corpus=_place(design.text.corpus, folder)),
        readouts=replace(readouts, pairs=pairs, task_folder=_place(readouts.task_folder, folder)),
    )


def check_study(study: Study) -> None:
    """Refuse a study that names a model, text, minimal pairs or task folder that is not there; nothing is downloaded.

    Raises
    ------
    ActstoreError
        If one is missing; the message names it.
    """
    for model in study.models:
        check_model(model)
    check_checkpoints(study.models[0], study.checkpoints)
    check_corpus(study.corpus)
    check_tagger(study.spacy)
    for ablation in study.ablations:
        try:
            check_design(ablation.design)
        except ActstoreError as error:
            raise ActstoreError(f"[[ablations]] {ablation.name!r}: {error}") from None


def design_table(ablation: AblationStudy, statistics: Path) -> dict[str, Any]:
    """A design as the table of a TOML file; what has no value is left out."""
    table = asdict(replace(ablation.design, statistics=str(statistics.resolve())))

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if one is not None}
        return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value

    found: dict[str, Any] = plain(table)
    return found
