from __future__ import annotations

import pandas as pd

from reports import tables


def row(estimate, lower, upper, cohort="top"):
    return pd.Series(
        {
            "intervention": "negative-zero",
            "cohort": cohort,
            "delta_accuracy": estimate,
            "delta_accuracy_lower": lower,
            "delta_accuracy_upper": upper,
        }
    )


def test_an_interval_that_holds_zero_is_no_evidence():
    text = tables.contrast(row(-0.01, -0.03, 0.01), None, "delta_accuracy", 0, "accuracy")
    assert text == "No evidence that accuracy changes under negative-zero of the top cohort: -0.010 [-0.030, +0.010]."


def test_direction_and_overlap_with_the_control():
    control = row(0.0, -0.01, 0.01, "random")
    text = tables.contrast(row(-0.2, -0.25, -0.15), control, "delta_accuracy", 0, "accuracy")
    assert text.startswith("Negative-zero of the top cohort lowers accuracy: -0.200 [-0.250, -0.150]")
    assert text.endswith("the intervals do not overlap.")
    near = tables.contrast(row(-0.02, -0.03, -0.005), control, "delta_accuracy", 0, "accuracy")
    assert near.endswith("the intervals overlap.")


def test_selected_neurons_are_ranked():
    neurons = pd.DataFrame({
        "layer": [0, 1, 1], "neuron": [5, 6, 7], "wasserstein_distance": [0.2, 0.9, 0.5], "negative_wasserstein_frac": 0.5,
        "negative_frac": 0.7, "selected": [True, True, False],
    })  # fmt: skip
    table = tables.selected_neurons(neurons)
    assert table.rows == [["1", "6", "0.900", "0.500", "0.700"], ["0", "5", "0.200", "0.500", "0.700"]]
