"""Margins of multiple choice by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analysis import choice_margins


def options(scores, answer):
    """A store of one checkpoint with scores (condition, item, option)."""
    dims = ("checkpoint", "condition", "item", "option")
    return xr.Dataset({"log_probability_option": (dims, np.asarray(scores, np.float32)[None])}, {"answer": ("item", answer)})


def test_by_hand():
    scores = [[[-1, -3, -2.5], [-4, -1, -1], [-2, -7, -6.5]], [[-5, -3, -2.5], [-4, -1, -3], [-2, -7, -1.5]]]
    margins = choice_margins(options(scores, [0, 1, 2]))
    assert margins.tolist() == [[[1.5, 0, -4.5], [-2.5, 2, 0.5]]]


def test_positive_is_that_the_right_option_is_the_most_likely():
    rng = np.random.default_rng(0)
    scores, answer = rng.normal(size=(3, 200, 4)), rng.integers(0, 4, 200)
    store = options(scores, answer)
    margins = choice_margins(store.transpose(..., "condition"))
    np.testing.assert_array_equal(margins > 0, scores.argmax(axis=-1)[None] == answer)
    assert np.abs(margins).min() == pytest.approx(np.diff(np.sort(scores, axis=-1)[..., -2:]).min(), rel=0.5, abs=0.05)
    shifted = choice_margins(options(scores - 7, answer))
    np.testing.assert_allclose(shifted, margins, atol=1e-5)
