"""Readouts without a table of their own, and tables that a user registers."""

from __future__ import annotations

import numpy as np
import pytest

import analysis
from analysis.ablation.registry import TABLES
from analysis.ablation.tables import ablation_tables
from tests.analysis.helpers import HEAD, pair_store
from tests.helpers import isolate

ITEMS = np.array([[1.0, 2.0, np.nan, 5.0], [3.0, 3.0, 0.0, 5.0], [1.0, 2.0, 0.0, 6.0], [1.0, 2.0, 0.0, 8.0]])
"""(condition, item): intact, top, two draws of random; one item has no value in the intact model."""


@pytest.fixture
def store():
    attrs = {"readout": "mine", "long_name": "a value", "units": "nat"}
    by_head = np.stack([ITEMS - 1, ITEMS + 1], axis=-1)
    return pair_store(
        np.ones((4, 4)),
        ["a", "b"] * 2,
        ["x"] * 4,
        mine=((*HEAD, "prompt"), ITEMS[None], attrs),
        by_head=((*HEAD, "prompt", "head"), by_head[None], attrs),
        total=(HEAD, ITEMS[None, :, 3], attrs),
        ours=((*HEAD, "prompt"), ITEMS[None], attrs | {"readout": "probes"}),
    )


def test_means_and_changes_over_items_that_have_a_value_everywhere(store):
    table = analysis.readout_table(store).set_index(["field", "cohort"])
    assert set(table.index.get_level_values("field")) == {"mine", "by_head", "total"}
    for field in ("mine", "by_head"):
        assert table.loc[(field, "top"), ["mean", "delta", "n_items", "n_clusters", "cluster"]].tolist() == [
            pytest.approx(11 / 3),
            pytest.approx(1.0),
            3,
            3,
            "prompt",
        ]
    assert table.loc[("mine", "random (2 draws)"), "delta"] == pytest.approx(2 / 3), "over both draws"
    assert (
        table.loc[("mine", "random (2 draws)"), "delta_lower"] < 2 / 3 < table.loc[("mine", "random (2 draws)"), "delta_upper"]
    )
    assert table.loc[("mine", "none"), "delta"] == 0
    assert table.loc[("total", "top"), "delta"] == 0
    assert np.isnan(table.loc[("total", "random (2 draws)"), "delta_lower"]), "one value has no interval"


def test_a_registered_table_is_written_and_takes_the_place_of_the_general_one(store, monkeypatch):
    isolate(monkeypatch, TABLES)

    @analysis.register_table("largest", needs="mine", readout="mine")
    def largest(store, options):
        return store["mine"].max("prompt").to_dataframe().assign(score=options.score)

    assert "readouts" in ablation_tables(store.drop_vars("mine").assign(total=store["total"].assign_attrs(readout="x")))
    tables = ablation_tables(store, score="mean")
    assert tables["largest"]["mine"].tolist() == [5.0, 5.0, 6.0, 8.0]
    assert set(tables["largest"]["score"]) == {"mean"}
    assert "readouts" not in tables
