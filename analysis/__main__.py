"""The analysis from the command line: `python -m analysis`.

Owns the arguments; what is computed is in the package. Needs no torch.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from actstore import bounds
from actstore.errors import SelectionError, SettingError, StoreError, UnknownNameError, run_reporting
from actstore.schema import CHECKPOINT, LAYER, NEURON, NOT_A_DUPLICATE, Selection
from actstore.selection import RULES, select
from actstore.statistics import check_statistics
from actstore.store import open_store
from analysis.ablation import ablation_tables
from analysis.atlas import neuron_atlas
from analysis.belonging import IDENTITY, check_belonging, origin_of, origin_of_results, origin_of_selection
from analysis.differentiation import cohort_table, most_differentiated, pair_differentiation, pair_labels
from analysis.dynamics import cohort_overlap, cohort_trajectory, emergence, weight_dissimilarity
from analysis.explanation import explained_by_shape, rank_correlations
from analysis.grammar import MARGIN
from analysis.kernels.parallel import one_thread_a_product
from analysis.labels import at_checkpoint
from analysis.mixed_model import FitWarning
from analysis.neurons import histogram, neuron_statistics, neuron_table
from analysis.overlap import text_overlap
from analysis.profiles import neuron_histograms, neuron_story, pairs_in_context
from analysis.results import DIFFERENTIATION, ENTANGLEMENT, PAIRS, load_dataset, load_table, save_dataset, save_table
from analysis.similarity import N_NEIGHBOURS, N_TOKENS, find_pairs
from analysis.surprisal import N_REPLICATES, RANDOM, fit_surprisal_model, surprisal_curves, surprisal_effects
from analysis.word_checks import check_words
from analysis.words import surprisal_table

_OF_AN_ABLATION = ("is_edited", "cohort_layers", "controls")
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Compute statistics of stores; no model and no torch needed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("entanglement", help="Wasserstein distance, shape and mapping difficulty of every neuron")
    _add_store(command, "extract")
    command.add_argument("--out", type=Path, required=True, help="results folder to write")
    command.add_argument(
        "--fraction", type=_fraction, default=0.01, help="share of each layer called Wasserstein neurons (0.01)"
    )
    command.add_argument("--random-seeds", type=_draws, default=5, help="random control selections to write, up to 1,000 (5)")
    command.set_defaults(run=_entanglement)

    command = commands.add_parser("pairs", help="signs and words of the similar pairs that neurons drive furthest apart")
    _add_selected(command)
    command.add_argument("--pair-tokens", type=_count, default=N_TOKENS, help=f"tokens to draw ({N_TOKENS})")
    command.add_argument("--neighbours", type=_count, default=N_NEIGHBOURS, help=f"nearest neighbours of each ({N_NEIGHBOURS})")
    command.add_argument("--top", type=_count, default=100, help="pairs that count as driven furthest apart (100)")
    command.set_defaults(run=_pairs)

    command = commands.add_parser("atlas", help="what the negative region of every selected neuron tells apart")
    _add_selected(command)
    command.add_argument("--clusters", type=_count, default=4, help="clusters of negative pre-activations (4)")
    command.add_argument("--shown", type=_count, default=6, help="pairs in context of each neuron (6)")
    command.set_defaults(run=_atlas)

    command = commands.add_parser("dynamics", help="emergence, overlap and weights over training")
    _add_selected(command)
    command.add_argument(
        "--fraction", type=_fraction, default=0.01, help="share of each layer to compare between checkpoints (0.01)"
    )
    command.add_argument(
        "--early", type=_count, metavar="STEP", help="where the early cohort is chosen (the middle checkpoint)"
    )
    command.set_defaults(run=_dynamics)

    command = commands.add_parser("select", help="write one more selection file")
    command.add_argument("--results", type=Path, required=True, help="results folder of `entanglement`")
    command.add_argument("--rule", default="top", help=f"{', '.join(RULES)} (top)")
    command.add_argument("--fraction", type=_fraction, default=0.01, help="share to choose (0.01)")
    command.add_argument("--statistic", default="wasserstein_distance", help="what to rank by (wasserstein_distance)")
    command.add_argument("--scope", default="layer", help="rank within each layer, or all: over all layers (layer)")
    command.add_argument(
        "--match",
        nargs="+",
        default=["std", "mean", "negative_frac"],
        help="for matched: alike in these (std mean negative_frac)",
    )
    command.add_argument("--seed", type=int, default=-1, help="seed of a random choice")
    command.add_argument("--checkpoint", type=int, help="training step to rank (the last)")
    command.add_argument("--out", type=Path, help="file to write (RESULTS/selections/RULE.json)")
    command.set_defaults(run=_select)

    command = commands.add_parser("ablation", help="tables of an ablation, with intervals")
    _add_store(command, "ablate")
    command.add_argument("--score", default="total", help="of minimal pairs: total (default), mean a token, or critical region")
    command.add_argument("--correction", default="holm", help="for many tests: holm (default) or bh")
    command.add_argument("--margin", type=_fraction, default=MARGIN, help=f"change of accuracy that counts as none ({MARGIN})")
    command.add_argument("--extraction", type=Path, help="the store that neurons were chosen on, to compare its text")
    command.add_argument("--out", type=Path, required=True, help="results folder to write")
    command.set_defaults(run=_ablation)

    command = commands.add_parser("surprisal", help="mixed-effects models of surprisal by part of speech")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--store", type=Path, help="a store of `actstore ablate`")
    source.add_argument("--table", type=Path, help="a table of words, as this command writes it (surprisal_words.csv.gz)")
    command.add_argument("--formula", help="fit this model alone and print its summary, e.g. 'delta ~ condition * upos'")
    command.add_argument(
        "--random", nargs="+", default=list(RANDOM), help="of --formula: random intercepts (word_type document)"
    )
    command.add_argument(
        "--slopes", nargs="+", default=[], metavar="TERM", help="of --formula: terms that vary over the last of --random"
    )
    command.add_argument("--intervention", help="keep this intervention only")
    command.add_argument(
        "--checkpoint", type=int, help="keep this checkpoint only (all; the models take the last, the curves all)"
    )
    command.add_argument(
        "--replicates", type=_count, default=N_REPLICATES, help=f"of the bootstrap over documents ({N_REPLICATES})"
    )
    command.add_argument("--seed", type=_count, default=0, help="seed of the bootstrap (0)")
    command.add_argument("--out", type=Path, required=True, help="results folder to write")
    command.set_defaults(run=_surprisal)
    return parser


def _add_store(command: argparse.ArgumentParser, maker: str) -> None:
    command.add_argument("--store", type=Path, required=True, help=f"a store of `actstore {maker}`")


def _add_selected(command: argparse.ArgumentParser) -> None:
    _add_store(command, "extract")
    command.add_argument("--results", type=Path, required=True, help="results folder of `entanglement`, to be added to")
    command.add_argument("--selection", type=Path, help="the neurons (RESULTS/selections/top.json)")
    command.add_argument("--seed", type=_count, default=0, help="seed of all that is drawn (0)")


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction in (0, 1]")
    return value


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _draws(text: str) -> int:
    n_draws = _count(text)
    try:
        bounds.check("the number of draws", n_draws, 0, bounds.MOST_DRAWS)
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return n_draws


def _entanglement(options: argparse.Namespace) -> None:
    store = _opened(options.store, "extract", "preactivation", "mlp_input")
    _check_folder(options, store, replaces=True)
    found = neuron_statistics(store)
    save_dataset(found, options.out, ENTANGLEMENT)
    last = at_checkpoint(found)
    chosen = select(last["wasserstein_distance"], options.fraction, provenance=_provenance(found))
    chosen.save(options.out / "selections" / "top.json")
    for seed in range(options.random_seeds):
        control = select(last["wasserstein_distance"], options.fraction, "random", seed=seed, provenance=_provenance(found))
        control.save(options.out / "selections" / f"random-{seed}.json")
    neurons = neuron_table(last, chosen)
    best = neurons.iloc[int(np.nanargmax(neurons["wasserstein_distance"].to_numpy()))]
    _save(options.out, {
        "neurons": neurons,
        "rank_correlations": rank_correlations(found),
        "explained_by_shape": explained_by_shape(last),
        "trajectory": cohort_trajectory(found["wasserstein_distance"], chosen),
        "negative_trajectory": cohort_trajectory(found["negative_wasserstein_frac"], chosen),
        "histogram": histogram(store, int(last[CHECKPOINT]), int(best["layer"]), int(best["neuron"])),
    })  # fmt: skip
    undefined = int(last["wasserstein_distance"].isnull().sum())
    print(f"{options.out}: {found.sizes[LAYER]} layers, {chosen.n_neurons} neurons selected, {undefined} of zero variance")


def _pairs(options: argparse.Namespace) -> None:
    store, chosen = _selected(options)
    pairs = find_pairs(store, n_tokens=options.pair_tokens, n_neighbours=options.neighbours, seed=options.seed)
    save_dataset(pairs, options.results, PAIRS)
    found = pair_differentiation(store, pairs, chosen, n_top=options.top, seed=options.seed)
    save_dataset(found.assign_attrs({key: store.attrs[key] for key in IDENTITY}), options.results, DIFFERENTIATION)
    _save(options.results, {
        "pair_signs": cohort_table(found),
        "pair_labels": pair_labels(store, pairs, chosen, n_top=options.top, seed=options.seed),
    })  # fmt: skip
    nn = found["cohort_pair_frac"].sel(pool="similar", signs="NN").mean(LAYER)
    print(f"{options.results}: of the furthest similar pairs, negative–negative in {nn.values[0]:.1%} ({chosen.rule}) "
          f"and {nn.values[1]:.1%} (rest), mean over layers")  # fmt: skip


def _atlas(options: argparse.Namespace) -> None:
    store, chosen = _selected(options, PAIRS)
    pairs = load_dataset(options.results, PAIRS)
    table = neuron_atlas(store, chosen, pairs, n_clusters=options.clusters, seed=options.seed)
    furthest = most_differentiated(store, pairs, chosen, n_top=options.shown)
    _save(options.results, {
        "atlas": table,
        "neuron_histograms": neuron_histograms(store, chosen),
        "neuron_pairs": pairs_in_context(store, furthest),
        "neuron_story": neuron_story(_statistics(options.results), chosen),
    })  # fmt: skip
    counts = ", ".join(f"{name or 'none'} {n}" for name, n in table["feature"].value_counts().items())
    print(f"{options.results}: {len(table)} neurons by the feature that their negative region follows: {counts}")


def _dynamics(options: argparse.Namespace) -> None:
    store, chosen = _selected(options)
    found = _statistics(options.results)
    distance = found["wasserstein_distance"]
    steps = distance[CHECKPOINT].values[distance["duplicate_of"].values == NOT_A_DUPLICATE]
    early = at_checkpoint(found, int(steps[len(steps) // 2]) if options.early is None else options.early)
    cohorts = [chosen, select(early["wasserstein_distance"], chosen.fraction, provenance=_provenance(found))]

    def of_both(table: Callable[[Selection], pd.DataFrame]) -> pd.DataFrame:
        return pd.concat([table(cohort).assign(chosen_at=cohort.checkpoint) for cohort in cohorts], ignore_index=True)

    trajectories = of_both(lambda cohort: cohort_trajectory(distance, cohort))
    if "neuron_weight" in store:
        weights = of_both(lambda cohort: weight_dissimilarity(store["neuron_weight"], cohort))
    else:
        weights = trajectories.iloc[:0]  # the same columns
        print(f"{options.store} has no neuron_weight, as {store.attrs['site']} is no linear map: weights.csv has no rows")
    tables = {
        "emergence": of_both(lambda cohort: emergence(distance, cohort, seed=options.seed)),
        "cohorts": trajectories,
        "weights": weights,
        "overlap": cohort_overlap(distance, options.fraction).to_dataframe().reset_index(),
    }
    _save(options.results, tables)
    print(
        f"{options.results}: {', '.join(tables)}; cohorts chosen at steps {cohorts[0].checkpoint} and {cohorts[1].checkpoint}"
    )


def _opened(path: Path, maker: str, *needed: str) -> xr.Dataset:
    store = open_store(path)
    missing = [name for name in needed if name not in store.variables]
    if missing:
        raise StoreError(f"{path} has no {missing[0]}; make it by `actstore {maker}` of this version")
    return store


def _selected(options: argparse.Namespace, *results: str) -> tuple[xr.Dataset, Selection]:
    """The store and the selection of a command, held to each other and to the results of the folder."""
    path = options.selection or options.results / "selections" / "top.json"
    store, chosen = _opened(options.store, "extract", "preactivation"), Selection.load(path)
    if chosen.n_neurons_per_layer != store.sizes[NEURON]:
        raise SelectionError(
            f"{path} is for layers of {chosen.n_neurons_per_layer} neurons, {options.store} has {store.sizes[NEURON]}; "
            "select neurons on the same store"
        )
    of_results = [origin_of_results(options.results, name) for name in (ENTANGLEMENT, *results)]
    check_belonging(origin_of(store, str(options.store)), *of_results, origin_of_selection(chosen, path))
    return store, chosen


def _check_folder(options: argparse.Namespace, store: xr.Dataset, *, replaces: bool = False) -> None:
    """Refuse to write beside statistics of another model, site or weights; of weights that are replaced, only the first two."""
    try:
        statistics = origin_of_results(options.out, ENTANGLEMENT)
    except StoreError:
        if replaces:  # what is damaged, or of an older version, is what the command makes anew
            return
        raise
    if statistics is not None:
        origin = origin_of(store, str(options.store), has_own_text=True)
        check_belonging(statistics, origin._replace(weights={}) if replaces else origin)


def _statistics(folder: Path) -> xr.Dataset:
    """Statistics of every neuron from a results folder, checked."""
    data = load_dataset(folder, ENTANGLEMENT)
    check_statistics(data, folder / f"{ENTANGLEMENT}.zarr")
    return data


def _save(folder: Path, tables: dict[str, pd.DataFrame], suffix: str = ".csv") -> None:
    for name, table in tables.items():
        save_table(table, folder / f"{name}{suffix}")


def _select(options: argparse.Namespace) -> None:
    found = at_checkpoint(_statistics(options.results), options.checkpoint)

    def statistic(name: str) -> xr.DataArray:
        if name not in found or found[name].dims != (LAYER, NEURON):
            raise UnknownNameError(
                "statistic", name, [key for key, array in found.data_vars.items() if array.dims == (LAYER, NEURON)]
            )
        return found[name]

    chosen = select(
        statistic(options.statistic), options.fraction, options.rule, seed=options.seed, scope=options.scope,
        match=[statistic(name) for name in options.match] if options.rule == "matched" else (),
        provenance=_provenance(found),
    )  # fmt: skip
    path = chosen.save(options.out or options.results / "selections" / f"{chosen.label}.json")
    print(f"{path}: {chosen.n_neurons} neurons")


def _ablation(options: argparse.Namespace) -> None:
    store = _opened(options.store, "ablate", *_OF_AN_ABLATION)
    _check_folder(options, store)
    overlap = {"text_overlap": _overlap(options, store)} if options.extraction else {}
    tables = overlap | ablation_tables(store, options.score, options.correction, options.margin)
    _save(options.out, tables)
    print(f"{options.out}: {', '.join(tables)}")
    for _, row in tables.get("dissociation", pd.DataFrame()).iterrows():
        if row["rule"] == "top" and row["checkpoint"] == tables["dissociation"]["checkpoint"].max():
            shown = f"{row['interaction']:+.4f} [{row['interaction_lower']:+.4f}, {row['interaction_upper']:+.4f}]"
            verdict = "a double dissociation" if row["is_double"] else f"no effect beyond {row['equivalence_bound']:.4f}"
            against = row["against"] + (" (not matched on perplexity)" if row["is_matched"] == 0 else "")
            print(f"  {row['intervention']} of {row['cohort']} against {against}: cost of grammar less cost of the rest {shown}, "
                  f"p {row['p_adjusted']:.3g} ({row['correction']}){'' if not (row['is_double'] or row['is_equivalent']) else ': ' + verdict}")  # fmt: skip


def _overlap(options: argparse.Namespace, store: xr.Dataset) -> pd.DataFrame:
    """How much of the ablation's text the extraction saw."""
    extraction = _opened(options.extraction, "extract", "preactivation")
    check_belonging(origin_of(extraction, str(options.extraction)), origin_of(store, str(options.store), has_own_text=True))
    return text_overlap(extraction, store)


