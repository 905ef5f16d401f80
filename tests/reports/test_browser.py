"""The files of the neuron browser: what they hold, by decoding them; names, types, hostile text."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from reports.browser import browser_head, export_neurons, packed, visible
from tests.reports.conftest import EVIL


def unpacked(column, *shape):
    return np.frombuffer(base64.b64decode(column["data"]), np.dtype(column["type"]).newbyteorder("<")).reshape(*shape)


def handed_over(file):
    """Name, identity and data of a file."""
    name, identity, data = re.fullmatch(
        r'neuronBrowser\.take\("([^"]+)","([0-9a-f]{16})",(.*)\);\n', file.read_text("ascii")
    ).groups()
    return name, identity, json.loads(data)


@pytest.fixture(scope="module")
def files(report):
    read = [handed_over(file) for file in sorted((report / "neurons").glob("*.js"))]
    return {name: data for name, _, data in read} | {"identities": {identity for _, identity, _ in read}}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 255], "uint8"),
        ([True, False], "uint8"),
        ([0, 256], "uint16"),
        ([-1, 3], "int16"),
        ([0, 65_536], "uint32"),
        ([-1, 40_000], "int32"),
        ([0.5, np.nan], "float32"),
    ],
)
def test_numbers_have_the_narrowest_type(values, kind):
    column = packed(np.array(values))
    assert column["type"] == kind
    np.testing.assert_array_equal(unpacked(column, 2), np.array(values, kind))


def test_the_page_describes_the_files(results, files):
    head, profiles = browser_head(results), results.main.profiles
    assert files["identities"] == {head["id"]}
    assert head["layers"] == [0, 1, 2, 3]
    assert head["n_neurons"] == 512
    names = profiles["statistic"].values.tolist()
    assert sorted(statistic["column"] for statistic in head["statistics"]) == list(range(len(names)))
    assert head["statistics"][0] == {
        "name": "wasserstein distance",
        "column": names.index("wasserstein_distance"),
        "meaning": "1-Wasserstein distance of the standardised pre-activation to N(0, 1)",
        "unit": "SD",
    }
    neurons = results.main.tables["neurons"]
    largest = neurons.loc[neurons.groupby("layer")["wasserstein_distance"].idxmax(), ["layer", "neuron"]]
    assert head["starts"] == [tuple(row) for row in largest.to_numpy()]


def test_statistics_are_those_of_the_table(results, files):
    neurons, names = results.main.tables["neurons"], results.main.profiles["statistic"].values.tolist()
    for layer, rows in neurons.groupby("layer"):
        columns = files[f"layer-0{layer}"]["columns"]
        values = unpacked(columns["statistic_value"], 512, len(names))
        for name in ("wasserstein_distance", "skewness", "mapping_difficulty"):
            np.testing.assert_allclose(values[:, names.index(name)], rows[name], rtol=1e-6)
        np.testing.assert_array_equal(unpacked(columns["is_selected"], 512), rows["selected"])


def test_the_atlas_is_told_of_the_selected(results, files):
    atlas = results.main.tables["atlas"]
    for row in atlas.to_dict("records"):
        notes = files[f"layer-0{row['layer']}"]["notes"][str(row["neuron"])]
        assert " | ".join(notes["clusters"]) == ("" if row["clusters"] != row["clusters"] else row["clusters"])
    assert sum(len(files[f"layer-0{layer}"]["notes"]) for layer in range(4)) == len(atlas)


def test_other_results_have_another_identity(results, evil):
    assert browser_head(results)["id"] != browser_head(evil)["id"]


def test_hostile_text_is_ascii_in_one_line(evil_page):
    file = evil_page / "neurons" / "tokens.js"
    assert file.read_bytes().count(b"\n") == 1
    texts = handed_over(file)[2]["text"]
    assert texts[: len(EVIL)] == [visible(text) for text in EVIL]
    assert texts[2] == "a␀b␈c"


def test_control_characters_are_pictures():
    assert visible("\n\t\x1b\x7f é") == "␊␉␛␡ é"


def test_without_profiles_there_is_no_browser_and_no_old_file(results, tmp_path):
    main = replace(results.main, profiles=None)
    bare = replace(results, models={**results.models, main.name: main})
    assert browser_head(bare) is None
    export_neurons(results, tmp_path)
    assert (tmp_path / "neurons" / "tokens.js").exists()
    export_neurons(bare, tmp_path)
    assert not (tmp_path / "neurons").exists()
