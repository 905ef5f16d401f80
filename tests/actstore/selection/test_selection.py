from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from actstore.errors import ActstoreError, SelectionError
from actstore.selection.selection import Selection

SELECTION = Selection({0: (1, 3), 1: (0,)}, "top", "wasserstein_distance", 0.5, "m", "site", "abc", 7, n_neurons_per_layer=4)


def test_a_selection_survives_its_file(tmp_path):
    assert Selection.load(SELECTION.save(tmp_path / "deep" / "s.json")) == SELECTION


def test_mask_marks_exactly_the_chosen():
    assert np.argwhere(SELECTION.mask(range(2))).tolist() == [[0, 1], [0, 3], [1, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neurons": {0: (4,)}}, "layer 0 has neurons 0 to 3, the selection names 4"),
        ({"neurons": {0: (-1,)}}, "a neuron of layer 0 must be a whole number from 0, got -1"),
        ({"neurons": {-1: (0,)}}, "a layer must be a whole number from 0, got -1"),
        ({"neurons": {0: (1, 1)}}, "must ascend, each named once"),
        ({"neurons": {0: (3, 1)}}, "must ascend, each named once"),
        ({"neurons": {0: (1.0,)}}, "a neuron of layer 0 must be a whole number from 0, got 1.0"),
        ({"neurons": {0: (True,)}}, "a neuron of layer 0 must be a whole number from 0, got True"),
        ({"neurons": {0: ("1",)}}, "got '1'"),
        ({"neurons": {0: "13"}}, "layer 0 must have a list of neurons, got '13'"),
        ({"neurons": {True: (1,)}}, "a layer must be a whole number from 0, got True"),
        ({"neurons": {0: ()}}, "holds no neuron"),
        ({"neurons": {}}, "holds no neuron"),
        ({"neurons": [[0, 1]]}, "neurons must map a layer to its neurons"),
        ({"checkpoint": "7"}, "checkpoint must be a whole number from -1, got '7'"),
        ({"checkpoint": 7.0}, "checkpoint must be a whole number from -1, got 7.0"),
        ({"checkpoint": -2}, "checkpoint must be a whole number from -1, got -2"),
        ({"fraction": 0.0}, "fraction must be above 0 and at most 1, got 0"),
        ({"fraction": 1.5}, "fraction must be above 0 and at most 1, got 1.5"),
        ({"fraction": float("nan")}, "fraction must be above 0 and at most 1, got nan"),
        ({"fraction": "0.5"}, "fraction must be a number"),
        ({"fraction": True}, "fraction must be a number"),
        ({"seed": -2}, "seed must be a whole number from -1"),
        ({"seed": None}, "seed must be a whole number from -1"),
        ({"n_neurons_per_layer": 0}, "n_neurons_per_layer must be a whole number from 1"),
        ({"scope": "layers"}, "unknown selection scope 'layers': did you mean 'layer'"),
        ({"scope": ["layer"]}, "unknown selection scope"),
        ({"rule": 3}, "rule must be text, got 3"),
        ({"statistic": None}, "statistic must be text"),
        ({"model": ""}, "model must not be empty"),
        ({"site": ""}, "site must not be empty"),
        ({"weights_fingerprint": 5}, "weights_fingerprint must be text"),
        ({"provenance": []}, "provenance must be a mapping"),
    ],
)
def test_every_field_is_checked_in_python_and_in_a_file(tmp_path, change, message):
    with pytest.raises(ActstoreError, match=message):
        replace(SELECTION, **change)
    with pytest.raises(SelectionError, match=r"s\.json: "):
        Selection.load(written(tmp_path, **change))


def written(folder, **change):
    """A selection file without a checksum, as a user writes it by hand."""
    record = {"format": "actstore-selection-2", **asdict(SELECTION), **change}
    (folder / "s.json").write_text(json.dumps(record))
    return folder / "s.json"


def test_whole_numbers_of_numpy_become_pythons(tmp_path):
    chosen = replace(SELECTION, neurons={np.int64(1): np.array([0]), np.int64(0): np.array([1, 3])}, checkpoint=np.int32(7))
    assert chosen == SELECTION
    assert list(chosen.neurons) == [0, 1]
    assert Selection.load(chosen.save(tmp_path / "s.json")) == SELECTION


def test_a_file_written_by_hand_needs_no_checksum(tmp_path):
    assert Selection.load(written(tmp_path)) == SELECTION


@pytest.mark.parametrize(
    ("before", "after"), [('"checkpoint": 7', '"checkpoint": 8'), ('"0": [\n   1,', '"0": [\n   2,'), ('"site"', '"side"')]
)
def test_a_file_that_was_changed_is_refused(tmp_path, before, after):
    file = SELECTION.save(tmp_path / "s.json")
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    with pytest.raises(SelectionError, match="changed after it was written"):
        Selection.load(file)
    file.write_text("".join(text.split()))
    assert Selection.load(file) == SELECTION, "spacing makes no difference"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no selection file"),
        ("[]", "is not a selection file"),
        ("{}", "is not a selection file"),
        ("[" * 100_000, "is no selection file"),
        ('{"format": "other"}', "is not a selection file"),
        ('{"format": "actstore-selection-1"}', "older form .* does not say at which site"),
        ('{"format": "actstore-selection-2"}', "lacks neurons, rule"),
        ('{"format": "actstore-selection-2", "modle": "m"}', "unknown key of a selection 'modle': did you mean 'model'"),
        ('{"format": "actstore-selection-2", "neurons": {"0": [1], "0": [2]}}', "the key '0' is there twice"),
    ],
)
def test_files_that_are_no_selection(tmp_path, text, message):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ActstoreError, match=message):
        Selection.load(tmp_path / "s.json")


@pytest.mark.parametrize("layer", ["-1", "00", " 0", "1_0", "0.0", "٣", "one"])
def test_a_layer_of_a_file_is_a_plain_number(tmp_path, layer):
    with pytest.raises(SelectionError, match="a layer must be a whole number from 0"):
        Selection.load(written(tmp_path, neurons={layer: [1]}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SelectionError, match=r"nothing\.json"):
        Selection.load(tmp_path / "nothing.json")
