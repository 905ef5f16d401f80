"""A fitted mixed model and what can be asked of it, as tidy tables.

Owns the result: effects, marginal means, contrasts, tests, variance components, residuals, summary.
Every estimate has three intervals: the model's, cluster-robust, and of the cluster bootstrap.
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
from analysis.kernels.crossproducts import Array, Factor
from analysis.kernels.multiplicity import adjusted
from analysis.kernels.reml import MixedFit
from analysis.kernels.sandwich import Robust
from analysis.surprisal.formula import Design

INTERCEPT = "Intercept"
_WIDER = 2.0
"""Robust intervals this many times wider, or narrower, than the model's disagree with it."""


class FitWarning(UserWarning):
    """A fit whose numbers need care: singular, not converged, few levels."""


@dataclass(frozen=True)
class Grouping:
    """One random factor as fitted."""

    name: str
    levels: pd.Index
    effects: list[str]
    factor: Factor


@dataclass(frozen=True)
class MixedModel:
    """A linear mixed model fitted by restricted maximum likelihood.

    Made by `fit_surprisal_model`. Intervals cover 95%; printing it shows a summary.

    Attributes
    ----------
    formula : str
    design : Design
        The formula's matrices, levels and means.
    groupings : tuple of Grouping
        The random factors.
    fit : MixedFit
        What the maximum of the likelihood implies, as plain arrays.
    robust : Robust or None
    replicates : array (replicate, fixed)
        Shifts of the coefficients when whole clusters are drawn; none without `robust`.
    cluster : tuple of str
        The factors whose levels are clusters of the robust intervals; the first is the one drawn.
    flags : tuple of str
        All that needs care; also a column of the tables, and the head of the summary.
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
            One row an effect: `effect`, and the columns of `estimates`.
        """
        names = pd.DataFrame({"effect": self.design.names})
        return self._estimates(names, np.eye(len(names))).assign(flags="; ".join(self.flags))

    def _estimates(self, labels: pd.DataFrame, weights: Array) -> pd.DataFrame:
        """Linear combinations of the fixed effects, in the response's units.

        `estimate`, `standard_error`, `df` (Satterthwaite), `t`, `p` (of zero), `lower`, `upper`; where
        the fit has clusters, `robust_p`, `robust_lower`, `robust_upper` (Student's t over clusters), `bootstrap_lower`,
        `bootstrap_upper` (percentiles, moved out for few clusters), `intervals_agree`: all three hold zero or none does, and
        no width is beyond twice or half the model's; `n_clusters` that the effect is known from (with a share of at least a
        twentieth of the largest) and `cluster`, their factor.
        """
        estimate = weights @ self.fit.coefficients
        error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", weights, self.fit.covariance, weights), 0))
        df = self._freedom(weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = estimate / error
        half = stats.t.ppf(0.975, df) * error
        table = labels.assign(
            estimate=estimate, standard_error=error, df=df, t=t, p=2 * stats.t.sf(np.abs(t), df),
            lower=estimate - half, upper=estimate + half,
        )  # fmt: skip
        if self.robust is None:
            return table.assign(n_clusters=len(self._clustering.levels), cluster=self.cluster[0])
        robust = self.robust.intervals(estimate, weights)
        robust_lower, robust_upper = robust.estimate.interval()
        low, high = np.nanquantile(weights @ self.replicates.T, [0.025, 0.975], axis=1) * robust.widening
        table = table.assign(
            robust_p=robust.estimate.p_value(), robust_lower=robust_lower, robust_upper=robust_upper,
            bootstrap_lower=estimate + low, bootstrap_upper=estimate + high,
        )  # fmt: skip
        return table.assign(intervals_agree=_agree(table), n_clusters=robust.n_clusters, cluster=self.cluster[0])

    @property
    def _clustering(self) -> Grouping:
        return next(grouping for grouping in self.groupings if grouping.name == self.cluster[0])

    def _freedom(self, weights: Array) -> Array:
        """Satterthwaite's degrees of freedom of linear combinations."""
        fit = self.fit
        variance = np.einsum("ij,jk,ik->i", weights, fit.covariance, weights)
        slope = np.einsum("ij,tjk,ik->it", weights, fit.covariance_gradient, weights)
        spread = np.einsum("it,ts,is->i", slope, np.linalg.pinv(fit.theta_information, hermitian=True), slope)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = np.where(spread > 0, 2 * variance**2 / spread, np.inf)
        return found

    def marginal_means(self, by: Sequence[str]) -> pd.DataFrame:
        """Expected response for every combination of levels, all else alike.

        Parameters
        ----------
        by : sequence of str
            Factors of the formula.

        Returns
        -------
        DataFrame
            One row a combination, with the columns of every estimate and `n_rows`. Numeric variables
            are held at their means; levels of other factors count alike.

        Raises
        ------
        UnknownNameError
            If a name is no factor of the formula.
        """
        cells, weights = self.design.grid(by)
        return self._estimates(cells, weights)

    def contrasts(
        self, factor: str, pairs: Sequence[tuple[str, str]], by: Sequence[str] = (), correction: str = "holm"
    ) -> pd.DataFrame:
        """Differences of marginal means between levels of a factor.

        Parameters
        ----------
        factor : str
        pairs : sequence of (level, level)
            First less second.
        by : sequence of str
            One difference for every combination of the levels of these.
        correction : str
            holm or bh, over all rows.

        Returns
        -------
        DataFrame
            One row a pair and combination: `level`, `against`, the columns of `by`, those of every estimate,
            `correction`, `p_adjusted`, and `robust_p_adjusted` where the fit has clusters.

        Raises
        ------
        UnknownNameError
            If a factor, level or correction is not known.
        """
        cells, weights = self.design.grid([factor, *by])
        labels, rows = [], []
        for pair in pairs:
            for level in pair:
                if level not in self.design.levels[factor]:
                    raise UnknownNameError(f"level of {factor}", level, self.design.levels[factor])
            first, second = ((cells[factor] == level).to_numpy() for level in pair)
            labels.append(cells.loc[first, list(by)].assign(level=pair[0], against=pair[1]))
            rows.append(weights[first] - weights[second])
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
            As in the formula: `condition:upos`. Of a term within an interaction, its effects are those at
            the reference levels.

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
        q = len(columns)
        statistic = float(((weights @ self.fit.coefficients) ** 2 / values).sum() / q)
        df = self._freedom(weights)
        expected = (df / (df - 2))[df > 2].sum() if np.isfinite(df).all() else np.inf
        denominator = (
            float(df[0]) if q == 1 else 2 * expected / (expected - q) if np.isfinite(expected) and expected > q else np.inf
        )
        return pd.Series({"term": term, "F": statistic, "df_numerator": q, "df_denominator": denominator,
                          "p": stats.f.sf(statistic, q, denominator)})  # fmt: skip

    def tests(self) -> pd.DataFrame:
        """`test` of every term that is within no other: those that can be left out."""
        parts = {term: set(term.split(":")) for term in self.design.terms if term != "1"}
        free = [term for term in parts if not any(parts[term] < other for other in parts.values())]
        return pd.DataFrame([self.test(term) for term in free])

    def variance_components(self) -> pd.DataFrame:
        """Variances and correlations of the random effects and the residual.

        Returns
        -------
        DataFrame
            One row an effect: `group`, `effect`, `variance`, `sd`, `correlation` (with the group's intercept; NaN for
            itself), `n_levels`, `is_singular`, `flags`.
        """
        rows: list[dict[str, object]] = []
        for grouping, covariance, is_singular in zip(self.groupings, self.fit.covariances, self.fit.singular, strict=True):
            sd = np.sqrt(np.diag(covariance))
            for index, name in enumerate(grouping.effects):
                scale = sd[index] * sd[0]
                rows.append({
                    "group": grouping.name, "effect": name, "variance": covariance[index, index], "sd": sd[index],
                    "correlation": covariance[index, 0] / scale if index and scale > 0 else np.nan,
                    "n_levels": len(grouping.levels), "is_singular": is_singular,
                })  # fmt: skip
        rows.append({"group": "residual", "effect": "", "variance": self.fit.residual_variance,
                     "sd": np.sqrt(self.fit.residual_variance), "correlation": np.nan, "n_levels": self.n_rows,
                     "is_singular": False})  # fmt: skip
        return pd.DataFrame(rows).assign(flags="; ".join(self.flags))

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
        found: NDArray[np.float64] = self.design.matrix @ self.fit.coefficients
        for grouping, effects in zip(self.groupings, self.fit.random_effects, strict=True):
            found = found + grouping.factor.indicator @ effects.ravel()
        return found

    def predict(self, table: pd.DataFrame, random: bool = False) -> NDArray[np.float64]:
        """(row,) Expected response of other rows.

        Parameters
        ----------
        table : DataFrame
            With every variable of the formula and, with `random`, every random factor.
        random : bool
            Add the random intercepts and slopes of levels that the fit has seen; of others they are zero.

        Raises
        ------
        FitError
            If a variable is missing or a fixed factor has a level that the fit has not seen.
        """
        columns = self.design.columns(table)
        found: NDArray[np.float64] = columns @ self.fit.coefficients
        if not random:
            return found
        for grouping, effects in zip(self.groupings, self.fit.random_effects, strict=True):
            if grouping.name not in table:
                raise FitError(f"the table has no column {grouping.name!r}, which the random effects need")
            codes = grouping.levels.get_indexer(pd.Index(table[grouping.name]))
            slopes = effect_columns(grouping.effects, self.design.names, columns)
            found = found + np.where(codes >= 0, (effects[codes] * slopes).sum(axis=1), 0)
        return found

    def residual_quantiles(self, n: int = 201) -> pd.DataFrame:
        """Standardised residuals against the normal: what a quantile plot draws.

        Returns
        -------
        DataFrame
            One row a quantile: `normal`, `residual` (in residual standard deviations).
        """
        residual = (self.design.response - self.fitted()) / np.sqrt(self.fit.residual_variance)
        share = (np.arange(n) + 0.5) / n
        return pd.DataFrame({"normal": stats.norm.ppf(share), "residual": np.quantile(residual, share)})

    def residual_spread(self, n: int = 20) -> pd.DataFrame:
        """Spread of the residuals along the fitted values, in bins of as many rows.

        Returns
        -------
        DataFrame
            One row a bin: `fitted` (mean), `residual_mean`, `residual_sd`, `n_rows`.
        """
        fitted = self.fitted()
        residual = self.design.response - fitted
        bins = np.argsort(np.argsort(fitted, kind="stable")) * n // len(fitted)
        grouped = pd.DataFrame({"fitted": fitted, "residual": residual}).groupby(bins)
        return pd.DataFrame({
            "fitted": grouped["fitted"].mean(), "residual_mean": grouped["residual"].mean(),
            "residual_sd": grouped["residual"].std(), "n_rows": grouped.size(),
        }).reset_index(drop=True)  # fmt: skip

    def overview(self) -> pd.DataFrame:
        """One row on the fit: sizes, likelihood, residual shape, flags."""
        residual = self.design.response - self.fitted()
        return pd.DataFrame([{
            "formula": self.formula, "random": " + ".join(f"({' + '.join(g.effects)} | {g.name})" for g in self.groupings),
            "n_rows": self.n_rows, "n_dropped": self.n_dropped, "n_effects": len(self.design.names),
            "log_likelihood": self.log_likelihood, "residual_excess_kurtosis": stats.kurtosis(residual),
            "n_disagreeing": -1 if self.robust is None else int((~self.fixed_effects()["intervals_agree"]).sum()),
            "is_converged": self.fit.is_converged, "is_singular": any(self.fit.singular), "flags": "; ".join(self.flags),
        }])  # fmt: skip

    def summary(self) -> Summary:
        """A text summary, as of statsmodels; flags come first."""
        found = Summary()
        row = self.overview().iloc[0]
        care = "".join(f"CARE: {flag}\n" for flag in self.flags)
        found.add_title(f"{care}Mixed linear model, restricted maximum likelihood")
        found.add_dict({
            "Response": self.design.response_name, "Rows": str(self.n_rows), "Rows dropped": str(self.n_dropped),
            "Log-likelihood": f"{self.log_likelihood:.4f}", "Converged": "yes" if self.fit.is_converged else "NO",
            "Singular": "YES" if row["is_singular"] else "no", "Fixed effects": str(len(self.design.names)),
            "Residual kurtosis": f"{row['residual_excess_kurtosis']:.1f} (normal: 0)",
        })  # fmt: skip
        fixed = self.fixed_effects().set_index("effect").rename_axis(None).drop(columns="flags")
        if self.robust is not None:
            fixed["intervals_agree"] = np.where(fixed["intervals_agree"], "yes", "NO")
        found.add_df(fixed, float_format="%.4g")
        variances = (
            self.variance_components()
            .drop(columns="flags")
            .assign(is_singular=lambda t: np.where(t["is_singular"], "YES", "no"))
        )
        variances.index = pd.Index(
            [f"{group} {effect}".strip() for group, effect in zip(variances.pop("group"), variances.pop("effect"), strict=True)]
        )
        found.add_df(variances, float_format="%.4g")
        found.add_text("Degrees of freedom by Satterthwaite. " + (
            f"Robust intervals: clusters of {' and of '.join(self.cluster)}; bootstrap over {self.cluster[0]}." if self.robust else
            "No robust intervals were asked for."))  # fmt: skip
        return found

    def __str__(self) -> str:
        """The summary as text."""
        return str(self.summary().as_text())


def _agree(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether the three intervals of every row say the same of zero and are about as wide."""
    bounds = [(table[f"{kind}lower"], table[f"{kind}upper"]) for kind in ("", "robust_", "bootstrap_")]
    signs = [(lower > 0) * 1 - (upper < 0) * 1 for lower, upper in bounds]
    alike = (signs[0] == signs[1]) & (signs[0] == signs[2])
    own, *others = (upper - lower for lower, upper in bounds)
    for width in others:
        alike &= (width <= _WIDER * own) & (width * _WIDER >= own)
    return np.asarray(alike, dtype=bool)


def effect_columns(effects: Sequence[str], names: Sequence[str], matrix: Array) -> Array:
    """(row, effect) What a factor's random effects multiply: ones, and fixed effects' columns of the same names."""
    ones = np.ones(len(matrix))
    return np.column_stack([ones if name == INTERCEPT else matrix[:, names.index(name)] for name in effects])
