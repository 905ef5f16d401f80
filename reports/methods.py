"""The methods section, the limits and the provenance, written from what was actually run."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from actstore.ablation.design import PERPLEXITY_MATCHED, CohortSpec, Design
from actstore.ablation.readout import Readout
from actstore.selection.share import share_of_layer
from analysis.rows import cohorts_with_controls
from reports.basis import few_clusters
from reports.headroom import text_limits, text_of
from reports.matching import is_evidence
from reports.pipeline import recorded_keys
from reports.results import Results, Run
from reports.sentences import listed

_SCOPES = {"layer": "each layer", "all": "all layers together"}


def methods(results: Results) -> list[str]:
    """Paragraphs on what was done."""
    models = [_model(run, results) for run in results.models.values()]
    if models:
        models[0] += _start_of_text(results.main)
    return [
        *models,
        _distance(results),
        _pairs(results),
        *(_ablation(name, run, results) for name, run in results.ablations.items()),
        "Intervals are 95%, by Student's t over clusters: documents, minimal pairs that share a sentence, items, neurons; and "
        "over the draws of what is drawn at random. They allow for few and unequal clusters; n_clusters in every table says "
        "how many there were. Minimal pairs are scored by total log-probability after BOS; ties are counted apart. Adjusted "
        "p-values are Holm's unless a figure says otherwise.",
    ]


def _model(run: Run, results: Results) -> str:
    """A model, the text it read, and what was taken as its pre-activations."""
    attributes, sizes = run.attributes, run.sizes
    return (
        f"{results.model_name(run)} ({attributes['family']}, {attributes['nonlinearity']}; {sizes['layer']} layers of "
        f"{sizes['neuron']} neurons) read {_tokens_taken(run)} of {Path(attributes['corpus']).name}, from {_documents(run)}, "
        f"in windows of {results.study.extraction_text.window}, at {_checkpoints(run)}. "
        f"{_preactivations(attributes)}, computed in {attributes['compute_dtype']}."
    )


def _start_of_text(run: Run) -> str:
    """What stands before the first token of a window."""
    policy = run.attributes.get("bos_policy", "")
    return f" {policy[0].upper()}{policy[1:]}." if policy else ""


def _distance(results: Results) -> str:
    selection = results.selection
    return (
        "The Wasserstein distance of a neuron is the exact 1-Wasserstein distance between its standardised pre-activations "
        "and N(0, 1), from a closed form per order statistic: no Gaussian sample is drawn. The first position of each window "
        f"is left out. Wasserstein neurons are the top {selection.fraction:.1%} of {_SCOPES[selection.scope]} at checkpoint "
        f"{selection.checkpoint}: {selection.n_neurons} neurons, ties broken by index."
    )


def _pairs(results: Results) -> str:
    pairs = results.study.pairs
    return (
        f"Similar inputs are nearest neighbours among {pairs.tokens:,} tokens ({pairs.neighbours} each) by the inputs of "
        f"these modules; of these the {pairs.top} pairs that a neuron drives furthest apart are counted by sign."
    )


def _tokens_taken(run: Run) -> str:
    """How many tokens there are, of how many that were asked for."""
    asked = run.attributes["tokens_asked"]
    return f"{run.sizes['token']:,} {'tokens' if asked == 'all' else f'of the {int(asked):,} tokens asked'}"


def _documents(run: Run) -> str:
    n = int(run.attributes["n_documents"])
    return f"{n:,} document{'s' if n > 1 else ''}"


def _checkpoints(run: Run) -> str:
    return f"checkpoint{'s' if run.sizes['checkpoint'] > 1 else ''} {run.attributes['checkpoints']}"


def _preactivations(attributes: dict[str, str]) -> str:
    """What was taken as pre-activations."""
    if attributes["nonlinearity"] == "none":
        return f"In the place of pre-activations stands the output of {attributes['site']}, which no non-linearity receives"
    return f"Pre-activations are those of {attributes['site']}"


def _ablation(name: str, run: Run, results: Results) -> str:
    """The cohorts and interventions of an ablation, and what was measured."""
    design = results.designs[name].design
    cohorts = [_cohort(spec, design, run) for spec in design.cohorts]
    return (
        f"Ablation “{name}” of {results.model_name(run)}: {'; '.join(cohorts)}. At {_checkpoints(run)}: "
        f"{run.sizes['condition']} conditions, read out by {listed(_readouts(design, run))}."
    )


def _cohort(spec: CohortSpec, design: Design, run: Run) -> str:
    """The interventions on a cohort, and how its neurons were chosen."""
    interventions = listed(list(spec.interventions or design.interventions))
    statistic = f" by {spec.statistic}" if spec.statistic != "wasserstein_distance" else ""
    groups = f", in {spec.layer_groups} groups of layers ({listed(list(spec.grouping))})" if spec.layer_groups else ""
    return f"{interventions} on {_neurons(spec, run)}{statistic}{groups}"


def _neurons(spec: CohortSpec, run: Run) -> str:
    """The neurons of a cohort, by its rule."""
    if spec.rule == PERPLEXITY_MATCHED:
        return _perplexity_matched(spec, run)
    shares = listed([f"{100 * fraction:g}%" for fraction in _fractions(spec, run)])
    draws = f"{spec.seeds} random draws" if spec.seeds > 1 else "a random draw"
    return {
        "top": f"the top {shares}",
        "bottom": f"the bottom {shares}",
        "random": f"{draws} of {shares} without the top",
        "matched": f"{shares} matched one to one on {listed(list(spec.match))}",
        "file": "neurons from selection files",
    }[spec.rule]


def _fractions(spec: CohortSpec, run: Run) -> list[float]:
    """The shares of neurons of a cohort, those that are made to fit the layers too."""
    return [share_of_layer(fraction, run.sizes["neuron"]) for fraction in spec.fraction]


def _perplexity_matched(spec: CohortSpec, run: Run) -> str:
    """Where the neurons of a control are from, which cohort it is matched to, and how closely."""
    controlled = listed(cohorts_with_controls(run.tables["perplexity"], spec.rule, _fractions(spec, run)))
    scopes = " or of ".join(_SCOPES[scope] for scope in spec.scope)
    return (
        f"as many of the bottom neurons (of {scopes}) as raise perplexity like the cohort that they control for, {controlled} "
        f"(within {100 * spec.tolerance:g}% of its perplexity and a tenth of its rise; matched once, with all these neurons "
        "ablated together, not layer by layer)"
    )


def _readouts(design: Design, run: Run) -> list[str]:
    """What was measured under every condition."""
    attributes, sizes = run.attributes, run.sizes
    readouts = [
        f"perplexity and surprisal on {text_of(run)} ({Path(attributes['corpus']).name}, seed {attributes['seed']}; "
        f"{_tokens_taken(run)}, {_documents(run)})"
    ]
    return readouts + [f"{_n_items(readout, sizes):,} {readout.summary}" for readout in design.readouts]


def _n_items(readout: Readout, sizes: Mapping[str, int]) -> int:
    """How many items a readout has: the size of the dim that its coordinates are over."""
    dims = [spec.dims[0] for spec in readout.fields.values() if len(spec.dims) == 1]
    return sizes.get(dims[0], 1) if dims else 1


def limits(results: Results, missing: list[str]) -> list[str]:
    """What a reader must not take for granted."""
    return [
        *_limits_of_controls(results),
        *(f"Not run: {panel}." for panel in missing),
        *_limits_of_models(results),
        *few_clusters(results),
        "An interval of zero width means that nothing at all changed in this sample, not that nothing could.",
        "One training run of each model: nothing here covers the variation between runs.",
    ]


def _limits_of_controls(results: Results) -> list[str]:
    """How controls were matched and on which text, over all ablations."""
    rules = {str(rule) for run in results.ablations.values() for rule in run.tables["perplexity"]["rule"]}
    if not rules:
        return ["No ablation was run: nothing here says what the neurons do for the model."]
    limits = []
    if rules & {"random", "matched"}:
        limits.append(
            "Random and matched controls have as many neurons as the top cohort; they are not matched on the perplexity they "
            "cost."
        )
    for name, run in results.ablations.items():
        limits += _unmatched_controls(name, run)
    if PERPLEXITY_MATCHED in rules:
        limits.append("Controls are matched on perplexity over all their layers together, not layer by layer.")
    for name, run in results.ablations.items():
        limits += text_limits(name, run)
    if PERPLEXITY_MATCHED not in rules:
        limits.append("No control was matched on perplexity.")
    return limits


def _unmatched_controls(name: str, run: Run) -> list[str]:
    table = run.tables["perplexity"]
    return [
        f"In “{name}” the control {row['cohort']} under {row['intervention']} is not matched to {row['controls']} on "
        f"perplexity at checkpoint {row['checkpoint']} ({row['perplexity']:.4f}, not {row['target_perplexity']:.4f}): the "
        "nearest is shown and no verdict rests on it."
        for _, row in table[~is_evidence(table)].iterrows()
    ]


def _limits_of_models(results: Results) -> list[str]:
    if not any(run.attributes["model"].startswith("pico-") for run in results.models.values()):
        return []
    return ["The pico models are small and know one small grammar: what holds for them need not hold for large models."]


def provenance(results: Results, folder: Path) -> dict[str, dict[str, str]]:
    """Where every number is from: code, study, stores, selection, designs, and the keys of the steps."""
    origins = {"Code": {"actstore": version("actstore"), **_commit()}}
    for kind, runs in (("Model", results.models), ("Ablation", results.ablations)):
        for name, run in runs.items():
            sizes = {f"n_{dim}": f"{size:,}" for dim, size in run.sizes.items()}
            origins[f"{kind} {name}"] = run.attributes | sizes
    selection = results.selection
    origins["Selection"] = {
        "rule": f"{selection.rule} {selection.fraction:g} of {_SCOPES[selection.scope]} by {selection.statistic}",
        "neurons": str(selection.n_neurons),
        "checkpoint": str(selection.checkpoint),
        "weights": selection.weights_fingerprint,
    }
    origins["Steps"] = recorded_keys(folder)
    return origins


def _commit() -> dict[str, str]:
    """The commit of this code, where it is in a git repository."""
    root = Path(__file__).parent.parent
    try:
        git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    commit = git.stdout.strip()
    return {"commit": commit} if commit else {}
