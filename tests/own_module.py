"""What a user may write outside the package: one of each kind that can be registered. Loaded by its path, as a plugin."""

import numpy as np
import torch

import analysis
from actstore import (
    Adapter,
    Field,
    Reading,
    Readout,
    register_family,
    register_intervention,
    register_readout,
    setting,
    with_settings,
)

register_family(Adapter("bloom", "transformer.h.{layer}.mlp.dense_h_to_4h", "transformer.h.{layer}.mlp.gelu_impl"))


@register_intervention("soften")
def soften(preactivation, *, factor):
    """Negative values are scaled."""
    return preactivation.where(preactivation > 0, factor * preactivation)


@register_readout
@with_settings
class NextToken(Readout):
    """Log-probability of the most likely next token after some prompts."""

    name = "next_token"
    fields = {
        "prompt": Field(("prompt",), "str", "text before the token"),
        "best_log_probability": Field(
            ("checkpoint", "condition", "prompt"), "float64", "log-probability of the best next token", "nat"
        ),
    }
    prompts: tuple[str, ...] = setting("texts to continue", default=("The boy",), is_some=True)

    def prepare(self, subject):
        inputs = [torch.as_tensor(ids)[None] for ids in subject.encode(self.prompts)]

        def read(model):
            logits = [model(input_ids=ids).logits[0, -1].float() for ids in inputs]
            return {"best_log_probability": [float(values.log_softmax(-1).max()) for values in logits]}

        return Reading({"prompt": list(self.prompts)}, read)


@analysis.register_statistic("determiner_gap", "mean on determiners against the rest", "standard deviation")
def determiner_gap(layer):
    """(neuron,)"""
    values = layer["preactivation"].astype(np.float32)
    on = (layer["upos"] == "DET").values
    return abs(values[on].mean("token") - values[~on].mean("token")) / values.std("token")
