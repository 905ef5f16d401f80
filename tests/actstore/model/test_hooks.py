from __future__ import annotations

import numpy as np
import pytest
import torch

from actstore.ablation.applied import applied
from actstore.errors import ActstoreError, SelectionError
from actstore.model.families import adapter_for
from actstore.model.hooks import edit
from actstore.model.interventions import INTERVENTIONS, intervention
from tests.helpers import capture, tiny_model

IDS = torch.arange(1, 11)[None]


def zero(layer, preactivation):
    return torch.zeros_like(preactivation)


def logits(model):
    with torch.inference_mode():
        return model(input_ids=IDS).logits.clone()


def test_capture_leaves_no_hook_even_after_an_error():
    model = tiny_model("gpt_neox")
    sites = adapter_for(model).modules(model)
    with pytest.raises(RuntimeError, match="on purpose"), capture(sites):
        raise RuntimeError("on purpose")
    assert not any(site._forward_hooks for site in sites.values())


def test_edit_changes_only_the_chosen_neurons_and_is_undone():
    model = tiny_model("gpt_neox")
    sites = adapter_for(model).modules(model)
    original = logits(model)
    with capture(sites) as plain:
        logits(model)
        intact = {layer: tensor.clone() for layer, tensor in plain.outputs.items()}
    with edit(sites, {0: (1, 5)}, zero), capture(sites) as changed:
        logits(model)
        unedited = [neuron for neuron in range(24) if neuron not in (1, 5)]
        assert (changed.outputs[0][..., [1, 5]] == 0).all()
        assert torch.equal(changed.outputs[0][..., unedited], intact[0][..., unedited])
    assert torch.equal(logits(model), original)


def test_a_second_edit_of_a_neuron_is_refused_and_the_first_survives():
    model = tiny_model("llama")
    sites = adapter_for(model).modules(model)
    original = logits(model)
    with edit(sites, {0: (1,)}, zero):
        edited = logits(model)
        with pytest.raises(ActstoreError, match="neuron 1 of layer 0 is already"), edit(sites, {1: (0,), 0: (2, 1)}, zero):
            pass
        assert torch.equal(logits(model), edited)
    assert torch.equal(logits(model), original)


def test_edits_nest():
    """Two edits, one inside the other, are one edit of both sets of neurons."""
    model = tiny_model("llama")
    sites = adapter_for(model).modules(model)
    original = logits(model)
    with edit(sites, {0: (1, 2), 1: (3,)}, zero):
        at_once = logits(model)
    with edit(sites, {0: (1,)}, zero):
        with edit(sites, {0: (2,), 1: (3,)}, zero):
            assert torch.equal(logits(model), at_once)
        with edit(sites, {0: (2,)}, zero):  # free again
            assert not torch.equal(logits(model), at_once)
    assert torch.equal(logits(model), original)


def test_the_model_is_restored_after_an_error_inside():
    model = tiny_model("gpt2")
    original = logits(model)
    with pytest.raises(RuntimeError, match="on purpose"), applied(model, intervention("sign-flip"), {0: (1,), 1: (2,)}):
        raise RuntimeError("on purpose")
    assert torch.equal(logits(model), original)
    with applied(model, intervention("both-zero"), {0: (1,)}):  # no neuron is still marked as edited
        pass


CHOSEN = (0, 3, 7)
MEANS = torch.linspace(-0.3, -0.01, 24)
BY_HAND = {
    "negative-zero": lambda a, act: act(a.clamp(min=0)),
    "positive-zero": lambda a, act: act(a.clamp(max=0)),
    "both-zero": lambda a, act: act(a * 0),
    "sign-flip": lambda a, act: act(a).abs(),
    "identity-on-positive": lambda a, act: torch.where(a > 0, a, act(a)),
    "mean-ablate-negative": lambda a, act: act(torch.where(a < 0, MEANS[list(CHOSEN)], a)),
}


def test_every_intervention_is_tried():
    assert {*BY_HAND, "scale"} == {*INTERVENTIONS.entries}


