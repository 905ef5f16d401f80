"""Mixed-effects models of surprisal: where in the sentence an ablation hurts.

Owns the fit of a table by formula, and the models of an ablation: by part of speech, by class of
word, against every control, along checkpoints or layer groups.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from actstore.errors import FitError, UnknownNameError
from analysis.conditions import COHORT, SHARED
from analysis.kernels.crossproducts import Factor
from analysis.kernels.reml import fit_mixed
from analysis.kernels.sandwich import Draws, Robust
from analysis.surprisal.formula import Design, read_design
from analysis.surprisal.mixed_model import INTERCEPT, FitWarning, Grouping, MixedModel, effect_columns

FORMULA = "delta ~ condition * upos + log_frequency + position + n_pieces"
RANDOM = ("word_type", "document")
N_REPLICATES = 1000
_FEW_LEVELS = 6
_COVARIATES = ("log_frequency", "position", "n_pieces")
_BY = ("upos", "word_class")
_REQUIRED = ("delta", "checkpoint", "intervention", "condition", *COHORT, "is_matched", "n_seeds")
_OVER = {"checkpoint": ["checkpoint"], "layers": ["first_layer", "last_layer"]}
# Beyond it a fit with slopes takes minutes.
_MAX_SLOPES = 2000


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
        One row an observation, such as `surprisal_table` gives; rows with an empty variable are left
        out and counted. Columns `delta_draw_1`, `delta_draw_2`, … (of another response: its name) hold the response under
        each of several draws of a condition, where it is their mean.
    formula : str
        Fixed effects in Wilkinson's notation. Columns that are not numbers are factors in treatment
        coding, with the first level (sorted, or of the category) as reference.
    random : sequence of str, or mapping of str to sequence of str
        Columns whose levels have a random intercept. In a mapping each names the terms of the formula
        whose effects also vary over its levels, in any correlation:
        `{"word_type": [], "document": ["condition"]}`.
    robust : bool
        Whether to add cluster-robust and bootstrap intervals: clusters are the documents (or else
        the random factor of fewest levels) and, for the first, also the other factor of most levels and the draws.
    n_replicates, seed : int
        Of the bootstrap.

    Returns
    -------
    MixedModel

    Raises
    ------
    FitError
        If the table cannot carry the model: one level only, a row a level, empty or collinear
        effects (named), no variance, a response that the effects reproduce.
    UnknownNameError
        If a column or term is not there.

    Warns
    -----
    FitWarning
        If the fit is singular or not converged, or a random factor has few levels.

    Notes
    -----
    Restricted maximum likelihood, exact (Bates et al., 2015), at a cost that does not grow with the rows
    once their cross-products are made. Rows are taken to be independent given the random effects; the
    conditions of one word are not quite, which the robust intervals allow for and the model's do not.
    Degrees of freedom are Satterthwaite's (as in Kuznetsova et al., 2017). The robust intervals are those of few and
    unequal clusters, effect by effect (`analysis.kernels.sandwich`); percentiles of the bootstrap are as far out as theirs.

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
    used = table.iloc[design.rows]
    groupings = tuple(_grouping(used[name], list(slopes), design) for name, slopes in terms.items())
    _check_groupings(groupings, len(used))
    factors = tuple(grouping.factor for grouping in groupings)
    fit = fit_mixed(design.matrix, design.response, factors)
    if fit.residual_variance < 1e-14 * design.response.var():
        raise FitError(f"the effects reproduce {design.response_name} without error: there is no residual variance to judge by")
    clusters = _clusters(groupings)
    sandwich, replicates = None, np.empty((0, len(design.names)))
    if robust:
        sandwich = Robust(
            design.matrix.tocsr(), design.response - design.matrix @ fit.coefficients, factors, fit.whitening,
            fit.covariance / fit.residual_variance, tuple(grouping.factor.codes for grouping in clusters),
            tuple(_draws(used, design.response_name)),
        )  # fmt: skip
        replicates = sandwich.bootstrap(n_replicates, np.random.default_rng(seed))
    model = MixedModel(
        formula, design, groupings, fit, sandwich, replicates, tuple(grouping.name for grouping in clusters),
        tuple(_flags(fit.is_converged, fit.singular, groupings)), len(table) - len(used),
    )  # fmt: skip
    for flag in model.flags:
        warnings.warn(f"{formula}: {flag}", FitWarning, stacklevel=2)
    return model


def _draws(rows: pd.DataFrame, response: str) -> Iterable[Draws]:
    """Rows of conditions that were drawn several times, by how often, with what each draw differs from their mean."""
    names = [name for name in rows if re.fullmatch(rf"{re.escape(response)}_draw_\d+", str(name))]
    values = rows[names].to_numpy(dtype=np.float64)
    n_draws = (~np.isnan(values)).sum(axis=1)
    for n in np.unique(n_draws[n_draws > 1]):
        chosen = np.flatnonzero(n_draws == n)
        of_draws = values[chosen][:, :n]
        yield Draws(chosen, of_draws - of_draws.mean(axis=1, keepdims=True))


def _grouping(column: pd.Series, slopes: list[str], design: Design) -> Grouping:
    codes, levels = pd.factorize(column, sort=False)
    effects = [INTERCEPT]
    for term in slopes:
        if term not in design.terms:
            raise UnknownNameError(
                f"term of the formula for slopes by {column.name}", term, [name for name in design.terms if name != "1"]
            )
        effects += [design.names[k] for k in design.terms[term]]
    if len(effects) == 1:
        columns = np.ones((len(codes), 1))
    else:
        wanted = [design.names.index(name) for name in effects[1:]]
        columns = effect_columns(effects, effects[1:], design.matrix[:, wanted].toarray())
    return Grouping(str(column.name), pd.Index(levels), effects, Factor(codes.astype(np.intp), len(levels), columns))


def _check_groupings(groupings: tuple[Grouping, ...], n_rows: int) -> None:
    for grouping in groupings:
        n = len(grouping.levels)
        if n < 2:
            raise FitError(f"random factor {grouping.name} has one level only: it cannot vary")
        if n * len(grouping.effects) >= n_rows:
            raise FitError(f"random factor {grouping.name} has {n * len(grouping.effects)} effects for {n_rows} rows: "
                           "they cannot be told from the residual")  # fmt: skip
    for one, other in combinations(groupings, 2):
        pairs = np.unique(one.factor.codes * np.int64(len(other.levels)) + other.factor.codes)
        if len(pairs) == len(one.levels) == len(other.levels):
            raise FitError(f"random factors {one.name} and {other.name} group the rows alike: leave one of them out")


def _clusters(groupings: tuple[Grouping, ...]) -> list[Grouping]:
    """The factor to resample, and the one with most levels of the others."""
    by_size = sorted(groupings, key=lambda grouping: (grouping.name != "document", len(grouping.levels)))
    return [by_size[0], max(by_size[1:], key=lambda grouping: len(grouping.levels))] if len(by_size) > 1 else by_size


def _flags(is_converged: bool, singular: tuple[bool, ...], groupings: tuple[Grouping, ...]) -> Iterable[str]:
    if not is_converged:
        yield "the search did not converge: take no number from this fit"
    for grouping, lost in zip(groupings, singular, strict=True):
        if lost:
            what = "variance is zero" if len(grouping.effects) == 1 else "effects are perfectly correlated or without variance"
            yield f"singular: the {grouping.name} {what}"
        if len(grouping.levels) < _FEW_LEVELS:
            yield f"{grouping.name} has {len(grouping.levels)} levels only: its variance is hardly known"


def surprisal_effects(table: pd.DataFrame, seed: int = 0, n_replicates: int = N_REPLICATES) -> dict[str, pd.DataFrame]:
    """Models of an ablation's last checkpoint: each intervention by part of speech and by class of word.

    Parameters
    ----------
    table : DataFrame
        Of `surprisal_table`.
    seed, n_replicates : int
        Of the bootstrap.

    Returns
    -------
    dict of str to DataFrame
        All with `checkpoint`, `intervention` and `by` (upos or word_class). `surprisal_means`: the expected change for every
        condition and level at the mean word. `surprisal_contrasts`: top cohorts less each of their
        controls (Holm). Both have `is_matched`, of the condition or the control compared with: 0 where its
        perplexity was to be that of its cohort and is not, 1 where it is, -1 elsewhere; and `n_draws`, the fewest of a
        side that was drawn several times, else 1. `surprisal_tests`: terms that can be left out. `surprisal_effects`,
        `surprisal_variances`, `surprisal_fits`; `surprisal_residuals` and `surprisal_spread` for plots.

    Notes
    -----
    `delta ~ condition * by + log_frequency + position + n_pieces`, crossed intercepts for word type and
    document; slopes of condition by document where the data carry them, which `surprisal_fits` tells.
    """
    _check_columns(table)
    table = table[table["checkpoint"] == table["checkpoint"].max()]
    found: dict[str, list[pd.DataFrame]] = {}
    for intervention in table["intervention"].unique():
        rows = table[table["intervention"] == intervention]
        rows = rows.assign(condition=rows["condition"].astype(str))
        rules, draws = (rows.groupby("condition")[name].first() for name in ("rule", "n_seeds"))
        matched = _match_of(rows, "condition")
        for by in _BY:
            model, note = _fit_with_slopes(rows, by, seed, n_replicates)
            factors = [name for name in ("condition", by) if name in model.design.levels]
            means = model.marginal_means(factors).rename(columns={by: "level"})
            means = means if "condition" in means else means.assign(condition=rows["condition"].iloc[0])
            tables = {
                "means": means.assign(
                    rule=means["condition"].map(rules),
                    is_matched=means["condition"].map(matched),
                    n_draws=means["condition"].map(draws),
                ),
                "tests": model.tests(),
                "effects": model.fixed_effects(),
                "variances": model.variance_components(),
                "fits": model.overview().assign(slopes=note),
                "residuals": model.residual_quantiles(),
                "spread": model.residual_spread(),
            }
            pairs = control_pairs(rows)
            if pairs:
                contrasts = model.contrasts("condition", pairs, [by]).rename(columns={"level": "condition"})
                contrasts = contrasts.rename(columns={by: "level"})
                of_sides = pd.DataFrame({side: contrasts[side].map(draws) for side in ("condition", "against")})
                n_draws = of_sides.where(of_sides > 1).min(axis=1).fillna(1).astype(int)
                tables["contrasts"] = contrasts.assign(is_matched=contrasts["against"].map(matched), n_draws=n_draws)
            labels = {"checkpoint": rows["checkpoint"].iloc[0], "intervention": intervention, "by": by}
            for name, part in tables.items():
                part = part.assign(**labels)
                found.setdefault(f"surprisal_{name}", []).append(part[[*labels, *(key for key in part if key not in labels)]])
    return {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}


def _check_columns(table: pd.DataFrame) -> None:
    for name in (*_REQUIRED, *RANDOM, *_BY, *_COVARIATES):
        if name not in table:
            raise UnknownNameError("column (a table of `surprisal_table` has it)", name, table.columns)


def _fit_with_slopes(rows: pd.DataFrame, by: str, seed: int, n_replicates: int) -> tuple[MixedModel, str]:
    """The default model, with slopes of condition by document if these are not singular; and what became of them."""
    n_conditions = rows["condition"].nunique()
    effects = f"condition * {by}" if n_conditions > 1 else by
    formula = f"delta ~ {effects}" + _covariates(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the tables carry the flags
        if n_conditions == 1:
            note = "none: one condition"
        elif rows["document"].nunique() * n_conditions > _MAX_SLOPES:
            note = f"not tried: more than {_MAX_SLOPES} effects"
        else:
            slopes = fit_surprisal_model(
                rows, formula, {"word_type": [], "document": ["condition"]}, n_replicates=n_replicates, seed=seed
            )
            if slopes.fit.is_converged and not any(slopes.fit.singular):
                return slopes, "of condition by document"
            note = "left out: " + "; ".join(slopes.flags)
        return fit_surprisal_model(rows, formula, RANDOM, n_replicates=n_replicates, seed=seed), note


def _covariates(rows: pd.DataFrame) -> str:
    """Those of the covariates that vary."""
    return "".join(f" + {name}" for name in _COVARIATES if rows[name].nunique() > 1)


def control_pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Top conditions with each condition that controls for them, under the same intervention.

    Parameters
    ----------
    table : DataFrame
        Of `surprisal_table`.

    Returns
    -------
    list of (condition, condition)
        For `MixedModel.contrasts`.
    """
    shared = ["intervention", *SHARED]
    conditions = table[["condition", "rule", "scope", "target_scope", *shared]].drop_duplicates()
    texts = ["condition", "scope", "target_scope"]
    conditions[texts] = conditions[texts].astype(str)
    tops = conditions[conditions["rule"] == "top"]
    joined = tops.merge(conditions, left_on=["scope", *shared], right_on=["target_scope", *shared], suffixes=("", "_against"))
    return list(zip(joined["condition"], joined["condition_against"], strict=True))


