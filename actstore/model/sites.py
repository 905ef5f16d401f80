"""Sites: the modules, one in each block, whose outputs are the neurons.

Owns the properties of a module of any kind: the widths of its input and output, whether its weights
map the input to the output, and whether the model uses its output.
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
"""Windows and positions of a trial pass: sizes that no other dim is likely to have."""


@dataclass(frozen=True)
class Site:
    """The sizes and kind of a site's module.

    Attributes
    ----------
    n_hidden, n_neurons : int
        Width of the module's input and output, for one token.
    is_linear : bool
        Whether the output is the input times the module's weights, plus its bias.
    """

    n_hidden: int
    n_neurons: int
    is_linear: bool


def incoming_weights(module: Module) -> Tensor:
    """The weights (hidden, neuron) by which a linear site's neurons read its input."""
    weight: Tensor = module.get_parameter("weight")
    return weight if isinstance(module, Conv1D) else weight.T  # GPT-2 stores the transpose


def by_token(values: Tensor, n_windows: int, n_positions: int) -> Tensor:
    """The values (row, width) of a batch's tokens, from (window, position, …) or from (row, width).

    Raises
    ------
    ModelError
        If they do not have one row for each token.
    """
    if values.ndim > 2 and values.shape[:2] == (n_windows, n_positions):
        return values.flatten(2).flatten(0, 1)
    if values.ndim == 2 and len(values) == n_windows * n_positions:
        return values
    shape = " × ".join(map(str, values.shape))
    raise ModelError(
        f"the site's values are {shape} for {n_windows} × {n_positions} tokens, not one row a token; choose another --site"
    )


def measure(model: PreTrainedModel, name: str, modules: Mapping[int, Module]) -> Site:
    """Measure a site, which must be the same in all blocks.

    Parameters
    ----------
    model : PreTrainedModel
        On the meta device, as weights are not needed. If a module is not a plain linear layer, a few
        tokens without values pass through the model.
    name : str
        Name of the site for messages.
    modules : mapping of int to Module
        Layer → its module.

    Raises
    ------
    ModelError
        If a module does not run exactly once when text passes through the model, does not have one row
        for each token, or blocks differ.
    """
    if all(_is_plain(module) for module in modules.values()):
        shapes = {layer: incoming_weights(module).shape for layer, module in modules.items()}
        sites = {layer: Site(n_hidden, n_neurons, True) for layer, (n_hidden, n_neurons) in shapes.items()}
    else:
        trials = _trial_values(model, name, modules)
        sites = {layer: _site(modules[layer], values, output) for layer, (values, output) in trials.items()}
    first_layer, site = next(iter(sites.items()))
    for layer, layer_site in sites.items():
        if layer_site != site:
            raise ModelError(
                f"{name} maps {site.n_hidden} to {site.n_neurons} values in layer {first_layer} and {layer_site.n_hidden} to "
                f"{layer_site.n_neurons} in layer {layer}; take layers of one kind (--layers)"
            )
    return site


@torch.inference_mode()
def refuse_idle(model: PreTrainedModel, name: str, module: Module) -> None:
    """Refuse a site whose output the model does not use: an intervention there would change nothing.

    For example, a router may return its logits beside the scores that the model uses. The test adds
    noise to the output.

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
        raise ModelError(f"the model does not use the output of {name} that is stored, so it cannot be edited there")


def _trial(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Ids and mask (window, position) of the trial tokens, which are all different."""
    n_windows, n_positions = _TRIAL
    ids = torch.arange(n_windows * n_positions, device=model.device) % int(model.config.get_text_config().vocab_size)
    return ids.view(_TRIAL), torch.ones(_TRIAL, dtype=torch.long, device=model.device)


def _trial_values(model: PreTrainedModel, name: str, modules: Mapping[int, Module]) -> dict[int, tuple[Tensor, Tensor]]:
    """Input and output (row, width) of every module in a trial pass."""
    layers = list(modules)
    calls: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}

    def receive(index: int, values: Tensor, output: Tensor) -> None:
        calls[layers[index]].append((by_token(values, *_TRIAL), by_token(output, *_TRIAL)))

    try:
        with torch.inference_mode(), observe(list(modules.values()), receive):
            scoring.hidden_states(model, *_trial(model))
    except ActstoreError:
        raise
    except Exception as error:  # a model that needs values to run can raise anything
        reason = first_line(error)
        raise ModelError(
            f"the widths of {name} cannot be measured without weights ({reason}); choose a linear module as --site"
        ) from error
    for layer, values in calls.items():
        if len(values) != 1:
            raise ModelError(f"{name} of layer {layer} runs {len(values)} times for a text, not once; choose another --site")
    return {layer: values for layer, (values,) in calls.items()}


def _site(module: Module, values: Tensor, output: Tensor) -> Site:
    n_hidden, n_neurons = values.shape[1], output.shape[1]
    return Site(n_hidden, n_neurons, _is_linear(module, n_hidden, n_neurons))


def _is_plain(module: Module) -> bool:
    """Whether a module is a plain linear layer."""
    return isinstance(module, Conv1D) or type(module).forward is Linear.forward


def _is_linear(module: Module, n_hidden: int, n_neurons: int) -> bool:
    """Whether a module multiplies its input by its weights; modules other than linear layers (routers) are tried."""
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
    except Exception:  # a module with further arguments is no linear map of its input
        return False
    bias = 0 if getattr(trial, "bias", None) is None else trial.get_parameter("bias")
    return torch.allclose(output, values[0] @ incoming_weights(trial) + bias, rtol=1e-3, atol=1e-3)
