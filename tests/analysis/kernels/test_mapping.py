from __future__ import annotations

import numpy as np
import pytest

from analysis.kernels.mapping import mapping_difficulty


def plain(x, y, pairs):
    """The definition, pair by pair and neuron by neuron."""
    distance = np.array([np.linalg.norm(x[i] - x[j]) for i, j in pairs])
    differs = distance > 0
    difficulty = []
    for neuron in range(y.shape[1]):
        gap = np.array([abs(y[i, neuron] - y[j, neuron]) for i, j in pairs])[differs]
        difficulty.append(np.mean((gap / np.median(gap)) / (distance[differs] / distance[differs].max())))
    return np.array(difficulty)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.normal(size=(60, 7))
    return x, y, rng.integers(0, 60, size=(300, 2))


def test_the_definition(data):
    x, y, pairs = data
    result = mapping_difficulty(x, y, pairs)
    np.testing.assert_allclose(result.difficulty, plain(x, y, pairs), rtol=1e-5)
    assert result.n_identical == (pairs[:, 0] == pairs[:, 1]).sum()
    gaps = np.abs(y[pairs[:, 0]] - y[pairs[:, 1]])[pairs[:, 0] != pairs[:, 1]]
    np.testing.assert_allclose(result.output_scale, np.median(gaps, axis=0), rtol=1e-6)


def test_scale_and_shift_change_nothing(data):
    x, y, pairs = data
    expected = mapping_difficulty(x, y, pairs).difficulty
    np.testing.assert_allclose(mapping_difficulty(3 * x, 5 * y - 2, pairs).difficulty, expected, rtol=1e-4)


def test_same_inputs_up_to_rounding_are_left_out(data):
    x, y, pairs = data
    x[30:] = x[:30] * (1 + 1e-4)
    same = np.stack([np.arange(30), np.arange(30, 60)], axis=1)
    result = mapping_difficulty(x, y, np.concatenate([pairs, same]))
    assert result.n_identical >= 30
    assert result.difficulty.max() < 100


def test_a_neuron_that_drives_similar_inputs_apart_is_hard():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 1))
    steep = np.sign(x)  # flips between neighbours around 0
    y = np.concatenate([x, steep, rng.normal(size=(2000, 1))], axis=1)
    smooth, _, noise = mapping_difficulty(x, y, rng.integers(0, 2000, size=(4000, 2))).difficulty
    assert noise > 2 * smooth


def test_a_constant_neuron_has_no_difficulty(data):
    x, y, pairs = data
    y[:, 2] = 1.5
    difficulty = mapping_difficulty(x, y, pairs).difficulty
    assert np.isnan(difficulty[2])
    assert np.isfinite(np.delete(difficulty, 2)).all()


def test_all_inputs_identical():
    result = mapping_difficulty(np.ones((5, 3)), np.arange(10.0).reshape(5, 2), np.array([[0, 1], [2, 3]]))
    assert result.n_identical == 2
    assert np.isnan(result.difficulty).all()
