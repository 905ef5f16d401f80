from __future__ import annotations

import itertools

import numpy as np
import ot
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import xlogy
from scipy.stats import norm, wasserstein_distance

from analysis.kernels.transport import wasserstein_to_normal

FINITE = st.floats(-1e3, 1e3, allow_nan=False, width=32)


def by_quadrature(quantile, breaks=()):
    """W1 of a standardised distribution to N(0, 1), by adaptive quadrature of its quantile function."""
    edges = [0.0, *breaks, 1.0]
    parts = [
        quad(lambda u: abs(quantile(u) - norm.ppf(u)), a, b, limit=500, epsabs=1e-10)[0] for a, b in itertools.pairwise(edges)
    ]
    return sum(parts)


def test_point_masses_by_hand():
    """Half at -1, half at +1: W1 = 2 ∫₀^½ |−1 − Φ⁻¹(u)| du, integrated piece by piece."""
    crossing = norm.cdf(-1)
    by_hand = 2 * (norm.pdf(1) - crossing + 0.5 - crossing + norm.pdf(1) - norm.pdf(0))
    expected = by_quadrature(lambda u: -1.0 if u < 0.5 else 1.0, (crossing, 0.5, 1 - crossing))
    distance = wasserstein_to_normal([-1.0, 1.0] * 50).distance
    assert by_hand == pytest.approx(expected, abs=1e-9)
    assert distance == pytest.approx(by_hand, abs=1e-12)


N_CELLS = 2_000_000
EDGES = np.arange(N_CELLS + 1) / N_CELLS


def uniform():
    return N_CELLS * np.diff(np.sqrt(12) * (EDGES**2 - EDGES) / 2), lambda u: np.sqrt(12) * (u - 0.5)


def exponential():
    return N_CELLS * np.diff(xlogy(1 - EDGES, 1 - EDGES)), lambda u: -np.log1p(-u) - 1


def mixture():
    """A narrow mode far to the left of a wide one, standardised."""
    weights, locations, scales = np.array([0.3, 0.7]), np.array([-2.0, 1.0]), np.array([0.2, 0.8])
    mean = weights @ locations
    spread = np.sqrt(weights @ (scales**2 + locations**2) - mean**2)
    locations, scales = (locations - mean) / spread, scales / spread

    def cdf(x):
        return norm.cdf((np.asarray(x)[..., None] - locations) / scales) @ weights

    def quantile(u):
        return brentq(lambda x: cdf(x) - u, -12, 12, xtol=1e-13)

    grid = np.linspace(-6, 6, 40_001)
    x = np.interp(EDGES, cdf(grid), grid)
    for _ in range(4):
        density = (norm.pdf((x[:, None] - locations) / scales) / scales) @ weights
        x -= np.where(density > 1e-12, (cdf(x) - EDGES) / np.maximum(density, 1e-12), 0)
    x[[0, -1]] = -np.inf, np.inf
    z = (x[:, None] - locations) / scales
    return N_CELLS * np.diff((locations * norm.cdf(z) - scales * norm.pdf(z)) @ weights), quantile


@pytest.mark.parametrize("distribution", [uniform, exponential, mixture])
def test_known_distributions_to_a_millionth(distribution):
    """The sample holds the means of cells of the distribution; the variance within cells, of order 1/n, is missing."""
    sample, quantile = distribution()
    assert wasserstein_to_normal(sample).distance == pytest.approx(by_quadrature(quantile), abs=1e-6)


def test_quadratic_distance_of_point_masses_by_hand():
    """Half at -1, half at +1: W2² = 2 − 2 E|Z|."""
    distance = wasserstein_to_normal([-1.0, 1.0] * 50).quadratic_distance
    assert distance == pytest.approx(np.sqrt(2 - 2 * np.sqrt(2 / np.pi)), abs=1e-12)


def test_three_point_masses_against_quadrature():
    points, weights = np.array([-2.0, 0.5, 1.0]), np.array([0.2, 0.4, 0.4])
    sample = np.repeat(points, (weights * 1000).astype(int))
    mean = weights @ points
    standardised = (points - mean) / np.sqrt(weights @ (points - mean) ** 2)
    edges = np.cumsum(weights)

    def quantile(u):
        return standardised[min(np.searchsorted(edges, u), 2)]

    breaks = sorted({*edges[:2], *norm.cdf(standardised)})
    assert wasserstein_to_normal(sample).distance == pytest.approx(by_quadrature(quantile, breaks), abs=1e-9)


