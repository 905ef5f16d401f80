"""Figures as elements of the page: what is drawn stays, what the page has once goes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from reports.style import saved
from reports.svg import Glyphs, inline, size_of


@pytest.fixture
def svg():
    figure = Figure(figsize=(3, 2))
    ax = figure.subplots()
    ax.plot([0.0, 1.0], [0.0, 1.0], "o-", color="#d55e00", label="a<b>&")
    ax.set_title("one two one")
    ax.legend()
    return saved(figure, "svg")


def test_colors_are_attributes_and_no_style_is_left(svg):
    element = ElementTree.fromstring(inline(svg, "name", "alt", Glyphs()))
    assert {"#d55e00", "#000000"} <= {each.get("stroke") for each in element.iter()}
    assert [each for each in element.iter() if "style" in each.attrib] == [element]
    assert not [each for each in element.iter() if each.tag in ("style", "metadata")]


def test_every_reference_is_to_an_identifier_of_its_own_or_to_a_character(svg):
    glyphs = Glyphs()
    pages = [inline(svg, name, "alt", glyphs) for name in ("first", "second")]
    shared = {each.get("id") for each in ElementTree.fromstring(glyphs.markup).iter("path")}
    assert len(shared) == len({*"onetwo", *"a<b>&", *".012468"})
    defined = []
    for name, page in zip(("first", "second"), pages, strict=True):
        element = ElementTree.fromstring(page)
        own = [each.get("id") for each in element.iter() if "id" in each.attrib]
        used = {each.get("href").removeprefix("#") for each in element.iter("use")}
        used |= set(re.findall(r"url\(#([^)]*)\)", page))
        assert all(each.startswith(f"{name}-") for each in own)
        assert used <= {*own, *shared}
        defined += own
    assert len(defined) == len(set(defined))


def test_coordinates_are_those_of_the_file_to_two_decimals(svg):
    def numbers(text):
        return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]

    longest = max(re.findall(rb' d="([^"]*)"', re.sub(rb"<defs>.*?</defs>", b"", svg, flags=re.DOTALL)), key=len).decode()
    line = next(each for each in re.findall(r' d="([^"]*)"', inline(svg, "n", "", Glyphs())) if each[0] == longest[0])
    assert len(line) < len(longest)
    first = next(each for each in re.findall(rb' d="([^"]*)"', svg)).decode()
    assert numbers(line) == pytest.approx(numbers(first), abs=0.0051)


def test_its_text_and_size_are_told(svg):
    element = ElementTree.fromstring(inline(svg, "n", 'what "is" <drawn>', Glyphs()))
    assert (element.get("role"), element.get("aria-label")) == ("img", 'what "is" <drawn>')
    assert [float(number) for number in element.get("viewBox").split()] == pytest.approx([0, 0, *size_of(svg)], abs=1e-3)
