"""A table of words with planted effects."""

from __future__ import annotations

import numpy as np
import pandas as pd

EFFECTS = {("top", "DET"): 0.6, ("top", "NOUN"): 0.1}


def toy_table(seed=0, n=1200, effects=EFFECTS, conditions=("random", "top")):
    """One row a word and condition; `effects` by (condition, upos), all else noise."""
    rng = np.random.default_rng(seed)
    word, document = rng.integers(60, size=n), rng.integers(25, size=n)
    upos = np.array(["DET", "NOUN", "VERB"])[np.arange(60) % 3][word]
    frames, shared = [], rng.normal(0, 0.3, 60)[word] + rng.normal(0, 0.2, 25)[document]
    for condition in conditions:
        shift = np.array([effects.get((condition, name), 0) for name in upos])
        noise = shared + rng.normal(size=n)
        columns = {
            "delta": shift + noise,
            "condition": condition,
            "upos": upos,
            "word_type": word,
            "document": document,
            "log_frequency": np.log((word + 1) / 60),
            "position": rng.integers(200, size=n),
            "n_pieces": 1 + word % 2,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
