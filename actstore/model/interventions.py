"""Interventions on pre-activations, as pure functions of tensors.

Owns what each intervention computes (Kong et al. 2026, section on ablations, and the controls that
its reviewers asked for); where it is applied is `hooks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actstore.errors import ActstoreError, UnknownNameError

if TYPE_CHECKING:  # names of interventions are checked where there is no torch
    from torch import Tensor


def negative_zero(preactivation: Tensor) -> Tensor:
    """`max(a, 0)`: the negative side is silenced."""
    return preactivation.clamp(min=0)


def positive_zero(preactivation: Tensor) -> Tensor:
    """`min(a, 0)`: the mirror control."""
    return preactivation.clamp(max=0)


def both_zero(preactivation: Tensor) -> Tensor:
    """`0`: the neuron is silenced."""
    return preactivation.new_zeros(preactivation.shape)


def scale(preactivation: Tensor, factor: float) -> Tensor:
    """`factor · a`."""
    return preactivation * factor


def mean_ablate_negative(preactivation: Tensor, negative_mean: Tensor) -> Tensor:
    """Negative values become the neuron's own mean negative value: differentiation goes, the mean stays.

    Parameters
    ----------
    preactivation : Tensor
        (…, neuron).
    negative_mean : Tensor
        (neuron,), at most 0.
    """
    return negative_mean.where(preactivation < 0, preactivation)


def sign_flip(preactivation: Tensor, activation: Tensor) -> Tensor:
    """`|act(a)|` where the activation is negative: its magnitude without its sign."""
    return activation.abs()


def identity_on_positive(preactivation: Tensor, activation: Tensor) -> Tensor:
    """`a` where it is positive, the model's own `act(a)` elsewhere: no curvature on the positive side."""
    return preactivation.where(preactivation > 0, activation)


@dataclass(frozen=True)
class Intervention:
    """A named edit of chosen neurons.

    Attributes
    ----------
    name : str
        As in `INTERVENTIONS`; `scale:FACTOR` with its factor.
    change : callable
        Of the pre-activation (…, neuron); of it and `negative_mean` (neuron,) where that is needed; of
        it and the activation where that is what is edited. Gives a tensor of the same shape.
    edits_activation : bool
        Whether the activation is replaced, instead of the pre-activation.
    needs_negative_mean : bool
        Whether the neurons' mean negative pre-activation must be known.
    """

    name: str
    change: Callable[..., Tensor]
    edits_activation: bool = False
    needs_negative_mean: bool = False


INTERVENTIONS: dict[str, Intervention] = {
    made.name: made
    for made in (
        Intervention("negative-zero", negative_zero),
        Intervention("positive-zero", positive_zero),
        Intervention("both-zero", both_zero),
        Intervention("sign-flip", sign_flip, edits_activation=True),
        Intervention("identity-on-positive", identity_on_positive, edits_activation=True),
        Intervention("mean-ablate-negative", mean_ablate_negative, needs_negative_mean=True),
    )
}


def intervention(name: str) -> Intervention:
    """The intervention of that name.

    Parameters
    ----------
    name : str
        Such as `negative-zero`, or `scale:0.5`, which halves.

    Raises
    ------
    UnknownNameError, ActstoreError
        If there is none, or a factor is no number.
    """
    kind, _, text = name.partition(":")
    if kind == "scale":
        try:
            factor = float(text)
        except ValueError:
            raise ActstoreError(f"intervention {name!r} needs a factor, e.g. scale:0.5") from None
        return Intervention(name, lambda preactivation: scale(preactivation, factor))
    if name not in INTERVENTIONS:
        raise UnknownNameError("intervention", name, [*INTERVENTIONS, "scale:FACTOR"])
    return INTERVENTIONS[name]
