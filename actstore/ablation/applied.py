"""A model under an intervention on chosen neurons, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from actstore.errors import SelectionError
from actstore.model.families import adapter_for
from actstore.model.hooks import edit
from actstore.model.interventions import Intervention, intervention
from actstore.model.sites import refuse_idle

Neurons = Mapping[int, Sequence[int]]
"""Layer → neurons."""


@contextlib.contextmanager
def applied(
    model: PreTrainedModel,
    change: Intervention | str,
    neurons: Neurons,
    *,
    negative_mean: NDArray[np.floating] | None = None,
    site: str | None = None,
) -> Iterator[PreTrainedModel]:
    """A model under an intervention; as it was on leaving, whatever happened.

    Parameters
    ----------
    model : PreTrainedModel
    change : Intervention or str
        The intervention, or its name.
    neurons : mapping of int to sequence of int
        Layer to the neurons that are edited.
    negative_mean : array (layer, neuron), optional
        Mean negative pre-activation of every neuron of the model, for interventions that need it.
    site : str, optional
        As in `actstore extract`.

    Raises
    ------
    ActstoreError
        If one of the neurons is already under an intervention, there is no such layer or neuron, or
        the family's modules are not known.
    """
    edits = intervention(change) if isinstance(change, str) else change
    adapter = adapter_for(model, site)
    if edits.needs_negative_mean and negative_mean is None:
        raise SelectionError(f"{edits.name} needs every neuron's mean negative pre-activation; name the design's statistics")
    # A neuron that was never negative has no mean: there, 0 is the nearest that is not positive.
    means = None if negative_mean is None else torch.from_numpy(np.nan_to_num(negative_mean)).to(model.device, model.dtype)

    @cache
    def means_of(layer: int) -> tuple[torch.Tensor, ...]:
        return () if means is None or not edits.needs_negative_mean else (means[layer, list(neurons[layer])],)

    def edited(layer: int, *values: torch.Tensor) -> torch.Tensor:
        return edits.change(*values, *means_of(layer))

    activations = adapter.activations(model) if edits.edits_activation else None
    modules = adapter.modules(model)
    first = min(modules.keys() & neurons.keys(), default=None)
    if not adapter.activation and first is not None:
        refuse_idle(model, adapter.site, modules[first])
    with edit(modules, neurons, edited, activations):
        yield model
