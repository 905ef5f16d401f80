"""A design: what to ablate, when, and what to read out, as a small declarative file.

Owns its keys and how it unfolds into conditions. A condition is one intervention on one cohort; a condition at a checkpoint
is a task of the run. Needs no torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from actstore import bounds, plugins
from actstore.ablation.readout import Readout, default_readouts, readout_tables, readouts_of
from actstore.config import CHECKPOINTS, MODEL, RunConfig, TextConfig
from actstore.errors import SelectionError
from actstore.model.interventions import intervention
from actstore.selection.choosing import RULES
from actstore.selection.label import cohort_label
from actstore.selection.record import SCOPES
from actstore.selection.selection import Selection
from actstore.selection.share import share_of_layer
from actstore.selection.statistics import SAME
from actstore.settings import anchored, build, read_toml, setting, table_of, with_settings
from actstore.store.schema import BASELINE

TOP, PERPLEXITY_MATCHED, FILE = "top", "perplexity-matched", "file"
_RULES = (*RULES, PERPLEXITY_MATCHED, FILE)
_GROUPINGS = ("single", "cumulative")


@with_settings
class CohortSpec:
    """`[[cohorts]]`: neurons to edit. Keys with several values unfold into one cohort each.

    All rules but `top` give controls: each controls for the top cohort of the same design with the same statistic, fraction,
    layers, checkpoint and scope, and for none if there is none.
    """

    rule: str = setting(
        "top; bottom; random (without the top); matched (like the top in the covariates `match`); perplexity-matched (as many "
        "of the bottom as raise perplexity like the top); or file",
        default=TOP,
        choices=_RULES,
    )
    statistic: str = setting("the variable that is ranked", default="wasserstein_distance")
    fraction: tuple[float | str, ...] = setting(
        "share of neurons; auto is the smallest of 1%, 2%, 5%, 10%, 20% and 30% that is at least 16 of each layer",
        default=(0.01,),
        check=bounds.check_fraction_or_auto,
        is_some=True,
    )
    scope: tuple[str, ...] = setting(
        "layer: ranked layer by layer; all: over all layers. Of perplexity-matched it says only where its own neurons come from",
        default=("layer",),
        choices=SCOPES,
        is_some=True,
    )
    target_scope: str = setting(
        "of perplexity-matched, the scope of the top cohort that it controls for: layer or all. Left out, it is the same scope "
        "if the design has such a cohort, else the scope of the one that there is",
        default="",
        choices=("", *SCOPES),
    )
    seeds: int = setting("of random, how many draws", default=5, check=bounds.between(1, bounds.MOST_DRAWS))
    checkpoint: tuple[str, ...] = setting(
        "whose statistics are ranked: same (of the checkpoint that is ablated), last, or a step", default=(SAME,), is_some=True
    )
    layer_groups: int = setting(
        "cut the layers into this many consecutive groups; 0 for all layers at once",
        default=0,
        check=bounds.between(0, bounds.MOST_GROUPS),
    )
    grouping: tuple[str, ...] = setting(
        "single: one group at a time; cumulative: a group and all before it",
        default=("single",),
        choices=_GROUPINGS,
        is_some=True,
    )
    match: tuple[str, ...] = setting("of matched, the covariates", default=("mean", "std"))
    tolerance: float = setting(
        "of perplexity-matched, the greatest difference to the perplexity of its target, relative to it",
        default=0.005,
        check=bounds.check_above_zero,
    )
    interventions: tuple[str, ...] = setting("in place of those of the design", default=())
    selection: tuple[str, ...] = setting("of file, the selection files", default=(), is_path=True)


@with_settings
class Design:
    """A whole design."""

    model: str = setting(MODEL, is_path=True)
    checkpoints: str = setting(CHECKPOINTS, default="main")
    statistics: str = setting(
        "entanglement.zarr of `actstore entanglement`: what cohorts are chosen by", default="", is_path=True
    )
    interventions: tuple[str, ...] = setting("edits of every cohort", default=("negative-zero",), is_some=True)
    plugins: tuple[str, ...] = setting("modules or .py files of one's own that register what the design names", default=())
    text: TextConfig = setting(
        "what perplexity and surprisal are measured on", default_factory=lambda: TextConfig("builtin-evaluation")
    )
    run: RunConfig = setting("how the model runs", default_factory=RunConfig)
    readouts: tuple[Readout, ...] = setting("what is asked beside perplexity", default_factory=default_readouts)
    cohorts: tuple[CohortSpec, ...] = setting("the neurons to edit", default=())


@dataclass(frozen=True)
class Cohort:
    """One choice of neurons, up to the checkpoint it is made at.

    `layers` are consecutive and empty for all; `selection` is the choice itself where it comes from a file. `target` is the
    top cohort that it controls for, `target_scope` the scope asked of it, if any.
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
    target_scope: str = ""
    selection: Selection | None = None
    target: Cohort | None = None

    @property
    def is_perplexity_matched(self) -> bool:
        """Whether its neurons are chosen by the perplexity of its target."""
        return self.rule == PERPLEXITY_MATCHED and self.selection is None

    @property
    def label(self) -> str:
        """What it is, for display; draws of one cohort share it."""
        return cohort_label(
            self.rule,
            self.fraction,
            statistic=self.statistic,
            scope=self.scope,
            target_scope=self.target_scope,
            layers=(self.layers[0], self.layers[-1]) if self.layers else None,
            chosen_at=self.checkpoint,
        )


