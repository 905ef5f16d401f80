"""The `actstore` command: its own subcommands, and those that other packages add.

A problem that the user can mend is one line on stderr, with exit code 2.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, version

from actstore.cli.command import Command, parser_of
from actstore.errors import run_reporting

_OWN = ("extract", "plan", "verify", "info", "models", "ablate")
"""The module of each name in this folder defines `COMMAND`."""
_GROUP = "actstore.commands"
_EXAMPLES = (
    "actstore models pythia",
    "actstore plan --model pythia-1b --checkpoints all --tokens 131072",
    "actstore extract --model pico-neox --checkpoints all --corpus builtin --store runs/store.zarr",
    "actstore entanglement --store runs/store.zarr --out runs/analysis",
    "actstore ablate --model pico-neox --selection runs/analysis/selections/*.json --store runs/ablation.zarr",
    "actstore report studies/default.toml",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 2 on a problem the user can mend, 130 on Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="actstore: %(message)s")

    def action() -> None:
        options = parser(words[0] if words else "").parse_args(words)
        options.run(options)

    return run_reporting(action, "actstore")


def parser(name: str = "") -> argparse.ArgumentParser:
    """The parser of one command, or of all commands if none has that name."""
    parser = parser_of(
        "actstore",
        "Extract the pre-activations of language models into stores, ask what single neurons do, and ablate them.",
        _commands(name),
        _EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"actstore {version('actstore')}")
    return parser


def _commands(name: str) -> list[Command]:
    """The command of that name, without loading the others; all commands if none has that name."""
    if name in _OWN:
        return [_own(name)]
    added = {point.name: point for point in entry_points(group=_GROUP)}
    if name in added:
        return [_added(added[name])]
    return [*map(_own, _OWN), *map(_added, added.values())]


def _own(name: str) -> Command:
    command: Command = import_module(f"actstore.cli.{name}").COMMAND
    return command


def _added(point: EntryPoint) -> Command:
    command: Command = point.load()
    return command


if __name__ == "__main__":
    sys.exit(main())
