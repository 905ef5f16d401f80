from __future__ import annotations

import pytest
import torch

from actstore.errors import UnknownNameError
from actstore.interventions import INTERVENTIONS, intervention

VALUES = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("negative-zero", [0, 0, 0, 0.5, 2]), ("positive-zero", [-2, -0.5, 0, 0, 0]), ("both-zero", [0, 0, 0, 0, 0])],
)
def test_values(name, expected):
    given = VALUES.clone()
    assert intervention(name)(given).tolist() == expected
    assert torch.equal(given, VALUES), "an intervention must not write to its input"


def test_negative_and_positive_parts_add_up():
    assert torch.equal(intervention("negative-zero")(VALUES) + intervention("positive-zero")(VALUES), VALUES)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_idempotent(name):
    once = intervention(name)(VALUES)
    assert torch.equal(intervention(name)(once), once)


def test_unknown_name():
    with pytest.raises(UnknownNameError, match="did you mean 'negative-zero'"):
        intervention("negativ-zero")
