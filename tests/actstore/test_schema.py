from __future__ import annotations

import numpy as np
import pytest

from actstore.errors import SelectionError
from actstore.schema import FIELDS, Selection

GIVEN = Selection({0: (1, 3), 1: (0,)}, "top", "wasserstein_distance", 0.5, "m", "abc", 7, n_neurons_per_layer=4)


def test_a_selection_survives_its_file(tmp_path):
    assert Selection.load(GIVEN.save(tmp_path / "deep" / "s.json")) == GIVEN


def test_mask_marks_exactly_the_chosen():
    assert np.argwhere(GIVEN.mask(range(2))).tolist() == [[0, 1], [0, 3], [1, 0]]


@pytest.mark.parametrize("neurons", [{0: (4,)}, {0: (-1,)}, {0: (1, 1)}, {0: ()}, {}])
def test_impossible_selections_are_refused(neurons):
    with pytest.raises(SelectionError):
        Selection(neurons, "top", "wasserstein_distance", 0.5, "m", "abc", 7, n_neurons_per_layer=4)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "actstore-selection-1"}', '{"format": "other"}'])
def test_files_that_are_no_selection(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(SelectionError):
        Selection.load(tmp_path / "s.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SelectionError, match=r"nothing\.json"):
        Selection.load(tmp_path / "nothing.json")


def test_every_field_is_described():
    assert all(spec.long_name and spec.units for spec in FIELDS.values())
