"""The panels of a report: which tables become which figures, in which order, with which words.

Owns the order. A panel that the study has no tables for gives nothing, and `missing` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from reports.panel import Panel
from reports.panels import ablation, grammar, neurons, pairs, surprisal, training
from reports.results import Results


class Section(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: list[Panel]


_ORDER: tuple[tuple[str, tuple[Callable[[Results], Panel | None], ...]], ...] = (
    (
        "Neurons far from Gaussian",
        (neurons.distances, neurons.one_neuron, neurons.difficulty, neurons.negative_share, neurons.shape),
    ),
    ("Similar inputs driven apart", (pairs.separated, pairs.signs, pairs.smooth_and_relu, pairs.features)),
    ("Over training", (training.distances, training.weights, training.grammar)),
    ("What an ablation costs", (ablation.sweep, ablation.perplexity, grammar.phenomena, grammar.dissociation, grammar.layers)),
    ("Where in the sentence", (surprisal.upos, surprisal.contrasts, surprisal.curves, surprisal.residuals)),
    (
        "Controls of the intervention itself",
        (ablation.sign_and_magnitude, ablation.mirror, ablation.relu, grammar.over_training),
    ),
)
_NEEDS = {
    neurons.negative_share: "negative share by layer",
    pairs.signs: "signs of the furthest pairs",
    pairs.smooth_and_relu: "smooth against ReLU models (needs a second model)",
    training.distances: "Wasserstein distance over training (needs several checkpoints)",
    training.weights: "change of weights over training (needs several checkpoints)",
    training.grammar: "grammar and distance over training (needs an ablation at several checkpoints)",
    ablation.sweep: "perplexity against the share of neurons (needs an ablation with several fractions)",
    grammar.phenomena: "minimal pairs by phenomenon (needs minimal pairs)",
    grammar.dissociation: "the double dissociation (needs minimal pairs and probes or tasks)",
    grammar.layers: "layer groups (needs an ablation with layer_groups)",
    grammar.over_training: "the ablation over checkpoints (needs an ablation at several checkpoints)",
    surprisal.upos: "surprisal by part of speech (needs surprisal = true and tagged text)",
    surprisal.curves: "surprisal over training (needs surprisal = true at several checkpoints)",
    ablation.sign_and_magnitude: "sign against magnitude (needs sign-flip or identity-on-positive)",
    ablation.mirror: "the mirror clamp (needs positive-zero)",
    ablation.relu: "the ReLU null control (needs an ablation of a ReLU model)",
}


def sections(results: Results) -> tuple[list[Section], list[str]]:
    """All panels that the results support, by heading; and what could not be drawn."""
    found, missing = [], []
    for title, makers in _ORDER:
        panels = []
        for maker in makers:
            panel = maker(results)
            if panel is not None:
                panels.append(panel)
            elif maker in _NEEDS:
                missing.append(_NEEDS[maker])
        if panels:
            found.append(Section(title, panels))
    return found, missing
