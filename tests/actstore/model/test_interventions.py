from __future__ import annotations

import pytest
import torch

from actstore.errors import ActstoreError, UnknownNameError
from actstore.model.interventions import intervention

VALUES = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0])
GELU = torch.nn.functional.gelu(VALUES)
MEANS = torch.tensor([-1.0, -3.0, -1.0, -1.0, -1.0])


def result(name):
    edit = intervention(name)
    values = (VALUES.clone(), GELU.clone()) if edit.edits_activation else (VALUES.clone(),)
    changed = edit.change(*values, *([MEANS] if edit.needs_negative_mean else []))
    assert torch.equal(values[0], VALUES), "an intervention must not write to its input"
    return changed


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("negative-zero", [0, 0, 0, 0.5, 2]),
        ("positive-zero", [-2, -0.5, 0, 0, 0]),
        ("both-zero", [0, 0, 0, 0, 0]),
        ("mean-ablate-negative", [-1, -3, 0, 0.5, 2]),
        ("sign-flip", GELU.abs().tolist()),
        ("identity-on-positive", [*GELU[:3].tolist(), 0.5, 2]),
        ("scale:0.5", [-1, -0.25, 0, 0.25, 1]),
        ("scale:-1", [2, 0.5, 0, -0.5, -2]),
    ],
)
def test_values(name, expected):
    assert result(name).tolist() == pytest.approx(expected)


def test_negative_and_positive_parts_add_up():
    assert torch.equal(result("negative-zero") + result("positive-zero"), VALUES)


def test_mean_ablation_keeps_the_mean():
    values = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    means = torch.stack([column[column < 0].mean() for column in values.T])
    changed = intervention("mean-ablate-negative").change(values, means)
    torch.testing.assert_close(changed.mean(0), values.mean(0))
    assert all(len(column[column < 0].unique()) == 1 for column in changed.T)


@pytest.mark.parametrize("name", ["negative-zero", "positive-zero", "both-zero"])
def test_idempotent(name):
    once = result(name)
    assert torch.equal(intervention(name).change(once), once)


def test_unknown_names_and_factors():
    with pytest.raises(UnknownNameError, match="did you mean 'negative-zero'"):
        intervention("negativ-zero")
    with pytest.raises(ActstoreError, match="needs a factor"):
        intervention("scale:half")
