"""Colours of figures on a dark page."""

from __future__ import annotations

import pytest

from reports.dark import DARK_CARD, DARK_INK, contrast, dark, dark_rules
from reports.style import COLORS, CYCLE, layer_color

PALETTE = sorted({*COLORS.values(), *CYCLE, *(layer_color(index, 30) for index in range(30))})


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#0072b2", "#0072b2") == 1


@pytest.mark.parametrize("color", PALETTE)
def test_every_color_stands_out_in_the_dark(color):
    assert contrast(dark(color), DARK_CARD) >= 3


def test_ink_and_paper_change_places_and_a_light_color_stays():
    assert (dark("#ffffff"), dark("#000000")) == (DARK_CARD, DARK_INK)
    assert dark("#e69f00") == "#e69f00"


def test_colors_of_cohorts_stay_apart():
    colors = [dark(color) for color in COLORS.values()]
    assert len(set(colors)) == len(colors)


def test_there_is_a_rule_for_every_color_of_a_figure():
    rules = dark_rules(['<path fill="#0072b2" stroke="none"/>', '<path stroke="#000000"/>']).splitlines()
    assert len(rules) == 4
    assert f'.plot [stroke="#000000"] {{ stroke: {DARK_INK}; }}' in rules