@dataclass(frozen=True)
class Condition:
    """One state of the model: intact, or an intervention on a cohort."""

    intervention: str = BASELINE
    cohort: Cohort | None = None

    @property
    def label(self) -> str:
        """What it is, for display."""
        if self.cohort is None:
            return BASELINE
        draw = f", draw {self.cohort.seed}" if self.cohort.seed >= 0 else ""
        return f"{self.intervention} of {self.cohort.label}{draw}"


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
    return design_of(read_toml(Path(path), "design"), Path(path))


def design_of(table: dict[str, Any], path: Path, where: str = "") -> Design:
    """A design from a table of a file, its plugins loaded first.

    Parameters
    ----------
    table, path, where
        As in `actstore.settings.build`.

    Raises
    ------
    ActstoreError
        If it has a wrong key or value.
    """
    table = {**table, "plugins": load_plugins(table, path, where)}
    if "readouts" in table:
        table["readouts"] = readouts_of(table["readouts"], path, where)
    return anchored(build(Design, table, path, where), path.parent)


@with_settings
class _Plugins:
    plugins: tuple[str, ...] = setting("as in `Design`", default=())


def load_plugins(table: dict[str, Any], path: Path, where: str = "") -> tuple[str, ...]:
    """Load the plugins that a design or study names; the names by which they are found from anywhere.

    Raises
    ------
    ActstoreError
        If one is not there, or fails.
    """
    named = {key: value for key, value in table.items() if key == "plugins"}
    return plugins.load(build(_Plugins, named, path, where).plugins, path.parent)


def design_table(design: Design) -> dict[str, Any]:
    """A design as the tables of a TOML or JSON file."""
    table: dict[str, Any] = table_of(design)
    return table | {"readouts": readout_tables(design.readouts)}


def conditions(design: Design, n_layers: int, n_neurons: int) -> list[Condition]:
    """The intact model first, then every intervention on every cohort, each once; controls with their targets.

    Parameters
    ----------
    design : Design
    n_layers, n_neurons : int
        Of the model, and of each of its layers.

    Raises
    ------
    UnknownNameError, SelectionError
        If a name is unknown, a selection cannot be read, two conditions carry the same label, a
        perplexity-matched cohort has no top cohort to control for, or a control is run under an
        intervention that its target is not run under.
    """
    by_label: dict[str, Condition] = {BASELINE: Condition()}
    for spec in design.cohorts:
        for name, cohort in product(spec.interventions or design.interventions, _cohorts(spec, n_layers, n_neurons)):
            intervention(name)
            condition = Condition(name, cohort)
            if by_label.setdefault(condition.label, condition) != condition:
                raise SelectionError(
                    f"two conditions are both {condition.label!r}; give each selection its own rule, fraction or seed"
                )
    every = list(by_label.values())
    return [replace(condition, cohort=_with_target(condition, every)) for condition in every]


