"""Single numbers from the tables of cohorts: the steepest rise, half of a change, layers that stand out.

Owns the arithmetic behind the sentences of reports, which compute nothing themselves.
"""

from __future__ import annotations

import pandas as pd

from actstore.store.schema import CHECKPOINT, LAYER
from analysis.training.cohorts import ALL_LAYERS, REST


def of_single_layers(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table without those over all layers."""
    rows: pd.DataFrame = table[table[LAYER] != ALL_LAYERS]
    return rows


def of_all_layers(table: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """The rows of a cohort over the neurons of all layers, in the order of training.

    Parameters
    ----------
    table : DataFrame
        Of `cohort_trajectory`, of one cohort.
    cohort : str
        The rule of the selection, or `rest`.
    """
    rows = table[(table[LAYER] == ALL_LAYERS) & (table["cohort"] == cohort)]
    return rows.sort_values(CHECKPOINT)


def steepest_rise(table: pd.DataFrame) -> tuple[int, int] | None:
    """The two training steps between which the mean over all layers rises most steeply.

    Parameters
    ----------
    table : DataFrame
        Of `emergence`, of one cohort.

    Returns
    -------
    (int, int) or None
        `step_from` and `step_to`; None if the mean rises nowhere.
    """
    row = table[table[LAYER] == ALL_LAYERS].iloc[0]
    return (int(row["step_from"]), int(row["step_to"])) if row["slope"] > 0 else None


def half_settled_steps(table: pd.DataFrame, cohort: str) -> pd.Series:
    """The first training step at which at most half of the first checkpoint's dissimilarity is left, by layer.

    Parameters
    ----------
    table : DataFrame
        Of `weight_dissimilarity` to the last checkpoint, of one cohort.
    cohort : str
        The rule of the selection, or `rest`.

    Returns
    -------
    Series
        Steps, by `layer`; NaN for a layer whose mean is NaN.
    """
    means = table[table["cohort"] == cohort].pivot(index=LAYER, columns=CHECKPOINT, values="mean")
    is_settled = means.le(means.iloc[:, 0] / 2, axis=0)
    return is_settled.idxmax(axis=1).where(is_settled.any(axis=1)).rename(CHECKPOINT)


def separate_layers(table: pd.DataFrame, value: str, cohort: str) -> tuple[list[int], list[int]]:
    """The layers in which a cohort's interval lies above that of the rest, and those in which it lies below.

    Parameters
    ----------
    table : DataFrame
        One row a (layer, cohort), with `…_lower` and `…_upper` of the value.
    value : str
        Column of the estimate.
    cohort : str
        The rule of the selection.

    Returns
    -------
    above, below : list of int
        Layers without bounds, or without one of the two cohorts, are in neither.
    """
    rows = of_single_layers(table)
    lower, upper = (
        rows.pivot(index=LAYER, columns="cohort", values=f"{value}_{side}").reindex(columns=[cohort, REST])
        for side in ("lower", "upper")
    )
    above, below = lower[cohort] > upper[REST], upper[cohort] < lower[REST]
    return [int(layer) for layer in above.index[above]], [int(layer) for layer in below.index[below]]
