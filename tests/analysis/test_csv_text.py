from __future__ import annotations

import csv

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from analysis.csv_text import defused, restored
from analysis.results import load_table, save_table

TEXT = st.text(st.sampled_from("=+-@\t\r'ab1,\"\n"), max_size=4)


@given(cells=st.lists(TEXT, min_size=1, max_size=8))
def test_no_cell_begins_like_a_formula_and_all_come_back(cells):
    table = pd.DataFrame({"form": cells, "n": range(len(cells))})
    safe = defused(table)
    assert not any(cell[:1] in "=+-@\t\r" for cell in safe["form"] if cell)
    pd.testing.assert_frame_equal(restored(safe), table)


def test_a_category_is_changed_like_any_text():
    column = pd.Categorical(["-", "a", "-", None])
    assert defused(pd.DataFrame({"form": column}))["form"].tolist()[:3] == ["'-", "a", "'-"]


def test_a_saved_table_is_harmless_in_its_file_and_as_it_was_when_read(tmp_path):
    table = pd.DataFrame({"word_form": ["=HYPERLINK(1)", "-", "the", "'-"], "delta": [-1.5, 2.0, 3.0, 4.0]})
    save_table(table, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        assert [row["word_form"] for row in csv.DictReader(file)] == ["'=HYPERLINK(1)", "'-", "the", "''-"]
    pd.testing.assert_frame_equal(load_table(tmp_path / "t.csv"), table, check_dtype=False)
