from __future__ import annotations

import shutil

import pytest
import torch

from actstore.errors import ModelError, UnknownNameError
from actstore.model import sources


def test_every_embedded_model_has_its_checkpoints():
    steps = {name: list(sources.resolve(name).checkpoints) for name in sources.builtin_names()}
    assert steps["pico-neox"] == [0, *(2**k for k in range(10)), 1000, 2000, 3000, 4000]
    assert len(steps["pico-llama"]) == 3
    assert len(steps["pico-opt"]) == 1


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        ("main", [4000]),
        ("512,step1000", [512, 1000]),
        ("1000, 512, 512", [512, 1000]),
        ("1000:3000:1000", [1000, 2000, 3000]),
        ("log", [0, *(2**k for k in range(10)), 4000]),
    ],
)
def test_checkpoint_specifications(neox_source, spec, steps):
    assert sources.choose_checkpoints(neox_source, spec) == steps


@pytest.mark.parametrize("spec", ["513", "step", "5:6:0", "5:6"])
def test_checkpoints_that_do_not_exist(neox_source, spec):
    with pytest.raises((UnknownNameError, ModelError)):
        sources.choose_checkpoints(neox_source, spec)


def test_unknown_model_offers_close_names():
    with pytest.raises(UnknownNameError, match="did you mean 'pico-neox'"):
        sources.resolve("pico-nex")


def test_a_plain_folder_is_a_model_of_one_checkpoint(neox_source, tmp_path):
    shutil.copytree(neox_source.checkpoints[4000].fetch(), tmp_path / "mine")
    source = sources.resolve(str(tmp_path / "mine"))
    assert list(source.checkpoints) == [sources.MAIN]


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="no model"):
        sources.resolve(str(tmp_path))


def test_damaged_weights_are_named(neox_source, tmp_path):
    folder = tmp_path / "step7"
    shutil.copytree(neox_source.checkpoints[4000].fetch(), folder)
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ModelError, match=r"cannot load .*step7"):
        sources.load(sources.resolve(str(tmp_path)), 7, torch.float32)


def test_fingerprints_of_different_weights_differ(neox_source):
    first, second, last = (sources.weights_fingerprint(sources.load(neox_source, step, torch.float32)) for step in (0, 1, 4000))
    assert first == second  # the first step of the warm-up has learning rate 0
    assert first != last


def test_dtype_is_the_requested_one(neox_source):
    assert sources.load(neox_source, 0, torch.float16).dtype == torch.float16
    assert sources.load(neox_source, 0, torch.float32).dtype == torch.float32
