"""Mixed-effects models of surprisal: where in the sentence an ablation hurts.

Owns the models of an ablation: by part of speech, by class of word, against every control, along checkpoints or layer groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pandas as pd

from actstore.errors import UnknownNameError
from analysis.conditions import COHORT, SHARED
from analysis.surprisal.fitting import N_REPLICATES, RANDOM, fit_surprisal_model
from analysis.surprisal.mixed_model import FitWarning, MixedModel

_COVARIATES = ("log_frequency", "position", "n_pieces")
_BY = ("upos", "word_class")
WORD_CLASSES = ("scaffolding", "content")
"""Words that hold a sentence together, and words that carry its content."""
_REQUIRED = ("delta", "checkpoint", "intervention", "condition", *COHORT, "is_matched", "n_seeds")
_OVER = {"checkpoint": ["checkpoint"], "layers": ["first_layer", "last_layer"]}
_MAX_SLOPES = 2000
"""With more effects, a fit with slopes takes minutes."""


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
        Every table has `checkpoint`, `intervention` and `by` (upos or word_class). `surprisal_means`: the expected change
        for every condition and level at the mean word. `surprisal_contrasts`: top cohorts less each of their controls
        (Holm); by class of word also at scaffolding less at content words. Both have `is_matched`, of the condition, or of the control in a contrast: for a control that was to be
        matched on perplexity, 1 if it is and 0 if not; -1 for others. They also have `n_draws`, the number of draws of
        the condition; in a contrast the smaller number of the sides that were drawn several times, or 1.
        `surprisal_tests`: terms that can be left out. `surprisal_effects`, `surprisal_variances`, `surprisal_fits`;
        `surprisal_residuals` and `surprisal_spread` for plots.

    Notes
    -----
    `delta ~ condition * by + log_frequency + position + n_pieces` with crossed intercepts for word type and document, and
    slopes of condition by document where the fit with them is not singular (column `slopes` of `surprisal_fits`).
    """
    _check_columns(table)
    table = table[table["checkpoint"] == table["checkpoint"].max()]
    parts: dict[str, list[pd.DataFrame]] = {}
    for intervention in table["intervention"].unique():
        rows = table[table["intervention"] == intervention]
        rows = rows.assign(condition=rows["condition"].astype(str))
        for by in _BY:
            labels = {"checkpoint": rows["checkpoint"].iloc[0], "intervention": intervention, "by": by}
            for name, part in _tables_by(rows, by, seed, n_replicates):
                part = part.assign(**labels)
                columns = [*labels, *(column for column in part if column not in labels)]
                parts.setdefault(f"surprisal_{name}", []).append(part[columns])
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


