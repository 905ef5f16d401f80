"""Reading and editing pre-activations inside a running model.

Owns every forward hook. Both context managers take their hooks off whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, cast

import torch
from torch.nn import Module

from actstore.errors import ActstoreError, ModelError, SelectionError

Change = Callable[..., torch.Tensor]
Receive = Callable[[int, torch.Tensor, torch.Tensor], None]


def tensor_of(values: Any) -> torch.Tensor:
    """The numbers that a module takes or gives: the tensor itself, or the first one of floats among several things.

    Raises
    ------
    ModelError
        If there is none.
    """
    if isinstance(values, torch.Tensor):
        return values
    return cast(torch.Tensor, values[_place_of(values)])


def with_tensor(output: Any, values: torch.Tensor) -> Any:
    """A module's output with `values` in the place of what `tensor_of` takes from it."""
    if isinstance(output, torch.Tensor):
        return values
    place = _place_of(output)
    return (*output[:place], values, *output[place + 1 :])


def _place_of(values: Any) -> int:
    things = values if isinstance(values, tuple | list) else ()
    place = next((i for i, thing in enumerate(things) if isinstance(thing, torch.Tensor) and thing.is_floating_point()), None)
    if place is None:
        raise ModelError("a module at the site takes or gives no tensor of numbers; choose another --site")
    return place


@contextmanager
def observe(sites: Sequence[Module], receive: Receive) -> Iterator[None]:
    """Show every site's input and output to `receive` during the forward passes inside.

    Parameters
    ----------
    sites : sequence of Module
    receive : callable
        Called with the site's index, its input and its output as `tensor_of` takes them: (batch,
        position, ·), of some modules with more dims or flattened to two. They are the model's own
        tensors: what is to be kept must be copied.
    """

    def hook_for(index: int) -> Callable[..., None]:
        def hook(module: Module, args: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
            receive(index, tensor_of((*args, *keywords.values())), tensor_of(output))

        return hook

    handles = [site.register_forward_hook(hook_for(index), with_kwargs=True) for index, site in enumerate(sites)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def edit(
    sites: Mapping[int, Module],
    neurons: Mapping[int, Sequence[int]],
    change: Change,
    activations: Mapping[int, Module] | None = None,
) -> Iterator[None]:
    """Apply `change` to chosen neurons during the forward passes inside.

    Edits nest as long as no neuron is edited twice.

    Parameters
    ----------
    sites : mapping of int to Module
        Layer to its pre-activation module.
    neurons : mapping of int to sequence of int
        Layer to the neurons to edit; all others are untouched.
    change : callable
        Of a layer and its chosen pre-activations (…, n_chosen), and with `activations` of their
        activations too; gives what takes their place, in the same shape.
    activations : mapping of int to Module, optional
        Layer to its activation module, if the activation is what is replaced.

    Raises
    ------
    ActstoreError
        If one of the neurons is already being edited, or there is no such layer or neuron; a neuron
        beyond the last is refused in the first forward pass, where the site's width is known.
    """
    _check_places(neurons, sites)
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


def _check_places(neurons: Mapping[Any, Sequence[Any]], sites: Mapping[int, Module]) -> None:
    """Refuse what is no layer or neuron: a negative one would count from the end."""
    for layer, chosen in neurons.items():
        for value in (layer, *chosen):
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
                raise SelectionError(f"layers and neurons are whole numbers from 0, got {value!r}; name those to edit")
        if layer not in sites:
            raise SelectionError(f"there is no layer {layer}: the site is in layers {min(sites)} to {max(sites)}")


def _edit_hook(layer: int, index: torch.Tensor, change: Change, of_activation: bool) -> Callable[..., Any]:
    largest = max(index.tolist(), default=-1)

    def hook(module: Module, args: tuple[torch.Tensor, ...], output: Any) -> Any:
        nonlocal index
        whole = tensor_of(output)
        index = index.to(whole.device)
        rows = whole.flatten(2) if whole.ndim > 3 else whole  # a neuron's number counts through all dims of a token
        if largest >= rows.shape[-1]:
            raise SelectionError(f"there is no neuron {largest}: layer {layer} has neurons 0 to {rows.shape[-1] - 1}")
        before = rows.index_select(-1, index)
        values = change(layer, args[0].index_select(-1, index), before) if of_activation else change(layer, before)
        return with_tensor(output, rows.index_copy(-1, index, values.to(whole.dtype)).reshape(whole.shape))

    return hook
