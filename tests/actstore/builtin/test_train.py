"""The committed weights come from the recipe, and their models know the language."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch

from actstore.ablation.readout import Subject
from actstore.ablation.readouts.minimal_pairs import PairScorer
from actstore.ablation.readouts.probes import ChoiceScorer
from actstore.builtin import MODELS_FOLDER
from actstore.builtin.probes import fact_probes, recall_probes
from actstore.builtin.train import CHECKPOINTS, VOCABULARY_SIZE, configuration, rate, train, train_tokenizer
from actstore.model import sources
from actstore.text.minimal_pairs import read_pairs

N_PAIRS = 30


def accuracies(model, tokenizer):
    pairs = read_pairs("builtin", N_PAIRS, seed=11)
    scores = PairScorer(Subject(tokenizer, 256), pairs).read(model)
    is_right = defaultdict(list)
    for pair, right in zip(pairs, scores["log_probability_good"] > scores["log_probability_bad"], strict=True):
        is_right[pair.paradigm].append(right)
    return {paradigm: float(np.mean(right)) for paradigm, right in is_right.items()}


def probe_accuracy(model, tokenizer, items):
    scores = ChoiceScorer(Subject(tokenizer, 256), items).read(model)["log_probability_option"]
    return float(np.mean(scores.argmax(axis=1) == [item.answer for item in items]))


def test_last_checkpoint_meets_the_bar(neox, neox_tokenizer):
    by_paradigm = accuracies(neox, neox_tokenizer)
    agreement = [by_paradigm[name] for name in ("simple_agreement", "auxiliary_agreement", "irregular_noun_agreement")]
    assert np.mean(agreement) >= 0.90
    assert np.mean(list(by_paradigm.values())) >= 0.75
    assert probe_accuracy(neox, neox_tokenizer, fact_probes()) >= 0.70
    assert probe_accuracy(neox, neox_tokenizer, recall_probes(60)) >= 0.70


def test_first_checkpoint_is_at_chance(neox_source, neox_tokenizer):
    untrained = sources.load(neox_source, 0, torch.float32)
    by_paradigm = accuracies(untrained, neox_tokenizer)
    assert 0.4 < np.mean(list(by_paradigm.values())) < 0.6
    assert 0.35 < np.mean([by_paradigm["simple_agreement"], by_paradigm["auxiliary_agreement"]]) < 0.65
    assert 0.18 < probe_accuracy(untrained, neox_tokenizer, fact_probes()) < 0.32


@pytest.mark.parametrize("name", ["pico-llama", "pico-opt"])
def test_the_other_models_know_the_grammar_too(name):
    source = sources.resolve(name)
    model = sources.load(source, sources.choose_checkpoints(source, "main")[0], torch.float32)
    tokenizer = sources.load_tokenizer(source)
    assert np.mean(list(accuracies(model, tokenizer).values())) >= 0.75
    assert probe_accuracy(model, tokenizer, fact_probes()) >= 0.70


def test_training_again_gives_the_committed_checkpoints(neox_source, neox_tokenizer):
    """From scratch to step 32; float32 sums differ between machines, so equality is to float16 rounding."""
    n_compared = 0
    for step, model in train("pico-neox", neox_tokenizer, last_step=32):
        committed = sources.load(neox_source, step, torch.float32).state_dict()
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value.detach(), committed[name], rtol=2e-3, atol=3e-4, msg=f"{name} at step {step}")
        n_compared += 1
    assert n_compared == 7
    start = sources.load(neox_source, 0, torch.float32).state_dict()
    largest_change = max(float((committed[name] - start[name]).abs().max()) for name in start)
    assert largest_change > 0.01, "the comparison must be finer than what training changes"


def test_tokenizer_comes_from_the_recipe(neox_tokenizer):
    assert len(neox_tokenizer) == VOCABULARY_SIZE <= 2048
    assert train_tokenizer().get_vocab() == neox_tokenizer.get_vocab()
    assert len(neox_tokenizer("grandmothers")["input_ids"]) > 1


def test_schedule():
    assert rate(0, 1000) == 0
    assert rate(100, 1000) == pytest.approx(3e-3)
    assert rate(1000, 1000) == pytest.approx(3e-4)


def test_suite_is_small_and_complete():
    files = list(MODELS_FOLDER.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) <= 35e6
    assert len(files) == sum(map(len, CHECKPOINTS.values()))
    models = (sources.load(sources.resolve(name), steps[-1], torch.float16) for name, steps in CHECKPOINTS.items())
    assert {model.config.model_type for model in models} == {"gpt_neox", "llama", "opt"}
    assert configuration("pico-neox").use_parallel_residual
