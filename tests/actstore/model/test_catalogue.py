from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from actstore.model.catalogue import CATALOGUE, PYTHIA_STEPS, entry_of, known_problem
from actstore.model.families import FAMILIES, adapter_for

PUBLISHED_PARAMETERS = {
    "pythia-14m": 14_067_712,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360,
    "gemma-2-2b": 2_614_341_888,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
    "olmo-2-1b": 1_484_916_736,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
}
"""Trainable parameters as the model cards and weight files count them."""


def outline(name: str):
    entry = CATALOGUE[name]
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(entry.family, **entry.config))


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_the_shape_gives_the_published_number_of_parameters(name):
    assert outline(name).num_parameters() == PUBLISHED_PARAMETERS[name]


@pytest.mark.parametrize("name", [name for name in CATALOGUE if "seed" not in name and "deduped" not in name])
def test_the_adapter_finds_layers_and_neurons(name):
    entry, model = CATALOGUE[name], outline(name)
    assert entry.family in FAMILIES.entries
    sites = adapter_for(model).modules(model)
    assert len(sites) == entry.n_layers
    assert sites[0].weight.numel() == entry.n_hidden * entry.n_neurons


def test_the_pythia_suite_is_complete():
    assert len(PYTHIA_STEPS) == 154
    assert PYTHIA_STEPS[:4] == (0, 1, 2, 4)
    assert PYTHIA_STEPS[-1] == 143_000
    names = {name for name in CATALOGUE if name.startswith("pythia")}
    assert len(names) == 10 + 8 + 5 * 9
    assert {"pythia-12b-deduped", "pythia-14m-seed9", "pythia-410m-seed1"} <= names
    assert not {"pythia-14m-deduped", "pythia-1b-seed1"} & names


def test_an_entry_is_found_by_name_and_by_repository():
    assert entry_of("Pythia-1B") is entry_of("EleutherAI/pythia-1b") is CATALOGUE["pythia-1b"]
    assert entry_of("pythia-1b-v0") is None


def test_known_problems():
    assert known_problem("EleutherAI/pythia-12b", 50_000)
    assert known_problem("EleutherAI/pythia-2.8b", 1000)
    assert known_problem("EleutherAI/pythia-2.8b", 66_000) is None
    assert sum(bool(known_problem("EleutherAI/pythia-2.8b", step)) for step in PYTHIA_STEPS) == 86
    assert known_problem("EleutherAI/pythia-12b", 51_000) is None
