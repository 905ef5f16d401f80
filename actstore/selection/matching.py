"""How many neurons a control must lose for perplexity to rise as much as under another intervention."""

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
        :math:`P_0`. A rise as small as the tolerance would otherwise be matched by doing nothing.
        0 where the target is no rise; NaN where it is NaN.
    """
    return min(tolerance * target, 0.1 * max(target - baseline, 0))


def match_perplexity(measure: Callable[[int], float], largest: int, target: float, baseline: float, tolerance: float) -> Match:
    """Bisect the size of a control until its perplexity equals a target.

    Parameters
    ----------
    measure : callable
        Perplexity with a control of a given size, at least 1; taken to rise with it.
    largest : int
        The largest size that there is.
    target, baseline : float
        Perplexity to reach, and without any control.
    tolerance : float
        Greatest difference relative to the target; it is a match within `allowed_difference`.

    Returns
    -------
    Match
        The nearest control measured. It is no match where perplexity did not rise, where even the
        largest control is not enough, or where one neuron more oversteps the tolerance.

    Raises
    ------
    ActstoreError
        If no control has a finite perplexity.
    """
    allowed = allowed_difference(target, baseline, tolerance)
    best = Match(0, float("inf"), target, False)

    def tried(size: int) -> float:
        nonlocal best
        found = measure(size)
        if abs(found - target) < abs(best.perplexity - target):
            best = Match(size, found, target, abs(found - target) <= allowed)
        return found

    low, high = 1, largest
    while low <= high and not best.is_matched:
        middle = (low + high) // 2
        if tried(middle) < target:
            low = middle + 1
        else:
            high = middle - 1
    if best.size == 0:
        raise ActstoreError("perplexity is not finite with any control; leave the perplexity-matched cohort out")
    return best
