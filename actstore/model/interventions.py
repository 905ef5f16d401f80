"""Interventions on pre-activations: pure functions of tensors, each registered where it is written.

Owns what each intervention computes (Kong et al. 2026, section on ablations, and the controls that its reviewers asked for);
where it is applied is `hooks.py`. One's own is a function in a plugin, registered by `register_intervention`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from actstore.errors import ActstoreError
from actstore.registry import Registry

if TYPE_CHECKING:  # names of interventions are checked where there is no torch
    from torch import Tensor

F = TypeVar("F", bound=Callable[..., "Tensor"])


@dataclass(frozen=True)
class Intervention:
    """A named edit of chosen neurons.

    Attributes
    ----------
    name : str
        As it is registered; with its number after a colon where it takes one, `scale:0.5`.
    change : callable
        Of the pre-activation (…, neuron); of it and `negative_mean` (neuron,) where that is needed; of it and the activation
        where that is what is edited. Gives a tensor of the same shape.
    edits_activation : bool
        Whether the activation is replaced, instead of the pre-activation.
    needs_negative_mean : bool
        Whether the neurons' mean negative pre-activation must be known.
    """

    name: str
    change: Callable[..., Tensor]
    edits_activation: bool = False
    needs_negative_mean: bool = False

    @property
    def parameter(self) -> str | None:
        """The name of the number that it takes: the keyword-only argument of its function."""
        arguments = inspect.signature(self.change).parameters.values()
        return next((argument.name for argument in arguments if argument.kind is argument.KEYWORD_ONLY), None)


INTERVENTIONS: Registry[Intervention] = Registry("intervention", __name__)


def register_intervention(name: str, *, edits_activation: bool = False, needs_negative_mean: bool = False) -> Callable[[F], F]:
    """Register a function as an intervention.

    Parameters
    ----------
    name : str
        Of the intervention in designs and stores.
    edits_activation, needs_negative_mean : bool
        As in `Intervention`: what the function takes beside the pre-activation (…, neuron).

    Returns
    -------
    callable
        A decorator that gives the function back. A keyword-only argument is a number that designs write after a colon.

    Raises
    ------
    ActstoreError
        If another module has registered that name.

    Examples
    --------
    >>> from actstore import register_intervention
    >>> @register_intervention("shift")
    ... def shift(preactivation, *, by):
    ...     return preactivation + by

    A design then says `interventions = ["shift:0.5"]`.
    """

    def register(function: F) -> F:
        entry = Intervention(name, function, edits_activation, needs_negative_mean)
        INTERVENTIONS.add(name, entry, function.__module__)
        return function

    return register


def intervention(name: str) -> Intervention:
    """The intervention of that name.

    Parameters
    ----------
    name : str
        Such as `negative-zero`, or `scale:0.5`, which halves.

    Raises
    ------
    UnknownNameError, ActstoreError
        If there is none, or it takes a number and none, or no number, is there.
    """
    kind, colon, text = name.partition(":")
    entry = INTERVENTIONS[kind]
    if entry.parameter is None:
        if colon:
            raise ActstoreError(f"intervention {kind!r} takes no number; write {kind}")
        return entry
    try:
        number = float(text)
    except ValueError:
        raise ActstoreError(f"intervention {name!r} needs a {entry.parameter}, e.g. {kind}:0.5") from None
    return replace(entry, name=name, change=partial(entry.change, **{entry.parameter: number}))


@register_intervention("negative-zero")
def negative_zero(preactivation: Tensor) -> Tensor:
    """`max(a, 0)`: the negative side is silenced."""
    return preactivation.clamp(min=0)


@register_intervention("positive-zero")
def positive_zero(preactivation: Tensor) -> Tensor:
    """`min(a, 0)`: the mirror control."""
    return preactivation.clamp(max=0)


@register_intervention("both-zero")
def both_zero(preactivation: Tensor) -> Tensor:
    """`0`: the neuron is silenced."""
    return preactivation.new_zeros(preactivation.shape)


@register_intervention("scale")
def scale(preactivation: Tensor, *, factor: float) -> Tensor:
    """`factor · a`."""
    return preactivation * factor


@register_intervention("mean-ablate-negative", needs_negative_mean=True)
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


@register_intervention("sign-flip", edits_activation=True)
def sign_flip(preactivation: Tensor, activation: Tensor) -> Tensor:
    """`|act(a)|` where the activation is negative: its magnitude without its sign."""
    return activation.abs()


@register_intervention("identity-on-positive", edits_activation=True)
def identity_on_positive(preactivation: Tensor, activation: Tensor) -> Tensor:
    """`a` where it is positive, the model's own `act(a)` elsewhere: no curvature on the positive side."""
    return preactivation.where(preactivation > 0, activation)
