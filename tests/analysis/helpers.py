"""Hand-made ablation stores."""

from __future__ import annotations

import numpy as np
import xarray as xr

HEAD = ("checkpoint", "condition")


def pair_store(margins, paradigm, phenomenon, benchmark=None, **extra):
    """Minimal pairs under four conditions: intact, top, and two draws of random.

    `margins` (condition, pair); every sentence is its own. `extra` is added to the Dataset.
    """
    margins = np.asarray(margins, float)
    n_pairs = margins.shape[1]
    condition = {
        "intervention": ["none", *["negative-zero"] * 3],
        "cohort": ["none", "top", "random", "random"],
        "rule": ["none", "top", "random", "random"],
        "fraction": [0, 0.5, 0.5, 0.5],
        "cohort_layers": ["", "all", "all", "all"],
        "chosen_at": ["", "same", "same", "same"],
        "controls": ["", "", "top", "top"],
        "tolerance": [np.nan] * 4,
    }
    values = {f"{kind}log_probability_bad": np.full((1, *margins.shape), -20.0) for kind in ("", "critical_")}
    values |= {"log_probability_good": margins[None] - 20, "critical_log_probability_good": 2 * margins[None] - 20}
    pair = {
        "paradigm": paradigm,
        "phenomenon": phenomenon,
        "benchmark": benchmark or ["made"] * n_pairs,
        "sentence_good": [f"good {i}" for i in range(n_pairs)],
        "sentence_bad": [f"bad {i}" for i in range(n_pairs)],
        "n_tokens_good": [1] * n_pairs,
        "n_tokens_bad": [1] * n_pairs,
    }
    return xr.Dataset(
        {name: ((*HEAD, "pair"), array) for name, array in values.items()}
        | {"is_edited": ((*HEAD, "layer", "neuron"), np.zeros((1, 4, 1, 2), bool)), "perplexity": (HEAD, np.full((1, 4), 9.0))}
        | extra,
        coords={"checkpoint": [7], "layer": [0]}
        | {name: ("condition", array) for name, array in condition.items()}
        | {name: ("pair", array) for name, array in pair.items()},
    )