def _tables_by(rows: pd.DataFrame, by: str, seed: int, n_replicates: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and table of all that the model of one intervention says, by part of speech or by class of word."""
    model, note = _fit_with_slopes(rows, by, seed, n_replicates)
    yield "means", _means(model, rows, by)
    yield "tests", model.tests()
    yield "effects", model.fixed_effects()
    yield "variances", model.variance_components()
    yield "fits", model.overview().assign(slopes=note)
    yield "residuals", model.residual_quantiles()
    yield "spread", model.residual_spread()
    if control_pairs(rows):
        yield "contrasts", _contrasts(model, rows, by)


def _means(model: MixedModel, rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """The expected change for every condition and level."""
    rules, n_draws = (rows.groupby("condition")[name].first() for name in ("rule", "n_seeds"))
    factors = [name for name in ("condition", by) if name in model.design.levels]
    means = model.marginal_means(factors).rename(columns={by: "level"})
    means = means if "condition" in means else means.assign(condition=rows["condition"].iloc[0])
    return means.assign(
        rule=means["condition"].map(rules),
        is_matched=means["condition"].map(_match_of(rows, "condition")),
        n_draws=means["condition"].map(n_draws),
    )


def _contrasts(model: MixedModel, rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Top cohorts less each of their controls, at every level."""
    has_both = by == "word_class" and set(WORD_CLASSES) <= set(model.design.levels.get(by, ()))
    contrasts = model.contrasts("condition", control_pairs(rows), [by], between=WORD_CLASSES if has_both else None)
    contrasts = contrasts.rename(columns={"level": "condition"})
    contrasts = contrasts.rename(columns={by: "level"})
    n_draws = rows.groupby("condition")["n_seeds"].first()
    of_sides = pd.DataFrame({side: contrasts[side].map(n_draws) for side in ("condition", "against")})
    return contrasts.assign(
        is_matched=contrasts["against"].map(_match_of(rows, "condition")),
        n_draws=of_sides.where(of_sides > 1).min(axis=1).fillna(1).astype(int),
    )


def _check_columns(table: pd.DataFrame) -> None:
    for name in (*_REQUIRED, *RANDOM, *_BY, *_COVARIATES):
        if name not in table:
            raise UnknownNameError("column (a table of `surprisal_table` has it)", name, table.columns)


def _fit_with_slopes(rows: pd.DataFrame, by: str, seed: int, n_replicates: int) -> tuple[MixedModel, str]:
    """The default model, with slopes of condition by document unless these are singular, and a note on the slopes."""
    n_conditions = rows["condition"].nunique()
    effects = f"condition * {by}" if n_conditions > 1 else by
    formula = f"delta ~ {effects}{_covariates(rows)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the tables carry the flags
        if n_conditions == 1:
            note = "none: one condition"
        elif rows["document"].nunique() * n_conditions > _MAX_SLOPES:
            note = f"not tried: more than {_MAX_SLOPES} effects"
        else:
            random = {"word_type": [], "document": ["condition"]}
            model = fit_surprisal_model(rows, formula, random, n_replicates=n_replicates, seed=seed)
            if model.fit.is_converged and not any(model.fit.singular):
                return model, "of condition by document"
            note = f"left out: {'; '.join(model.flags)}"
        return fit_surprisal_model(rows, formula, RANDOM, n_replicates=n_replicates, seed=seed), note


def _covariates(rows: pd.DataFrame) -> str:
    """The covariates that vary, as terms of a formula."""
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
    """`is_matched` by the values of a column; 0 where it is 0 in some of their rows."""
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
        One row for every cell with rows: `intervention`, `condition` (the cohort, for layer groups), `rule`, `by`,
        `level`, `over`, `n_draws` and `is_matched` as in `surprisal_effects`, and the columns of every estimate.

    Raises
    ------
    UnknownNameError
        If `over` or `by` has another value.

    Notes
    -----
    `delta ~ cell + log_frequency + position + n_pieces` with crossed intercepts for word type and document. A cell is a
    condition, level and step (or layer group), and has a mean of its own, so that cells may be missing.
    """
    for name, value, choices in (("over", over, _OVER), ("by", by, _BY)):
        if value not in choices:
            raise UnknownNameError(name, value, choices)
    _check_columns(table)
    condition, position = "condition" if over == "checkpoint" else "cohort", _OVER[over]
    frames = []
    for intervention in table["intervention"].unique():
        rows = table[(table["intervention"] == intervention) & table[by].notna()]
        rows = rows.assign(cell=rows[[condition, by, *position]].astype(str).agg("\t".join, axis=1))
        names = {condition: "condition", by: "level", "n_seeds": "n_draws"}
        cells = rows[[condition, "rule", by, *position, "n_seeds", "cell"]].drop_duplicates("cell").rename(columns=names)
        cells["is_matched"] = cells["cell"].map(_match_of(rows, "cell"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            model = fit_surprisal_model(rows, f"delta ~ cell{_covariates(rows)}", RANDOM, seed=seed)
        means = cells.merge(model.marginal_means(["cell"]), on="cell").drop(columns="cell")
        frames.append(means.assign(intervention=intervention, by=by, flags="; ".join(model.flags)))
    curves: pd.DataFrame = pd.concat(frames, ignore_index=True)
    leading = ["intervention", "condition", "rule", "is_matched", "by", "level", *position]
    return curves[leading + [name for name in curves if name not in leading]]
