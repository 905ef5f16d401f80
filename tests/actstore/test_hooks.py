from __future__ import annotations

import pytest
import torch

from actstore.adapters import adapter_for
from actstore.errors import ActstoreError
from actstore.hooks import edit
from actstore.interventions import negative_zero
from tests.helpers import capture, tiny_model

IDS = torch.arange(1, 11)[None]


def logits(model):
    with torch.inference_mode():
        return model(input_ids=IDS).logits.clone()


def test_capture_leaves_no_hook_even_after_an_error():
    model = tiny_model("gpt_neox")
    sites = adapter_for(model).modules(model)
    with pytest.raises(RuntimeError, match="on purpose"), capture(sites):
        raise RuntimeError("on purpose")
    assert not any(site._forward_hooks for site in sites)


def test_edit_changes_only_the_chosen_neurons_and_is_undone():
    model = tiny_model("gpt_neox")
    sites = adapter_for(model).modules(model)
    before = logits(model)
    with capture(sites) as plain:
        logits(model)
        intact = {layer: tensor.clone() for layer, tensor in plain.outputs.items()}
    with edit(sites, {0: (1, 5)}, torch.zeros_like), capture(sites) as changed:
        logits(model)
        others = [neuron for neuron in range(24) if neuron not in (1, 5)]
        assert (changed.outputs[0][..., [1, 5]] == 0).all()
        assert torch.equal(changed.outputs[0][..., others], intact[0][..., others])
    assert torch.equal(logits(model), before)


def test_a_second_edit_of_a_layer_is_refused_and_the_first_survives():
    model = tiny_model("llama")
    sites = adapter_for(model).modules(model)
    before = logits(model)
    with edit(sites, {0: (1,)}, torch.zeros_like):
        inside = logits(model)
        with (
            pytest.raises(ActstoreError, match="already under an intervention"),
            edit(sites, {1: (0,), 0: (2,)}, torch.zeros_like),
        ):
            pass
        assert torch.equal(logits(model), inside)
        with edit(sites, {1: (0,)}, torch.zeros_like):  # another layer nests
            assert not torch.equal(logits(model), inside)
    assert torch.equal(logits(model), before)


def test_negative_zero_equals_a_model_with_a_clamped_activation():
    model, by_hand = tiny_model("gpt_neox"), tiny_model("gpt_neox")
    chosen = (0, 3, 7)
    layer = by_hand.gpt_neox.layers[1].mlp
    original = layer.act

    class Clamped(torch.nn.Module):
        def forward(self, x):
            x = x.clone()
            x[..., chosen] = x[..., chosen].clamp(min=0)
            return original(x)

    layer.act = Clamped()
    with edit(adapter_for(model).modules(model), {1: chosen}, negative_zero):
        assert torch.equal(logits(model), logits(by_hand))


def test_negative_zero_on_a_relu_model_changes_exactly_nothing():
    model = tiny_model("opt")
    before = logits(model)
    with edit(adapter_for(model).modules(model), {0: range(24), 1: range(24)}, negative_zero):
        assert torch.equal(logits(model), before)
