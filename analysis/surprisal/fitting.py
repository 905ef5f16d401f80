"""The fit of a mixed-effects model to a table, by a formula.

Owns what a table must hold to carry the model, and the warnings about a fit.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from actstore.errors import FitError
from analysis.kernels.crossproducts import Array
from analysis.kernels.reml import MixedFit, fit_mixed
from analysis.kernels.sandwich import Draws, Robust
from analysis.surprisal.formula import Design, read_design
from analysis.surprisal.groupings import Grouping, check_groupings, cluster_groupings, make_grouping
from analysis.surprisal.mixed_model import FitWarning, MixedModel

FORMULA = "delta ~ condition * upos + log_frequency + position + n_pieces"
RANDOM = ("word_type", "document")
N_REPLICATES = 1000
_FEW_LEVELS = 6


def fit_surprisal_model(
    table: pd.DataFrame,
    formula: str = FORMULA,
    random: Sequence[str] | Mapping[str, Sequence[str]] = RANDOM,
    *,
    robust: bool = True,
    n_replicates: int = N_REPLICATES,
    seed: int = 0,
) -> MixedModel:
    """Fit a linear mixed model with crossed random effects.

    Parameters
    ----------
    table : DataFrame
        One row an observation, such as `surprisal_table` gives; rows with an empty variable are left out and counted.
        Where the response is the mean of several draws of a condition, the columns `delta_draw_1`, `delta_draw_2`, …
        (with the name of the response for `delta`) hold it under each draw.
    formula : str
        Fixed effects in Wilkinson's notation. Columns that are not numbers are factors in treatment
        coding, with the first level (sorted, or of the category) as reference.
    random : sequence of str, or mapping of str to sequence of str
        Columns whose levels have a random intercept. A mapping also names, for each column, the terms of the formula
        whose effects vary over its levels (random slopes, in any correlation):
        `{"word_type": [], "document": ["condition"]}`.
    robust : bool
        Whether to add cluster-robust and bootstrap intervals. Clusters are the documents, or else the levels of the
        random factor with fewest. Cluster-robust intervals also cover the draws, and a second set of clusters: the
        remaining factor with most levels.
    n_replicates, seed : int
        Of the bootstrap.

    Returns
    -------
    MixedModel

    Raises
    ------
    FitError
        If the table cannot carry the model: a factor of one level or of as many as rows, empty or collinear effects,
        no variance, a response that the effects reproduce. The message names the factor or effects.
    UnknownNameError
        If there is no such column or term.

    Warns
    -----
    FitWarning
        If the fit is singular or has not converged, or a random factor has few levels.

    Notes
    -----
    Exact restricted maximum likelihood (Bates et al., 2015). Once the cross-products are computed, the cost does not
    grow with the rows. The model takes rows to be independent given the random effects. The conditions of one word are
    not quite independent: the robust intervals allow for this, the model's do not. Degrees of freedom are Satterthwaite's
    (as in Kuznetsova et al., 2017). The robust intervals are those of few and unequal clusters, effect by effect
    (`analysis.kernels.sandwich`); percentiles of the bootstrap are widened to match them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> word, text = rng.integers(40, size=900), rng.integers(20, size=900)
    >>> table = pd.DataFrame({"word_type": word, "document": text, "x": rng.normal(size=900)})
    >>> noise = rng.normal(size=40)[word] + rng.normal(size=20)[text] + rng.normal(size=900)
    >>> model = fit_surprisal_model(table.assign(delta=2 * table["x"] + noise), "delta ~ x")
    >>> model.fixed_effects()["estimate"].round(1).tolist()
    [0.2, 2.0]
    """
    terms = dict(random) if isinstance(random, Mapping) else dict.fromkeys([random] if isinstance(random, str) else random, ())
    if not terms:
        raise FitError("a mixed model needs a random factor; name a column, such as document")
    design = read_design(table, formula, also=list(terms))
    if design.response_name in terms:
        raise FitError(
            f"{design.response_name} is the response: a random factor is a column that groups rows, such as document"
        )
    rows = table.iloc[design.rows]
    groupings = tuple(make_grouping(rows[name], slopes, design) for name, slopes in terms.items())
    check_groupings(groupings, len(rows))
    fit = fit_mixed(design.matrix, design.response, tuple(grouping.factor for grouping in groupings))
    if fit.residual_variance < 1e-14 * design.response.var():
        raise FitError(f"the effects reproduce {design.response_name} without error: there is no residual variance to judge by")
    clusters = cluster_groupings(groupings)
    sandwich = _robust(rows, design, groupings, clusters, fit) if robust else None
    no_replicates = np.empty((0, len(design.names)))
    model = MixedModel(
        formula=formula,
        design=design,
        groupings=groupings,
        fit=fit,
        robust=sandwich,
        replicates=sandwich.bootstrap(n_replicates, np.random.default_rng(seed)) if sandwich else no_replicates,
        cluster=tuple(grouping.name for grouping in clusters),
        flags=tuple(_flags(fit, groupings)),
        n_dropped=len(table) - len(rows),
    )
    for flag in model.flags:
        warnings.warn(f"{formula}: {flag}", FitWarning, stacklevel=2)
    return model


def _robust(
    rows: pd.DataFrame, design: Design, groupings: Sequence[Grouping], clusters: Sequence[Grouping], fit: MixedFit
) -> Robust:
    """The fit by clusters of its rows."""
    return Robust(
        x=design.matrix.tocsr(),
        residual=design.response - design.matrix @ fit.coefficients,
        factors=tuple(grouping.factor for grouping in groupings),
        whitening=fit.whitening,
        bread=fit.covariance / fit.residual_variance,
        clusters=tuple(grouping.factor.codes for grouping in clusters),
        draws=tuple(_draws(rows, design.response_name)),
    )


def _draws(rows: pd.DataFrame, response: str) -> Iterator[Draws]:
    """Rows of conditions that were drawn several times, by the number of draws, with each draw less the mean of the draws."""
    names = [name for name in rows if re.fullmatch(rf"{re.escape(response)}_draw_\d+", str(name))]
    values: Array = rows[names].to_numpy(dtype=np.float64)
    n_draws = (~np.isnan(values)).sum(axis=1)
    for n in np.unique(n_draws[n_draws > 1]):
        indices = np.flatnonzero(n_draws == n)
        of_draws = values[indices][:, :n]
        yield Draws(indices, of_draws - of_draws.mean(axis=1, keepdims=True))


def _flags(fit: MixedFit, groupings: Sequence[Grouping]) -> Iterator[str]:
    """What needs care in a fit."""
    if not fit.is_converged:
        yield "the search did not converge: take no number from this fit"
    for grouping, is_singular in zip(groupings, fit.singular, strict=True):
        if is_singular and len(grouping.effects) == 1:
            yield f"singular: the {grouping.name} variance is zero"
        elif is_singular:
            yield f"singular: the {grouping.name} effects are perfectly correlated or without variance"
        if len(grouping.levels) < _FEW_LEVELS:
            yield f"{grouping.name} has {len(grouping.levels)} levels only: its variance is hardly known"
