from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from actstore.config import ExtractConfig, RunConfig, TextConfig
from actstore.errors import ActstoreError, CorpusError, ModelError
from actstore.extraction import block
from actstore.extraction.job import choose_layers
from actstore.extraction.run import extract
from actstore.model import sources
from actstore.store import layout
from actstore.store.opening import open_store
from actstore.store.resumable import Outcome
from actstore.store.schema import TOKEN_COORDS
from tests.helpers import QUIET


def test_store_has_every_label(store):
    assert store["preactivation"].dims == ("checkpoint", "layer", "token", "neuron")
    assert store["mlp_input"].dims == ("checkpoint", "layer", "token", "hidden")
    assert store["surprisal"].dims == ("checkpoint", "token")
    assert {*TOKEN_COORDS, "revision", "weights_fingerprint", "duplicate_of"} <= set(store.coords)
    for array in (*store.data_vars.values(), *store.coords.values()):
        assert array.attrs["units"]
        assert array.attrs["long_name"]
    attributes = {"schema_version", "model", "tokenizer_fingerprint", "corpus_fingerprint", "dtype", "seed", "package_version"}
    assert attributes <= set(store.attrs)


def test_plain_xarray_opens_it(run_folder):
    plain = xr.open_zarr(run_folder / "store.zarr")
    assert plain.sizes["layer"] == 4
    assert plain["upos"].dims == ("token",)


def test_stored_values_are_the_models_own(store, neox):
    """One window, run by hand through the plain model."""
    in_window = store["window"].values == 2
    ids = torch.from_numpy(store["token_id"].values[in_window])[None]
    site = neox.gpt_neox.layers[3].mlp.dense_h_to_4h
    observed = {}
    handle = site.register_forward_hook(lambda module, args, output: observed.update(x=args[0], a=output))
    with torch.inference_mode():
        log_probabilities = torch.log_softmax(neox(input_ids=ids).logits, -1)
    handle.remove()
    last = store.isel(token=in_window).sel(checkpoint=4000)
    np.testing.assert_allclose(last["preactivation"].sel(layer=3), observed["a"][0], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(last["mlp_input"].sel(layer=3), observed["x"][0], rtol=2e-3, atol=2e-3)
    expected = -log_probabilities[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    np.testing.assert_allclose(last["surprisal"].values[1:], expected, rtol=1e-4, atol=1e-4)
    assert np.isnan(last["surprisal"].values[0])


def test_preactivation_is_the_affine_map_of_the_stored_input(store, neox_source):
    model = sources.load(neox_source, 64, torch.float32)
    site = model.gpt_neox.layers[1].mlp.dense_h_to_4h
    chosen = store.sel(checkpoint=64, layer=1)
    np.testing.assert_array_equal(chosen["neuron_weight"].values, site.weight.T.numpy().astype(np.float16))
    weight = chosen["neuron_weight"].values.astype(np.float32)
    recomputed = chosen["mlp_input"].values.astype(np.float32) @ weight + site.bias.numpy()
    np.testing.assert_allclose(chosen["preactivation"].values, recomputed, rtol=5e-3, atol=5e-3)


def test_layer_0_of_a_parallel_residual_model_sees_the_token_alone(store):
    """With rotary positions, the layer-0 MLP input depends on the token id only (a trap for pair statistics)."""
    ids = store["token_id"].values
    repeated = np.flatnonzero(ids == np.bincount(ids).argmax())[:5]
    rows = store["mlp_input"].sel(checkpoint=4000, layer=0).isel(token=repeated).values.astype(float)
    np.testing.assert_allclose(rows, rows[:1].repeat(len(rows), 0), atol=2e-3)


def test_surprisal_is_finite_where_tokens_are_scored(store):
    scored = store["is_scored"].values
    assert (np.isfinite(store["surprisal"].values) == scored).all()


def test_repeated_weights_are_marked(store):
    assert store["duplicate_of"].values.tolist() == [-1, 0, -1, -1]


def test_shards_do_not_change_a_value(extract_config, run_folder, tmp_path, monkeypatch):
    """Shard edges cut windows; these windows still run whole."""
    config = replace(extract_config, checkpoints="4000")
    extract(config, tmp_path / "single.zarr", QUIET)
    monkeypatch.setattr(layout, "_SHARD_TOKENS", 256)
    monkeypatch.setattr(block, "_MAX_PIECE_TOKENS", 128)
    extract(config, tmp_path / "several.zarr", QUIET)
    single, several = (xr.open_zarr(tmp_path / name) for name in ("single.zarr", "several.zarr"))
    assert several["preactivation"].encoding["chunks"][2] < 256
    for name in ("preactivation", "mlp_input", "surprisal"):
        np.testing.assert_allclose(single[name].values, several[name].values, rtol=2e-3, atol=2e-3)


def test_the_same_configuration_gives_the_same_bytes(extract_config, tmp_path):
    config = replace(extract_config, checkpoints="64", text=TextConfig(tokens=400))
    for name in ("a", "b"):
        assert extract(config, tmp_path / name, QUIET) is Outcome.WRITTEN
    assert extract(config, tmp_path / "a", QUIET) is Outcome.ALREADY_COMPLETE, "a finished store is not written again"
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert files
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


@pytest.fixture
def with_bias(neox_source, monkeypatch):
    """Make extraction load weights in which one neuron's bias is set."""

    def set_bias(value):
        model = sources.load(neox_source, 4000, torch.float32).requires_grad_(False)
        model.gpt_neox.layers[2].mlp.dense_h_to_4h.bias[7] = value
        monkeypatch.setattr(sources, "load", lambda *_: model)

    return set_bias


def test_overflow_is_refused_and_float32_holds_it(with_bias, tmp_path):
    config = ExtractConfig("pico-neox", text=TextConfig(tokens=400))
    with_bias(1e6)
    with pytest.raises(
        ActstoreError, match=r"preactivation of checkpoint 4000, layer 2, neuron 7 reaches (1,000|999),.*--dtype float32"
    ):
        extract(config, tmp_path / "s.zarr", QUIET)
    assert not list(tmp_path.iterdir())
    assert extract(replace(config, dtype="float32"), tmp_path / "wide.zarr", QUIET) is Outcome.WRITTEN


def test_a_value_that_is_not_finite_is_named(with_bias, tmp_path):
    with_bias(float("nan"))
    with pytest.raises(ActstoreError, match="preactivation of checkpoint 4000, layer 2, neuron 7 is not finite"):
        extract(ExtractConfig("pico-neox", text=TextConfig(tokens=400)), tmp_path / "s.zarr", QUIET)


def test_weights_that_overflow_are_refused(neox_source, tmp_path, monkeypatch):
    model = sources.load(neox_source, 4000, torch.float32)
    model.gpt_neox.layers[2].mlp.dense_h_to_4h.weight[7, 3] = 1e6
    monkeypatch.setattr(sources, "load", lambda *_: model)
    with pytest.raises(ActstoreError, match="a weight of checkpoint 4000 is not finite or beyond float16"):
        extract(ExtractConfig("pico-neox", text=TextConfig(tokens=400)), tmp_path / "s.zarr", QUIET)


def test_weights_come_in_runs(neox_source, tmp_path, monkeypatch):
    monkeypatch.setattr(block, "_WEIGHT_BYTES", 4 * 512 * 2 * 5)
    extract(ExtractConfig("pico-neox", layers="1,3", text=TextConfig(tokens=400)), tmp_path / "s.zarr", QUIET)
    stored = open_store(tmp_path / "s.zarr")["neuron_weight"].isel(checkpoint=0)
    model = sources.load(neox_source, 4000, torch.float32)
    for layer in (1, 3):
        expected = model.gpt_neox.layers[layer].mlp.dense_h_to_4h.weight.T.numpy().astype(np.float16)
        np.testing.assert_array_equal(stored.sel(layer=layer), expected)


def test_window_beyond_the_context(tmp_path):
    with pytest.raises(CorpusError, match="exceeds the context of pico-neox, 256"):
        extract(ExtractConfig("pico-neox", text=TextConfig(window=300)), tmp_path / "s.zarr", QUIET)


def test_chosen_layers_equal_those_of_all(extract_config, run_folder, tmp_path):
    config = replace(extract_config, layers="1,3", checkpoints="4000")
    extract(config, tmp_path / "some.zarr", QUIET)
    chosen, every = open_store(tmp_path / "some.zarr"), open_store(run_folder / "store.zarr").sel(checkpoint=[4000])
    assert chosen["layer"].values.tolist() == [1, 3]
    for name in ("preactivation", "mlp_input"):
        np.testing.assert_array_equal(chosen[name].values, every[name].sel(layer=[1, 3]).values)


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        ("all", range(12)),
        ("3", [3]),
        ("0:3", range(4)),
        ("0:11:5", [0, 5, 10]),
        ("7, 2,2", [2, 7]),
        ("0:1,10:11", [0, 1, 10, 11]),
    ],
)
def test_layer_specifications(spec, layers):
    assert choose_layers(spec, range(12)) == tuple(layers)


