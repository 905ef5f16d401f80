"""`actstore ablate`: a model under interventions, by a design or by options."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actstore.cli.arguments import place
from actstore.cli.command import Command
from actstore.cli.options import add_settings, worker
from actstore.config import RunConfig, TextConfig
from actstore.errors import ActstoreError

if TYPE_CHECKING:
    from actstore.ablation.design import Design
    from actstore.ablation.readout import Readout

_GENERAL = ("model", "checkpoints", "statistics", "interventions")
_PAIRS = ("sources", "per_paradigm")
_NAMES = {"interventions": "intervention", "sources": "pairs", "per_paradigm": "pairs_per_paradigm"}
"""Fields whose options have other names."""
_NONE = "none"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("design", type=place, nargs="?", help="the design, a TOML file (see docs/designs.md)")
    parser.add_argument("--store", type=place, required=True, help="the Zarr store of results to write")
    parser.add_argument("--worker", type=worker, metavar="i/n", help="compute the i-th of n shares, beside other processes")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_alone(parser)
    parser.add_argument("--skip-bad", action="store_true", help="leave malformed minimal pairs out, and count them")


def _add_alone(parser: argparse.ArgumentParser) -> None:
    """Options that stand for a design; one that is not used is no attribute of the result."""
    from actstore.ablation.design import Design
    from actstore.ablation.readouts.minimal_pairs import MinimalPairs

    group = parser.add_argument_group("without a design file")
    general = add_settings(group, Design, _GENERAL, names=_NAMES, optional=True)
    group.add_argument("--selection", nargs="+", default=argparse.SUPPRESS, help="selection files (`actstore select`)")
    text = add_settings(group, TextConfig, base=_default_text(), optional=True)
    run = add_settings(group, RunConfig, optional=True)
    pairs = add_settings(group, MinimalPairs, _PAIRS, names=_NAMES, optional=True)
    group.add_argument(
        "--probes", nargs="+", default=argparse.SUPPRESS, help="embedded probes: facts, recall, or none (default both)"
    )
    parser.set_defaults(alone=(*general, "selection", *text, *run, *pairs, "probes"))


def _default_text() -> TextConfig:
    from actstore.ablation.design import Design

    return Design("").text


def _run(options: argparse.Namespace) -> None:
    from actstore.ablation.design import load_design
    from actstore.ablation.run import ablate

    alone = {name: value for name, value in vars(options).items() if name in options.alone}
    if options.design is not None and alone:
        names = ", ".join("--" + name.replace("_", "-") for name in alone)
        raise ActstoreError(f"{names}: not beside a design file; write it into {options.design}, or leave the design out")
    if options.design is None and not {"model", "selection"} <= set(alone):
        raise ActstoreError("name a design file, or --model and --selection")
    design = _design_of(alone) if options.design is None else load_design(options.design)
    outcome = ablate(
        _skipping(design) if options.skip_bad else design, options.store, worker=options.worker, progress=not options.quiet
    )
    print(f"{options.store}: {outcome.value}")


def _skipping(design: Design) -> Design:
    """A design whose readouts leave malformed records out, where they can."""
    from actstore.ablation.readouts.minimal_pairs import MinimalPairs

    readouts = (
        replace(readout, skip_bad=True) if isinstance(readout, MinimalPairs) else readout for readout in design.readouts
    )
    return replace(design, readouts=tuple(readouts))


def _design_of(alone: dict[str, Any]) -> Design:
    """A design from the options that stand for one; defaults are those of a design file."""
    from actstore.ablation.design import FILE, CohortSpec, Design
    from actstore.ablation.readouts.minimal_pairs import MinimalPairs
    from actstore.ablation.readouts.probes import Probes

    def of(kind: type[Any], only: Collection[str] = ()) -> dict[str, Any]:
        names = {_NAMES.get(name, name): name for name in only or kind.__dataclass_fields__}
        values = {name: alone[option] for option, name in names.items() if option in alone}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    seed: dict[str, Any] = {"seed": alone["seed"]} if "seed" in alone else {}
    readouts: list[Readout] = []
    if alone.get("pairs") != [_NONE]:
        readouts.append(MinimalPairs(**of(MinimalPairs, _PAIRS), **seed))
    if alone.get("probes") != [_NONE]:
        names: dict[str, Any] = {"names": tuple(alone["probes"])} if "probes" in alone else {}
        readouts.append(Probes(**names, **seed))
    return Design(
        text=replace(_default_text(), **of(TextConfig)),
        run=RunConfig(**of(RunConfig)),
        readouts=tuple(readouts),
        cohorts=(CohortSpec(FILE, selection=tuple(alone["selection"])),),
        **of(Design, _GENERAL),
    )


COMMAND = Command(
    "ablate",
    "edit chosen neurons' pre-activations and measure what changes",
    _add_arguments,
    _run,
    (
        "actstore ablate designs/dissociation.toml --store ablation.zarr",
        "actstore ablate designs/dissociation.toml --store ablation.zarr --worker 3/8   # in a job array",
        "actstore ablate --model pico-neox --selection selections/*.json --store ablation.zarr   # without a design file",
    ),
)
