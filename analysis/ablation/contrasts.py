"""Top cohorts less their controls, by perplexity.

Owns the paired comparison of two cohorts on the same text.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from analysis.ablation.registry import TableOptions, register_table
from analysis.conditions import comparison, contrasts
from analysis.contrasts import contrast_columns
from analysis.kernels.clusters import Clusters
from analysis.kernels.multiplicity import adjusted


def perplexity_contrasts(store: xr.Dataset, correction: str = "holm") -> pd.DataFrame:
    r"""Log perplexity of every top cohort less that of each of its controls, paired by document.

    Parameters
    ----------
    store : Dataset
        An ablation store.
    correction : str
        `holm` or `bh`, over all rows of a checkpoint.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, against): the columns of `contrast_columns` in nats (`estimate` is the
        log of the ratio of both perplexities); `ratio` with 95% bounds, the same as a ratio; `p_adjusted`; `is_matched`,
        of the control; `n_draws`, the smaller number of the sides that were drawn several times, or 1; `n_clusters` and
        `cluster` (documents). Empty without a control.

    Notes
    -----
    The mean over scored tokens of the difference of surprisal, :math:`\overline{s_{top} - s_{control}}`. Intervals are
    Student's t over documents and over the control's draws: `analysis.kernels.clusters`.
    """
    is_scored = store["is_scored"].values
    clusters = Clusters.of(np.unique(store["document"].values[is_scored], return_inverse=True)[1])
    surprisal = store["ablated_surprisal"].values[:, :, is_scored].astype(float)
    rows = []
    for cohort, reference in contrasts(store):
        if reference.is_intact:
            continue
        top, control = cohort.of(surprisal), reference.of(surprisal)
        columns = contrast_columns(clusters.estimate(top, minus=control))
        ratios = {"ratio": np.exp(columns["estimate"])}
        ratios |= {f"ratio_{side}": np.exp(columns[side]) for side in ("lower", "upper")}
        n_draws = min((len(side) for side in (top, control) if len(side) > 1), default=1)
        rows.append({**comparison(cohort, reference), **columns, **ratios, "n_draws": n_draws})
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    table["p_adjusted"] = table.groupby("checkpoint")["p"].transform(lambda p: adjusted(p, correction))
    return table.assign(correction=correction, n_clusters=clusters.n_clusters[0], cluster="document")


@register_table("perplexity_contrasts", needs="ablated_surprisal")
def _table(store: xr.Dataset, options: TableOptions) -> pd.DataFrame:
    return perplexity_contrasts(store, options.correction)
