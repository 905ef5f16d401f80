"""Where each model family keeps its pre-activations: one record a family, and a registry of them.

A record names the module whose output the non-linearity receives, and the non-linearity's module. A family of one's own is
registered by `register_family(Adapter(…))` from a plugin.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actstore import bounds
from actstore.errors import ModelError
from actstore.registry import Registry, caller_module

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Adapter:
    """Where a model's neurons are: a module in every block (`{layer}` stands for the block's number).

    Attributes
    ----------
    family : str
        `model_type` of the configuration.
    site : str
        The module whose output is taken.
    activation : str
        The module that turns pre-activations into activations; empty for a site that is not the
        family's own.
    """

    family: str
    site: str
    activation: str = ""

    @property
    def long_names(self) -> dict[str, str]:
        """What the stored arrays of a site are, where it is not the family's own: field of the schema → description."""
        if self.activation:
            return {}
        return {
            "preactivation": f"output of {self.site}",
            "mlp_input": f"input of {self.site}",
            "neuron_weight": f"weights of {self.site}",
        }

    def modules(self, model: PreTrainedModel) -> dict[int, Module]:
        """Layer → the site's module, ascending; layers that have none are left out.

        Raises
        ------
        ModelError
            If the model has no such module, or blocks share one.
        """
        return self._matching(model, self.site, "a site")

    def activations(self, model: PreTrainedModel) -> dict[int, Module]:
        """Layer → the module that turns pre-activations into activations, ascending.

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
        return self._matching(model, self.activation, "an activation")

    @staticmethod
    def _matching(model: PreTrainedModel, name: str, what: str) -> dict[int, Module]:
        pattern = re.compile(re.escape(name).replace(r"\{layer\}", r"(\d+)"))
        modules = {
            int(match[1]): module
            for path, module in model.named_modules(remove_duplicate=False)
            if (match := pattern.fullmatch(path)) is not None
        }
        if not modules:
            patterns = {re.sub(r"\.\d+(?=\.|$)", ".{layer}", path, count=1) for path, _ in model.named_modules()}
            close = difflib.get_close_matches(name, sorted(patterns), n=3)
            raise ModelError(
                f"no module matches the site {name!r} in this {model.config.model_type} model; "
                f"{'did you mean ' + ' or '.join(map(repr, close)) if close else 'print(model) shows the names'}"
            )
        if len(set(map(id, modules.values()))) < len(modules):
            raise ModelError(
                f"blocks of this {model.config.model_type} model share {what} module, so they cannot be told apart"
            )
        return dict(sorted(modules.items()))


_LLAMA_SITE = bounds.EXAMPLE_SITE
FAMILIES: Registry[Adapter] = Registry("family", __name__)


def register_family(adapter: Adapter) -> Adapter:
    """Register a model family, under the `model_type` of its configuration.

    Parameters
    ----------
    adapter : Adapter

    Raises
    ------
    ActstoreError
        If another module has registered that family.

    Examples
    --------
    >>> from actstore import Adapter, register_family
    >>> falcon = Adapter("falcon", "transformer.h.{layer}.mlp.dense_h_to_4h", "transformer.h.{layer}.mlp.act")
    >>> register_family(falcon).family
    'falcon'
    """
    FAMILIES.add(adapter.family, adapter, caller_module())
    return adapter


for _adapter in (
    Adapter("gpt_neox", "gpt_neox.layers.{layer}.mlp.dense_h_to_4h", "gpt_neox.layers.{layer}.mlp.act"),
    Adapter("gpt2", "transformer.h.{layer}.mlp.c_fc", "transformer.h.{layer}.mlp.act"),
    Adapter("opt", "model.decoder.layers.{layer}.fc1", "model.decoder.layers.{layer}.activation_fn"),
    *(
        Adapter(family, _LLAMA_SITE, _LLAMA_SITE.replace("gate_proj", "act_fn"))
        for family in ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2")
    ),
):
    FAMILIES.add(_adapter.family, _adapter, __name__)


def adapter_for(model: PreTrainedModel, site: str | None = None) -> Adapter:
    """The adapter of a model's family, or one for an explicit site.

    Raises
    ------
    ModelError, SettingError
        If the family is not known and no site is given, or the site has no `{layer}`.
    """
    family = model.config.model_type
    own = FAMILIES.entries.get(family)
    if site is not None and (own is None or site != own.site):
        bounds.check_site("site", site)
        return Adapter(family, site)
    if own is None:
        raise ModelError(
            f"no adapter for the family {family!r} (known: {', '.join(sorted(FAMILIES.entries))}); "
            f"say where its pre-activations are, e.g. --site '{_LLAMA_SITE}'"
        )
    return own


def nonlinearity(model: PreTrainedModel, adapter: Adapter | None = None) -> str:
    """The name of the function that receives the pre-activations, from the model's configuration.

    At a site that a known family does not have its pre-activations at, it is `none`.
    """
    if adapter is not None and not adapter.activation and adapter.family in FAMILIES.entries:
        return "none"
    for key in ("hidden_act", "hidden_activation", "activation_function"):
        name = getattr(model.config, key, None)
        if name:
            return str(name)
    return "unknown"
