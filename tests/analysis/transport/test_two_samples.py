"""Distances between two samples against known answers, SciPy, POT and a null."""

from __future__ import annotations

import dask.array
import numpy as np
import ot
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from analysis.transport.two_samples import distribution_distance, sliced_distance


def labelled(values, dims=("token", "neuron"), **coords):
    return xr.DataArray(np.asarray(values), dims=dims, coords=coords)


def two_samples(n=40, m=55, shape=(7,), seed=0):
    rng = np.random.default_rng(seed)
    dims = ("layer", "neuron")[-len(shape) :]
    a, b = rng.normal(size=(n, *shape)), rng.gamma(2, size=(m, *shape))
    return labelled(a, ("token", *dims)), labelled(b, ("token", *dims))


def distance(a, b, **settings):
    return distribution_distance(a, b, **settings)["transport_distance"].values


def by_repetition(a, b, p):
    """Sorted values, repeated to the same number, are matched in their order."""
    a, b = np.repeat(np.sort(a), len(b)), np.repeat(np.sort(b), len(a))
    return np.mean(np.abs(a - b) ** p) ** (1 / p)


@pytest.mark.parametrize(("p", "expected"), [(1, 1.5), (2, np.sqrt(2.5))])
def test_by_hand(p, expected):
    """{0, 1} onto {1, 3}: moved by 1 and by 2."""
    assert distance(labelled([[0.0], [1.0]]), labelled([[3.0], [1.0]]), p=p) == pytest.approx(expected)


def test_unequal_sizes_by_hand():
    """{0, 3} onto {0, 1, 2}: thirds move by 0; half by 1, half by 2; 1."""
    moved = distance(labelled([[0.0], [3.0]]), labelled([[0.0], [1.0], [2.0]]))
    assert moved == pytest.approx((0 + (1 + 2) / 2 + 1) / 3)


def test_scipy_agrees():
    a, b = two_samples()
    expected = [wasserstein_distance(a[:, i], b[:, i]) for i in range(7)]
    np.testing.assert_allclose(distance(a, b), expected, rtol=1e-12)


@pytest.mark.parametrize("p", [1, 1.5, 2, 4])
def test_higher_orders(p):
    a, b = two_samples()
    expected = [by_repetition(a.values[:, i], b.values[:, i], p) for i in range(7)]
    np.testing.assert_allclose(distance(a, b, p=p), expected, rtol=1e-10)


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50), st.floats(0.1, 20), st.sampled_from([1, 2]))
def test_shift_scale_and_order_of_the_two(seed, shift, scale, p):
    a, b = two_samples(12, 17, (3,), seed)
    np.testing.assert_allclose(distance(a, a + shift, p=p), abs(shift), atol=1e-9)
    np.testing.assert_allclose(distance(scale * a, scale * b, p=p), scale * distance(a, b, p=p), rtol=1e-9)
    np.testing.assert_allclose(distance(a, b, p=p), distance(b, a, p=p), rtol=1e-9)
    np.testing.assert_allclose(
        distance(scale * a + shift, scale * b + shift, p=p, standardise=True), distance(a, b, p=p, standardise=True), rtol=1e-8
    )


def test_nothing_between_identical_samples():
    a, _ = two_samples()
    result = distribution_distance(a, a.isel(token=slice(None, None, -1)), n_permutations=19)
    np.testing.assert_array_equal(result["transport_distance"], 0)
    np.testing.assert_array_equal(result["p_value"], 1)


def test_standardised_by_both_samples_together():
    a, b = two_samples()
    pooled = np.concatenate([a.values, b.values]).std(axis=0)
    np.testing.assert_allclose(distance(a, b, standardise=True), distance(a, b) / pooled)


def test_constant_in_both_is_nan():
    a, b = labelled([[1.0, 1, 1, 0], [1, 1, 2, 0]]), labelled([[1.0, 3, 1, 0], [1, 3, 1, np.nan]])
    result = distribution_distance(a, b, n_permutations=9)
    np.testing.assert_array_equal(np.isnan(result["transport_distance"]), [True, True, False, True])
    np.testing.assert_array_equal(np.isnan(result["p_value"]), [True, True, False, True])
    np.testing.assert_array_equal(np.isnan(result["q_value"]), [True, True, False, True])


