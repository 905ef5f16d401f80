"""Where each model family keeps its pre-activations.

Owns the map from an architecture to the module whose output the non-linearity receives, and
the non-linearity's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actstore.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Adapter:
    """A family's pre-activation site (`{layer}` stands for the block's number)."""

    family: str
    site: str
    gated: bool = False

    def modules(self, model: PreTrainedModel) -> list[Module]:
        """The site's module in every block, in order.

        Raises
        ------
        ModelError
            If the model has no such module.
        """
        pattern = re.compile(re.escape(self.site).replace(r"\{layer\}", r"(\d+)"))
        found = {
            int(match[1]): module for name, module in model.named_modules() if (match := pattern.fullmatch(name)) is not None
        }
        if not found:
            raise ModelError(f"no module matches the site {self.site!r} in this {model.config.model_type} model")
        return [found[layer] for layer in sorted(found)]


_LLAMA_SITE = "model.layers.{layer}.mlp.gate_proj"
ADAPTERS: dict[str, Adapter] = {
    "gpt_neox": Adapter("gpt_neox", "gpt_neox.layers.{layer}.mlp.dense_h_to_4h"),
    "gpt2": Adapter("gpt2", "transformer.h.{layer}.mlp.c_fc"),
    "opt": Adapter("opt", "model.decoder.layers.{layer}.fc1"),
    **{
        family: Adapter(family, _LLAMA_SITE, gated=True)
        for family in ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2")
    },
}


def adapter_for(model: PreTrainedModel, site: str | None = None) -> Adapter:
    """The adapter of a model's family, or one for an explicit site.

    Raises
    ------
    ModelError
        If the family is not known and no site is given.
    """
    family = model.config.model_type
    if site is not None:
        if "{layer}" not in site:
            raise ModelError(f"--site {site!r} needs {{layer}} where the block's number stands, e.g. {_LLAMA_SITE!r}")
        return Adapter(family, site)
    if family not in ADAPTERS:
        raise ModelError(
            f"no adapter for the family {family!r} (known: {', '.join(sorted(ADAPTERS))}); "
            f"say where its pre-activations are, e.g. --site '{_LLAMA_SITE}'"
        )
    return ADAPTERS[family]


def incoming_weights(site: Module) -> Tensor:
    """The weights (hidden, neuron) by which a site's neurons read the MLP input."""
    weight: Tensor = site.get_parameter("weight")
    return weight if type(site).__name__ == "Conv1D" else weight.T  # GPT-2 stores them the other way round


def nonlinearity(model: PreTrainedModel) -> str:
    """The activation function's name in the model's configuration."""
    for key in ("hidden_act", "hidden_activation", "activation_function"):
        name = getattr(model.config, key, None)
        if name:
            return str(name)
    return "unknown"
