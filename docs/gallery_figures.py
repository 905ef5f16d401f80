"""The figures of the gallery: six of a report's, with the same words on every page, which say what is drawn and not what was found.

In a page the directive `gallery-figures` names the folder of a model.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

FIGURES = {
    "wasserstein-distance": (
        "a dot for every neuron, layer by layer, at its Wasserstein distance; the top neurons of each layer are marked",
        "C1: how far each neuron is from Gaussian, which is at zero.",
    ),
    "functional-share": (
        "for each layer an interval of the functional share in excess of matched pairs, top neurons less the rest, and of the "
        "share of negative–negative pairs",
        "C2: how much more of the separation of similar inputs lies on the negative side in top neurons than in the rest.",
    ),
    "sweep": (
        "lines of perplexity, as a ratio to the intact model, against the share of ablated neurons: top neurons and each control",
        "C4: perplexity as the negative side of more and more neurons is set to zero.",
    ),
    "phenomena": (
        "for each phenomenon of grammar an interval of the change on minimal pairs: top neurons and each control",
        "C5: what the same does to minimal pairs.",
    ),
    "dissociation": (
        "intervals of what minimal pairs and other tasks lose under each ablation, and of the difference against each control",
        "C6: what grammar and the other tasks lose, and how much more grammar loses than they do, against each control.",
    ),
    "surprisal-contrasts": (
        "for each control an interval of the change of surprisal, top neurons less that control, of scaffolding and content words",
        "C7: how much more surprising scaffolding and content words become than under each control.",
    ),
}
"""Name in a report → what is drawn, for readers who cannot see it, and the caption. Every report of such studies has them."""


class GalleryFigures(SphinxDirective):
    """The figures of a model, each with its caption."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """An image with words for each."""
        model = self.arguments[0]
        return [self._figure(f"{model}/{name}.svg", f"{model}: {alt}", caption) for name, (alt, caption) in FIGURES.items()]

    def _figure(self, file: str, alt: str, caption: str) -> nodes.figure:
        return nodes.figure("", nodes.image(uri=file, alt=alt), nodes.caption(caption, caption))
