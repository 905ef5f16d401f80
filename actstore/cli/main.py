"""The `actstore` command.

Owns the arguments, their help, and the rule that a mendable problem is one line on stderr and
exit code 2.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from actstore import bounds
from actstore.cli.arguments import place, whole, with_bounds
from actstore.errors import ActstoreError, StoreError, UnknownNameError, run_reporting

if TYPE_CHECKING:
    from actstore.ablation.design import Design
    from actstore.extraction.job import ExtractConfig

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_EPILOG = """examples:
  actstore models pythia
  actstore plan --model pythia-1b --checkpoints all --tokens 131072
  actstore extract --model pico-neox --checkpoints all --corpus builtin --store runs/store.zarr
  python -m analysis select --results runs/analysis --fraction 0.02
  actstore ablate --model pico-neox --selection runs/selections/*.json --store runs/ablation.zarr
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
    _add_plan(commands)
    _add_ablate(commands)
    listing = _subcommand(commands, "models", "list the models that have a short name", "actstore models pythia")
    listing.add_argument("filter", nargs="?", default="", help="only names that contain this")
    listing.set_defaults(run=_models)
    info = _subcommand(commands, "info", "say what a store holds", "actstore info runs/store.zarr --json")
    info.add_argument("store", type=place)
    info.add_argument("--json", action="store_true", help="for programs")
    info.set_defaults(run=_info)
    verify = _subcommand(
        commands, "verify", "recompute every checksum of a store or of analysis results",
        "actstore verify runs/store.zarr\n  actstore verify runs/analysis",
    )  # fmt: skip
    verify.add_argument("store", type=place, help="a store, a .zarr of analysis results, or a whole results folder")
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


_SEED = whole("seed", 0, bounds.LARGEST_SEED)
_TOKENS = whole("tokens", 1, bounds.MOST_TOKENS)


def _window(text: str) -> int:
    window = whole("window", -bounds.LARGEST_SEED, bounds.LARGEST_SEED)(text)
    with_bounds(bounds.check_window, window)
    return window


def _token_count(text: str) -> int | None:
    return None if text == "all" else _TOKENS(text)


def _worker(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n with 1 ≤ i ≤ n, e.g. 3/8")
    n_workers = whole("n of --worker i/n", 1, bounds.MOST_WORKERS)(of)
    return whole("i of --worker i/n", 1, n_workers)(number), n_workers


def _add_text_options(parser: argparse.ArgumentParser, corpus: str) -> None:
    parser.add_argument(
        "--model", required=True, help="name (see `actstore models`), hub repository, local folder or .gguf file"
    )
    parser.add_argument(
        "--checkpoints", default="main", help="all, main (the final model; default), log, START:STOP:EVERY, or steps: 512,1000"
    )
    parser.add_argument(
        "--corpus", default=corpus,
        help=f"builtin, builtin-evaluation, wikitext2, or a path to .txt, .jsonl, .conllu (also .gz), Brown's tagged files, "
        f"or a folder or .zip of these (default {corpus})",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", type=_token_count, default=16_384,
        help="whole documents, drawn by seed, up to N tokens; all for a whole corpus (default 16384)",
    )  # fmt: skip
    parser.add_argument("--window", type=_window, default=128, help="tokens in a window, BOS included (default 128)")
    parser.add_argument("--seed", type=_SEED, default=0, help="seed of the choice of documents (default 0)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_extract_options(parser: argparse.ArgumentParser) -> None:
    _add_text_options(parser, "builtin")
    parser.add_argument("--layers", default="all", help="all (default), START:STOP[:EVERY], or a list: 0,5,11")
    parser.add_argument("--dtype", choices=bounds.STORED_DTYPES, default="float16", help="stored dtype (default float16)")
    parser.add_argument(
        "--compute-dtype", choices=bounds.COMPUTE_DTYPES, default="float32",
        help="dtype of the model's arithmetic (default float32)",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", help="where the model runs: cpu (default), cuda, cuda:1")
    parser.add_argument(
        "--documents", choices=bounds.DOCUMENTS, default="file",
        help="what a document of plain text is (default file)",
    )  # fmt: skip
    parser.add_argument(
        "--spacy", metavar="PIPELINE",
        help="spaCy pipeline for words and UPOS of raw text, none for no words (default en_core_web_sm where installed)",
    )  # fmt: skip
    parser.add_argument(
        "--site",
        help="module whose output is taken (default the family's pre-activation), e.g. 'model.layers.{layer}.mlp.up_proj'",
    )


def _add_extract(commands: _Commands) -> None:
    parser = _subcommand(
        commands,
        "extract",
        "run a model over a corpus and store every MLP pre-activation",
        "actstore extract --model pico-neox --checkpoints all --store runs/default/store.zarr\n"
        "  actstore extract --model pythia-1b --checkpoints all --corpus wikitext2 --device cuda --store pythia.zarr\n"
        "  actstore extract --model pythia-70m --checkpoints log --worker 3/8 --store pythia.zarr   # in a job array",
    )
    _add_extract_options(parser)
    parser.add_argument("--store", type=place, required=True, help="the Zarr store to write")
    parser.add_argument("--strict", action="store_true", help="fail if a checkpoint cannot be had, instead of leaving it out")
    parser.add_argument("--discard-downloads", action="store_true", help="free each revision's downloaded files after use")
    parser.add_argument("--allow-v0", action="store_true", help="take several checkpoints of a -v0 Pythia model all the same")
    share = parser.add_mutually_exclusive_group()
    share.add_argument("--worker", type=_worker, metavar="i/n", help="compute the i-th of n shares, beside other processes")
    share.add_argument("--scheduler", metavar="ADDRESS", help="have a Dask cluster compute: tcp://…, or local")
    parser.set_defaults(run=_extract)


def _add_plan(commands: _Commands) -> None:
    parser = _subcommand(
        commands,
        "plan",
        "say what an extraction will take, with no download",
        "actstore plan --model pythia-1b --checkpoints all --tokens 131072",
    )
    _add_extract_options(parser)
    parser.add_argument("--store", type=place, default=Path("store.zarr"), help="where the store would be written")
    parser.set_defaults(run=_plan)


def _add_ablate(commands: _Commands) -> None:
    parser = _subcommand(
        commands,
        "ablate",
        "edit chosen neurons' pre-activations and measure what changes",
        "actstore ablate designs/dissociation.toml --store ablation.zarr\n"
        "  actstore ablate designs/dissociation.toml --store ablation.zarr --worker 3/8   # in a job array\n"
        "  actstore ablate --model pico-neox --selection selections/*.json --store ablation.zarr   # without a design file",
    )
    parser.add_argument("design", type=place, nargs="?", help="the design, a TOML file (see the README)")
    parser.add_argument("--store", type=place, required=True, help="the Zarr store of results to write")
    parser.add_argument("--worker", type=_worker, metavar="i/n", help="compute the i-th of n shares, beside other processes")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_alone(parser)
    parser.add_argument("--skip-bad", action="store_true", help="leave malformed minimal pairs out, and count them")
    parser.set_defaults(run=_ablate)


def _add_alone(parser: argparse.ArgumentParser) -> None:
    """Options that stand for a design; one that is not used is no attribute of the result."""
    group = parser.add_argument_group("without a design file", argument_default=argparse.SUPPRESS)
    group.add_argument("--model", help="name (see `actstore models`), hub repository, local folder or .gguf file")
    group.add_argument("--selection", nargs="+", help="selection files (`python -m analysis select`)")
    group.add_argument("--statistics", help="entanglement.zarr of `python -m analysis entanglement` (for mean-ablate-negative)")
    group.add_argument("--checkpoints", help="as in actstore extract (default main)")
    group.add_argument("--site", help="the module whose outputs are edited, as in actstore extract (default the family's own)")
    group.add_argument("--intervention", nargs="+", help="edits to apply (default negative-zero)")
    group.add_argument("--corpus", help="text of perplexity and surprisal (default builtin-evaluation)")
    group.add_argument("--tokens", type=_token_count, help="up to N tokens of it; all (default 16384)")
    group.add_argument("--window", type=_window, help="tokens in a window, BOS included (default 128)")
    group.add_argument("--seed", type=_SEED, help="seed of all that is drawn (default 0)")
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


def _extract_config(options: argparse.Namespace) -> ExtractConfig:
    from actstore.extraction.job import ExtractConfig

    return ExtractConfig(**{field.name: getattr(options, field.name) for field in fields(ExtractConfig)})


def _extract(options: argparse.Namespace) -> None:
    from actstore.extraction.run import RunOptions, extract

    run = RunOptions(
        options.strict, options.discard_downloads, options.worker, options.scheduler, not options.quiet,
        options.allow_v0,
    )  # fmt: skip
    outcome = extract(_extract_config(options), options.store, run)
    print(f"{options.store}: {outcome.value}")


def _plan(options: argparse.Namespace) -> None:
    from actstore.extraction.plan import plan

    found = plan(_extract_config(options), options.store)
    layout = found.layout
    known = "as tokenized" if found.n_tokens_known else "as asked: the tokenizer is not on this machine"
    print(
        f"{found.model}: {layout.n_checkpoints} checkpoints × {len(layout.layers)} layers × {layout.n_tokens:,} tokens ({known})"
    )
    for name, array in layout.stored_with(0).items():
        shape = " × ".join(f"{size:,}" for size in array.shape)
        print(f"  {name:<14} {shape:<28} {array.dtype!s:<8} {_size(found.bytes_of[name]):>12}")
    print(f"  {'labels':<14} {'':<28} {'':<8} {_size(found.bytes_of['labels']):>12}")
    print(
        f"  {'total':<14} {f'{found.n_files:,} files':<28} {'':<8} {_size(found.total_bytes):>12}  ({found.total_bytes:,} bytes)"
    )
    longest = max(found.compute_seconds, 0 if math.isnan(found.write_seconds) else found.write_seconds)
    print(f"time: about {_duration(longest)} on {options.device} "
          f"(computing {_duration(found.compute_seconds)}, writing {_duration(found.write_seconds)}, at the same time)")  # fmt: skip
    print(f"disk: {_size(found.free_bytes)} free, {'enough' if found.fits else 'NOT ENOUGH'}")


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:,.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} TiB"


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "not measured: the disk is full"
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _ablate(options: argparse.Namespace) -> None:
    from dataclasses import replace

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


def _models(options: argparse.Namespace) -> None:
    from actstore.model import sources
    from actstore.model.catalogue import CATALOGUE
    from actstore.model.families import adapter_for
    from actstore.model.sites import measure

    rows = []
    for name in sources.builtin_names():
        source = sources.resolve(name)
        outline = sources.outline(source)
        adapter = adapter_for(outline)
        modules = adapter.modules(outline)
        n_neurons = measure(outline, adapter.site, modules).n_neurons
        steps = ", ".join(map(str, source.checkpoints))
        rows.append((name, outline.config.model_type, len(modules), n_neurons, f"{steps} (embedded)"))
    for entry in CATALOGUE.values():
        steps = f"{len(entry.steps)}: {entry.steps[0]} to {entry.steps[-1]}" if entry.steps else "main"
        rows.append((entry.name, entry.family, entry.n_layers, entry.n_neurons, f"{steps} ({entry.repo})"))
    chosen = [row for row in rows if options.filter.lower() in row[0]]
    if not chosen:
        raise UnknownNameError("model", options.filter, [row[0] for row in rows])
    print(f"{'name':<24} {'family':<12} {'layers':>6} {'neurons':>8}  checkpoints")
    for name, family, n_layers, n_neurons, steps in chosen:
        print(f"{name:<24} {family:<12} {n_layers:>6} {n_neurons:>8,}  {steps}")


def _info(options: argparse.Namespace) -> None:
    from actstore.store.opening import open_store

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
    from actstore.verification import verify

    wrong = verify(options.store)
    if wrong:
        shown = "; ".join(wrong[:10]) + (f"; and {len(wrong) - 10} more" if len(wrong) > 10 else "")
        raise StoreError(f"{options.store} is damaged: {shown}. Make it again by its own command")
    print(f"{options.store}: all checksums agree")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 2 on a problem the user can mend, 130 on Ctrl-C."""
    logging.basicConfig(format="actstore: %(message)s")

    def action() -> None:
        options = _parser().parse_args(arguments)
        options.run(options)

    return run_reporting(action, "actstore")


if __name__ == "__main__":
    sys.exit(main())
