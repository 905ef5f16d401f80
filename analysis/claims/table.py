"""The table of claims, and the verdict of every claim for every model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.claims.contrasts import CLAIMS, Contrast, Evidence, smooth_less_relu
from analysis.claims.verdict import verdict, verdict_of_claim
from analysis.contrasts import COLUMNS
from analysis.kernels.multiplicity import adjusted


def claims_table(evidence: Sequence[Evidence], correction: str = "holm") -> pd.DataFrame:
    """Every contrast of every claim of the paper, for every model.

    Parameters
    ----------
    evidence : sequence of Evidence
        One a model.
    correction : str
        `holm` or `bh`, over all contrasts of a model.

    Returns
    -------
    DataFrame
        One row a (model, claim, contrast):

        - `claim` (C1 to C9), `statement`; `contrast` in words; `is_main`: whether the claim's verdict rests on it.
        - `claimed`: `above 0` or `below 0`. `estimate` with its 95% bounds `lower` and `upper`, in `units`; `p`, and
          `p_adjusted` by the `correction`.
        - `equivalence_bound`: the least margin within which two one-sided tests at 5% call the contrast none: how large an
          effect the data leave possible. `detectable`: the smallest effect that would have been found with 80% power.
        - `verdict` of the contrast (`analysis.claims.verdict.verdict`), from its interval; `claim_verdict`, of the claim
          (`verdict_of_claim`), from its main contrasts.
        - `missing`: what is not there, where it was not tested; `source`: the table of the numbers.

    References
    ----------
    Kong, Ning, Adler and Shavit (2026), "Negative pre-activations differentiate syntax".
    """
    frames = [_of_model(of_model, evidence, correction) for of_model in evidence]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _of_model(of_model: Evidence, every: Sequence[Evidence], correction: str) -> pd.DataFrame:
    rows = []
    for claim, (statement, contrasts_of) in CLAIMS.items():
        contrasts = list(contrasts_of(of_model, every) if contrasts_of is smooth_less_relu else contrasts_of(of_model))
        verdicts = [_verdict(contrast) for contrast in contrasts]
        main = [of_contrast for of_contrast, contrast in zip(verdicts, contrasts, strict=True) if contrast.is_main]
        for contrast, of_contrast in zip(contrasts, verdicts, strict=True):
            labels = {"model": of_model.model, "claim": claim, "statement": statement}
            rows.append(labels | _row(contrast) | {"verdict": of_contrast, "claim_verdict": verdict_of_claim(main)})
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "p_adjusted", adjusted(table["p"].to_numpy(float), correction))  # type: ignore[arg-type, operator]
    return table


def _verdict(contrast: Contrast) -> str:
    nan = float("nan")
    return verdict(contrast.values.get("lower", nan), contrast.values.get("upper", nan), contrast.sign)


def _row(contrast: Contrast) -> dict[str, object]:
    return {
        "contrast": contrast.name,
        "is_main": contrast.is_main,
        "claimed": "above 0" if contrast.sign > 0 else "below 0",
        **{name: contrast.values.get(name, np.nan) for name in COLUMNS},
        "units": contrast.units,
        "missing": contrast.missing,
        "source": contrast.source,
    }
