from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from actstore import models, scoring
from actstore.ablate import AblateConfig, Condition, ablate, applied, conditions
from actstore.errors import SelectionError, UnknownNameError
from actstore.schema import Selection
from actstore.store import open_store

ALL = Selection({layer: tuple(range(512)) for layer in range(4)}, "top", "wasserstein_distance", 1.0, "pico-opt", "", -1, 512)


def test_labels_and_dims(ablation):
    assert ablation["ablated_surprisal"].dims == ("checkpoint", "condition", "token")
    assert ablation["condition"].values.tolist() == [
        "none",
        "negative-zero/random-0",
        "negative-zero/random-1",
        "negative-zero/top",
    ]
    assert ablation["intervention"].values.tolist() == ["none", *["negative-zero"] * 3]
    assert ablation["selection_seed"].values.tolist() == [-1, 0, 1, -1]
    assert ablation["n_neurons"].values.tolist() == [0, 20, 20, 20]
    assert ablation["log_probability_good"].sizes["pair"] == 42 * 3
    assert ablation["log_probability_option"].sizes["item"] == 520


def test_baseline_is_the_plain_model(ablation, neox, neox_tokenizer):
    chosen = slice(0, 12)
    sentences = [str(text) for text in ablation["sentence_good"].values[chosen]]
    scores = scoring.sentence_log_probabilities(neox, neox_tokenizer, sentences)
    np.testing.assert_allclose(ablation["log_probability_good"].values[0, 0, chosen], scores, atol=1e-3)
    surprisal = ablation["ablated_surprisal"].values[0, 0]
    np.testing.assert_allclose(ablation["perplexity"].values[0, 0], np.exp(np.nanmean(surprisal.astype(float))), rtol=1e-9)


def test_every_condition_changes_the_model(ablation):
    perplexity = ablation["perplexity"].values[0]
    assert len(set(perplexity.tolist())) == len(perplexity)


def test_the_model_is_restored_between_conditions(neox):
    ids = torch.arange(1, 20)[None]
    with torch.inference_mode():
        before = neox(input_ids=ids).logits.clone()
        with applied(neox, Condition("both-zero", replace(ALL, model="pico-neox"))):
            assert not torch.equal(neox(input_ids=ids).logits, before)
        assert torch.equal(neox(input_ids=ids).logits, before)


def test_relu_model_under_negative_zero_changes_by_exactly_zero(tmp_path):
    step = models.choose_checkpoints(models.resolve("pico-opt"), "main")[0]
    fingerprint = models.weights_fingerprint(models.load(models.resolve("pico-opt"), step, torch.float32))
    chosen = replace(ALL, checkpoint=step, weights_fingerprint=fingerprint)
    config = AblateConfig("pico-opt", tokens=800, pairs_per_paradigm=1, probes=False)
    ablate(config, [chosen], tmp_path / "a.zarr", progress=False)
    found = open_store(tmp_path / "a.zarr")
    for name in ("ablated_surprisal", "log_probability_good", "log_probability_bad"):
        intact, ablated = found[name].values[0]
        np.testing.assert_array_equal(intact, ablated)


def test_text_without_pairs_and_probes(tmp_path):
    chosen = replace(ALL, model="pico-neox", neurons={0: (1,)})
    config = AblateConfig("pico-neox", "64", corpus="builtin", tokens=300, pairs=None, probes=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ablate(config, [chosen], tmp_path / "a.zarr", progress=False)
    assert "log_probability_good" not in open_store(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "pico-llama"}, "made on pico-llama, this is pico-neox"),
        ({"n_neurons_per_layer": 600}, "layers of 600 neurons"),
        ({"neurons": {9: (0,)}}, "up to layer 9"),
        ({"checkpoint": 64, "weights_fingerprint": "other"}, "other weights"),
    ],
)
def test_selections_that_do_not_fit(tmp_path, change, said):
    chosen = replace(ALL, **({"model": "pico-neox"} | change))
    with pytest.raises(SelectionError, match=said):
        ablate(AblateConfig("pico-neox", "64", tokens=300, pairs=None, probes=False), [chosen], tmp_path / "a", progress=False)
    assert not list(tmp_path.iterdir())


def test_conditions_are_checked_before_anything_runs():
    with pytest.raises(UnknownNameError, match="intervention"):
        conditions(AblateConfig("pico-neox", interventions=("negativezero",)), [ALL])
    with pytest.raises(SelectionError, match="both 'negative-zero/top'"):
        conditions(AblateConfig("pico-neox"), [ALL, ALL])
