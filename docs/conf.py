"""How the documentation is built: `make docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

sys.path.insert(0, str(Path(__file__).parent))  # where settings_table.py lies

project = "actstore"
author = "the actstore authors"
version = release = installed_version("actstore")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # types are in the docstrings
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "actstore"
html_copy_source = False
html_math_renderer = "mathml"


def _mathml(visitor: Any, node: nodes.Element, *, as_block: bool) -> None:
    """Formulas as MathML, which browsers show by themselves: no script from elsewhere."""
    try:
        visitor.body.append(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        raise ValueError(f"formula {node.astext()!r}: {error}") from None
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register the renderer of formulas, and the tables of keys."""
    from settings_table import SettingsTable

    app.add_directive("settings-table", SettingsTable)
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda visitor, node: _mathml(visitor, node, as_block=False), None),
        block_renderers=(lambda visitor, node: _mathml(visitor, node, as_block=True), None),
    )