def test_half_precision_is_computed_in_double():
    a, b = (array.astype(np.float16) for array in two_samples())
    np.testing.assert_array_equal(distance(a, b), distance(a.astype(np.float64), b.astype(np.float64)))


def test_labels_that_both_have_survive():
    a, b = two_samples(shape=(2, 3))
    a = a.assign_coords(layer=[4, 5], neuron=[0, 1, 2], checkpoint=64, model="m", upos=("token", ["DET"] * 40))
    b = b.transpose("neuron", "token", "layer").assign_coords(layer=[4, 5], neuron=[0, 1, 2], checkpoint=4000, model="m")
    result = distribution_distance(a, b, n_permutations=3)["transport_distance"]
    assert result.dims == ("layer", "neuron")
    assert set(result.coords) == {"layer", "neuron", "model"}
    chosen = result.sel(layer=5, neuron=1)
    assert float(chosen) == pytest.approx(wasserstein_distance(a.sel(layer=5, neuron=1), b.sel(layer=5, neuron=1)))


def test_blocks_change_nothing(monkeypatch):
    a, b = two_samples(shape=(2, 9))
    whole = distribution_distance(a, b, n_permutations=9, seed=1)
    monkeypatch.setattr("analysis.transport.two_samples._BLOCK_BYTES", 1)
    monkeypatch.setattr("analysis.transport.two_samples._BLOCK_NEURONS", 2)
    xr.testing.assert_allclose(distribution_distance(a, b, n_permutations=9, seed=1), whole, rtol=1e-12)


def test_a_lazy_store_is_read_in_parts(store, monkeypatch):
    monkeypatch.setattr("analysis.transport.two_samples._BLOCK_BYTES", 1)
    first, last = (store["preactivation"].sel(checkpoint=step) for step in (0, 4000))
    sizes = []
    compute = xr.DataArray.compute
    monkeypatch.setattr(xr.DataArray, "compute", lambda array: sizes.append(array.size) or compute(array))
    result = distribution_distance(first, last)["transport_distance"]
    assert max(sizes) <= 64 * store.sizes["token"]
    assert result.dims == ("layer", "neuron")
    expected = wasserstein_distance(*(part.isel(layer=1, neuron=70).values.astype(float) for part in (first, last)))
    assert float(result.isel(layer=1, neuron=70)) == pytest.approx(expected)


@pytest.mark.parametrize(("a_chunks", "b_chunks"), [((10, 1, 2), (55, 2, 3)), ((40, 2, 4), None), (None, (20, 1, 3))])
def test_dask_equals_eager(a_chunks, b_chunks):
    a, b = two_samples(shape=(2, 5))
    eager = distribution_distance(a, b, standardise=True, n_permutations=9)
    lazy_a, lazy_b = (
        array if chunks is None else array.copy(data=dask.array.from_array(array.values, chunks))
        for array, chunks in ((a, a_chunks), (b, b_chunks))
    )
    lazy = distribution_distance(lazy_a, lazy_b, standardise=True, n_permutations=9)
    assert all(array.chunks is not None for array in lazy.values())
    xr.testing.assert_allclose(lazy.compute(), eager, rtol=1e-12)


def test_workers_of_a_cluster_agree():
    distributed = pytest.importorskip("distributed")
    a, b = two_samples(shape=(2, 5))
    with distributed.Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None):
        lazy = distribution_distance(a.chunk(layer=1), b.chunk(token=20), n_permutations=9).compute()
        sliced = sliced_distance(a.chunk(layer=1), b.chunk(layer=1), n_permutations=3).compute()
    xr.testing.assert_allclose(lazy, distribution_distance(a, b, n_permutations=9), rtol=1e-12)
    xr.testing.assert_allclose(sliced, sliced_distance(a, b, n_permutations=3), rtol=1e-12)


@pytest.mark.parametrize("p", [1, 2])
def test_null_neurons_are_rejected_at_the_nominal_rate(p):
    """Neurons of independent tokens, so that the share of rejections is binomial."""
    rng = np.random.default_rng(3)
    a, b = labelled(rng.normal(size=(60, 800))), labelled(rng.normal(size=(40, 800)))
    result = distribution_distance(a, b, p=p, n_permutations=199)
    assert 0.02 < (result["p_value"] <= 0.05).mean() < 0.08
    assert 0.4 < result["p_value"].median() < 0.6
    assert (result["q_value"] < 0.05).sum() <= 1


