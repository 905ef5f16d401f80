"""The size of a control cohort at which perplexity rises as much as under another intervention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actstore.errors import ActstoreError


@dataclass(frozen=True)
class Match:
    """The control nearest to its target; `is_matched` says whether it is near enough."""

    size: int
    perplexity: float
    target: float
    is_matched: bool


def allowed_difference(target: float, baseline: float, tolerance: float) -> float:
    r"""Greatest difference to a target perplexity that counts as a match.

    Parameters
    ----------
    target, baseline : float
        Perplexity to reach, and that of the intact model.
    tolerance : float
        Greatest difference relative to the target.

    Returns
    -------
    float
        :math:`\min(\text{tolerance} \cdot P, (P - P_0)^+ / 10)` for a target :math:`P` and a baseline
        :math:`P_0`. Without the second term, a rise smaller than the tolerance would be matched by
        no intervention at all. 0 where the target is not above the baseline; NaN where it is NaN.
    """
    return min(tolerance * target, 0.1 * max(target - baseline, 0))


def match_perplexity(measure: Callable[[int], float], largest: int, target: float, baseline: float, tolerance: float) -> Match:
    """Bisect the size of a control until its perplexity equals a target.

    Parameters
    ----------
    measure : callable
        Perplexity with a control of a given size, at least 1; assumed to rise with the size.
    largest : int
        The largest size of a control.
    target, baseline : float
        Perplexity to reach, and without any control.
    tolerance : float
        Greatest difference relative to the target; see `allowed_difference`.

    Returns
    -------
    Match
        The nearest control that was measured. It is no match where perplexity did not rise, where
        the largest control is not enough, or where one more neuron exceeds the tolerance.

    Raises
    ------
    ActstoreError
        If no control has a finite perplexity.
    """
    allowed = allowed_difference(target, baseline, tolerance)
    best = Match(0, float("inf"), target, False)
    low, high = 1, largest
    while low <= high and not best.is_matched:
        size = (low + high) // 2
        perplexity = measure(size)
        difference = abs(perplexity - target)
        if difference < abs(best.perplexity - target):
            best = Match(size, perplexity, target, difference <= allowed)
        if perplexity < target:
            low = size + 1
        else:
            high = size - 1
    if best.size == 0:
        raise ActstoreError("perplexity is not finite with any control; leave the perplexity-matched cohort out")
    return best
