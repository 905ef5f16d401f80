"""Interventions on pre-activations, as pure functions of tensors.

Owns what each intervention computes (Kong et al. 2026, section on ablations); where it is
applied is `hooks.py`.
"""

from __future__ import annotations

import torch

from actstore.errors import UnknownNameError
from actstore.hooks import Edit


def negative_zero(preactivation: torch.Tensor) -> torch.Tensor:
    """`max(a, 0)`: the negative side is silenced."""
    return preactivation.clamp(min=0)


def positive_zero(preactivation: torch.Tensor) -> torch.Tensor:
    """`min(a, 0)`: the mirror control."""
    return preactivation.clamp(max=0)


def both_zero(preactivation: torch.Tensor) -> torch.Tensor:
    """`0`: the neuron is silenced."""
    return torch.zeros_like(preactivation)


INTERVENTIONS: dict[str, Edit] = {
    "negative-zero": negative_zero,
    "positive-zero": positive_zero,
    "both-zero": both_zero,
}


def intervention(name: str) -> Edit:
    """The intervention of that name.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in INTERVENTIONS:
        raise UnknownNameError("intervention", name, INTERVENTIONS)
    return INTERVENTIONS[name]
