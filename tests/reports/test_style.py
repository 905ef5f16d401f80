"""Drawing: the same bytes each time, and text that fonts cannot draw."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
import pytest

from reports.figures.intervals import interval_plot
from reports.panel import cohort_colors, drawn
from reports.style import COLORS, CYCLE, layer_color, printable, saved, shortened, styled


@pytest.mark.parametrize("kind", ["svg", "pdf", "png"])
def test_the_same_figure_gives_the_same_bytes(kind):
    first, second = (saved(drawn(lambda ax: ax.plot([1, 2], [3, 4]), (3, 2)), kind) for _ in range(2))
    assert first == second
    assert len(first) > 500


def test_a_style_ends_but_figures_go_on_being_shown():
    """A notebook's backend turns this on when the first figure is made: inside."""
    before = mpl.rcParams["font.size"], mpl.is_interactive()
    try:
        with styled():
            mpl.rcParams["font.size"] = 30
            mpl.interactive(True)
        assert mpl.rcParams["font.size"] == before[0]
        assert mpl.is_interactive()
    finally:
        mpl.interactive(before[1])


def test_dollars_of_a_corpus_are_no_mathematics():
    table = pd.DataFrame({"name": ["$x^{2_"], "who": ["a"], "v": [1.0], "v_lower": [0.0], "v_upper": [2.0]})
    figure = drawn(lambda ax: interval_plot(table, "name", "who", "v", ax, colors={"a": "red"}, label="", reference=0), (3, 2))
    assert saved(figure, "svg")
    assert figure.axes[0].get_yticklabels()[0].get_text() == "$x^{2_"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é", "plain é"),
        ("\u202eb\u200d", "<202E>b<200D>"),
        ("a\x00b", "a<0000>b"),
        ("a\tb\n", "a b "),
        ("🎉", "□"),
        ("\ud800", "<D800>"),
    ],
)
def test_text_is_made_drawable(text, expected):
    assert printable(text) == expected


def test_text_is_cut_at_either_end():
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdef", 3) == "abc…"
    assert shortened("abcdef", 3, from_end=True) == "…def"


def test_every_layer_and_cohort_has_its_own_colour():
    assert [layer_color(k, 4) for k in range(4)] == list(CYCLE[:4])
    assert len({layer_color(k, 40) for k in range(40)}) == 40
    colors = cohort_colors(
        {"top 1%": "top", "random": "random", "pm": "perplexity-matched", "pm-all": "perplexity-matched", "top 2%": "top"}
    )
    assert colors["top 1%"] == COLORS["top"]
    assert len(set(colors.values())) == 5
