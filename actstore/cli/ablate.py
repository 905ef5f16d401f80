"""`actstore ablate`: a model under interventions, by a design or by options."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actstore import bounds
from actstore.cli.arguments import place, whole
from actstore.cli.command import Command
from actstore.cli.options import SEED, token_count, window, worker
from actstore.errors import ActstoreError

if TYPE_CHECKING:
    from actstore.ablation.design import Design


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("design", type=place, nargs="?", help="the design, a TOML file (see the README)")
    parser.add_argument("--store", type=place, required=True, help="the Zarr store of results to write")
    parser.add_argument("--worker", type=worker, metavar="i/n", help="compute the i-th of n shares, beside other processes")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_alone(parser)
    parser.add_argument("--skip-bad", action="store_true", help="leave malformed minimal pairs out, and count them")


def _add_alone(parser: argparse.ArgumentParser) -> None:
    """Options that stand for a design; one that is not used is no attribute of the result."""
    group = parser.add_argument_group("without a design file", argument_default=argparse.SUPPRESS)
    group.add_argument("--model", help="name (see `actstore models`), hub repository, local folder or .gguf file")
    group.add_argument("--selection", nargs="+", help="selection files (`actstore select`)")
    group.add_argument("--statistics", help="entanglement.zarr of `actstore entanglement` (for mean-ablate-negative)")
    group.add_argument("--checkpoints", help="as in actstore extract (default main)")
    group.add_argument("--site", help="the module whose outputs are edited, as in actstore extract (default the family's own)")
    group.add_argument("--intervention", nargs="+", help="edits to apply (default negative-zero)")
    group.add_argument("--corpus", help="text of perplexity and surprisal (default builtin-evaluation)")
    group.add_argument("--tokens", type=token_count, help="up to N tokens of it; all (default 16384)")
    group.add_argument("--window", type=window, help="tokens in a window, BOS included (default 128)")
    group.add_argument("--seed", type=SEED, help="seed of all that is drawn (default 0)")
    group.add_argument("--pairs", nargs="+", help="minimal pairs: builtin, blimp, none, or paths (default builtin)")
    group.add_argument(
        "--pairs-per-paradigm",
        type=whole("pairs_per_paradigm", 1, bounds.MOST_ITEMS),
        help="at most N pairs of a paradigm, drawn by seed",
    )
    group.add_argument("--probes", nargs="+", help="facts, recall, or none (default both)")
    group.add_argument("--device", help="where the model runs: cpu (default), cuda, cuda:1")
    group.add_argument("--compute-dtype", choices=bounds.COMPUTE_DTYPES, help="dtype of the model's arithmetic")
    parser.set_defaults(alone=tuple(action.dest for action in group._group_actions))


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
    if options.skip_bad:
        design = replace(design, readouts=replace(design.readouts, skip_bad=True))
    outcome = ablate(design, options.store, worker=options.worker, progress=not options.quiet)
    print(f"{options.store}: {outcome.value}")


def _design_of(alone: dict[str, Any]) -> Design:
    """A design from the options that stand for one; defaults are those of a design file."""
    from actstore.ablation.design import FILE, CohortSpec, Design, Readouts, Text

    def chosen(*names: str) -> dict[str, Any]:
        return {name: alone[name] for name in names if name in alone}

    readouts = chosen("pairs_per_paradigm", "seed")
    for name in ("pairs", "probes"):
        if name in alone:
            readouts[name] = () if alone[name] == ["none"] else tuple(alone[name])
    text = chosen("corpus", "window", "seed") | ({"tokens": alone["tokens"] or 0} if "tokens" in alone else {})
    general = chosen("checkpoints", "statistics", "site", "device", "compute_dtype")
    if "intervention" in alone:
        general["interventions"] = tuple(alone["intervention"])
    return Design(
        alone["model"],
        text=Text(**text),
        readouts=Readouts(**readouts),
        cohorts=(CohortSpec(FILE, selection=tuple(alone["selection"])),),
        **general,
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
