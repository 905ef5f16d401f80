"""A design: what to ablate, when, and what to read out, as a small declarative file.

Owns its keys and how it unfolds into conditions. A condition is one intervention on one cohort; at
every checkpoint it is one cell of the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from actstore import bounds
from actstore.builtin.probes import PROBES
from actstore.errors import SelectionError, UnknownNameError
from actstore.model.interventions import intervention
from actstore.selection.choosing import RULES
from actstore.selection.record import SCOPES
from actstore.selection.selection import Selection
from actstore.selection.statistics import SAME
from actstore.settings import build, read_toml, tables
from actstore.store.schema import BASELINE

TOP, PERPLEXITY_MATCHED, FILE = "top", "perplexity-matched", "file"
_RULES = (*RULES, PERPLEXITY_MATCHED, FILE)
_GROUPINGS = ("single", "cumulative")


@dataclass(frozen=True)
class Text:
    """`[text]`: what perplexity and surprisal are measured on; as in `actstore extract`.

    Attributes
    ----------
    corpus, documents, spacy : str
    tokens : int
        0 for the whole corpus.
    window, seed : int
    """

    corpus: str = "builtin-evaluation"
    tokens: int = 16_384
    window: int = 128
    seed: int = 0
    documents: str = "file"
    spacy: str | None = None

    def __post_init__(self) -> None:
        bounds.check("tokens", self.tokens, 0, bounds.MOST_TOKENS)
        bounds.check_window(self.window)
        bounds.check("seed", self.seed, 0, bounds.LARGEST_SEED)
        bounds.check_choice("documents", self.documents, bounds.DOCUMENTS)


@dataclass(frozen=True)
class Readouts:
    """`[readouts]`: what is asked of the model beside perplexity.

    Attributes
    ----------
    pairs : tuple of str
        Sources of minimal pairs: `builtin`, `blimp`, paths; empty for none.
    pairs_per_paradigm : int
        At most this many of each, drawn by seed; 0 for all (50 of the embedded ones).
    probes : tuple of str
        Embedded non-grammatical probes: `facts`, `recall`.
    tasks : tuple of str
        Tasks of lm-evaluation-harness.
    task_folder : str
        Folder with tasks of one's own.
    task_limit : int
        At most this many items of a task; 0 for all.
    seed : int
    skip_bad : bool
        Whether malformed minimal pairs are left out and counted.
    """

    pairs: tuple[str, ...] = ("builtin",)
    pairs_per_paradigm: int = 0
    probes: tuple[str, ...] = ("facts", "recall")
    tasks: tuple[str, ...] = ()
    task_folder: str = ""
    task_limit: int = 0
    seed: int = 0
    skip_bad: bool = False

    def __post_init__(self) -> None:
        bounds.check("pairs_per_paradigm", self.pairs_per_paradigm, 0, bounds.MOST_ITEMS)
        bounds.check("task_limit", self.task_limit, 0, bounds.MOST_ITEMS)
        for probe in self.probes:
            bounds.check_choice("probes", probe, PROBES)
        bounds.check("seed", self.seed, 0, bounds.LARGEST_SEED)


@dataclass(frozen=True)
class CohortSpec:
    """`[[cohorts]]`: neurons to edit. Keys with several values unfold into one cohort each.

    Attributes
    ----------
    rule : str
        `top`, `bottom`, `random` (without the top), `matched` (like the top in the covariates
        `match`), `perplexity-matched` (as many of the bottom as raise perplexity like the top), or
        `file`. All but `top` are controls: each controls for the top cohort of the same design with
        the same statistic, fraction, layers, checkpoint and scope, and for none if there is none.
    statistic : str
        Variable that is ranked.
    fraction : tuple of float
    scope : tuple of str
        `layer` or `all`: ranked layer by layer, or over all layers. Of `perplexity-matched` it says
        only where its own neurons come from: the bottom of each layer, or of all layers.
    cohort_scope : str
        Of `perplexity-matched`: scope of the top cohort that it controls for. Left out, it is the
        same scope if the design has such a cohort, else the scope of the one that there is.
    seeds : int
        Of `random`: how many draws, 1 to 1,000.
    checkpoint : tuple of str
        Whose statistics are ranked: `same` (of the checkpoint that is ablated), `last`, or a step.
    layer_groups : int
        Cut the layers into this many consecutive groups; 0 for all layers at once.
    grouping : tuple of str
        `single`: one group at a time; `cumulative`: a group and all before it.
    match : tuple of str
    tolerance : float
        Of `perplexity-matched`: greatest difference to the perplexity of its cohort, relative to it;
        above 0. The difference must also be within a tenth of the rise that the cohort causes.
    interventions : tuple of str
        Instead of the design's.
    selection : tuple of str
        Of `file`: selection files.
    """

    rule: str = "top"
    statistic: str = "wasserstein_distance"
    fraction: tuple[float, ...] = (0.01,)
    scope: tuple[str, ...] = ("layer",)
    cohort_scope: str = ""
    seeds: int = 5
    checkpoint: tuple[str, ...] = (SAME,)
    layer_groups: int = 0
    grouping: tuple[str, ...] = ("single",)
    match: tuple[str, ...] = ("mean", "std")
    tolerance: float = 0.005
    interventions: tuple[str, ...] = ()
    selection: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bounds.check("seeds", self.seeds, 1, bounds.MOST_DRAWS)
        bounds.check("layer_groups", self.layer_groups, 0, bounds.MOST_GROUPS)
        bounds.check_above_zero("tolerance", self.tolerance)
        for key in ("fraction", "scope", "checkpoint", "grouping"):
            bounds.check_some(key, getattr(self, key))
        for fraction in self.fraction:
            bounds.check_fraction("fraction", fraction)


@dataclass(frozen=True)
class Design:
    """A whole design.

    Attributes
    ----------
    model, checkpoints : str
        As in `actstore extract`.
    statistics : str
        `entanglement.zarr` of `actstore entanglement`: what cohorts are chosen by.
    interventions : tuple of str
    device, compute_dtype : str
    site : str, optional
    text : Text
    readouts : Readouts
    cohorts : tuple of CohortSpec
    """

    model: str
    checkpoints: str = "main"
    statistics: str = ""
    interventions: tuple[str, ...] = ("negative-zero",)
    device: str = "cpu"
    compute_dtype: str = "float32"
    site: str | None = None
    text: Text = field(default_factory=Text)
    readouts: Readouts = field(default_factory=Readouts)
    cohorts: tuple[CohortSpec, ...] = ()

    def __post_init__(self) -> None:
        bounds.check_choice("compute_dtype", self.compute_dtype, bounds.COMPUTE_DTYPES)
        bounds.check_device(self.device)
        if self.site is not None:
            bounds.check_site(self.site)
        bounds.check_some("interventions", self.interventions)


@dataclass(frozen=True)
class Cohort:
    """One choice of neurons, up to the checkpoint it is made at.

    `layers` is empty for all of them, `selection` the choice itself where it comes from a file.
    `target` is the top cohort that it controls for; `cohort_scope` the scope asked of it, if any.
    """

    rule: str
    statistic: str
    fraction: float
    scope: str
    checkpoint: str
    layers: tuple[int, ...] = ()
    seed: int = -1
    match: tuple[str, ...] = ()
    tolerance: float = 0.0
    cohort_scope: str = ""
    selection: Selection | None = None
    target: Cohort | None = None

    @property
    def is_perplexity_matched(self) -> bool:
        """Whether its neurons are chosen by the perplexity of its target."""
        return self.rule == PERPLEXITY_MATCHED and self.selection is None

    @property
    def label(self) -> str:
        """What tells it from other cohorts; draws of one cohort share it."""
        parts = [self.rule, f"{self.fraction:g}"]
        parts += [self.statistic] if self.statistic != "wasserstein_distance" else []
        parts += [self.scope] if self.scope != "layer" else []
        parts += [f"for{self.cohort_scope}"] if self.cohort_scope not in ("", self.scope) else []
        parts += [f"layers{self.layers[0]}to{self.layers[-1]}"] if self.layers else []
        parts += [f"at{self.checkpoint}"] if self.checkpoint != SAME else []
        return "-".join(parts)


@dataclass(frozen=True)
class Condition:
    """One state of the model: intact, or an intervention on a cohort."""

    intervention: str = BASELINE
    cohort: Cohort | None = None

    @property
    def label(self) -> str:
        """Its name on the `condition` dim."""
        if self.cohort is None:
            return BASELINE
        seed = f"-s{self.cohort.seed}" if self.cohort.seed >= 0 else ""
        return f"{self.intervention}/{self.cohort.label}{seed}"


def load_design(path: str | os.PathLike[str]) -> Design:
    """Read a design; paths in it are relative to its folder.

    Parameters
    ----------
    path : path
        A TOML file with the keys of `Design`.

    Raises
    ------
    ActstoreError
        If the file cannot be read, is no TOML, or has a wrong key or value.
    """
    path = Path(path)
    raw = read_toml(path, "design")
    specs = tables(raw.pop("cohorts", []), "[[cohorts]]", path, "cohorts")
    cohorts = [build(CohortSpec, spec, "key of [[cohorts]]", path) for spec in specs]
    kinds: dict[str, Any] = {"text": Text, "readouts": Readouts}
    parts = {key: build(kind, raw.pop(key, {}), f"key of [{key}]", path) for key, kind in kinds.items()}
    return _anchored(build(Design, {**raw, **parts, "cohorts": cohorts}, "key", path), path.parent)


def _anchored(design: Design, folder: Path) -> Design:
    """With every name of something beside the design file turned into its path."""

    def place(name: str) -> str:
        return str(folder / name) if name and (folder / name).exists() else name

    def places(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(place, names))

    readouts = design.readouts
    return replace(
        design,
        model=place(design.model),
        statistics=place(design.statistics),
        text=replace(design.text, corpus=place(design.text.corpus)),
        readouts=replace(readouts, pairs=places(readouts.pairs), task_folder=place(readouts.task_folder)),
        cohorts=tuple(replace(spec, selection=places(spec.selection)) for spec in design.cohorts),
    )


def conditions(design: Design, n_layers: int) -> list[Condition]:
    """The intact model first, then every intervention on every cohort, each once; controls with their targets.

    Raises
    ------
    UnknownNameError, SelectionError
        If a name is unknown, a selection cannot be read, two conditions carry the same label, a
        perplexity-matched cohort has no top cohort to control for, or a control is run under an
        intervention that its target is not run under.
    """
    found: dict[str, Condition] = {BASELINE: Condition()}
    for spec in design.cohorts:
        for name, cohort in product(spec.interventions or design.interventions, _cohorts(spec, n_layers)):
            intervention(name)
            made = Condition(name, cohort)
            if found.setdefault(made.label, made) != made:
                raise SelectionError(
                    f"two conditions are both {made.label!r}; give each selection its own rule, fraction or seed"
                )
    states = list(found.values())
    return [replace(state, cohort=_with_target(state, states)) for state in states]


def _with_target(state: Condition, states: Sequence[Condition]) -> Cohort | None:
    """The cohort of a condition, with the top cohort that it controls for."""
    cohort = state.cohort
    if cohort is None or cohort.rule == TOP:
        return cohort
    tops = [(other.intervention, other.cohort) for other in states if other.cohort and _may_control(cohort, other.cohort)]
    scopes = {top.scope for _, top in tops}
    scope = cohort.scope
    if cohort.is_perplexity_matched:
        scope = cohort.cohort_scope or (scope if scope in scopes else next(iter(scopes), scope))
        if scope not in scopes:
            of_scope = f" and scope {scope!r}" if cohort.cohort_scope else ""
            raise SelectionError(
                f"{cohort.label} has no cohort to control for: add one of rule 'top'{of_scope} with the same statistic, fraction, "
                "layers and checkpoint to [[cohorts]]"
            )
    targets = {name: top for name, top in tops if top.scope == scope}
    if targets and state.intervention not in targets:
        raise SelectionError(
            f"{cohort.label} is run under {state.intervention} and {next(iter(targets.values())).label}, which it controls "
            f"for, is not: add {state.intervention!r} to the interventions of that cohort, or take it from the control's"
        )
    return replace(cohort, target=targets.get(state.intervention))


def _may_control(control: Cohort, top: Cohort) -> bool:
    """Whether a cohort is a top that a control may be for, whatever their scopes."""
    return top.rule == TOP and all(
        getattr(control, name) == getattr(top, name) for name in ("statistic", "fraction", "layers", "checkpoint")
    )


def _cohorts(spec: CohortSpec, n_layers: int) -> Iterator[Cohort]:
    for kind, names, choices in (
        ("rule", (spec.rule,), _RULES), ("scope", spec.scope, SCOPES), ("grouping", spec.grouping, _GROUPINGS),
        ("cohort_scope", (spec.cohort_scope or SCOPES[0],), SCOPES),
    ):  # fmt: skip
        for name in names:
            if name not in choices:
                raise UnknownNameError(f"{kind} of a cohort", name, choices)
    if spec.rule == FILE:
        if not spec.selection:
            raise SelectionError("a cohort of rule 'file' needs selection = [\"….json\"]")
        for path in spec.selection:
            chosen = Selection.load(path)
            yield Cohort(chosen.rule, chosen.statistic, chosen.fraction, chosen.scope, SAME, seed=chosen.seed, selection=chosen)
        return
    if spec.cohort_scope and spec.rule != PERPLEXITY_MATCHED:
        raise SelectionError(
            f"cohort_scope is a key of perplexity-matched cohorts alone; leave it out of the {spec.rule} cohort"
        )
    seeds = range(spec.seeds) if spec.rule == "random" else (-1,)
    match = spec.match if spec.rule == "matched" else ()
    tolerance = spec.tolerance if spec.rule == PERPLEXITY_MATCHED else 0.0
    for fraction, scope, checkpoint, layers, seed in product(
        spec.fraction, spec.scope, spec.checkpoint, _layer_sets(spec, n_layers), seeds
    ):
        yield Cohort(spec.rule, spec.statistic, fraction, scope, checkpoint, layers, seed, match, tolerance, spec.cohort_scope)


def _layer_sets(spec: CohortSpec, n_layers: int) -> list[tuple[int, ...]]:
    """The layers of every group; the empty tuple for all."""
    if spec.layer_groups == 0:
        return [()]
    if not 0 < spec.layer_groups <= n_layers:
        raise SelectionError(f"{n_layers} layers cannot be cut into {spec.layer_groups} groups; take 1 to {n_layers}")
    parts = [tuple(part.tolist()) for part in np.array_split(np.arange(n_layers), spec.layer_groups)]
    sets = parts if "single" in spec.grouping else []
    if "cumulative" in spec.grouping:
        sets = sets + [sum(parts[: i + 1], ()) for i in range(len(parts))]
    return list(dict.fromkeys(sets))
