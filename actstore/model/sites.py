"""Sites: the modules whose output is taken as neurons, one a block, and what passes through them.

Owns what is read off a module, whatever its kind: how wide its input and output are, whether its
weights map the one to the other, and whether the model goes on from its output.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Linear, Module
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from actstore.errors import ActstoreError, ModelError, first_line
from actstore.model import scoring
from actstore.model.hooks import observe, tensor_of, with_tensor

_TRIAL = (2, 13)
"""Windows and positions of a pass by which a module is tried: sizes that no other dim is likely to have."""


@dataclass(frozen=True)
class Site:
    """What passes through a site in one block.

    Attributes
    ----------
    n_hidden, n_neurons : int
        Width of the module's input and of its output, for one token.
    is_linear : bool
        Whether the output is the input times the module's weights, plus its bias.
    """

    n_hidden: int
    n_neurons: int
    is_linear: bool


def incoming_weights(module: Module) -> Tensor:
    """The weights (hidden, neuron) by which a linear site's neurons read its input."""
    weight: Tensor = module.get_parameter("weight")
    return weight if isinstance(module, Conv1D) else weight.T  # GPT-2 stores them the other way round


def by_token(values: Tensor, n_windows: int, n_positions: int) -> Tensor:
    """The values (row, width) of a batch's tokens, from (window, position, …) or from (row, width).

    Raises
    ------
    ModelError
        If they are not one row a token.
    """
    if values.ndim > 2 and values.shape[:2] == (n_windows, n_positions):
        return values.flatten(2).flatten(0, 1)
    if values.ndim == 2 and len(values) == n_windows * n_positions:
        return values
    raise ModelError(
        f"the site's values are {' × '.join(map(str, values.shape))} for {n_windows} × {n_positions} tokens, not one row a token; "
        "choose another --site"
    )


def measure(model: PreTrainedModel, name: str, modules: Mapping[int, Module]) -> Site:
    """What passes through a site, the same in all blocks.

    Parameters
    ----------
    model : PreTrainedModel
        On the meta device, as its weights are not needed: where a module is not a plain linear map,
        a few tokens without values are passed through the model.
    name : str
        What messages call the site.
    modules : mapping of int to Module
        Block to its module.

    Raises
    ------
    ModelError
        If a module does not run once when text passes through the model or gives no row a token,
        or blocks differ.
    """
    if all(_is_plain(module) for module in modules.values()):
        shapes = {layer: incoming_weights(module).shape for layer, module in modules.items()}
        sites = {layer: Site(n_hidden, n_neurons, True) for layer, (n_hidden, n_neurons) in shapes.items()}
    else:
        sites = {
            layer: _site(modules[layer], values, output)
            for layer, (values, output) in _passed_through(model, name, modules).items()
        }
    first, site = next(iter(sites.items()))
    for layer, differing in sites.items():
        if differing != site:
            raise ModelError(
                f"{name} maps {site.n_hidden} to {site.n_neurons} values in layer {first} and {differing.n_hidden} to "
                f"{differing.n_neurons} in layer {layer}; take layers of one kind (--layers)"
            )
    return site


@torch.inference_mode()
def refuse_idle(model: PreTrainedModel, name: str, module: Module) -> None:
    """Refuse a site whose output the model does not go on from: no intervention there could change anything.

    A router may return its logits beside the scores that are used. Tried with noise added to the output.

    Raises
    ------
    ModelError
        If the last hidden states do not change.
    """

    generator = torch.Generator().manual_seed(0)

    def disturb(_: Module, __: object, output: object) -> object:
        values = tensor_of(output)
        return with_tensor(output, values + torch.randn(values.shape, generator=generator).to(values))

    intact = scoring.hidden_states(model, *_trial(model))
    handle = module.register_forward_hook(disturb)
    try:
        disturbed = scoring.hidden_states(model, *_trial(model))
    finally:
        handle.remove()
    if torch.equal(intact, disturbed):
        raise ModelError(f"the model does not go on from the output of {name} that is stored, so it cannot be edited there")


def _trial(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Ids, all different, and mask (window, position) of the tokens that modules are tried with."""
    n_windows, n_positions = _TRIAL
    ids = torch.arange(n_windows * n_positions, device=model.device) % int(model.config.get_text_config().vocab_size)
    return ids.view(_TRIAL), torch.ones(_TRIAL, dtype=torch.long, device=model.device)


def _passed_through(model: PreTrainedModel, name: str, modules: Mapping[int, Module]) -> dict[int, tuple[Tensor, Tensor]]:
    """Input and output of every module, (row, width), when a few tokens pass through the model."""
    layers = list(modules)
    passed: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}

    def receive(index: int, values: Tensor, output: Tensor) -> None:
        passed[layers[index]].append((by_token(values, *_TRIAL), by_token(output, *_TRIAL)))

    try:
        with torch.inference_mode(), observe(list(modules.values()), receive):
            scoring.hidden_states(model, *_trial(model))
    except ActstoreError:
        raise
    except Exception as error:  # a model may need values for its course, each in its own way
        reason = first_line(error)
        raise ModelError(
            f"the widths of {name} cannot be told without weights ({reason}); choose a linear module as --site"
        ) from error
    for layer, values in passed.items():
        if len(values) != 1:
            raise ModelError(f"{name} of layer {layer} runs {len(values)} times for a text, not once; choose another --site")
    return {layer: values for layer, (values,) in passed.items()}


def _site(module: Module, values: Tensor, output: Tensor) -> Site:
    n_hidden, n_neurons = values.shape[1], output.shape[1]
    return Site(n_hidden, n_neurons, _is_linear(module, n_hidden, n_neurons))


def _is_plain(module: Module) -> bool:
    """Whether a module is a linear layer and does nothing else."""
    return isinstance(module, Conv1D) or type(module).forward is Linear.forward


def _is_linear(module: Module, n_hidden: int, n_neurons: int) -> bool:
    """Whether a module multiplies its input by its weights: known of linear layers, tried with a copy of others (routers)."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or incoming_weights(module).shape != (n_hidden, n_neurons):
        return False
    if _is_plain(module):
        return True
    trial = copy.deepcopy(module).to_empty(device="cpu").float()
    generator = torch.Generator().manual_seed(0)
    for tensor in (*trial.parameters(), *trial.buffers()):
        tensor.data.normal_(generator=generator) if tensor.is_floating_point() else tensor.zero_()
    values = torch.randn(1, _TRIAL[1], n_hidden, generator=generator)
    try:
        output = by_token(tensor_of(trial(values)), 1, _TRIAL[1])
    except Exception:  # a module that takes more than its input is no linear map of it
        return False
    expected = values[0] @ incoming_weights(trial) + (
        0 if getattr(trial, "bias", None) is None else trial.get_parameter("bias")
    )
    return torch.allclose(output, expected, rtol=1e-3, atol=1e-3)
