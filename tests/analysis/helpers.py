"""Hand-made ablation stores."""

from __future__ import annotations

import numpy as np
import xarray as xr

HEAD = ("checkpoint", "condition")


def cohort_columns(cohorts, rules, targets, scopes=None):
    """Columns of cohorts, the intact model (`none`) among them; `targets` names the top cohort that each controls for."""
    scopes = dict(zip(cohorts, scopes or ["layer"] * len(cohorts), strict=True))
    intact = [cohort == "none" for cohort in cohorts]
    return {
        "cohort": cohorts,
        "rule": rules,
        "statistic": ["" if i else "wasserstein_distance" for i in intact],
        "fraction": [0 if i else 0.5 for i in intact],
        "scope": ["" if cohort == "none" else scopes[cohort] for cohort in cohorts],
        "first_layer": [-1 if i else 0 for i in intact],
        "last_layer": [-1 if i else 0 for i in intact],
        "chosen_at": ["" if i else "same" for i in intact],
        "target_scope": ["" if target == "" else scopes[target] for target in targets],
    }


def pair_store(margins, paradigm, phenomenon, benchmark=None, **extra):
    """Minimal pairs under four conditions: intact, top, and two draws of random.

    `margins` (condition, pair); every sentence is its own. `extra` is added to the Dataset.
    """
    margins = np.asarray(margins, float)
    n_pairs = margins.shape[1]
    condition = {
        "intervention": ["none", *["negative-zero"] * 3],
        "tolerance": [np.nan] * 4,
        **cohort_columns(names := ["none", "top", "random", "random"], names, ["", "", "top", "top"]),
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