class ByHand(torch.nn.Module):
    """An activation function that is another one for the chosen neurons."""

    def __init__(self, act, change):
        super().__init__()
        self.act, self.change = act, change

    def forward(self, a):
        activation = self.act(a)
        activation[..., CHOSEN] = self.change(a[..., CHOSEN], self.act)
        return activation


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "opt", "llama", "gemma2"])
@pytest.mark.parametrize("name", BY_HAND)
def test_an_intervention_equals_a_model_with_that_activation(family, name):
    model, by_hand = tiny_model(family), tiny_model(family)
    path = adapter_for(model).activation.format(layer=1)
    by_hand.set_submodule(path, ByHand(by_hand.get_submodule(path), BY_HAND[name]))
    original = logits(model)
    with applied(model, intervention(name), {1: CHOSEN}, negative_mean=MEANS.expand(2, 24).numpy()):
        torch.testing.assert_close(logits(model), logits(by_hand), rtol=0, atol=1e-7)
        # For a ReLU these change nothing: its positive side is the identity, and its negative side is 0.
        is_silent = family == "opt" and name in ("negative-zero", "sign-flip", "identity-on-positive", "mean-ablate-negative")
        assert torch.equal(logits(model), original) == is_silent
    assert torch.equal(logits(model), original)


def test_scaling_equals_scaled_weights():
    model, by_hand = tiny_model("gpt_neox"), tiny_model("gpt_neox")
    site = by_hand.gpt_neox.layers[1].mlp.dense_h_to_4h
    site.weight[list(CHOSEN)] *= 0.5
    site.bias[list(CHOSEN)] *= 0.5
    with applied(model, intervention("scale:0.5"), {1: CHOSEN}):
        torch.testing.assert_close(logits(model), logits(by_hand), rtol=0, atol=1e-7)


def test_silencing_equals_no_outgoing_weights():
    model, by_hand = tiny_model("llama"), tiny_model("llama")
    by_hand.model.layers[0].mlp.down_proj.weight[:, list(CHOSEN)] = 0
    with applied(model, intervention("both-zero"), {0: CHOSEN}):
        torch.testing.assert_close(logits(model), logits(by_hand), rtol=0, atol=1e-7)


def test_negative_zero_on_a_relu_model_changes_exactly_nothing():
    model = tiny_model("opt")
    original = logits(model)
    with applied(model, intervention("negative-zero"), {0: range(24), 1: range(24)}):
        assert torch.equal(logits(model), original)


def test_a_missing_mean_is_named():
    model = tiny_model("opt")
    with (
        pytest.raises(ActstoreError, match="mean negative pre-activation"),
        applied(model, intervention("mean-ablate-negative"), {0: (1,)}),
    ):
        pass


def test_activations_of_an_unlisted_site_are_not_guessed():
    model = tiny_model("llama")
    site = "model.layers.{layer}.mlp.up_proj"
    with (
        pytest.raises(ActstoreError, match="activation functions are is not known"),
        applied(model, intervention("sign-flip"), {0: (1,)}, site=site),
    ):
        pass
    original = logits(model)
    with applied(model, intervention("both-zero"), {0: (1,)}, site=site):
        assert not torch.equal(logits(model), original)


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ({-1: (0,)}, "layers and neurons are whole numbers from 0, got -1"),
        ({0: (3, -1)}, "layers and neurons are whole numbers from 0, got -1"),
        ({0: (1.5,)}, "whole numbers from 0, got 1.5"),
        ({0: (True,)}, "whole numbers from 0, got True"),
        ({"0": (1,)}, "whole numbers from 0, got '0'"),
        ({0: (1,), 2: (0,)}, "no layer 2: the site is in layers 0 to 1"),
        ({1: (23, 24)}, "no neuron 24: layer 1 has neurons 0 to 23"),
    ],
)
@pytest.mark.parametrize("name", ["both-zero", "sign-flip", "mean-ablate-negative"])
def test_layers_and_neurons_that_are_not_there_are_refused_and_nothing_stays_edited(name, neurons, message):
    model = tiny_model("llama")
    original = logits(model)
    with (
        pytest.raises(SelectionError, match=message),
        applied(model, intervention(name), neurons, negative_mean=np.zeros((2, 24))),
    ):
        logits(model)
    assert torch.equal(logits(model), original)
    with edit(adapter_for(model).modules(model), {0: (0,), 1: (1,)}, zero):
        assert not torch.equal(logits(model), original)
