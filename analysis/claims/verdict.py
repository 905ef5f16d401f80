"""The verdict of a contrast and of a claim, by rule.

Owns the only place where numbers become words like "supported".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SUPPORTED, CONTRARY, NO_EVIDENCE, NOT_TESTED = "supported", "contrary", "no evidence", "not tested"
VERDICTS = (SUPPORTED, CONTRARY, NO_EVIDENCE, NOT_TESTED)


def verdict(lower: float, upper: float, sign: int) -> str:
    """What an interval says of a claim about the sign of a contrast.

    Parameters
    ----------
    lower, upper : float
        95% bounds; NaN where there is no interval.
    sign : int
        1 if the claim is that the contrast is above 0, -1 if below.

    Returns
    -------
    str
        `supported`: the interval excludes 0 on the claimed side; `contrary`: on the other side; `no evidence`: it holds 0;
        `not tested`: there is no interval.

    Examples
    --------
    >>> verdict(0.1, 0.3, 1), verdict(0.1, 0.3, -1), verdict(-0.1, 0.3, 1), verdict(float("nan"), 0.3, 1)
    ('supported', 'contrary', 'no evidence', 'not tested')
    """
    if np.isnan(lower) or np.isnan(upper):
        return NOT_TESTED
    least, most = (lower, upper) if sign > 0 else (-upper, -lower)
    if least > 0:
        return SUPPORTED
    return CONTRARY if most < 0 else NO_EVIDENCE


def verdict_of_claim(verdicts: Sequence[str]) -> str:
    """What the verdicts of a claim's main contrasts say together.

    Parameters
    ----------
    verdicts : sequence of str
        Of the contrasts that the claim rests on.

    Returns
    -------
    str
        `contrary` if one of them is; else `no evidence` if one of them is; else `not tested` if one could not be tested, or
        there is none; `supported` if all are.

    Examples
    --------
    >>> verdict_of_claim(["supported", "no evidence"]), verdict_of_claim(["supported", "not tested"])
    ('no evidence', 'not tested')
    """
    for outcome in (CONTRARY, NO_EVIDENCE, NOT_TESTED):
        if outcome in verdicts:
            return outcome
    return SUPPORTED if verdicts else NOT_TESTED
