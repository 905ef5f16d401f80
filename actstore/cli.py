"""The `actstore` command.

Owns the arguments, their help, and the rule that a mendable problem is one line on stderr and
exit code 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from actstore.errors import StoreError, run_reporting

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_EPILOG = """examples:
  actstore models
  actstore extract --model pico-neox --checkpoints all --corpus builtin --store runs/store.zarr
  python -m analysis select --store runs/store.zarr --out runs/selections
  actstore ablate --model pico-neox --selection runs/selections/*.json --out runs/ablation.zarr
  actstore info runs/store.zarr
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="actstore",
        description="Extract MLP pre-activations of language models into Zarr stores, and ablate chosen neurons.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"actstore {version('actstore')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_extract(commands)
    _add_ablate(commands)
    models = commands.add_parser("models", help="list the models that need no download")
    models.set_defaults(run=_models)
    info = _subcommand(commands, "info", "say what a store holds", "actstore info runs/store.zarr --json")
    info.add_argument("store", type=Path)
    info.add_argument("--json", action="store_true", help="for programs")
    info.set_defaults(run=_info)
    verify = _subcommand(commands, "verify", "recompute every checksum of a store", "actstore verify runs/store.zarr")
    verify.add_argument("store", type=Path)
    verify.set_defaults(run=_verify)
    return parser


def _subcommand(commands: _Commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _window(text: str) -> int:
    window = _positive(text)
    if window < 2:
        raise argparse.ArgumentTypeError("a window holds BOS and at least one token, so 2 or more")
    return window


def _add_text_options(parser: argparse.ArgumentParser, corpus: str) -> None:
    parser.add_argument("--model", required=True, help="embedded model (see `actstore models`) or local folder")
    parser.add_argument(
        "--checkpoints", default="main", help="all, main (the last; default), log, START:STOP:EVERY, or steps: 512,1000"
    )
    parser.add_argument(
        "--corpus", default=corpus, help=f"builtin, builtin-evaluation, or a path to .txt or .conllu (default {corpus})"
    )
    parser.add_argument("--tokens", type=_positive, default=16_384, help="whole documents up to N tokens (default 16384)")
    parser.add_argument("--window", type=_window, default=128, help="tokens in a window, BOS included (default 128)")
    parser.add_argument("--seed", type=int, default=0, help="seed of an embedded corpus (default 0)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_extract(commands: _Commands) -> None:
    parser = _subcommand(
        commands,
        "extract",
        "run a model over a corpus and store every MLP pre-activation",
        "actstore extract --model pico-neox --checkpoints all --corpus builtin --store runs/default/store.zarr",
    )
    _add_text_options(parser, "builtin")
    parser.add_argument("--store", type=Path, required=True, help="the Zarr store to write")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16", help="stored dtype (default float16)")
    parser.add_argument("--site", help="pre-activation module of an unlisted family, e.g. 'model.layers.{layer}.mlp.gate_proj'")
    parser.set_defaults(run=_extract)


def _add_ablate(commands: _Commands) -> None:
    parser = _subcommand(
        commands,
        "ablate",
        "edit the selected neurons' pre-activations and measure what changes",
        "actstore ablate --model pico-neox --selection selections/*.json --intervention negative-zero --out ablation.zarr",
    )
    _add_text_options(parser, "builtin-evaluation")
    parser.add_argument(
        "--selection", type=Path, nargs="+", required=True, help="selection files (`python -m analysis select`)"
    )
    parser.add_argument("--intervention", nargs="+", default=["negative-zero"], help="edits to apply (default negative-zero)")
    parser.add_argument(
        "--pairs", default="builtin", help="minimal pairs: builtin, none, or a path to .jsonl (default builtin)"
    )
    parser.add_argument("--pairs-per-paradigm", type=_positive, help="at most N pairs of a paradigm")
    parser.add_argument("--no-probes", action="store_true", help="leave the embedded facts and recall probes out")
    parser.add_argument("--out", type=Path, required=True, help="the Zarr store of results to write")
    parser.set_defaults(run=_ablate)


def _extract(options: argparse.Namespace) -> None:
    from actstore.extract import ExtractConfig, extract

    config = ExtractConfig(
        options.model, options.checkpoints, options.corpus, options.tokens, options.window, options.dtype,
        seed=options.seed, site=options.site,
    )  # fmt: skip
    written = extract(config, options.store, progress=not options.quiet)
    _done(options.store, written)


def _ablate(options: argparse.Namespace) -> None:
    from actstore.ablate import AblateConfig, ablate
    from actstore.schema import Selection

    config = AblateConfig(
        options.model, options.checkpoints, tuple(options.intervention), options.corpus, options.tokens, options.window,
        options.seed, None if options.pairs == "none" else options.pairs, options.pairs_per_paradigm, not options.no_probes,
    )  # fmt: skip
    selections = [Selection.load(path) for path in options.selection]
    written = ablate(config, selections, options.out, progress=not options.quiet)
    _done(options.out, written)


def _done(path: Path, written: bool) -> None:
    print(f"{path}: written" if written else f"{path}: already complete, nothing to do")


def _models(options: argparse.Namespace) -> None:
    from transformers import AutoConfig

    from actstore import models

    print(f"{'name':<12} {'family':<10} {'layers':>6} {'neurons':>8}  checkpoints")
    for name in models.builtin_names():
        source = models.resolve(name)
        config = AutoConfig.from_pretrained(next(reversed(source.checkpoints.values())), local_files_only=True)
        neurons = getattr(config, "intermediate_size", None) or config.ffn_dim
        steps = ", ".join(map(str, source.checkpoints))
        print(f"{name:<12} {config.model_type:<10} {config.num_hidden_layers:>6} {neurons:>8}  {steps}")


def _info(options: argparse.Namespace) -> None:
    from actstore.store import open_store

    dataset = open_store(options.store)
    arrays = {
        str(name): {"dims": list(array.dims), "dtype": str(array.dtype), "bytes": array.nbytes, **array.attrs}
        for name, array in dataset.data_vars.items()
    }
    attrs = {key: value for key, value in dataset.attrs.items() if key != "coordinates"}
    if options.json:
        sizes = {str(dim): size for dim, size in dataset.sizes.items()}
        steps = [int(step) for step in dataset["checkpoint"].values]
        print(json.dumps({"sizes": sizes, "checkpoints": steps, "arrays": arrays, "attrs": attrs}, indent=1))
        return
    print(f"{options.store}: {', '.join(f'{size:,} {dim}' for dim, size in dataset.sizes.items())}")
    for name, array in arrays.items():
        size = f"{array['bytes'] / 2**20:,.1f} MiB"
        print(f"  {name} ({', '.join(array['dims'])}) {array['dtype']}, {size}: {array['long_name']}")
    for key, value in attrs.items():
        print(f"  {key}: {value}")


def _verify(options: argparse.Namespace) -> None:
    from actstore.store import verify

    wrong = verify(options.store)
    if wrong:
        shown = "; ".join(wrong[:10]) + (f"; and {len(wrong) - 10} more" if len(wrong) > 10 else "")
        raise StoreError(f"{options.store} is damaged: {shown}. Extract it again")
    print(f"{options.store}: all checksums agree")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 2 on a problem the user can mend, 130 on Ctrl-C."""
    options = _parser().parse_args(arguments)
    return run_reporting(lambda: options.run(options), "actstore")


if __name__ == "__main__":
    sys.exit(main())
