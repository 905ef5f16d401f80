"""Reading and editing pre-activations inside a running model.

Owns every forward hook. Both context managers always remove their hooks on exit.
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
    """The tensor of a module's input or output: the value itself, or the first tensor of floats in a sequence.

    Raises
    ------
    ModelError
        If there is no such tensor.
    """
    if isinstance(values, torch.Tensor):
        return values
    return cast(torch.Tensor, values[_tensor_index(values)])


def with_tensor(output: Any, values: torch.Tensor) -> Any:
    """A module's output in which `values` replace the tensor that `tensor_of` returns."""
    if isinstance(output, torch.Tensor):
        return values
    index = _tensor_index(output)
    return (*output[:index], values, *output[index + 1 :])


def _tensor_index(values: Any) -> int:
    items = values if isinstance(values, tuple | list) else ()
    index = next((i for i, item in enumerate(items) if isinstance(item, torch.Tensor) and item.is_floating_point()), None)
    if index is None:
        raise ModelError("the input or output of a module at the site has no tensor of floats; choose another --site")
    return index


@contextmanager
def observe(sites: Sequence[Module], receive: Receive) -> Iterator[None]:
    """Pass every site's input and output to `receive`, during the forward passes inside the context.

    Parameters
    ----------
    sites : sequence of Module
    receive : callable
        Called with the site's index, and its input and output as `tensor_of` returns them: (batch,
        position, ·), for some modules with more dims or flattened to two. These are the model's own
        tensors; copy them to keep them.
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
    """Apply `change` to chosen neurons, during the forward passes inside the context.

    Edits may nest if no neuron is edited twice.

    Parameters
    ----------
    sites : mapping of int to Module
        Layer → its pre-activation module.
    neurons : mapping of int to sequence of int
        Layer → the neurons to edit.
    change : callable
        Called with a layer and its chosen pre-activations (…, n_chosen), and with `activations` also
        with their activations; returns the values that replace them, in the same shape.
    activations : mapping of int to Module, optional
        Layer → its activation module, if activations are replaced.

    Raises
    ------
    ActstoreError
        If one of the neurons is already being edited, or there is no such layer or neuron. A neuron
        beyond the last one is refused in the first forward pass, which shows the site's width.
    """
    _check_indices(neurons, sites)
    handles: list[Any] = []
    additions: list[tuple[set[int], set[int]]] = []
    try:
        for layer, chosen in neurons.items():
            edited: set[int] = sites[layer].__dict__.setdefault("_actstore_edited", set())
            added = {int(neuron) for neuron in chosen}
            if repeated := sorted(edited & added):
                raise ActstoreError(
                    f"neuron {repeated[0]} of layer {layer} is already under an intervention; leave that one first"
                )
            edited |= added
            additions.append((edited, added))
            index = torch.as_tensor(chosen, dtype=torch.long)
            hook = _edit_hook(layer, index, change, activations is not None)
            handles.append((activations or sites)[layer].register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for edited, added in additions:
            edited -= added


def _check_indices(neurons: Mapping[Any, Sequence[Any]], sites: Mapping[int, Module]) -> None:
    """Refuse a value that is no layer or neuron; torch would count a negative one from the end."""
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
        full = tensor_of(output)
        index = index.to(full.device)
        rows = full.flatten(2) if full.ndim > 3 else full  # a neuron is an index into all values of a token
        if largest >= rows.shape[-1]:
            raise SelectionError(f"there is no neuron {largest}: layer {layer} has neurons 0 to {rows.shape[-1] - 1}")
        original = rows.index_select(-1, index)
        values = change(layer, args[0].index_select(-1, index), original) if of_activation else change(layer, original)
        return with_tensor(output, rows.index_copy(-1, index, values.to(full.dtype)).reshape(full.shape))

    return hook
