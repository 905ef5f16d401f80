"""The ablation runner: the only code that re-enters a model after extraction.

Owns the conditions (intact, then every intervention on every selection) and their readouts:
surprisal per token, perplexity, minimal pairs, probes. Every readout is stored per item.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from actstore import models, scoring
from actstore.adapters import adapter_for, nonlinearity
from actstore.builtin.probes import MultipleChoice, multiple_choice
from actstore.corpus import read_corpus
from actstore.errors import SelectionError
from actstore.hooks import edit
from actstore.interventions import intervention
from actstore.pairs import MinimalPair, read_pairs
from actstore.schema import BASELINE, CHECKPOINT, CONDITION, TOKEN_COORDS, Selection
from actstore.store import StoreWriter, is_complete
from actstore.tokens import TokenTable, tokenize_corpus


@dataclass(frozen=True)
class AblateConfig:
    """What to ablate and what to read out.

    Attributes
    ----------
    model : str
        Embedded model or local folder.
    checkpoints : str
        As in `ExtractConfig`.
    interventions : tuple of str
        Each is applied to each selection.
    corpus, tokens, window, seed
        The text of perplexity and surprisal, as in `ExtractConfig`.
    pairs : str, optional
        `builtin` or a path; None for no minimal pairs.
    pairs_per_paradigm : int, optional
        At most this many pairs of a paradigm.
    probes : bool
        Whether to ask the embedded facts and recall probes.
    """

    model: str
    checkpoints: str = "main"
    interventions: tuple[str, ...] = ("negative-zero",)
    corpus: str = "builtin-evaluation"
    tokens: int | None = 16_384
    window: int = 128
    seed: int = 0
    pairs: str | None = "builtin"
    pairs_per_paradigm: int | None = None
    probes: bool = True


@dataclass(frozen=True)
class Condition:
    """One state of the model: intact, or an intervention on a selection."""

    intervention: str = BASELINE
    selection: Selection | None = None

    @property
    def label(self) -> str:
        """Its name on the `condition` dim."""
        return BASELINE if self.selection is None else f"{self.intervention}/{self.selection.label}"


def conditions(config: AblateConfig, selections: Sequence[Selection]) -> list[Condition]:
    """The intact model first, then intervention by selection.

    Raises
    ------
    UnknownNameError, SelectionError
        If an intervention is unknown or two selections carry the same label.
    """
    for name in config.interventions:
        intervention(name)
    cells = [Condition(), *(Condition(name, chosen) for name in config.interventions for chosen in selections)]
    labels = [cell.label for cell in cells]
    repeated = next((label for label in labels if labels.count(label) > 1), None)
    if repeated:
        raise SelectionError(f"two conditions are both {repeated!r}; give each selection its own rule or seed")
    return cells


@contextlib.contextmanager
def applied(model: PreTrainedModel, condition: Condition) -> Any:
    """The model under a condition; restored on leaving."""
    if condition.selection is None:
        yield model
        return
    sites = adapter_for(model).modules(model)
    with edit(sites, condition.selection.neurons, intervention(condition.intervention)):
        yield model


def ablate(config: AblateConfig, selections: Sequence[Selection], out: Path, *, progress: bool = True) -> bool:
    """Run every condition at every checkpoint and store the readouts; False if already there.

    Raises
    ------
    ActstoreError
        If a selection does not fit the model, a name is unknown, or the store cannot be written.
    """
    source = models.resolve(config.model)
    source = models.preflight(source, models.choose_checkpoints(source, config.checkpoints))
    steps = list(source.checkpoints)
    cells = conditions(config, selections)
    configuration = asdict(config) | {
        "checkpoints": steps,
        "weights_digest": source.weights_digest,
        "selections": [asdict(s) for s in selections],
    }
    if is_complete(out, configuration):
        return False
    tokenizer = models.load_tokenizer(source)
    table = tokenize_corpus(
        read_corpus(config.corpus, None if config.tokens is None else config.seed), tokenizer, config.window, config.tokens
    )
    pairs = read_pairs(config.pairs, config.pairs_per_paradigm) if config.pairs else []
    items = multiple_choice() if config.probes else []
    runner = _Runner(tokenizer, table, pairs, items)
    results = _Results(len(steps), len(cells), len(table), len(pairs), items)
    total = len(steps) * len(cells)
    with tqdm(total=total, unit="condition", desc=source.name, disable=not progress) as bar:
        for i, step in enumerate(steps):
            model = models.load(source, step, torch.float32)
            fingerprint = models.weights_fingerprint(model)
            for j, cell in enumerate(cells):
                bar.set_postfix(checkpoint=step, condition=cell.label)
                if cell.selection is not None:
                    _check(cell.selection, source.name, step, fingerprint, model)
                with applied(model, cell):
                    runner.read(model, results, i, j)
                bar.update()
    attrs = {
        "model": source.name,
        "nonlinearity": nonlinearity(model),
        "corpus": config.corpus,
        "corpus_fingerprint": table.fingerprint,
        "tokenizer_fingerprint": models.tokenizer_fingerprint(tokenizer),
        "pairs": config.pairs or "none",
        "bos_policy": "every window, sentence and probe begins with BOS (EOS where there is none), not scored",
        "pair_score": "total log-probability",
        "dtype": "float32",
        "seed": config.seed,
        "package_version": version("actstore"),
    }
    with StoreWriter(out, configuration, attrs) as writer:
        _write(writer, steps, cells, table, pairs, items, results)
        writer.finish()
    return True


def _check(selection: Selection, name: str, step: int, fingerprint: str, model: PreTrainedModel) -> None:
    sites = adapter_for(model).modules(model)
    weight: Any = sites[0].weight
    n_neurons = int(weight.numel()) // int(model.config.hidden_size)
    if selection.model != name:
        raise SelectionError(
            f"the selection was made on {selection.model}, this is {name}; select neurons on a store of {name}"
        )
    if selection.n_neurons_per_layer != n_neurons or max(selection.neurons) >= len(sites):
        raise SelectionError(
            f"the selection is for layers of {selection.n_neurons_per_layer} neurons up to layer {max(selection.neurons)}, "
            f"{name} has {len(sites)} layers of {n_neurons}"
        )
    if selection.checkpoint == step and selection.weights_fingerprint != fingerprint:
        raise SelectionError(f"the selection was made on other weights of {name} step {step}; extract and select again")


@dataclass
class _Results:
    """All readouts of a run, filled condition by condition."""

    n_checkpoints: int
    n_conditions: int
    n_tokens: int
    n_pairs: int
    items: Sequence[MultipleChoice]

    def __post_init__(self) -> None:
        head = (self.n_checkpoints, self.n_conditions)
        n_options = len(self.items[0].options) if self.items else 0
        self.surprisal = np.full((*head, self.n_tokens), np.nan, np.float32)
        self.good = np.full((*head, self.n_pairs), np.nan)
        self.bad = np.full((*head, self.n_pairs), np.nan)
        self.options = np.full((*head, len(self.items), n_options), np.nan)

    @property
    def perplexity(self) -> np.ndarray:
        return np.exp(np.nanmean(self.surprisal, axis=-1, dtype=np.float64))


@dataclass(frozen=True)
class _Runner:
    """Reads out a model, whatever state it is in."""

    tokenizer: Any
    table: TokenTable
    pairs: Sequence[MinimalPair]
    items: Sequence[MultipleChoice]

    def read(self, model: PreTrainedModel, results: _Results, i: int, j: int) -> None:
        bounds = self.table.window_bounds
        windows = [self.table.token_id[a:b] for a, b in bounds]
        for (a, b), values in zip(bounds, scoring.sequence_surprisals(model, windows), strict=True):
            results.surprisal[i, j, a + 1 : b] = values
        if self.pairs:
            sentences = [text for pair in self.pairs for text in (pair.sentence_good, pair.sentence_bad)]
            scores = scoring.sentence_log_probabilities(model, self.tokenizer, sentences)
            results.good[i, j], results.bad[i, j] = scores[::2], scores[1::2]
        if self.items:
            contexts = [item.context for item in self.items]
            options = [item.options for item in self.items]
            results.options[i, j] = scoring.option_log_probabilities(model, self.tokenizer, contexts, options)


def _write(
    writer: StoreWriter,
    steps: Sequence[int],
    cells: Sequence[Condition],
    table: TokenTable,
    pairs: Sequence[MinimalPair],
    items: Sequence[MultipleChoice],
    results: _Results,
) -> None:
    for name in TOKEN_COORDS:
        writer.write(name, getattr(table, name))
    writer.write(CHECKPOINT, np.array(steps))
    chosen = [cell.selection for cell in cells]
    writer.write(CONDITION, np.array([cell.label for cell in cells]))
    writer.write("intervention", np.array([cell.intervention for cell in cells]))
    writer.write("cohort", np.array([BASELINE if s is None else s.rule for s in chosen]))
    writer.write("selection_seed", np.array([-1 if s is None else s.seed for s in chosen]))
    writer.write("n_neurons", np.array([0 if s is None else s.n_neurons for s in chosen]))
    writer.write("perplexity", results.perplexity)
    writer.write("ablated_surprisal", results.surprisal)
    if pairs:
        for name in ("phenomenon", "paradigm", "sentence_good", "sentence_bad"):
            writer.write(name, np.array([getattr(pair, name) for pair in pairs]))
        writer.write("log_probability_good", results.good)
        writer.write("log_probability_bad", results.bad)
    if items:
        writer.write("probe", np.array([item.probe for item in items]))
        writer.write("answer", np.array([item.answer for item in items]))
        writer.write("log_probability_option", results.options)
