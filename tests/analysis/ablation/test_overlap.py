"""How much of a readout's text the extraction saw, by content: name, seed, windows and documents do not matter."""

from __future__ import annotations

import pytest

from actstore.ablation.design import Design
from actstore.ablation.run import ablate
from actstore.config import ExtractConfig, TextConfig
from actstore.errors import StoreError
from actstore.extraction.run import extract
from actstore.store.opening import open_store
from analysis.ablation.overlap import text_overlap
from tests.helpers import QUIET

NOTHING = ()


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Folder `seen` with four stories; folder `mixed` with the second paragraph of the first story, and with a fifth story."""
    folder = tmp_path_factory.mktemp("texts")
    words = ("river", "stone", "a quiet", "garden", "the old", "teacher", "sings", "seven", "and", "lamps")

    def paragraph(story, number):
        return " ".join(words[(story * 7 + number * 3 + i * (story + 2)) % 10] for i in range(60))

    stories = ["\n\n".join(paragraph(story, number) for number in range(2)) for story in range(5)]
    (folder / "seen").mkdir()
    for number, story in enumerate(stories[:4]):
        (folder / "seen" / f"{number}.txt").write_text(story)
    (folder / "mixed").mkdir()
    (folder / "mixed" / "a.txt").write_text(stories[0].split("\n\n")[1])
    (folder / "mixed" / "b.txt").write_text(stories[4])
    return folder


def readout(folder, name, **text):
    ablate(Design("pico-neox", text=TextConfig(**text), readouts=NOTHING), folder / name, progress=False)
    return open_store(folder / name)


def test_the_embedded_texts_share_nothing(store, ablation):
    assert ablation.attrs["corpus"] == "builtin-evaluation"
    (row,) = text_overlap(store, ablation).to_dict("records")
    assert (row["extraction_corpus"], row["readout_corpus"]) == ("builtin", "builtin-evaluation")
    assert row["n_documents"] == len(set(ablation["document"].values)) > 1
    assert row["n_tokens"] == int((ablation["position"] > 0).sum())
    assert (row["n_documents_seen"], row["n_tokens_seen"]) == (0, 0)


def test_the_same_text_is_seen_whatever_its_windows(store, tmp_path):
    same = readout(tmp_path, "a.zarr", corpus="builtin", tokens=1500, window=50)
    (row,) = text_overlap(store, same).to_dict("records")
    assert row["n_documents_seen"] == row["n_documents"] > 1
    assert row["n_tokens_seen"] == row["n_tokens"]
    other_seed = readout(tmp_path, "b.zarr", corpus="builtin", tokens=1500, seed=1)
    assert text_overlap(store, other_seed)["n_tokens_seen"].item() == 0


def test_a_part_of_a_document_is_seen_under_another_name(texts, tmp_path):
    extract(ExtractConfig("pico-neox", text=TextConfig(corpus=str(texts / "seen"), tokens="all")), tmp_path / "s.zarr", QUIET)
    mixed = readout(tmp_path, "a.zarr", corpus=str(texts / "mixed"), tokens="all")
    (row,) = text_overlap(open_store(tmp_path / "s.zarr"), mixed).to_dict("records")
    assert (row["extraction_documents"], row["n_documents"], row["n_documents_seen"]) == (4, 2, 1)
    first = int(((mixed["position"] > 0) & (mixed["document"] == 0)).sum())
    assert 0.9 * first <= row["n_tokens_seen"] <= first


def test_another_tokenizer_is_refused(store, ablation):
    with pytest.raises(StoreError, match="two tokenizers"):
        text_overlap(store, ablation.assign_attrs(tokenizer_fingerprint="other"))
