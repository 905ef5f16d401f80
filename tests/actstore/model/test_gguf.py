"""Models from `.gguf` files, written here from a small model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actstore.config import ExtractConfig, TextConfig
from actstore.errors import ModelError
from actstore.extraction.run import extract
from actstore.model import sources
from actstore.store.opening import open_store
from actstore.store.resumable import Outcome
from tests.helpers import GATED, QUIET, tiny_model
from tests.model_files import N_TOKENS, write_gguf


@pytest.fixture(scope="module")
def original():
    return tiny_model("qwen3", GATED | {"vocab_size": N_TOKENS, "max_position_embeddings": 256, "head_dim": 128})


@pytest.fixture(scope="module")
def path(tmp_path_factory, original):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", original.config, original.state_dict())


def test_the_file_gives_the_same_weights(path, original):
    loaded = sources.load(sources.resolve(str(path)), sources.MAIN, torch.float32)
    ids = torch.arange(1, 30)[None]
    with torch.inference_mode():
        torch.testing.assert_close(loaded(input_ids=ids).logits, original(input_ids=ids).logits)


def test_it_is_extracted_like_any_model(path, original, tmp_path):
    config = ExtractConfig(str(path), dtype="float32", text=TextConfig(tokens=600))
    assert extract(config, tmp_path / "s.zarr", QUIET) is Outcome.WRITTEN
    store = open_store(tmp_path / "s.zarr")
    assert (store.attrs["family"], store.attrs["model"]) == ("qwen3", "tiny")
    assert store["preactivation"].shape[1::2] == (2, 24)
    chosen = store.isel(checkpoint=0, layer=1)
    weight = original.model.layers[1].mlp.gate_proj.weight.numpy()
    np.testing.assert_allclose(chosen["preactivation"], chosen["mlp_input"].values @ weight.T, rtol=1e-4, atol=1e-4)


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match=r"cannot load the configuration of bad: "):
        sources.outline(sources.resolve(str(tmp_path / "bad.gguf")))
