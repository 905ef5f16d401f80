"""The summary of a fitted model as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from statsmodels.iolib.summary2 import Summary

if TYPE_CHECKING:
    from analysis.surprisal.mixed_model import MixedModel


def summary(model: MixedModel) -> Summary:
    """A text summary in the form of statsmodels; flags come first."""
    text = Summary()
    flags = "".join(f"CARE: {flag}\n" for flag in model.flags)
    text.add_title(f"{flags}Mixed linear model, restricted maximum likelihood")
    text.add_dict(_head(model))
    fixed = model.fixed_effects().set_index("effect").rename_axis(None).drop(columns="flags")
    if model.robust is not None:
        fixed["intervals_agree"] = np.where(fixed["intervals_agree"], "yes", "NO")
    text.add_df(fixed, float_format="%.4g")
    text.add_df(_variances(model), float_format="%.4g")
    clusters = f"clusters of {' and of '.join(model.cluster)}; bootstrap over {model.cluster[0]}"
    robust = f"Robust intervals: {clusters}." if model.robust else "No robust intervals were asked for."
    text.add_text(f"Degrees of freedom by Satterthwaite. {robust}")
    return text


def _head(model: MixedModel) -> dict[str, str]:
    """The response, the size of the fit, and how it went."""
    overview = model.overview().iloc[0]
    return {
        "Response": model.design.response_name,
        "Rows": str(model.n_rows),
        "Rows dropped": str(model.n_dropped),
        "Log-likelihood": f"{model.log_likelihood:.4f}",
        "Converged": "yes" if model.fit.is_converged else "NO",
        "Singular": "YES" if overview["is_singular"] else "no",
        "Fixed effects": str(len(model.design.names)),
        "Residual kurtosis": f"{overview['residual_excess_kurtosis']:.1f} (normal: 0)",
    }


def _variances(model: MixedModel) -> pd.DataFrame:
    """The variance components, a row each, named by group and effect."""
    table = model.variance_components().drop(columns="flags")
    table["is_singular"] = np.where(table["is_singular"], "YES", "no")
    groups, effects = table.pop("group"), table.pop("effect")
    table.index = pd.Index([f"{group} {effect}".strip() for group, effect in zip(groups, effects, strict=True)])
    return table
