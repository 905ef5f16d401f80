"""Figures as part of the page: SVG elements of one document, whose colours the page's style can change.

Owns what becomes of matplotlib's SVG between its file and the page: colours are attributes, so that a style sheet reaches them;
outlines of characters are drawn once for the whole page; identifiers are the figure's own; coordinates are rounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup

_BOX = re.compile(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_DROPPED = ("metadata", "style")
_COORDINATES = ("d", "x", "y", "points")
_FRACTION = re.compile(r"-?\d+\.\d+(?![\de])")
_GLYPH = re.compile(r"[A-Za-z][\w-]*-[0-9a-f]+")
"""Identifiers that matplotlib gives to characters: the font and the code."""


class Glyphs:
    """Outlines of characters, which all figures of a page share."""

    def __init__(self) -> None:
        self._outlines: dict[str, Element] = {}

    def take(self, element: Element) -> None:
        """Keep the outline of a character; the first of each is enough."""
        self._outlines.setdefault(element.attrib["id"], element)

    @property
    def markup(self) -> Markup:
        """An element of no size that defines all of them."""
        svg = Element("svg", {"class": "glyphs", "width": "0", "height": "0", "aria-hidden": "true"})
        ElementTree.SubElement(svg, "defs").extend(self._outlines.values())
        return Markup(ElementTree.tostring(svg, encoding="unicode"))


def inline(svg: bytes, name: str, alt: str, glyphs: Glyphs) -> Markup:
    """A figure of matplotlib's as an element of the page.

    Parameters
    ----------
    svg : bytes
        As matplotlib writes it.
    name : str
        Before the identifiers in it; no two figures of a page share one.
    alt : str
        What is drawn, for readers who cannot see it.
    glyphs : Glyphs
        Gets the outlines of its characters.
    """
    root = ElementTree.fromstring(svg)
    _strip(root, glyphs)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = dict(_attributes(element, name))
        element.text = element.tail = None
    width, height = size_of(svg)
    root.attrib = {
        "viewBox": f"0 0 {width:g} {height:g}",
        "preserveAspectRatio": "xMinYMin",
        "style": f"--width: {width:.0f}",
        "stroke-linejoin": "round",
        "role": "img",
        "aria-label": alt,
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def size_of(svg: bytes) -> tuple[float, float]:
    """Width and height of a figure of matplotlib's, in points."""
    box = _BOX.search(svg)
    if box is None:
        raise ValueError("this SVG has no viewBox from 0")
    return float(box[1]), float(box[2])


def _strip(parent: Element, glyphs: Glyphs) -> None:
    """Take out what the page has once, or never needs."""
    for child in list(parent):
        _strip(child, glyphs)
        tag = _local(child.tag)
        if tag == "path" and _GLYPH.fullmatch(child.get("id", "")):
            child.tag, child.text, child.tail = tag, None, None
            child.set("d", " ".join(child.get("d", "").split()))
            glyphs.take(child)
            parent.remove(child)
        elif tag in _DROPPED or (tag in ("g", "defs") and len(child) == 0):
            parent.remove(child)


def _attributes(element: Element, name: str) -> Iterator[tuple[str, str]]:
    """Attributes without namespaces; declarations of a style become attributes of their own."""
    for key, value in element.attrib.items():
        attribute = _local(key)
        if attribute == "style":
            yield from _declarations(value).items()
        elif attribute == "id":
            if element.tag != "g":
                yield "id", f"{name}-{value}"
        elif attribute == "href" and value.startswith("#") and not _GLYPH.fullmatch(value[1:]):
            yield "href", f"#{name}-{value[1:]}"
        elif attribute == "clip-path":
            yield attribute, value.replace("url(#", f"url(#{name}-")
        else:
            yield attribute, _rounded(value) if attribute in _COORDINATES else value


def _rounded(coordinates: str) -> str:
    """Coordinates in points to two decimals, on one line."""
    shorter = _FRACTION.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), coordinates)
    return " ".join(shorter.split())


def _declarations(style: str) -> Mapping[str, str]:
    pairs = (declaration.split(":", 1) for declaration in style.split(";") if declaration.strip())
    return {key.strip(): value.strip() for key, value in pairs}


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
