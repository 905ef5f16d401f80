"""The arguments of `python -m analysis`, and their help; what a command computes is in `analysis.commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

from actstore import bounds
from actstore.cli.arguments import fraction, place, whole
from actstore.selection.choosing import RULES
from analysis.ablation.minimal_pairs import MARGIN
from analysis.kernels.parallel import one_thread_a_product
from analysis.pairs.similarity import N_NEIGHBOURS, N_TOKENS
from analysis.results import writing
from analysis.surprisal.models import N_REPLICATES, RANDOM

_SEED = whole("seed", 0, bounds.LARGEST_SEED)
_EPILOG = """examples:
  python -m analysis entanglement --store runs/store.zarr --out runs/analysis
  python -m analysis pairs --store runs/store.zarr --results runs/analysis
  python -m analysis atlas --store runs/store.zarr --results runs/analysis
  python -m analysis dynamics --store runs/store.zarr --results runs/analysis
  python -m analysis select --results runs/analysis --fraction 0.02 --rule bottom
  python -m analysis ablation --store runs/ablation.zarr --out runs/analysis
  python -m analysis surprisal --store runs/ablation.zarr --out runs/analysis
  python -m analysis surprisal --table runs/analysis/surprisal_words.csv.gz --out runs/mine \
      --formula "delta ~ condition * upos + log_frequency" --random word_type document --slopes condition
"""


def run(options: argparse.Namespace) -> None:
    """Carry a command out, alone in the results folder that it writes to."""
    command: Callable[[argparse.Namespace], None] = import_module(f"analysis.commands.{options.command}").run
    with _folder(options), one_thread_a_product():  # tables are the same at any number of threads
        command(options)


def _folder(options: argparse.Namespace) -> AbstractContextManager[None]:
    if hasattr(options, "results"):  # a folder that must be there: the command says what is not
        return writing(options.results) if options.results.is_dir() else nullcontext()
    return writing(options.out)


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    root = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Compute statistics of stores; no model and no torch needed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("entanglement", help="Wasserstein distance, shape and mapping difficulty of every neuron")
    _add_store(command, "extract")
    command.add_argument("--out", type=place, required=True, help="results folder to write")
    command.add_argument(
        "--fraction", type=fraction("fraction"), default=0.01, help="share of each layer called Wasserstein neurons (0.01)"
    )
    command.add_argument(
        "--random-seeds",
        type=whole("random_seeds", 0, bounds.MOST_DRAWS),
        default=5,
        help="random control selections to write, up to 1,000 (5)",
    )

    command = commands.add_parser("pairs", help="signs and words of the similar pairs that neurons drive furthest apart")
    _add_selected(command)
    command.add_argument(
        "--pair-tokens", type=whole("pair_tokens", 2, bounds.MOST_TOKENS), default=N_TOKENS, help=f"tokens to draw ({N_TOKENS})"
    )
    command.add_argument(
        "--neighbours",
        type=whole("neighbours", 1, bounds.MOST_NEIGHBOURS),
        default=N_NEIGHBOURS,
        help=f"nearest neighbours of each ({N_NEIGHBOURS})",
    )
    command.add_argument(
        "--top", type=whole("top", 1, bounds.MOST_ITEMS), default=100, help="pairs that count as driven furthest apart (100)"
    )

    command = commands.add_parser("atlas", help="what the negative region of every selected neuron tells apart")
    _add_selected(command)
    command.add_argument(
        "--clusters", type=whole("clusters", 2, bounds.MOST_GROUPS), default=4, help="clusters of negative pre-activations (4)"
    )
    command.add_argument(
        "--shown", type=whole("shown", 1, bounds.MOST_ITEMS), default=6, help="pairs in context of each neuron (6)"
    )

    command = commands.add_parser("dynamics", help="emergence, overlap and weights over training")
    _add_selected(command)
    command.add_argument(
        "--fraction", type=fraction("fraction"), default=0.01, help="share of each layer to compare between checkpoints (0.01)"
    )
    command.add_argument(
        "--early",
        type=whole("early", 0, bounds.LARGEST_STEP),
        metavar="STEP",
        help="where the early cohort is chosen (the middle checkpoint)",
    )

    command = commands.add_parser("select", help="write one more selection file")
    command.add_argument("--results", type=place, required=True, help="results folder of `entanglement`")
    command.add_argument("--rule", default="top", help=f"{', '.join(RULES)} (top)")
    command.add_argument("--fraction", type=fraction("fraction"), default=0.01, help="share to choose (0.01)")
    command.add_argument("--statistic", default="wasserstein_distance", help="what to rank by (wasserstein_distance)")
    command.add_argument("--scope", default="layer", help="rank within each layer, or all: over all layers (layer)")
    command.add_argument(
        "--match",
        nargs="+",
        help="for matched: alike in these (std mean negative_frac)",
    )
    command.add_argument("--seed", type=_SEED, default=-1, help="seed of a random choice")
    command.add_argument(
        "--checkpoint", type=whole("checkpoint", -1, bounds.LARGEST_STEP), help="training step to rank (the last)"
    )
    command.add_argument("--out", type=place, help="file to write (RESULTS/selections/RULE.json)")

    command = commands.add_parser("ablation", help="tables of an ablation, with intervals")
    _add_store(command, "ablate")
    command.add_argument("--score", default="total", help="of minimal pairs: total (default), mean a token, or critical region")
    command.add_argument("--correction", default="holm", help="for many tests: holm (default) or bh")
    command.add_argument(
        "--margin", type=fraction("margin"), default=MARGIN, help=f"change of accuracy that counts as none ({MARGIN})"
    )
    command.add_argument("--extraction", type=place, help="the store that neurons were chosen on, to compare its text")
    command.add_argument("--out", type=place, required=True, help="results folder to write")

    command = commands.add_parser("surprisal", help="mixed-effects models of surprisal by part of speech")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--store", type=place, help="a store of `actstore ablate`")
    source.add_argument("--table", type=place, help="a table of words, as this command writes it (surprisal_words.csv.gz)")
    command.add_argument("--formula", help="fit this model alone and print its summary, e.g. 'delta ~ condition * upos'")
    command.add_argument(
        "--random", nargs="+", default=list(RANDOM), help="of --formula: random intercepts (word_type document)"
    )
    command.add_argument(
        "--slopes", nargs="+", default=[], metavar="TERM", help="of --formula: terms that vary over the last of --random"
    )
    command.add_argument("--intervention", help="keep this intervention only")
    command.add_argument(
        "--checkpoint",
        type=whole("checkpoint", -1, bounds.LARGEST_STEP),
        help="keep this checkpoint only (all; the models take the last, the curves all)",
    )
    command.add_argument(
        "--replicates",
        type=whole("replicates", 1, bounds.MOST_REPLICATES),
        default=N_REPLICATES,
        help=f"of the bootstrap over documents ({N_REPLICATES})",
    )
    command.add_argument("--seed", type=_SEED, default=0, help="seed of the bootstrap (0)")
    command.add_argument("--out", type=place, required=True, help="results folder to write")
    return root


def _add_store(command: argparse.ArgumentParser, maker: str) -> None:
    command.add_argument("--store", type=place, required=True, help=f"a store of `actstore {maker}`")


def _add_selected(command: argparse.ArgumentParser) -> None:
    _add_store(command, "extract")
    command.add_argument("--results", type=place, required=True, help="results folder of `entanglement`, to be added to")
    command.add_argument("--selection", type=place, help="the neurons (RESULTS/selections/top.json)")
    command.add_argument("--seed", type=_SEED, default=0, help="seed of all that is drawn (0)")
