from __future__ import annotations

import pytest
import torch

from actstore.errors import ModelError, SettingError
from actstore.model import families
from actstore.model.families import adapter_for, nonlinearity
from actstore.model.scoring import hidden_states, pad
from actstore.model.sites import incoming_weights
from tests.helpers import FAMILIES, capture, tiny_model


def test_every_family_is_tried():
    assert set(FAMILIES) == set(families.FAMILIES.entries)


@pytest.mark.parametrize("family", FAMILIES)
def test_captured_preactivation_is_the_recomputed_one(family):
    model = tiny_model(family)
    ids, mask = pad([torch.arange(1, 9).numpy(), torch.arange(3, 7).numpy()], model.device)
    sites = adapter_for(model).modules(model)
    with torch.inference_mode(), capture(sites) as captured:
        hidden_states(model, ids, mask)
    assert len(sites) == 2
    for layer, site in sites.items():
        bias = 0 if getattr(site, "bias", None) is None else site.bias
        torch.testing.assert_close(captured.outputs[layer], captured.inputs[layer] @ incoming_weights(site) + bias)


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_equals_unbatched(family):
    model = tiny_model(family)
    sequences = [torch.arange(1, 12).numpy(), torch.arange(5, 9).numpy()]
    sites = adapter_for(model).modules(model)
    with torch.inference_mode(), capture(sites) as captured:
        hidden_states(model, *pad(sequences, model.device))
        batched = [captured.outputs[1].reshape(2, 11, -1)[row, : len(s)].clone() for row, s in enumerate(sequences)]
        for row, sequence in enumerate(sequences):
            hidden_states(model, *pad([sequence], model.device))
            torch.testing.assert_close(captured.outputs[1].reshape(len(sequence), -1), batched[row], rtol=1e-4, atol=1e-5)


def test_unknown_family_lists_the_known_and_the_way_out():
    model = tiny_model("gpt2")
    model.config.model_type = "mystery"
    with pytest.raises(ModelError, match=r"gpt_neox.*--site"):
        adapter_for(model)
    assert adapter_for(model, "transformer.h.{layer}.mlp.c_fc").modules(model)
    with pytest.raises(SettingError, match=r"\{layer\}"):
        adapter_for(model, "transformer.h.0.mlp.c_fc")
    with pytest.raises(ModelError, match="no module matches"):
        adapter_for(model, "nowhere.{layer}").modules(model)


def test_nonlinearity_is_read_from_the_configuration():
    assert nonlinearity(tiny_model("opt")) == "relu"
    assert nonlinearity(tiny_model("gpt_neox")) == "gelu"
    assert nonlinearity(tiny_model("llama")) == "silu"
