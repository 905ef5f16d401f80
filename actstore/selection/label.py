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


def cohort_in_words(rule: str, fraction: float, *, statistic: str = _DEFAULT, scope: str = "layer", n_draws: int = 1) -> str:
    """How the neurons of a cohort were chosen, for readers who see its label for the first time.

    Parameters
    ----------
    rule, statistic, scope : str
        As in `cohort_label`.
    fraction : float
    n_draws : int
        How often neurons were drawn at random.

    Examples
    --------
    >>> cohort_in_words("top", 0.01)
    'the 1% of each layer with the largest Wasserstein distance'
    >>> cohort_in_words("random", 0.01, n_draws=5)
    'as many neurons as the top 1% of each layer, drawn at random from the others (5 draws)'
    """
    share, name = f"{100 * fraction:g}%", "Wasserstein distance" if statistic == _DEFAULT else statistic
    of = "each layer" if scope == "layer" else "all layers together"
    draws = f" ({n_draws} draws)" if n_draws > 1 else ""
    return {
        "top": f"the {share} of {of} with the largest {name}",
        "bottom": f"the {share} of {of} with the smallest {name}",
        "random": f"as many neurons as the top {share} of {of}, drawn at random from the others{draws}",
        "matched": f"as many other neurons as the top {share} of {of}, alike in the statistics that Methods names",
        "perplexity-matched": f"neurons of {of} with the smallest {name}, as many as raise perplexity like the top {share}",
    }.get(rule, f"{share} of the neurons, from a file")