def test_empirical_distribution_against_quadrature():
    """The exact value of a small sample, by quadrature over each cell."""
    rng = np.random.default_rng(0)
    y = np.sort(rng.gamma(2.0, size=40))
    y = (y - y.mean()) / y.std()
    crossings = norm.cdf(y)
    total = 0.0
    for i, value in enumerate(y):
        cell = sorted({i / 40, (i + 1) / 40, min(max(crossings[i], i / 40), (i + 1) / 40)})
        total += sum(quad(lambda u, v=value: abs(v - norm.ppf(u)), a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(cell))
    assert wasserstein_to_normal(y).distance == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("oracle", ["scipy", "pot"])
def test_oracles_agree(oracle):
    """SciPy and POT against a fine grid of normal quantiles."""
    sample = np.random.default_rng(1).gamma(3.0, size=500)
    standardised = (sample - sample.mean()) / sample.std()
    n = 400_000
    grid = norm.ppf((np.arange(n) + 0.5) / n)
    expected = (
        wasserstein_distance(standardised, grid)
        if oracle == "scipy"
        else ot.wasserstein_1d(standardised[:, None], grid[:, None])[0]
    )
    assert wasserstein_to_normal(sample).distance == pytest.approx(float(expected), abs=1e-5)


def test_quadratic_distance_agrees_with_pot():
    sample = np.random.default_rng(1).gamma(3.0, size=500)
    standardised = (sample - sample.mean()) / sample.std()
    grid = norm.ppf((np.arange(400_000) + 0.5) / 400_000)
    squared = float(ot.wasserstein_1d(standardised[:, None], grid[:, None], p=2)[0])
    assert wasserstein_to_normal(sample).quadratic_distance == pytest.approx(np.sqrt(squared), abs=1e-5)


def test_a_normal_sample_has_the_published_level():
    """About 0.0022 at n = 131,072: the sampling error of one sample, without that of a second."""
    sample = np.random.default_rng(2).normal(size=(20, 131_072))
    assert 0.0015 < wasserstein_to_normal(sample).distance.mean() < 0.0030


@given(arrays(np.float64, st.integers(3, 60), elements=FINITE), st.floats(0.1, 50), st.floats(-50, 50))
def test_shift_and_scale_change_nothing(values, scale, shift):
    if np.ptp(values) < 1e-2:
        return
    moved = wasserstein_to_normal(values * scale + shift).distance
    assert moved == pytest.approx(float(wasserstein_to_normal(values).distance), abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_spread_too_small_to_divide_by_counts_as_zero(dtype):
    values = np.zeros((2, 8), dtype)
    values[0, 0] = np.nextafter(dtype(0), dtype(1))  # the smallest number above zero
    values[1] = np.arange(8)
    assert np.isnan(wasserstein_to_normal(values).distance).tolist() == [True, False]


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(3, 40)), elements=FINITE), st.randoms())
def test_order_and_layout_change_nothing(values, random):
    permutation = list(range(values.shape[1]))
    random.shuffle(permutation)
    plain = wasserstein_to_normal(values)
    np.testing.assert_allclose(wasserstein_to_normal(values[:, permutation]).distance, plain.distance, atol=1e-9)
    np.testing.assert_array_equal(wasserstein_to_normal(values.T, axis=0).distance, plain.distance)


@given(arrays(np.float64, st.integers(3, 60), elements=FINITE))
def test_negation_mirrors(values):
    """W1 is the same, and the shares of the two sides add up where no value is zero."""
    values = values[np.abs(values) > 1e-3]
    if len(values) < 3 or np.ptp(values) < 1e-2:
        return
    plain, mirrored = wasserstein_to_normal(values), wasserstein_to_normal(-values)
    assert plain.distance == pytest.approx(float(mirrored.distance), abs=1e-9)
    assert plain.negative_share + mirrored.negative_share == pytest.approx(1, abs=1e-9)


def test_zero_variance_has_no_distance():
    result = wasserstein_to_normal(np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]]))
    assert np.isnan([column[0] for column in result]).all()
    assert np.isfinite([column[1] for column in result]).all()


def test_float16_is_computed_in_higher_precision():
    sample = np.random.default_rng(3).normal(300, 1, size=4096).astype(np.float16)
    wide = wasserstein_to_normal(sample.astype(np.float64)).distance
    assert wasserstein_to_normal(sample).distance == pytest.approx(float(wide), abs=1e-7)


@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4), st.floats(1e-2, 1e2))
def test_single_precision_is_precise_enough(seed, mean, scale):
    sample = (np.random.default_rng(seed).gamma(2.0, size=(2, 300)) * scale + mean).astype(np.float32)
    np.testing.assert_allclose(wasserstein_to_normal(sample)[0], wasserstein_to_normal(sample.astype(np.float64))[0], atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    values = np.random.default_rng(4).normal(size=(7, 100))
    whole = wasserstein_to_normal(values).distance
    monkeypatch.setattr("analysis.kernels.parallel._BLOCK_ELEMENTS", 150)
    np.testing.assert_array_equal(wasserstein_to_normal(values).distance, whole)
    np.testing.assert_array_equal(wasserstein_to_normal(np.asfortranarray(values)).distance, whole)


def test_one_value_is_no_distribution():
    with pytest.raises(ValueError, match="at least two"):
        wasserstein_to_normal([1.0])
