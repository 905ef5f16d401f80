"""Where each model family keeps its pre-activations.

Owns the map from an architecture to the module whose output the non-linearity receives, to the
non-linearity's module, and its name.
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
    """A family's pre-activation site and activation module (`{layer}` stands for the block's number)."""

    family: str
    site: str
    activation: str = ""

    def modules(self, model: PreTrainedModel) -> list[Module]:
        """The site's module in every block, in order.

        Raises
        ------
        ModelError
            If the model has no such module.
        """
        return self._matching(model, self.site)

    def activations(self, model: PreTrainedModel) -> list[Module]:
        """The module in every block that turns pre-activations into activations, in order.

        Raises
        ------
        ModelError
            If it is not known, or blocks share one.
        """
        if not self.activation:
            raise ModelError(
                f"where the {self.family} model's activation functions are is not known: with --site, choose interventions on "
                "the pre-activation (negative-zero, positive-zero, both-zero, mean-ablate-negative, scale)"
            )
        found = self._matching(model, self.activation)
        if len(set(map(id, found))) < len(found):
            raise ModelError(f"blocks of this {self.family} model share an activation module, so they cannot be told apart")
        return found

    @staticmethod
    def _matching(model: PreTrainedModel, name: str) -> list[Module]:
        pattern = re.compile(re.escape(name).replace(r"\{layer\}", r"(\d+)"))
        found = {
            int(match[1]): module
            for path, module in model.named_modules(remove_duplicate=False)
            if (match := pattern.fullmatch(path)) is not None
        }
        if not found:
            raise ModelError(f"no module matches the site {name!r} in this {model.config.model_type} model")
        return [found[layer] for layer in sorted(found)]


_LLAMA_SITE = "model.layers.{layer}.mlp.gate_proj"
ADAPTERS: dict[str, Adapter] = {
    "gpt_neox": Adapter("gpt_neox", "gpt_neox.layers.{layer}.mlp.dense_h_to_4h", "gpt_neox.layers.{layer}.mlp.act"),
    "gpt2": Adapter("gpt2", "transformer.h.{layer}.mlp.c_fc", "transformer.h.{layer}.mlp.act"),
    "opt": Adapter("opt", "model.decoder.layers.{layer}.fc1", "model.decoder.layers.{layer}.activation_fn"),
    **{
        family: Adapter(family, _LLAMA_SITE, _LLAMA_SITE.replace("gate_proj", "act_fn"))
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