def _with_target(condition: Condition, every: Sequence[Condition]) -> Cohort | None:
    """The cohort of a condition, with the top cohort that it controls for."""
    cohort = condition.cohort
    if cohort is None or cohort.rule == TOP:
        return cohort
    tops = [(top.intervention, top.cohort) for top in every if top.cohort and _may_control(cohort, top.cohort)]
    scope = _target_scope(cohort, list(dict.fromkeys(top.scope for _, top in tops)))
    targets = {name: top for name, top in tops if top.scope == scope}
    if targets and condition.intervention not in targets:
        raise SelectionError(
            f"{cohort.label} is run under {condition.intervention} and {next(iter(targets.values())).label}, which it controls "
            f"for, is not: add {condition.intervention!r} to the interventions of that cohort, or take it from the control's"
        )
    return replace(cohort, target=targets.get(condition.intervention))


def _target_scope(cohort: Cohort, scopes: Sequence[str]) -> str:
    """The scope of the top cohort that a control is for, of the scopes that there are."""
    if not cohort.is_perplexity_matched:
        return cohort.scope
    scope = cohort.target_scope or (cohort.scope if cohort.scope in scopes else next(iter(scopes), cohort.scope))
    if scope not in scopes:
        of_scope = f" and scope {scope!r}" if cohort.target_scope else ""
        raise SelectionError(
            f"{cohort.label} has no cohort to control for: add one of rule 'top'{of_scope} with the same statistic, fraction, "
            "layers and checkpoint to [[cohorts]]"
        )
    return scope


def _may_control(control: Cohort, top: Cohort) -> bool:
    """Whether a cohort is a top that a control may be for, whatever their scopes."""
    return top.rule == TOP and all(
        getattr(control, name) == getattr(top, name) for name in ("statistic", "fraction", "layers", "checkpoint")
    )


def _cohorts(spec: CohortSpec, n_layers: int, n_neurons: int) -> Iterator[Cohort]:
    if spec.rule == FILE:
        yield from _of_files(spec)
        return
    if spec.target_scope and spec.rule != PERPLEXITY_MATCHED:
        raise SelectionError(
            f"target_scope is a key of perplexity-matched cohorts alone; leave it out of the {spec.rule} cohort"
        )
    seeds = range(spec.seeds) if spec.rule == "random" else (-1,)
    match = spec.match if spec.rule == "matched" else ()
    tolerance = spec.tolerance if spec.rule == PERPLEXITY_MATCHED else 0.0
    for fraction, scope, checkpoint, layers, seed in product(
        (share_of_layer(fraction, n_neurons) for fraction in spec.fraction),
        spec.scope,
        spec.checkpoint,
        _layer_sets(spec, n_layers),
        seeds,
    ):
        yield Cohort(spec.rule, spec.statistic, fraction, scope, checkpoint, layers, seed, match, tolerance, spec.target_scope)


def _of_files(spec: CohortSpec) -> Iterator[Cohort]:
    if not spec.selection:
        raise SelectionError("a cohort of rule 'file' needs selection = [\"….json\"]")
    for path in spec.selection:
        chosen = Selection.load(path)
        yield Cohort(chosen.rule, chosen.statistic, chosen.fraction, chosen.scope, SAME, seed=chosen.seed, selection=chosen)


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
    return [() if len(layers) == n_layers else layers for layers in dict.fromkeys(sets)]
