from __future__ import annotations

import numpy as np
import xarray as xr

from analysis import explained_by_shape, rank_correlations


def statistics(**columns):
    return xr.Dataset(
        {name: (("layer", "neuron"), np.asarray(values)) for name, values in columns.items()},
        coords={"layer": [3, 5], "checkpoint": 100},
    )


def test_shape_explains_a_tail_detector_and_no_independent_statistic():
    rng = np.random.default_rng(0)
    skewness, kurtosis, bimodality = rng.normal(size=(3, 2, 500))
    data = statistics(
        wasserstein_distance=np.stack([np.exp(np.abs(skewness[0])), rng.random(500)]),
        skewness=skewness,
        excess_kurtosis=kurtosis,
        bimodality_coefficient=bimodality,
    )
    table = explained_by_shape(data).set_index("layer")
    assert table.loc[3, "r2"] > 0.99
    assert table.loc[5, "r2_lower"] < 0.05
    assert (table["checkpoint"] == 100).all()
    correlations = rank_correlations(data).set_index(["layer", "statistic"])["rank_correlation"]
    assert correlations[(3, "abs_skewness")] > 0.99
    assert abs(correlations[(3, "skewness")]) < 0.15


def test_every_layer_and_checkpoint_of_a_store(run_folder):
    from analysis.results import ENTANGLEMENT, load_dataset

    data = load_dataset(run_folder / "analysis", ENTANGLEMENT)
    table = explained_by_shape(data)
    assert len(table) == data.sizes["checkpoint"] * data.sizes["layer"]
    assert ((table["r2_lower"] <= table["r2"]) & (table["r2"] <= table["r2_upper"])).mean() > 0.8
