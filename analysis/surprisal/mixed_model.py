"""A fitted mixed model and its tidy tables.

Owns the tables: effects, marginal means, contrasts, tests, variance components, residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.iolib.summary2 import Summary

from actstore.errors import FitError, UnknownNameError
from analysis.kernels.crossproducts import Array
from analysis.kernels.multiplicity import adjusted
from analysis.kernels.reml import MixedFit
from analysis.kernels.sandwich import Robust
from analysis.surprisal.estimates import estimates, satterthwaite
from analysis.surprisal.formula import Design
from analysis.surprisal.groupings import Grouping, effect_columns
from analysis.surprisal.summary import summary


class FitWarning(UserWarning):
    """A fit whose numbers need care: it is singular or has not converged, or a factor has few levels."""


@dataclass(frozen=True)
class MixedModel:
    """A linear mixed model fitted by restricted maximum likelihood.

    `fit_surprisal_model` makes it. Intervals cover 95%. Printing the model shows a summary.

    Attributes
    ----------
    formula : str
    design : Design
        The formula's matrices, levels and means.
    groupings : tuple of Grouping
        The random factors.
    fit : MixedFit
        The estimates at the maximum of the likelihood, as plain arrays.
    robust : Robust or None
        The cluster-robust variance, if it was asked for.
    replicates : array (replicate, fixed)
        Shifts of the coefficients when whole clusters are drawn; no row without `robust`.
    cluster : tuple of str
        The factors whose levels are clusters of the robust intervals; the bootstrap draws levels of the first.
    flags : tuple of str
        Warnings about the fit; also a column of the tables, and the head of the summary.
    n_dropped : int
        Rows of the table without a value in a variable of the model.
    """

    formula: str
    design: Design
    groupings: tuple[Grouping, ...]
    fit: MixedFit
    robust: Robust | None
    replicates: Array
    cluster: tuple[str, ...]
    flags: tuple[str, ...]
    n_dropped: int

    @property
    def n_rows(self) -> int:
        """Rows fitted."""
        return len(self.design.response)

    @property
    def log_likelihood(self) -> float:
        """Restricted log-likelihood at its maximum."""
        return self.fit.log_likelihood

    def fixed_effects(self) -> pd.DataFrame:
        """Every fixed effect with its intervals.

        Returns
        -------
        DataFrame
            One row an effect: `effect`, and the columns of every estimate: `estimate`, `standard_error`, `df`
            (Satterthwaite), `t`, `p`, `lower`, `upper`; with clusters also `robust_p`, `robust_lower`, `robust_upper`
            (Student's t over clusters), `bootstrap_lower`, `bootstrap_upper` and `intervals_agree`; `n_clusters` and
            `cluster`.
        """
        names = pd.DataFrame({"effect": self.design.names})
        return self._estimates(names, np.eye(len(names))).assign(flags="; ".join(self.flags))

    def _estimates(self, labels: pd.DataFrame, weights: Array) -> pd.DataFrame:
        """`estimates` of linear combinations of the fixed effects, with `n_clusters` and `cluster`, their factor."""
        table = estimates(labels, weights, self.fit, self.robust, self.replicates)
        if self.robust is None:
            n_levels = next(len(grouping.levels) for grouping in self.groupings if grouping.name == self.cluster[0])
            table = table.assign(n_clusters=n_levels)
        return table.assign(cluster=self.cluster[0])

    def marginal_means(self, by: Sequence[str]) -> pd.DataFrame:
        """Expected response for every combination of levels, with all other variables held fixed.

        Parameters
        ----------
        by : sequence of str
            Factors of the formula.

        Returns
        -------
        DataFrame
            One row a combination, with the columns of every estimate. Numeric variables are held at their means; the
            levels of other factors have equal weights.

        Raises
        ------
        UnknownNameError
            If a name is no factor of the formula.
        """
        cells, weights = self.design.grid(by)
        return self._estimates(cells, weights)

    def contrasts(
        self,
        factor: str,
        pairs: Sequence[tuple[str, str]],
        by: Sequence[str] = (),
        correction: str = "holm",
        between: tuple[str, str] | None = None,
    ) -> pd.DataFrame:
        """Differences of marginal means between levels of a factor.

        Parameters
        ----------
        factor : str
        pairs : sequence of (level, level)
            The difference is the first level less the second.
        by : sequence of str
            Factors; there is one difference for every combination of their levels.
        correction : str
            holm or bh, over all rows.
        between : (level, level), optional
            Two levels of the only factor of `by`: adds for each pair the difference at the first of them less that at the
            second, as the level "FIRST less SECOND".

        Returns
        -------
        DataFrame
            One row a pair and combination: `level`, `against`, the columns of `by`, those of every estimate,
            `correction`, `p_adjusted`, and `robust_p_adjusted` where the fit has clusters.

        Raises
        ------
        UnknownNameError
            If a factor, level or correction is not known.
        FitError
            If there is no pair, or `between` comes with no factor of `by`, or with several.
        """
        if between is not None and len(by) != 1:
            raise FitError("between needs exactly one factor in by")
        cells, weights = self.design.grid([factor, *by])
        asked = {factor: [level for pair in pairs for level in pair], **({by[0]: between} if between else {})}
        for name, level in ((name, level) for name, levels in asked.items() for level in levels):
            if level not in self.design.levels[name]:
                raise UnknownNameError(f"level of {name}", level, self.design.levels[name])
        labels, rows = [], []
        for pair in pairs:
            first, second = ((cells[factor] == level).to_numpy() for level in pair)
            labels.append(cells.loc[first, list(by)].assign(level=pair[0], against=pair[1]))
            rows.append(weights[first] - weights[second])
            if between is not None:
                of_levels = cells.loc[first, by[0]].tolist()
                label = {by[0]: " less ".join(between), "level": pair[0], "against": pair[1]}
                labels.append(pd.DataFrame([label]))
                rows.append(np.subtract(*(rows[-1][of_levels.index(level)] for level in between))[None])
        if not rows:
            raise FitError(f"no two levels of {factor} to compare")
        table = self._estimates(pd.concat(labels, ignore_index=True)[["level", "against", *by]], np.concatenate(rows))
        table = table.assign(correction=correction, p_adjusted=adjusted(table["p"], correction))
        return table.assign(robust_p_adjusted=adjusted(table["robust_p"], correction)) if self.robust else table

    def test(self, term: str) -> pd.Series:
        """Whether all effects of a term are zero.

        Parameters
        ----------
        term : str
            As in the formula: `condition:upos`. The effects of a term that is part of an interaction are those at the
            reference levels.

        Returns
        -------
        Series
            `term`, `F`, `df_numerator`, `df_denominator` (Fai and Cornelius, 1996), `p`.

        Raises
        ------
        UnknownNameError
            If the formula has no such term.
        """
        if term not in self.design.terms:
            raise UnknownNameError("term", term, self.design.terms)
        columns = self.design.terms[term]
        values, vectors = np.linalg.eigh(self.fit.covariance[np.ix_(columns, columns)])
        weights = np.zeros((len(columns), len(self.design.names)))
        weights[:, columns] = vectors.T
        n_effects = len(columns)
        statistic = float(((weights @ self.fit.coefficients) ** 2 / values).sum() / n_effects)
        df = _denominator_df(satterthwaite(weights, self.fit))
        p = stats.f.sf(statistic, n_effects, df)
        return pd.Series({"term": term, "F": statistic, "df_numerator": n_effects, "df_denominator": df, "p": p})

    def tests(self) -> pd.DataFrame:
        """`test` of every term that can be left out: it is no part of an interaction in the formula."""
        variables = {term: set(term.split(":")) for term in self.design.terms if term != "1"}
        free = [term for term, names in variables.items() if not any(names < larger for larger in variables.values())]
        return pd.DataFrame([self.test(term) for term in free])

    def variance_components(self) -> pd.DataFrame:
        """Variances and correlations of the random effects and the residual.

        Returns
        -------
        DataFrame
            One row an effect: `group`, `effect`, `variance`, `sd`, `correlation` (with the group's intercept; NaN for
            the intercept itself), `n_levels`, `is_singular`, `flags`.
        """
        rows: list[tuple[object, ...]] = []
        for grouping, covariance, is_singular in zip(self.groupings, self.fit.covariances, self.fit.singular, strict=True):
            variance = np.diag(covariance)
            sd, n_levels = np.sqrt(variance), len(grouping.levels)
            for k, effect in enumerate(grouping.effects):
                scale = sd[k] * sd[0]
                correlation = covariance[k, 0] / scale if k and scale > 0 else np.nan
                rows.append((grouping.name, effect, variance[k], sd[k], correlation, n_levels, is_singular))
        residual = self.fit.residual_variance
        rows.append(("residual", "", residual, np.sqrt(residual), np.nan, self.n_rows, False))
        columns = ["group", "effect", "variance", "sd", "correlation", "n_levels", "is_singular"]
        return pd.DataFrame(rows, columns=columns).assign(flags="; ".join(self.flags))

    def random_effects(self, group: str) -> pd.DataFrame:
        """Conditional means of a factor's random effects, one row a level.

        Raises
        ------
        UnknownNameError
            If the model has no such factor.
        """
        names = [grouping.name for grouping in self.groupings]
        if group not in names:
            raise UnknownNameError("random factor", group, names)
        grouping, values = self.groupings[names.index(group)], self.fit.random_effects[names.index(group)]
        return pd.DataFrame(values, columns=grouping.effects, index=grouping.levels.rename(group)).reset_index()

    def fitted(self) -> NDArray[np.float64]:
        """(row,) Fitted values, random effects included."""
        fitted: NDArray[np.float64] = self.design.matrix @ self.fit.coefficients
        for grouping, effects in zip(self.groupings, self.fit.random_effects, strict=True):
            fitted = fitted + grouping.factor.indicator @ effects.ravel()
        return fitted

    def predict(self, table: pd.DataFrame, random: bool = False) -> NDArray[np.float64]:
        """(row,) Expected response of other rows.

        Parameters
        ----------
        table : DataFrame
            With every variable of the formula and, with `random`, every random factor.
        random : bool
            Whether to add random intercepts and slopes; for levels that were not in the fit these are zero.

        Raises
        ------
        FitError
            If a variable is missing or a fixed factor has a level that was not in the fit.
        """
        columns = self.design.columns(table)
        predicted: NDArray[np.float64] = columns @ self.fit.coefficients
        if not random:
            return predicted
        for grouping, effects in zip(self.groupings, self.fit.random_effects, strict=True):
            if grouping.name not in table:
                raise FitError(f"the table has no column {grouping.name!r}, which the random effects need")
            codes = grouping.levels.get_indexer(pd.Index(table[grouping.name]))
            slopes = effect_columns(grouping.effects, self.design.names, columns)
            predicted = predicted + np.where(codes >= 0, (effects[codes] * slopes).sum(axis=1), 0)
        return predicted

    def residual_quantiles(self, n: int = 201) -> pd.DataFrame:
        """Quantiles of the standardised residuals and of the normal distribution, for a quantile plot.

        Returns
        -------
        DataFrame
            One row a quantile: `normal`, `residual` (in residual standard deviations).
        """
        residual = (self.design.response - self.fitted()) / np.sqrt(self.fit.residual_variance)
        share = (np.arange(n) + 0.5) / n
        return pd.DataFrame({"normal": stats.norm.ppf(share), "residual": np.quantile(residual, share)})

    def residual_spread(self, n: int = 20) -> pd.DataFrame:
        """Spread of the residuals along the fitted values, in bins with equal numbers of rows.

        Returns
        -------
        DataFrame
            One row a bin: `fitted` (mean), `residual_mean`, `residual_sd`, `n_rows`.
        """
        fitted = self.fitted()
        residual = self.design.response - fitted
        bins = np.argsort(np.argsort(fitted, kind="stable")) * n // len(fitted)
        grouped = pd.DataFrame({"fitted": fitted, "residual": residual}).groupby(bins)
        table = grouped.agg(
            fitted=("fitted", "mean"),
            residual_mean=("residual", "mean"),
            residual_sd=("residual", "std"),
            n_rows=("residual", "size"),
        )
        return table.reset_index(drop=True)

    def overview(self) -> pd.DataFrame:
        """One row on the fit: its size, likelihood, residuals and flags."""
        n_disagreeing = -1 if self.robust is None else int((~self.fixed_effects()["intervals_agree"]).sum())
        row = {
            "formula": self.formula,
            "random": " + ".join(f"({' + '.join(g.effects)} | {g.name})" for g in self.groupings),
            "n_rows": self.n_rows,
            "n_dropped": self.n_dropped,
            "n_effects": len(self.design.names),
            "log_likelihood": self.log_likelihood,
            "residual_excess_kurtosis": stats.kurtosis(self.design.response - self.fitted()),
            "n_disagreeing": n_disagreeing,
            "is_converged": self.fit.is_converged,
            "is_singular": any(self.fit.singular),
            "flags": "; ".join(self.flags),
        }
        return pd.DataFrame([row])

    def summary(self) -> Summary:
        """A text summary in the form of statsmodels; flags come first."""
        return summary(self)

    def __str__(self) -> str:
        """The summary as text."""
        return str(self.summary().as_text())


def _denominator_df(df: Array) -> float:
    """Denominator degrees of freedom of an F test, from those of its independent effects (Fai and Cornelius, 1996)."""
    n_effects = len(df)
    if n_effects == 1:
        return float(df[0])
    expected = (df / (df - 2))[df > 2].sum() if np.isfinite(df).all() else np.inf
    return 2 * expected / (expected - n_effects) if np.isfinite(expected) and expected > n_effects else np.inf