@pytest.mark.parametrize("spec", ["12", "0:12", "", "a", "1:2:0", "-1", "5:2", "1:2:3:4"])
def test_layers_that_do_not_exist(spec):
    with pytest.raises(ModelError):
        choose_layers(spec, range(12))


@pytest.mark.parametrize("compute_dtype", ["bfloat16", "float16"])
def test_other_arithmetic_is_close(extract_config, run_folder, tmp_path, compute_dtype):
    config = replace(extract_config, run=RunConfig(compute_dtype=compute_dtype), checkpoints="4000")
    extract(config, tmp_path / "s.zarr", QUIET)
    rough, fine = open_store(tmp_path / "s.zarr"), open_store(run_folder / "store.zarr").sel(checkpoint=[4000])
    difference = np.abs(rough["preactivation"].values.astype(float) - fine["preactivation"].values)
    assert 0 < np.median(difference) < 0.05
    assert np.nanmean(np.abs(rough["surprisal"].values - fine["surprisal"].values)) < 0.1


def test_a_surprisal_that_is_not_finite_is_refused(neox_source, monkeypatch, tmp_path):
    """Damage after the last site changes no activation."""
    model = sources.load(neox_source, 4000, torch.float32)
    model.get_output_embeddings().weight[5] = torch.nan
    monkeypatch.setattr(sources, "load", lambda *_: model)
    with pytest.raises(ActstoreError, match="surprisal of checkpoint 4000 is not finite"):
        extract(ExtractConfig("pico-neox", text=TextConfig(tokens=400)), tmp_path / "s.zarr", QUIET)