def test_only_planted_shifts_are_found():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(150, 60)), rng.normal(size=(120, 60))
    b[:, :12] += 1.5
    result = distribution_distance(labelled(a), labelled(b), n_permutations=199)
    np.testing.assert_allclose(result["p_value"][:12], 1 / 200)
    assert (result["q_value"][:12] < 0.05).all()
    assert (result["q_value"][12:] < 0.05).sum() <= 1


def test_every_split_of_a_small_sample():
    """Four values in halves: the observed split and its mirror image of 6 are the furthest apart."""
    result = distribution_distance(labelled([[0.0], [1.0]]), labelled([[10.0], [11.0]]), n_permutations=6000)
    assert float(result["p_value"][0]) == pytest.approx(2 / 6, abs=0.02)


def test_seed_decides():
    a, _ = two_samples()
    first, again, reseeded = (distribution_distance(a, a + 0.3, n_permutations=99, seed=seed)["p_value"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != reseeded).any()


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), "neuron"),
        (np.zeros((4, 2)), np.zeros((1, 2)), "at least two"),
    ],
)
def test_wrong_shapes_are_named(a, b, message):
    for function in (distribution_distance, sliced_distance):
        with pytest.raises(ValueError, match=message):
            function(labelled(a), labelled(b))


def test_wrong_input_is_named():
    a, b = two_samples()
    with pytest.raises(ValueError, match="need the dims word"):
        distribution_distance(a, b, "word")
    with pytest.raises(ValueError, match="the same others"):
        distribution_distance(a, b.rename(neuron="hidden"))
    with pytest.raises(ValueError, match="neuron"):
        distribution_distance(a.assign_coords(neuron=range(7)), b.assign_coords(neuron=range(1, 8)))
    with pytest.raises(ValueError, match="at least 1"):
        distribution_distance(a, b, p=0.5)


# Joint distributions


def test_sliced_equals_pot():
    a, b = two_samples(shape=(3, 4))
    result = sliced_distance(a, b, n_projections=20, seed=5)["transport_distance"]
    assert result.dims == ("layer",)
    directions = np.random.default_rng(5).normal(size=(4, 20))
    directions /= np.linalg.norm(directions, axis=0)
    for layer in range(3):
        x, y = a.isel(layer=layer).values, b.isel(layer=layer).values
        expected = ot.sliced_wasserstein_distance(x, y, projections=directions)
        assert float(result[layer]) == pytest.approx(expected)


def test_one_neuron_needs_no_slices():
    a, b = two_samples(shape=(1,))
    assert float(sliced_distance(a, b, n_projections=3)["transport_distance"]) == pytest.approx(distance(a, b, p=2)[0])


def test_sliced_shift_by_quadrature():
    """A shift c moves a projection by its cosine: √(mean cos²) |c| = |c| / √d."""
    a, _ = two_samples(shape=(4,))
    shift = np.array([3.0, 0, 4, 0])
    result = sliced_distance(a, a + shift, n_projections=3000)["transport_distance"]
    assert float(result) == pytest.approx(5 / np.sqrt(4), rel=0.04)
    assert float(sliced_distance(a, a)["transport_distance"]) == pytest.approx(0, abs=1e-7)


def test_sliced_sees_dependence_that_margins_do_not():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 400))
    a, b = labelled(np.stack([x, x], axis=1)), labelled(np.stack([y, rng.permutation(y)], axis=1))
    assert float(sliced_distance(a, b, n_permutations=49)["p_value"]) == 1 / 50
    assert (distribution_distance(a, b, n_permutations=99)["p_value"] > 0.05).all()


def test_sliced_null():
    rng = np.random.default_rng(7)
    a, b = (labelled(rng.normal(size=(200, 40, 3)), ("layer", "token", "neuron")) for _ in "ab")
    p = sliced_distance(a, b, n_projections=5, n_permutations=59)["p_value"]
    assert 0.02 <= (p <= 0.05).mean() <= 0.08
    assert 0.4 < p.median() < 0.6


def test_sliced_sets_of_other_neurons():
    a, b = two_samples()
    named = sliced_distance(a.assign_coords(neuron=range(7)), b.assign_coords(neuron=range(10, 17)))
    xr.testing.assert_identical(named, sliced_distance(a, b))