def _surprisal(options: argparse.Namespace) -> None:
    if options.store:
        store = _opened(options.store, "ablate", *_OF_AN_ABLATION)
        _check_folder(options, store)
        table = surprisal_table(store)
        _save(options.out, {"surprisal_words": table}, suffix=".csv.gz")
        print(f"{options.out}: {table['word'].nunique():,} words × {table['condition'].nunique()} conditions, "
              f"{table.attrs['n_left_out']} words left out (a piece is not scored)")  # fmt: skip
    else:
        table = check_words(load_table(options.table), options.table)
    for name in ("intervention", "checkpoint"):
        if (value := getattr(options, name)) is not None:
            if value not in set(table[name]):
                raise UnknownNameError(name, value, sorted(set(table[name])))
            table = table[table[name] == value]
    if options.formula:
        _fit_formula(table, options)
        return
    tables = surprisal_effects(table, options.seed, options.replicates)
    for over in ("checkpoint", "cohort_layers"):
        if table[over].nunique() > 1:
            tables[f"surprisal_over_{over}"] = surprisal_curves(table, over, seed=options.seed)
    _save(options.out, tables)
    print(f"{options.out}: {', '.join(tables)}")
    for _, row in tables["surprisal_fits"].iterrows():
        notes = [f"slopes {row['slopes']}", *([row["flags"]] if row["flags"] else [])]
        notes.append(f"{row['n_disagreeing']} of {row['n_effects']} effects whose intervals disagree")
        print(f"  {row['intervention']} by {row['by']}: {row['n_rows']:,} rows; {'; '.join(notes)}")


def _fit_formula(table: pd.DataFrame, options: argparse.Namespace) -> None:
    random = {name: options.slopes if name == options.random[-1] else [] for name in options.random}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the summary begins with them
        model = fit_surprisal_model(table, options.formula, random, n_replicates=options.replicates, seed=options.seed)
    _save(options.out, {"model_effects": model.fixed_effects(), "model_variances": model.variance_components(),
                        "model_tests": model.tests(), "model_fit": model.overview()})  # fmt: skip
    print(model)


def _provenance(found: xr.Dataset) -> dict[str, object]:
    return {key: found.attrs[key] for key in ("corpus", "corpus_fingerprint", "n_tokens")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 2 on a problem the user can mend."""
    options = _parser().parse_args(arguments)
    with one_thread_a_product():  # tables are the same at any number of threads
        return run_reporting(lambda: options.run(options), "analysis")


if __name__ == "__main__":
    sys.exit(main())
