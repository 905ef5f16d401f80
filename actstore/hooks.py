"""Reading and editing pre-activations inside a running model.

Owns every forward hook. Both context managers take their hooks off whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import torch
from torch.nn import Module

from actstore.errors import ActstoreError, SelectionError

Change = Callable[..., torch.Tensor]
Receive = Callable[[int, torch.Tensor, torch.Tensor], None]


@contextmanager
def observe(sites: Sequence[Module], receive: Receive) -> Iterator[None]:
    """Show every site's input and output to `receive` during the forward passes inside.

    Parameters
    ----------
    sites : sequence of Module
    receive : callable
        Called with the site's index, its input and its output, (batch, position, ·) or flattened
        to two dims. They are the model's own tensors: what is to be kept must be copied.
    """

    def hook_for(index: int) -> Callable[..., None]:
        def hook(module: Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            receive(index, args[0], output)

        return hook

    handles = [site.register_forward_hook(hook_for(index)) for index, site in enumerate(sites)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def edit(
    sites: Sequence[Module],
    neurons: Mapping[int, Sequence[int]],
    change: Change,
    activations: Sequence[Module] | None = None,
) -> Iterator[None]:
    """Apply `change` to chosen neurons during the forward passes inside.

    Edits nest as long as no neuron is edited twice.

    Parameters
    ----------
    sites : sequence of Module
        The pre-activation module of every layer.
    neurons : mapping of int to sequence of int
        Layer to the neurons to edit; all others are untouched.
    change : callable
        Of a layer and its chosen pre-activations (…, n_chosen), and with `activations` of their
        activations too; gives what takes their place, in the same shape.
    activations : sequence of Module, optional
        The activation module of every layer, if the activation is what is replaced.

    Raises
    ------
    ActstoreError
        If one of the neurons is already being edited, or there is no such layer or neuron; a neuron
        beyond the last is refused in the first forward pass, where the site's width is known.
    """
    _check_places(neurons, len(sites))
    handles: list[Any] = []
    marked: list[tuple[set[int], set[int]]] = []
    try:
        for layer, chosen in neurons.items():
            edited: set[int] = sites[layer].__dict__.setdefault("_actstore_edited", set())
            wanted = {int(neuron) for neuron in chosen}
            if twice := sorted(edited & wanted):
                raise ActstoreError(
                    f"neuron {twice[0]} of layer {layer} is already under an intervention; leave that one first"
                )
            edited |= wanted
            marked.append((edited, wanted))
            index = torch.as_tensor(chosen, dtype=torch.long)
            hook = _edit_hook(layer, index, change, activations is not None)
            handles.append((activations or sites)[layer].register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for edited, wanted in marked:
            edited -= wanted


def _check_places(neurons: Mapping[Any, Sequence[Any]], n_layers: int) -> None:
    """Refuse what is no layer or neuron: a negative one would count from the end."""
    for layer, chosen in neurons.items():
        for value in (layer, *chosen):
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
                raise SelectionError(f"layers and neurons are whole numbers from 0, got {value!r}; name those to edit")
        if layer >= n_layers:
            raise SelectionError(f"there is no layer {layer}: the model has layers 0 to {n_layers - 1}")


def _edit_hook(layer: int, index: torch.Tensor, change: Change, of_activation: bool) -> Callable[..., torch.Tensor]:
    largest = max(index.tolist(), default=-1)

    def hook(module: Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        nonlocal index
        if largest >= output.shape[-1]:
            raise SelectionError(f"there is no neuron {largest}: layer {layer} has neurons 0 to {output.shape[-1] - 1}")
        index = index.to(output.device)
        given = output.index_select(-1, index)
        values = change(layer, args[0].index_select(-1, index), given) if of_activation else change(layer, given)
        return output.index_copy(-1, index, values.to(output.dtype))

    return hook
