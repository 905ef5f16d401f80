"""The methods section, the limits and the provenance, written from what was actually run."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from actstore.ablation.design import PERPLEXITY_MATCHED, CohortSpec
from reports.basis import few_clusters
from reports.claims import text_limits, text_of
from reports.pipeline import recorded_keys
from reports.results import Results, Run
from reports.sentences import listed

_WHERE = {"layer": "each layer", "all": "all layers together"}


def methods(results: Results) -> list[str]:
    """Paragraphs on what was done."""
    study, selection = results.study, results.selection
    found = []
    for index, run in enumerate(results.models.values()):
        about = run.attributes
        text = (
            f"{results.called(run)} ({about['family']}, {about['nonlinearity']}; {run.sizes['layer']} layers of {run.sizes['neuron']} neurons) read "
            f"{_tokens_taken(run)} of {Path(about['corpus']).name}, from {_documents(run)}, in windows of {about.get('window', study.window)}, at "
            f"{'checkpoints ' if run.sizes['checkpoint'] > 1 else 'checkpoint '}{about['checkpoints']}. {_values(about)}, "
            f"computed in {about['compute_dtype']}."
        )
        found.append(
            text
            + (f" {about['bos_policy'][0].upper()}{about['bos_policy'][1:]}." if index == 0 and "bos_policy" in about else "")
        )
    found.append(
        "The Wasserstein distance of a neuron is the exact 1-Wasserstein distance between its standardised pre-activations and N(0, 1), from a closed "
        "form per order statistic: no Gaussian sample is drawn. The first position of each window is left out. Wasserstein neurons are the top "
        f"{selection.fraction:.1%} of {_WHERE[selection.scope]} at checkpoint {selection.checkpoint}: {selection.n_neurons} neurons, ties broken by index."
    )
    found.append(
        f"Similar inputs are nearest neighbours among {study.pairs.tokens:,} tokens ({study.pairs.neighbours} each) by the inputs of these modules; of these the "
        f"{study.pairs.top} pairs that a neuron drives furthest apart are counted by sign."
    )
    for name, run in results.ablations.items():
        found.append(_ablation(name, run, results))
    found.append(
        "Intervals are 95%, by Student's t over clusters: documents, minimal pairs that share a sentence, items, neurons; and over the draws of what is "
        "drawn at random. They allow for few and unequal clusters; n_clusters in every table says how many there were. Minimal pairs are scored by total "
        "log-probability after BOS; ties are counted apart. Adjusted p-values are Holm's unless a figure says otherwise."
    )
    return found


def _tokens_taken(run: Run) -> str:
    """How many tokens there are of those that were asked."""
    asked = run.attributes["tokens_asked"]
    return f"{run.sizes['token']:,} {'tokens' if asked == 'all' else f'of the {int(asked):,} tokens asked'}"


def _documents(run: Run) -> str:
    n = int(run.attributes["n_documents"])
    return f"{n:,} document{'s' if n > 1 else ''}"


def _values(about: dict[str, str]) -> str:
    """What was taken as pre-activations."""
    if about["nonlinearity"] == "none":
        return f"In the place of pre-activations stands the output of {about['site']}, which no non-linearity receives"
    return f"Pre-activations are those of {about['site']}"


def _ablation(name: str, run: Run, results: Results) -> str:
    design, about = results.designs[name].design, run.attributes
    cohorts = []
    for spec in design.cohorts:
        shares = listed([f"{100 * share:g}%" for share in spec.fraction])
        what = _perplexity_matched(spec, run.tables["perplexity"]) if spec.rule == PERPLEXITY_MATCHED else {
            "top": f"the top {shares}", "bottom": f"the bottom {shares}", "random": f"{f'{spec.seeds} random draws' if spec.seeds > 1 else 'a random draw'} of {shares} without the top",
            "matched": f"{shares} matched one to one on {listed(list(spec.match))}",
            "file": "neurons from selection files",
        }[spec.rule]  # fmt: skip
        extra = f" by {spec.statistic}" if spec.statistic != "wasserstein_distance" else ""
        layers = f", in {spec.layer_groups} groups of layers ({listed(list(spec.grouping))})" if spec.layer_groups else ""
        done = listed(list(spec.interventions or design.interventions))
        cohorts.append(f"{done} on {what}{extra}{layers}")
    asked = [
        f"perplexity and surprisal on {text_of(run)} ({Path(about['corpus']).name}, seed {about['seed']}; {_tokens_taken(run)}, {_documents(run)})"
    ]
    if "pair" in run.sizes:
        asked.append(
            f"{run.sizes['pair']:,} minimal pairs of {listed([Path(source).name for source in design.readouts.pairs])}"
        )
    if "item" in run.sizes:
        asked.append(f"{run.sizes['item']:,} probe items")
    steps = "checkpoints" if run.sizes["checkpoint"] > 1 else "checkpoint"
    return (
        f"Ablation “{name}” of {results.called(run)}: {'; '.join(cohorts)}. At {steps} {about['checkpoints']}: {run.sizes['condition']} conditions, read out by "
        f"{listed(asked)}."
    )


def _perplexity_matched(spec: CohortSpec, table: pd.DataFrame) -> str:
    """Where the neurons of a control are from, which cohort it is matched to, and how closely."""
    rows = table[(table["rule"] == spec.rule) & table["fraction"].isin(spec.fraction)]
    where = " or of ".join(_WHERE[scope] for scope in spec.scope)
    return (
        f"as many of the bottom neurons (of {where}) as raise perplexity like the cohort that they control for, "
        f"{listed(list(dict.fromkeys(rows['controls'])))} (within {100 * spec.tolerance:g}% of its perplexity and a tenth of its rise; "
        "matched once, with all these neurons ablated together, not layer by layer)"
    )


def limits(results: Results, missing: list[str]) -> list[str]:
    """What a reader must not take for granted."""
    found = []
    rules = {str(rule) for run in results.ablations.values() for rule in run.tables["perplexity"]["rule"]}
    if rules & {"random", "matched"}:
        found.append(
            "Random and matched controls have as many neurons as the top cohort; they are not matched on the perplexity they cost."
        )
    for name, run in results.ablations.items():
        table = run.tables["perplexity"]
        for _, row in table[table["is_matched"] == 0].iterrows():
            found.append(
                f"In “{name}” the control {row['cohort']} under {row['intervention']} is not matched to {row['controls']} on perplexity at checkpoint "
                f"{row['checkpoint']} ({row['perplexity']:.4f}, not {row['target_perplexity']:.4f}): the nearest is shown and no verdict rests on it."
            )
    if "perplexity-matched" in rules:
        found.append("Controls are matched on perplexity over all their layers together, not layer by layer.")
    for name, run in results.ablations.items():
        found += text_limits(name, run)
    if rules and "perplexity-matched" not in rules:
        found.append("No control was matched on perplexity.")
    if not rules:
        found.append("No ablation was run: nothing here says what the neurons do for the model.")
    found += [f"Not run: {what}." for what in missing]
    if any(run.attributes["model"].startswith("pico-") for run in results.models.values()):
        found.append(
            "The pico models are small and know one small grammar: what holds for them need not hold for large models."
        )
    found += few_clusters(results)
    found.append("An interval of zero width means that nothing at all changed in this sample, not that nothing could.")
    found.append("One training run of each model: nothing here covers the variation between runs.")
    return found


def provenance(results: Results, folder: Path) -> dict[str, dict[str, str]]:
    """Where every number is from: code, study, stores, selection, designs, and the keys of the steps."""
    found = {"Code": {"actstore": version("actstore"), **_commit()}}
    for kind, runs in (("Model", results.models), ("Ablation", results.ablations)):
        for name, run in runs.items():
            sizes = {f"n_{dim}": f"{size:,}" for dim, size in run.sizes.items()}
            found[f"{kind} {name}"] = run.attributes | sizes
    selection = results.selection
    found["Selection"] = {
        "rule": f"{selection.rule} {selection.fraction:g} of {_WHERE[selection.scope]} by {selection.statistic}",
        "neurons": str(selection.n_neurons),
        "checkpoint": str(selection.checkpoint),
        "weights": selection.weights_fingerprint,
    }
    found["Steps"] = recorded_keys(folder)
    return found


def _commit() -> dict[str, str]:
    root = Path(__file__).parent.parent
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": done.stdout.strip()} if done.stdout.strip() else {}
