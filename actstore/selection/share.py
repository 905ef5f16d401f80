"""The share of a layer's neurons that is chosen: a number, or one that fits the size of the layer.

Owns the ladder of shares. Needs no torch.
"""

from __future__ import annotations

from actstore import bounds
from actstore.errors import SelectionError

LADDER = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
LEAST_NEURONS = 16
"""So many neurons a layer an ablation should edit at least: of fewer, effects of the cohort drown in those of single neurons."""


def share_of_layer(fraction: float | str, n_neurons: int) -> float:
    """The share that is asked for of layers of a size.

    Parameters
    ----------
    fraction : float or "auto"
        `auto` is the smallest share of the ladder 1%, 2%, 5%, 10%, 20%, 30% that is at least 16 neurons of a layer.
    n_neurons : int
        Of each layer.

    Raises
    ------
    SelectionError
        If the layers are so small that no share of the ladder is 16 neurons.

    Examples
    --------
    >>> share_of_layer("auto", 512), share_of_layer("auto", 1536), share_of_layer("auto", 8192), share_of_layer(0.02, 512)
    (0.05, 0.02, 0.01, 0.02)
    """
    if not isinstance(fraction, str):
        return fraction
    for share in LADDER:
        if round(share * n_neurons) >= LEAST_NEURONS:
            return share
    raise SelectionError(
        f"fraction {bounds.AUTO}: {LADDER[-1]:.0%} of {n_neurons} neurons is fewer than {LEAST_NEURONS}; name a number"
    )
