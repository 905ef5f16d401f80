"""The columns of a contrast: its estimate, interval and p-value, and what its data could and could not have found."""

from __future__ import annotations

from actstore.errors import ActstoreError
from analysis.kernels.clusters import Estimate

BOUNDS = ("lower", "upper")
COLUMNS = ("estimate", *BOUNDS, "p", "equivalence_bound", "detectable")


def contrast_columns(estimate: Estimate) -> dict[str, float]:
    """Columns of one estimate.

    Parameters
    ----------
    estimate : Estimate
        Of a single row.

    Returns
    -------
    dict of str to float
        `estimate` with its 95% bounds `lower` and `upper`; `p`, two-sided; `equivalence_bound`, the least margin within
        which two one-sided tests at 5% call it none; `detectable`, the smallest effect that would have been found with 80%
        power, from the data's own variance. All but the estimate are NaN where there is no interval.
    """
    if estimate.value.shape != (1,):
        raise ActstoreError(f"columns of one contrast are asked of {estimate.value.size}")
    lower, upper = estimate.interval()
    values = (estimate.value, lower, upper, estimate.p_value(), estimate.equivalence_bound(), estimate.detectable())
    return {name: float(value[0]) for name, value in zip(COLUMNS, values, strict=True)}
