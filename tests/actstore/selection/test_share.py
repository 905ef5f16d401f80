"""Shares that fit the size of a layer."""

from __future__ import annotations

import pytest

from actstore.errors import SelectionError
from actstore.selection.share import LADDER, LEAST_NEURONS, share_of_layer


@pytest.mark.parametrize(
    ("n_neurons", "expected"),
    [(53, 0.3), (80, 0.2), (155, 0.1), (310, 0.05), (512, 0.05), (775, 0.02), (1536, 0.02), (1550, 0.01), (14336, 0.01)],
)
def test_auto_is_the_smallest_share_that_is_enough(n_neurons, expected):
    share = share_of_layer("auto", n_neurons)
    assert share == expected
    assert round(share * n_neurons) >= LEAST_NEURONS
    smaller = [step for step in LADDER if step < share]
    assert all(round(step * n_neurons) < LEAST_NEURONS for step in smaller)


def test_a_number_is_what_it_is():
    assert share_of_layer(0.003, 40) == 0.003


def test_layers_too_small_for_any_share_are_refused():
    with pytest.raises(SelectionError, match="fraction auto: 30% of 50 neurons is fewer than 16; name a number"):
        share_of_layer("auto", 50)
