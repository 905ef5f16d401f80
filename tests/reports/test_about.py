"""What the page says first."""

from __future__ import annotations

from dataclasses import replace

from reports.about import about, is_embedded, labels


def test_toy_models_are_called_so(results):
    text = " ".join(about(results))
    assert text.startswith("Models: pico-neox (GELU, 4 layers of 512 neurons, 3 checkpoints) and pico-opt (ReLU, 4 layers of")
    assert "They are toy models of this package, trained on an artificial language" in text
    assert f"{results.main.sizes['token']:,} tokens of that language (builtin)" in text
    assert "what holds here need not hold for real language models" in text


def test_a_published_model_is_no_toy(results):
    main = replace(
        results.main, attributes=results.main.attributes | {"model": "EleutherAI/pythia-70m", "corpus": "/x/wiki.jsonl"}
    )
    assert not is_embedded(main)
    mixed = " ".join(about(replace(results, models={**results.models, main.name: main})))
    assert "pico-opt is a toy model of this package" in mixed
    assert "EleutherAI/pythia-70m is a trained language model, used as published." in mixed
    assert "tokens of wiki.jsonl" in mixed
    alone = " ".join(about(replace(results, models={main.name: main})))
    assert "toy" not in alone
    assert alone.startswith("Model: EleutherAI/pythia-70m (")


def test_labels_of_the_main_comparison_are_explained(results):
    assert labels(results) == {
        "top 1%": "the 1% of each layer with the largest Wasserstein distance",
        "random 1%": "as many neurons as the top 1% of each layer, drawn at random from the others",
    }
