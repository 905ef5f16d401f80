"""Settings of the analysis that the command line and studies share."""

from __future__ import annotations

from actstore import bounds
from actstore.settings import setting, with_settings

SEED = setting("seed of all that is drawn", default=0, check=bounds.between(0, bounds.LARGEST_SEED))


@with_settings
class SelectionConfig:
    """Which neurons count as Wasserstein neurons."""

    fraction: float | str = setting(
        "share of each layer called Wasserstein neurons; auto is the smallest of 1%, 2%, 5%, 10%, 20% and 30% that is at least "
        "16 neurons",
        default=0.01,
        check=bounds.check_fraction_or_auto,
    )
    random_seeds: int = setting(
        "random control selections to write beside them, up to 1,000", default=5, check=bounds.between(0, bounds.MOST_DRAWS)
    )


@with_settings
class PairsConfig:
    """The similar inputs that neurons drive apart."""

    tokens: int = setting("tokens to draw", default=4096, check=bounds.between(2, bounds.MOST_TOKENS))
    neighbours: int = setting("nearest neighbours of each", default=4, check=bounds.between(1, bounds.MOST_NEIGHBOURS))
    top: int = setting("pairs that count as driven furthest apart", default=100, check=bounds.between(1, bounds.MOST_ITEMS))
