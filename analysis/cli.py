"""The commands of the analysis and their arguments; `analysis.commands` has what they compute."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module

from actstore import bounds
from actstore.cli.arguments import fraction, place, whole
from actstore.cli.command import Command
from actstore.cli.options import add_settings
from actstore.selection.choosing import RULES
from analysis.ablation.minimal_pairs import MARGIN
from analysis.config import PairsConfig, SelectionConfig
from analysis.kernels.parallel import one_thread_a_product
from analysis.results import writing
from analysis.surprisal.fitting import N_REPLICATES, RANDOM

_SEED = whole("seed", 0, bounds.LARGEST_SEED)
_STEP = whole("checkpoint", -1, bounds.LARGEST_STEP)


def _run(name: str, options: argparse.Namespace) -> None:
    """Run a command; no other command may write to its results folder meanwhile."""
    command: Callable[[argparse.Namespace], None] = import_module(f"analysis.commands.{name}").run
    with _folder(options), one_thread_a_product():  # tables are the same at any number of threads
        command(options)


def _folder(options: argparse.Namespace) -> AbstractContextManager[None]:
    if hasattr(options, "results"):  # the command says what is missing if there is no such folder
        return writing(options.results) if options.results.is_dir() else nullcontext()
    return writing(options.out)


def _command(name: str, summary: str, add: Callable[[argparse.ArgumentParser], None], *examples: str) -> Command:
    return Command(name, summary, add, partial(_run, name), tuple(f"actstore {name} {example}" for example in examples))


def _add_store(parser: argparse.ArgumentParser, maker: str) -> None:
    parser.add_argument("--store", type=place, required=True, help=f"a store of `actstore {maker}`")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=place, required=True, help="results folder to write")


def _add_count(parser: argparse.ArgumentParser, option: str, bound: tuple[int, int], default: int, summary: str) -> None:
    name = option.removeprefix("--").replace("-", "_")
    parser.add_argument(option, type=whole(name, *bound), default=default, help=f"{summary} ({default})")


def _add_selected(parser: argparse.ArgumentParser) -> None:
    _add_store(parser, "extract")
    parser.add_argument(
        "--results", type=place, required=True, help="results folder of `entanglement`, to which results are added"
    )
    parser.add_argument("--selection", type=place, help="selection file of the neurons (RESULTS/selections/top.json)")
    parser.add_argument("--seed", type=_SEED, default=0, help="seed of all random draws (0)")


def _add_entanglement(parser: argparse.ArgumentParser) -> None:
    _add_store(parser, "extract")
    _add_out(parser)
    add_settings(parser, SelectionConfig)


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    _add_selected(parser)
    add_settings(parser, PairsConfig, names={"tokens": "pair_tokens"})


def _add_atlas(parser: argparse.ArgumentParser) -> None:
    _add_selected(parser)
    _add_count(parser, "--clusters", (2, bounds.MOST_GROUPS), 4, "clusters of negative pre-activations")
    _add_count(parser, "--shown", (1, bounds.MOST_ITEMS), 6, "pairs in context of each neuron")


def _add_dynamics(parser: argparse.ArgumentParser) -> None:
    _add_selected(parser)
    parser.add_argument(
        "--fraction",
        type=fraction("fraction"),
        help="share of each layer to compare between checkpoints (that of the selection)",
    )
    parser.add_argument(
        "--early",
        type=whole("early", 0, bounds.LARGEST_STEP),
        metavar="STEP",
        help="training step at which the early cohort is chosen (the middle checkpoint)",
    )


def _add_select(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=place, required=True, help="results folder of `entanglement`")
    parser.add_argument("--rule", default="top", help=f"{', '.join(RULES)} (top)")
    parser.add_argument("--fraction", type=fraction("fraction"), default=0.01, help="share to choose (0.01)")
    parser.add_argument("--statistic", default="wasserstein_distance", help="the statistic to rank by (wasserstein_distance)")
    parser.add_argument("--scope", default="layer", help="rank within each layer, or all: over all layers (layer)")
    parser.add_argument("--match", nargs="+", help="of the rule matched: the statistics to match (std mean negative_frac)")
    parser.add_argument("--seed", type=_SEED, default=-1, help="seed of the rule random")
    parser.add_argument("--checkpoint", type=_STEP, help="training step to rank (the last)")
    parser.add_argument("--out", type=place, help="file to write (RESULTS/selections/RULE.json)")


def _add_tables(parser: argparse.ArgumentParser) -> None:
    _add_store(parser, "ablate")
    parser.add_argument(
        "--score",
        default="total",
        help="score of minimal pairs: total (default), mean (per token), or critical (the words that differ)",
    )
    parser.add_argument("--correction", default="holm", help="correction for multiple tests: holm (default) or bh")
    parser.add_argument(
        "--margin", type=fraction("margin"), default=MARGIN, help=f"change of accuracy that counts as none ({MARGIN})"
    )
    parser.add_argument(
        "--extraction", type=place, help="the store on which neurons were chosen: how much of the text was seen there"
    )
    _add_out(parser)


def _add_surprisal(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--store", type=place, help="a store of `actstore ablate`")
    source.add_argument("--table", type=place, help="a table of words, as this command writes it (surprisal_words.csv.gz)")
    parser.add_argument("--formula", help="fit this model alone and print its summary, e.g. 'delta ~ condition * upos'")
    parser.add_argument(
        "--random", nargs="+", default=list(RANDOM), help="of --formula: random intercepts (word_type document)"
    )
    parser.add_argument(
        "--slopes", nargs="+", default=[], metavar="TERM", help="of --formula: terms that vary over the last of --random"
    )
    parser.add_argument("--intervention", help="keep this intervention only")
    parser.add_argument(
        "--checkpoint", type=_STEP, help="keep this checkpoint only (all; the models take the last, the curves all)"
    )
    _add_count(parser, "--replicates", (1, bounds.MOST_REPLICATES), N_REPLICATES, "of the bootstrap over documents")
    parser.add_argument("--seed", type=_SEED, default=0, help="seed of the bootstrap (0)")
    _add_out(parser)


ENTANGLEMENT = _command(
    "entanglement",
    "Wasserstein distance, shape and mapping difficulty of every neuron",
    _add_entanglement,
    "--store runs/store.zarr --out runs/analysis",
)
PAIRS = _command(
    "pairs",
    "signs and words of the similar pairs that neurons drive furthest apart",
    _add_pairs,
    "--store runs/store.zarr --results runs/analysis",
)
ATLAS = _command(
    "atlas",
    "which distinctions the negative region of every selected neuron makes",
    _add_atlas,
    "--store runs/store.zarr --results runs/analysis",
)
DYNAMICS = _command(
    "dynamics",
    "emergence, overlap and weights over training",
    _add_dynamics,
    "--store runs/store.zarr --results runs/analysis",
)
SELECT = _command(
    "select", "write one more selection file", _add_select, "--results runs/analysis --fraction 0.02 --rule bottom"
)
TABLES = _command(
    "tables", "tables of an ablation, with intervals", _add_tables, "--store runs/ablation.zarr --out runs/analysis"
)
SURPRISAL = _command(
    "surprisal",
    "mixed-effects models of surprisal by part of speech",
    _add_surprisal,
    "--store runs/ablation.zarr --out runs/analysis",
    "--table runs/analysis/surprisal_words.csv.gz --out runs/mine \\\n"
    "      --formula 'delta ~ condition * upos + log_frequency' --random word_type document --slopes condition",
)
COMMANDS = (ENTANGLEMENT, PAIRS, ATLAS, DYNAMICS, SELECT, TABLES, SURPRISAL)
