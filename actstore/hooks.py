"""Reading and editing pre-activations inside a running model.

Owns every forward hook. Both context managers take their hooks off whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import Module

from actstore.errors import ActstoreError

Edit = Callable[[torch.Tensor], torch.Tensor]
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
def edit(sites: Sequence[Module], neurons: Mapping[int, Sequence[int]], change: Edit) -> Iterator[None]:
    """Apply `change` to the chosen neurons' pre-activations during the forward passes inside.

    Parameters
    ----------
    sites : sequence of Module
        The pre-activation module of every layer.
    neurons : mapping of int to sequence of int
        Layer to the neurons to edit; all others are untouched.
    change : callable
        Pure function of a tensor (…, n_chosen) to one of the same shape.

    Raises
    ------
    ActstoreError
        If the model is already being edited at one of these layers.
    """
    handles: list[Any] = []
    edited: list[Module] = []
    try:
        for layer, chosen in neurons.items():
            site = sites[layer]
            if getattr(site, "_actstore_edited", False):
                raise ActstoreError(f"layer {layer} is already under an intervention; leave that one first")
            site._actstore_edited = True  # type: ignore[assignment]
            edited.append(site)
            index = torch.as_tensor(chosen, dtype=torch.long, device=next(site.parameters()).device)
            handles.append(site.register_forward_hook(_edit_hook(index, change)))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for site in edited:
            del site._actstore_edited


def _edit_hook(index: torch.Tensor, change: Edit) -> Callable[..., torch.Tensor]:
    def hook(module: Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output.index_copy(-1, index, change(output.index_select(-1, index)))

    return hook
