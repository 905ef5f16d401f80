"""How the documentation is built: `make docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

sys.path.insert(0, str(Path(__file__).parent))  # where the modules of these pages lie

import run_notebooks
from gallery_figures import GalleryFigures
from gallery_tables import ClaimsTable, FactsTable, VerdictsTable
from inline_figures import InlineFigures
from settings_table import SettingsTable

project = "actstore"
author = "the actstore authors"
version = release = installed_version("actstore")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
exclude_patterns = ["*.py", "figures/*.py", "notebooks/README.md"]
nb_execution_mode = "cache"
nb_execution_cache_path = str(run_notebooks.cache_folder())
nb_execution_in_temp = True  # what they write stays nowhere
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # by default from elsewhere

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
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_math_renderer = "mathml"


def _mathml(visitor: Any, node: nodes.Element, *, as_block: bool) -> None:
    """Formulas as MathML, which browsers show by themselves: no script from elsewhere."""
    try:
        visitor.body.append(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        raise ValueError(f"formula {node.astext()!r}: {error}") from None
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register the renderer of formulas, the tables, and what is done to notebooks and figures."""
    app.connect("builder-inited", lambda app: run_notebooks.prepare())
    app.add_post_transform(InlineFigures)
    app.add_directive("settings-table", SettingsTable)
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("verdicts-table", VerdictsTable)
    app.add_directive("facts-table", FactsTable)
    app.add_directive("gallery-figures", GalleryFigures)
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda visitor, node: _mathml(visitor, node, as_block=False), None),
        block_renderers=(lambda visitor, node: _mathml(visitor, node, as_block=True), None),
    )
