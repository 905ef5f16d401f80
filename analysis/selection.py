"""Choosing neurons by a statistic, and at random without them.

Owns the rules of choice; the file format is `actstore.schema.Selection`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from actstore.errors import SelectionError, UnknownNameError
from actstore.schema import CHECKPOINT, LAYER, NEURON, Selection

RULES = ("top", "bottom", "random")


def select(
    statistic: xr.DataArray,
    fraction: float = 0.01,
    rule: str = "top",
    *,
    seed: int = -1,
    provenance: dict[str, Any] | None = None,
) -> Selection:
    """The given fraction of every layer's neurons.

    Parameters
    ----------
    statistic : DataArray
        (layer, neuron) of one checkpoint, with scalar coords `checkpoint` and
        `weights_fingerprint` and the attribute `model`. NaN ranks last under every rule.
    fraction : float
        In (0, 1]; exactly `round(fraction * n_neurons)` neurons of each layer are chosen.
    rule : str
        `top` or `bottom` by value (ties by neuron index, lowest first), or `random` without the
        neurons that `top` would choose.
    seed : int
        For `random`; at least 0.
    provenance : dict, optional
        Kept in the file.

    Raises
    ------
    UnknownNameError, SelectionError
        If the rule is unknown, the fraction chooses nothing, or too few neurons have a value.
    """
    if rule not in RULES:
        raise UnknownNameError("selection rule", rule, RULES)
    if not 0 < fraction <= 1:
        raise SelectionError(f"a fraction lies in (0, 1], got {fraction}")
    if (rule == "random") != (seed >= 0):
        raise SelectionError(f"rule {rule!r} {'needs a seed of 0 or more' if rule == 'random' else 'takes no seed'}")
    values = statistic.transpose(LAYER, NEURON).values
    n_neurons = values.shape[1]
    n_chosen = round(fraction * n_neurons)
    if n_chosen == 0:
        raise SelectionError(f"{fraction:g} of {n_neurons} neurons rounds to none; the least is {0.5 / n_neurons:.2g}")
    rng = np.random.default_rng(seed) if rule == "random" else None
    chosen = {
        int(layer): tuple(sorted(int(neuron) for neuron in _choose(row, n_chosen, rule, rng)))
        for layer, row in zip(statistic[LAYER].values, values, strict=True)
    }
    return Selection(
        neurons=chosen,
        rule=rule,
        statistic=str(statistic.name),
        fraction=fraction,
        model=str(statistic.attrs["model"]),
        weights_fingerprint=str(statistic.coords["weights_fingerprint"].item()),
        checkpoint=int(statistic.coords[CHECKPOINT].item()),
        n_neurons_per_layer=n_neurons,
        seed=seed,
        provenance={"package_version": version("actstore"), **(provenance or {})},
    )


def _choose(row: np.ndarray, n_chosen: int, rule: str, rng: np.random.Generator | None) -> np.ndarray:
    defined = np.flatnonzero(~np.isnan(row))
    descending = defined[np.argsort(-row[defined], kind="stable")]
    if rng is None:
        ranked = descending if rule == "top" else defined[np.argsort(row[defined], kind="stable")]
        if len(ranked) < n_chosen:
            raise SelectionError(f"only {len(ranked)} neurons of a layer have a value, {n_chosen} are asked for")
        return ranked[:n_chosen]
    pool = np.setdiff1d(np.arange(len(row)), descending[:n_chosen])
    if len(pool) < n_chosen:
        raise SelectionError(f"only {len(pool)} neurons are left outside the top {n_chosen}; choose a smaller fraction")
    return rng.choice(pool, size=n_chosen, replace=False)
