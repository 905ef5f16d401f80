"""Simulated data of textbook designs, the same for lme4 and for us.

The reference numbers in `lme4.json` were made once by R 4.2 with lme4 1.1-31 and lmerTest 3.1-3:

    python -m tests.reference.designs DIR && Rscript tests/reference/lme4.R DIR > tests/reference/lme4.json
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd


class Design(NamedTuple):
    """A table, its formula and its random factors with the terms whose effects vary over them."""

    table: pd.DataFrame
    formula: str
    random: dict[str, list[str]]


def sleep() -> Design:
    """Reaction times of 18 subjects on ten days, with a slope a subject."""
    rng = np.random.default_rng(1)
    subject, day = np.repeat(np.arange(18), 10), np.tile(np.arange(10.0), 18)
    effects = rng.multivariate_normal([0, 0], [[600, 10], [10, 35]], size=18)
    y = 250 + 10 * day + effects[subject, 0] + effects[subject, 1] * day + rng.normal(0, 25, 180)
    return Design(pd.DataFrame({"y": y, "day": day, "subject": _named("s", subject)}), "y ~ day", {"subject": ["day"]})


def penicillin() -> Design:
    """Diameters of 24 plates × 6 samples, crossed and balanced."""
    rng = np.random.default_rng(2)
    plate, sample = np.repeat(np.arange(24), 6), np.tile(np.arange(6), 24)
    y = 23 + rng.normal(0, 0.85, 24)[plate] + rng.normal(0, 1.9, 6)[sample] + rng.normal(0, 0.55, 144)
    table = pd.DataFrame({"y": y, "plate": _named("p", plate), "sample": _named("s", sample)})
    return Design(table, "y ~ 1", {"plate": [], "sample": []})


def words() -> Design:
    """Word types by frequency × documents, unbalanced, with condition and part of speech."""
    rng = np.random.default_rng(3)
    share = 1 / np.arange(1, 401)
    word = rng.choice(400, p=share / share.sum(), size=1500)
    document = rng.choice(40, p=rng.dirichlet(np.full(40, 2.0)), size=1500)
    table = pd.DataFrame({"word_type": word, "document": document}).loc[lambda t: t.index.repeat(3)].reset_index(drop=True)
    condition = np.tile(np.arange(3), 1500)
    upos = np.array(["ADP", "DET", "NOUN", "VERB"])[rng.integers(4, size=400)][table["word_type"]]
    x = np.repeat(rng.normal(5, 2, 1500), 3)
    y = 0.1 * condition + 0.3 * ((upos == "DET") & (condition == 2)) + 0.05 * x + rng.normal(0, 1, 4500)
    y = y + rng.normal(0, 0.4, 400)[table["word_type"]] + rng.normal(0, 0.2, 40)[table["document"]]
    table = table.assign(y=y, condition=np.array(["bottom", "random", "top"])[condition], upos=upos, x=x)
    table = table.assign(word_type=_named("w", table["word_type"]), document=_named("d", table["document"]))
    return Design(table, "y ~ condition * upos + x", {"word_type": [], "document": []})


def slopes() -> Design:
    """Documents that differ in what a condition does to them, crossed with word types."""
    rng = np.random.default_rng(4)
    word, document, condition = rng.integers(60, size=2400), rng.integers(30, size=2400), rng.integers(2, size=2400)
    effects = rng.multivariate_normal([0, 0], [[0.3, 0.1], [0.1, 0.2]], size=30)
    y = 1 + 0.2 * condition + effects[document, 0] + effects[document, 1] * condition
    y = y + rng.normal(0, 0.5, 60)[word] + rng.normal(0, 1, 2400)
    table = pd.DataFrame({"y": y, "condition": np.array(["a", "b"])[condition]})
    table = table.assign(word_type=_named("w", word), document=_named("d", document))
    return Design(table, "y ~ condition", {"word_type": [], "document": ["condition"]})


def singular() -> Design:
    """Groups that do not differ beyond chance: their variance is estimated as zero."""
    rng = np.random.default_rng(12)
    group, word = np.repeat(np.arange(8), 30), rng.integers(20, size=240)
    y = rng.normal(0, 1, 240) + rng.normal(0, 0.6, 20)[word]
    y = y - pd.Series(y).groupby(group).transform("mean").to_numpy()
    x = rng.normal(size=240)
    table = pd.DataFrame({"y": y + 0.3 * x, "x": x, "document": _named("g", group), "word_type": _named("w", word)})
    return Design(table, "y ~ x", {"word_type": [], "document": []})


DESIGNS = {function.__name__: function for function in (sleep, penicillin, words, slopes, singular)}


def digest(table: pd.DataFrame) -> str:
    """A checksum of the data, to tell apart other data from other numbers."""
    return hashlib.sha256(table.round(9).to_csv(index=False).encode()).hexdigest()[:16]


def _named(prefix: str, codes: pd.Series | np.ndarray) -> list[str]:
    return [f"{prefix}{code:05d}" for code in codes]


if __name__ == "__main__":
    for name, make in DESIGNS.items():
        table = make().table
        table.to_csv(Path(sys.argv[1]) / f"{name}.csv", index=False)
        (Path(sys.argv[1]) / f"{name}.digest").write_text(digest(table))
