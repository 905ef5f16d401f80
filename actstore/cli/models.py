"""`actstore models`: the models that have a short name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from actstore.cli.command import Command
from actstore.errors import UnknownNameError

_Row = tuple[str, str, int, int, str]
"""Name, family, layers, neurons of a layer, checkpoints."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="?", default="", help="list only names that contain this")


def _run(options: argparse.Namespace) -> None:
    rows = [*_embedded(), *_catalogued()]
    matching = [row for row in rows if options.filter.lower() in row[0]]
    if not matching:
        raise UnknownNameError("model", options.filter, [row[0] for row in rows])
    print(f"{'name':<24} {'family':<12} {'layers':>6} {'neurons':>8}  checkpoints")
    for name, family, n_layers, n_neurons, checkpoints in matching:
        print(f"{name:<24} {family:<12} {n_layers:>6} {n_neurons:>8,}  {checkpoints}")


def _embedded() -> Iterator[_Row]:
    from actstore.model import sources
    from actstore.model.families import adapter_for
    from actstore.model.sites import measure

    for name in sources.builtin_names():
        source = sources.resolve(name)
        outline = sources.outline(source)
        adapter = adapter_for(outline)
        modules = adapter.modules(outline)
        n_neurons = measure(outline, adapter.site, modules).n_neurons
        steps = ", ".join(map(str, source.checkpoints))
        yield name, outline.config.model_type, len(modules), n_neurons, f"{steps} (embedded)"


def _catalogued() -> Iterator[_Row]:
    from actstore.model.catalogue import CATALOGUE

    for entry in CATALOGUE.values():
        steps = f"{len(entry.steps)}: {entry.steps[0]} to {entry.steps[-1]}" if entry.steps else "main"
        yield entry.name, entry.family, entry.n_layers, entry.n_neurons, f"{steps} ({entry.repo})"


COMMAND = Command(
    "models",
    "list the models that have a short name",
    _add_arguments,
    _run,
    ("actstore models pythia",),
)
