"""What the page says first: which models these are, of what kind, on which text; and what the labels of cohorts mean."""

from __future__ import annotations

from pathlib import Path

from actstore.builtin import MODELS_FOLDER
from analysis.rows import comparable, in_words
from reports.results import Results, Run
from reports.sentences import listed

PAPER = {
    "authors": "Kong, Ning, Adler and Shavit",
    "title": "Negative pre-activations differentiate syntax",
    "place": "ICLR 2026",
    "arxiv": "2509.24198",
}
"""The paper whose method this is."""
DEFINITIONS = {
    "authors": "Sawmya, Kong and others",
    "title": "Wasserstein distances, neuronal entanglement, and sparsity",
    "place": "ICLR 2025",
    "arxiv": "2405.15756",
}
"""The paper that the distance and mapping difficulty are from."""
_SPELLED = {"gelu": "GELU", "silu": "SiLU", "relu": "ReLU"}
_BUILTIN_TEXT = "builtin"


def about(results: Results) -> list[str]:
    """Sentences on the models, their kind and the text."""
    runs = list(results.models.values())
    names = listed([f"{results.model_name(run)} ({_size(run)})" for run in runs])
    return [f"{'Models' if len(runs) > 1 else 'Model'}: {names}.", *_kinds(results, runs), _text(results)]


def _size(run: Run) -> str:
    """Non-linearity, layers and checkpoints of a model."""
    n_checkpoints = run.sizes["checkpoint"]
    steps = f", {n_checkpoints} checkpoints" if n_checkpoints > 1 else ""
    nonlinearity = run.attributes["nonlinearity"]
    return f"{_SPELLED.get(nonlinearity, nonlinearity)}, {run.sizes['layer']} layers of {run.sizes['neuron']:,} neurons{steps}"


def _kinds(results: Results, runs: list[Run]) -> list[str]:
    """Which of the models are toys that come with the package, and which are models of others."""
    toys = [results.model_name(run) for run in runs if is_embedded(run)]
    others = [results.model_name(run) for run in runs if not is_embedded(run)]
    sentences = []
    if toys:
        who = (
            "They are toy models"
            if not others
            else f"{listed(toys)} {'is a toy model' if len(toys) == 1 else 'are toy models'}"
        )
        if len(runs) == 1:
            who = "It is a toy model"
        sentences.append(
            f"{who} of this package, trained on an artificial language with one small grammar: what holds here need not hold "
            "for real language models."
        )
    if others:
        kind = "a trained language model" if len(others) == 1 else "trained language models"
        sentences.append(f"{listed(others)} {'is' if len(others) == 1 else 'are'} {kind}, used as published.")
    return sentences


def is_embedded(run: Run) -> bool:
    """Whether a model is one of those that come with the package."""
    return (MODELS_FOLDER / run.attributes["model"]).is_dir()


def _text(results: Results) -> str:
    """Which text neurons were described on, and which one ablations were measured on."""
    text = f"Neurons are described on {_tokens(results.main)}"
    run = results.main_ablation
    return f"{text}; ablations are measured on {_tokens(run)}." if run else f"{text}; no ablation was run."


def _tokens(run: Run) -> str:
    corpus = Path(run.attributes["corpus"]).name
    of = "that language" if corpus.startswith(_BUILTIN_TEXT) and is_embedded(run) else corpus
    return f"{run.sizes['token']:,} tokens of {of}" + (f" ({corpus})" if of != corpus else "")


def labels(results: Results) -> dict[str, str]:
    """What the labels of the main comparison mean, in words."""
    run = results.main_ablation
    if run is None:
        return {}
    table = comparable(run.tables["perplexity"])
    return {str(row["cohort"]): in_words(row) for _, row in table.iterrows()}
