"""Non-linearities against torch's own and against those that models are built of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.activations import ACT2FN

from analysis.kernels.activations import ACTIVATIONS
from analysis.kernels.separation import Activations

X = np.concatenate([np.linspace(-12, 12, 4001), [-40.0, 40.0, 0.0]])


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("gelu", torch.nn.functional.gelu),
        ("gelu_pytorch_tanh", lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
        ("silu", torch.nn.functional.silu),
        ("relu", torch.nn.functional.relu),
    ],
)
def test_torch_agrees(name, reference):
    np.testing.assert_allclose(ACTIVATIONS[name](X), reference(torch.from_numpy(X)).numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) & set(ACT2FN)))
def test_names_mean_what_models_mean_by_them(name):
    """Tanh approximations are written with constants of 7 to 16 digits."""
    np.testing.assert_allclose(ACTIVATIONS[name](X), ACT2FN[name](torch.from_numpy(X)).numpy(), rtol=1e-6, atol=1e-6)


def test_nearly_all_names_are_those_of_models():
    assert set(ACTIVATIONS) <= set(ACT2FN)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_the_positive_part_is_the_activation_of_the_positive_part(name):
    values = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)
    parts = Activations.of(values, ACTIVATIONS[name])
    np.testing.assert_array_equal(parts.whole, ACTIVATIONS[name](values.astype(np.float64)).astype(np.float32))
    expected = ACTIVATIONS[name](np.maximum(values, 0).astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(parts.positive, expected)
    np.testing.assert_array_equal(parts.take(slice(1, 2)).whole, parts.whole[1:2])
