"""The label of a cohort, in words and for display only: what tells cohorts apart is in columns."""

from __future__ import annotations

_DEFAULT = "wasserstein_distance"


def cohort_label(
    rule: str,
    fraction: float | None,
    *,
    statistic: str = _DEFAULT,
    scope: str = "layer",
    target_scope: str = "",
    layers: tuple[int, int] | None = None,
    chosen_at: str = "same",
) -> str:
    """What a cohort is, in words; its draws share it.

    Parameters
    ----------
    rule, statistic, scope, target_scope, chosen_at : str
        As stored, in `actstore.store.schema`.
    fraction : float, optional
        None leaves it out: what cohorts of several sizes have in common.
    layers : (int, int), optional
        The first and the last; None for all.

    Examples
    --------
    >>> cohort_label("top", 0.01)
    'top 1%'
    >>> cohort_label("random", 0.05, layers=(0, 1), chosen_at="last")
    'random 5%, layers 0 to 1, chosen at the last checkpoint'
    """
    share = "" if fraction is None else f"{100 * fraction:g}%"
    parts = [f"{rule} {share}".strip()]
    if statistic != _DEFAULT:
        parts.append(f"by {statistic}")
    if scope == "all":
        parts.append("all layers")
    if target_scope not in ("", scope):
        parts.append("for the top of each layer" if target_scope == "layer" else "for the top of all layers")
    if layers is not None:
        first, last = layers
        parts.append(f"layer {first}" if first == last else f"layers {first} to {last}")
    if chosen_at != "same":
        parts.append(f"chosen at {'the last checkpoint' if chosen_at == 'last' else f'step {chosen_at}'}")
    return ", ".join(parts)