def _match_of(rows: pd.DataFrame, key: str) -> pd.Series:
    """`is_matched` by the values of a column: that of their rows, and 0 where some rows are not matched."""
    by_key: pd.Series = rows.groupby(rows[key].astype(str))["is_matched"].min()
    return by_key


def surprisal_curves(table: pd.DataFrame, over: str = "checkpoint", by: str = "word_class", seed: int = 0) -> pd.DataFrame:
    """Expected change of surprisal along checkpoints or layer groups, from one model an intervention.

    Parameters
    ----------
    table : DataFrame
        Of `surprisal_table`.
    over : str
        checkpoint, or layers: the groups of layers that cohorts were chosen in.
    by : str
        word_class or upos.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One row a cell that occurs: `intervention`, `condition` (the cohort, for layer groups), `rule`, `by`,
        `level`, `over`, `n_draws` and `is_matched` as in `surprisal_effects`, and the columns of every estimate.

    Raises
    ------
    UnknownNameError
        If `over` or `by` is none of these.

    Notes
    -----
    `delta ~ cell + log_frequency + position + n_pieces` with a mean for every condition, level and step, so
    that cells may be missing; crossed intercepts for word type and document.
    """
    for name, value, choices in (("over", over, _OVER), ("by", by, _BY)):
        if value not in choices:
            raise UnknownNameError(name, value, choices)
    _check_columns(table)
    who, position = "condition" if over == "checkpoint" else "cohort", _OVER[over]
    frames = []
    for intervention in table["intervention"].unique():
        rows = table[(table["intervention"] == intervention) & table[by].notna()]
        rows = rows.assign(cell=rows[[who, by, *position]].astype(str).agg("\t".join, axis=1))
        names = {who: "condition", by: "level", "n_seeds": "n_draws"}
        levels = rows[[who, "rule", by, *position, "n_seeds", "cell"]].drop_duplicates("cell").rename(columns=names)
        levels["is_matched"] = levels["cell"].map(_match_of(rows, "cell"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            model = fit_surprisal_model(rows, "delta ~ cell" + _covariates(rows), RANDOM, seed=seed)
        means = levels.merge(model.marginal_means(["cell"]), on="cell").drop(columns="cell")
        frames.append(means.assign(intervention=intervention, by=by, flags="; ".join(model.flags)))
    curves: pd.DataFrame = pd.concat(frames, ignore_index=True)
    leading = ["intervention", "condition", "rule", "is_matched", "by", "level", *position]
    return curves[leading + [name for name in curves if name not in leading]]
