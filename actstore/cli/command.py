"""A command of the command line, and the parser of several commands.

A package adds its commands to `actstore` by entry points of the group `actstore.commands`: the
name of the command, and where its `Command` is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from actstore import plugins


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes
    ----------
    name : str
    summary : str
        One line, for the list of all commands.
    add_arguments : callable (parser)
    run : callable (options)
        Carries the command out; raises `ActstoreError` for problems that the user can mend.
    examples : tuple of str
        Whole command lines.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    examples: tuple[str, ...] = ()

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments, and those of every command."""
        self.add_arguments(parser)
        parser.add_argument(
            "--plugin", action="append", default=[], metavar="MODULE", help="first load your own module or .py file"
        )
        parser.set_defaults(run=self.carry_out)

    def carry_out(self, options: argparse.Namespace) -> None:
        """Load the plugins, then run the command."""
        plugins.load(options.plugin)
        self.run(options)


def parser_of(program: str, description: str, commands: Iterable[Command], examples: Iterable[str]) -> argparse.ArgumentParser:
    """A parser of these commands; the options that it returns have the `run` of the chosen command."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=_epilog(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands:
        subparser = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            epilog=_epilog(command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_to(subparser)
    return parser


def _epilog(examples: Iterable[str]) -> str | None:
    lines = "".join(f"\n  {example}" for example in examples)
    return f"examples:{lines}" if lines else None
