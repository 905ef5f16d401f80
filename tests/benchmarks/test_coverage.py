"""A small version of the coverage table: intervals of few clusters and draws hold the truth about as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import Kind
from benchmarks.coverage import coverage as held


@pytest.mark.parametrize("size", [2, 5, 20])
@pytest.mark.parametrize(("simulate", "n"), [(coverage.of_text, 25), (coverage.of_items, 15), (coverage.of_neurons, 40)])
def test_intervals_of_few_clusters_hold(simulate, n, size):
    """Some 250 intervals of a kind: 95% hold but for chance and skewness, and 100% where values are binary."""
    shares = held(Kind("", simulate), size, n)
    assert all(share > 0.89 for share in shares.values()), shares


@pytest.mark.parametrize("n_draws", [2, 5])
def test_intervals_of_few_draws_hold(n_draws):
    shares = held(Kind("", coverage.of_drawn_text), n_draws, 25)
    assert all(share > 0.89 for share in shares.values()), shares


def test_percentiles_of_a_bootstrap_would_not():
    """What the simulation is for: of two documents they hold half as often as they say."""
    (share,) = held(Kind("", coverage.of_percentiles), 2, 40).values()
    assert 0.35 < share < 0.65


@pytest.mark.slow
@pytest.mark.parametrize(
    ("simulate", "size", "n"),
    [
        (coverage.of_dissociation, 20, 30),
        (coverage.of_signs, 5, 15),
        (coverage.of_surprisal, 5, 60),
        (coverage.of_emergence, 5, 20),
    ],
)
def test_other_kinds_hold(simulate, size, n):
    shares = held(Kind("", simulate), size, n)
    trusted = {name: share for name, share in shares.items() if "the model's own" not in name}
    assert all(share > 0.85 for share in trusted.values()), shares


def test_the_table_has_a_row_an_interval_and_a_column_a_size():
    lines = list(coverage.rows([Kind("neurons", coverage.of_neurons), Kind("neurons", coverage.of_ranks)], 2))
    assert [line.count("|") for line in lines] == [8] * 5
    assert lines[2].startswith("| mean over neurons | neurons | ")
    assert lines[3].startswith("| rank correlation | neurons | – |"), "two neurons have no rank correlation"
    assert np.isnan(held(Kind("", coverage.of_ranks), 2, 2)["rank correlation"])
