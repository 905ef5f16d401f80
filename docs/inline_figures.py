"""Figures as part of the page that they are on, so that their colours follow its theme: light or dark.

SVG files of matplotlib's become SVG elements, as they do in a report; pages in Markdown name the files as images.
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

from reports.dark import dark_rules
from reports.svg import Glyphs, inline

_DARK = """<style>
@media screen {{ body[data-theme="dark"] {{ {rules} }} }}
@media screen and (prefers-color-scheme: dark) {{ body:not([data-theme="light"]) {{ {rules} }} }}
</style>"""


class InlineFigures(SphinxPostTransform):
    """Replaces the images of a page that are SVG files."""

    default_priority = 800  # when an output of a notebook is chosen among its forms
    formats = ("html",)

    def run(self) -> None:
        """Put the figures in place, then the outlines of their characters, and their colours in the dark."""
        glyphs, figures, lead = Glyphs(), [], ""
        for node in list(self.document.findall()):
            if isinstance(node, nodes.title | nodes.strong):
                lead = node.astext().rstrip(".")
            elif isinstance(node, nodes.image) and node["uri"].endswith(".svg"):
                figures.append(self._figure(node, f"figure-{len(figures)}", lead, glyphs))
                node.replace_self(nodes.raw("", f'<span class="plot">{figures[-1]}</span>', format="html"))
        if figures:
            rules = _DARK.format(rules=dark_rules(figures))
            self.document += nodes.raw("", f"{glyphs.markup}{rules}", format="html")

    def _figure(self, image: nodes.image, name: str, lead: str, glyphs: Glyphs) -> str:
        """An image's file as an element; a notebook's has no words of its own, but those in bold above its cell."""
        svg = (Path(self.app.srcdir) / image["uri"]).read_bytes()
        return inline(svg, name, image.get("alt") or lead, glyphs)
