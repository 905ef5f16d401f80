"""Every family from a folder on disk: its store is compared with the plain model, run with plain hooks."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from actstore.config import ExtractConfig, RunConfig, TextConfig
from actstore.extraction.run import extract
from actstore.model import sources
from actstore.model.families import adapter_for
from actstore.store.opening import open_store
from tests.helpers import FAMILIES, QUIET, tiny_model
from tests.model_files import N_TOKENS, save

UNLISTED = {"bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2}}
SITES = {"bloom": "transformer.h.{layer}.mlp.dense_h_to_4h"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Family → a folder with a small model of it."""
    folders = {}

    def write(family):
        if family not in folders:
            model = tiny_model(family, (FAMILIES | UNLISTED)[family] | {"vocab_size": N_TOKENS})
            folders[family] = save(tmp_path_factory.mktemp(family), model)
        return folders[family]

    return write


@contextmanager
def observed_by_hand(model, family):
    """Input and output of the site of every layer in the last forward pass, by plain hooks."""
    values, pattern = {}, adapter_for(model, SITES.get(family)).site

    def hook_for(layer):
        return lambda module, args, output: values.update({layer: (args[0], output)})

    handles = [model.get_submodule(pattern.format(layer=layer)).register_forward_hook(hook_for(layer)) for layer in range(2)]
    yield values
    for handle in handles:
        handle.remove()


def stored(family, source, path, **text):
    config = ExtractConfig(
        str(source), dtype="float32", text=TextConfig(window=48, **text), run=RunConfig(site=SITES.get(family))
    )
    extract(config, path, QUIET)
    return open_store(path).isel(checkpoint=0)


@pytest.mark.parametrize("family", [*FAMILIES, *UNLISTED])
def test_a_window_equals_that_of_the_plain_model(family, folder, tmp_path):
    """One window, so that both run the same batch: equal to the last bit."""
    source = folder(family)
    store = stored(family, source, tmp_path / "s.zarr", tokens=48)
    assert set(store["window"].values) == {0}
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    ids = torch.from_numpy(store["token_id"].values)[None]
    with torch.inference_mode(), observed_by_hand(model, family) as observed:
        log_probabilities = torch.log_softmax(model(input_ids=ids).logits, -1)
    for layer, (values, output) in observed.items():
        np.testing.assert_array_equal(store["mlp_input"].sel(layer=layer), values.reshape(ids.numel(), -1))
        np.testing.assert_array_equal(store["preactivation"].sel(layer=layer), output.reshape(ids.numel(), -1))
    expected = -log_probabilities[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    np.testing.assert_allclose(store["surprisal"].values[1:], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", [*FAMILIES, *UNLISTED])
def test_windows_in_a_batch_equal_those_run_alone(family, folder, tmp_path):
    source = folder(family)
    store = stored(family, source, tmp_path / "s.zarr", tokens=400)
    assert len({*np.bincount(store["window"].values)}) > 2, "padding is needed"
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    for index in np.unique(store["window"].values):
        window = store.isel(token=store["window"].values == index)
        ids = torch.from_numpy(window["token_id"].values)[None]
        with torch.inference_mode(), observed_by_hand(model, family) as observed:
            model(input_ids=ids)
        for layer, (_, output) in observed.items():
            np.testing.assert_allclose(
                window["preactivation"].sel(layer=layer), output.reshape(ids.numel(), -1), rtol=1e-4, atol=1e-6
            )


def test_attention_is_fast_where_the_family_has_it(folder):
    implementation = {}
    for family in (*FAMILIES, *UNLISTED):
        loaded = sources.load(sources.resolve(str(folder(family))), sources.MAIN, torch.float32)
        implementation[family] = loaded.config._attn_implementation
    slow = {"gemma2", "bloom"}
    assert implementation == {family: "eager" if family in slow else "sdpa" for family in implementation}
