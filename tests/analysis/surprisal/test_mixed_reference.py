"""Parity with lme4 and lmerTest on frozen numbers, and with statsmodels where it can fit."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import statsmodels.formula.api as smf

from analysis.surprisal.fitting import fit_surprisal_model
from analysis.surprisal.mixed_model import FitWarning
from tests.reference.designs import DESIGNS, digest

REFERENCE = json.loads((Path(__file__).parent.parent.parent / "reference" / "lme4.json").read_text())


def fitted(name: str):
    design = DESIGNS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return design, fit_surprisal_model(design.table, design.formula, design.random, robust=False)


def lme4_name(effect: str) -> str:
    return effect.replace("Intercept", "(Intercept)").replace("[T.", "").replace("]", "")


@pytest.mark.parametrize("name", list(DESIGNS))
def test_parity_with_lme4(name):
    design, model = fitted(name)
    expected = REFERENCE[name]
    assert digest(design.table) == expected["digest"][0], "the data are not those of the reference"
    fixed = (
        model.fixed_effects().assign(effect=lambda t: t["effect"].map(lme4_name)).set_index("effect").loc[expected["effects"]]
    )
    error = np.array(expected["standard_error"])
    assert np.abs(fixed["estimate"] - expected["estimate"]).max() < 1e-3 * error.min()
    np.testing.assert_allclose(fixed["standard_error"], error, rtol=1e-3)
    assert model.log_likelihood == pytest.approx(expected["log_likelihood"][0], rel=1e-6)
    assert model.fit.residual_variance == pytest.approx(expected["residual_variance"][0], rel=1e-3)
    for grouping, covariance in zip(model.groupings, model.fit.covariances, strict=True):
        np.testing.assert_allclose(covariance, expected["covariances"][grouping.name], rtol=1e-3, atol=1e-9)
    if name != "singular":
        np.testing.assert_allclose(fixed["df"], expected["df"], rtol=5e-3)
    assert model.fit.is_converged
    assert any(model.fit.singular) == (name == "singular")


def test_parity_with_statsmodels_for_one_factor():
    design, model = fitted("sleep")
    reference = smf.mixedlm("y ~ day", design.table, groups="subject", re_formula="~day").fit(reml=True)
    fixed = model.fixed_effects()
    np.testing.assert_allclose(fixed["estimate"], reference.fe_params, rtol=1e-5)
    np.testing.assert_allclose(fixed["standard_error"], reference.bse_fe, rtol=1e-3)
    np.testing.assert_allclose(model.fit.covariances[0], reference.cov_re, rtol=2e-3)
    assert model.log_likelihood == pytest.approx(reference.llf, rel=1e-6)


def test_parity_with_statsmodels_for_crossed_factors():
    design, model = fitted("penicillin")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels sees a single group
        reference = smf.mixedlm(
            "y ~ 1",
            design.table.assign(group=1),
            groups="group",
            vc_formula={"plate": "0 + C(plate)", "sample": "0 + C(sample)"},
        ).fit(reml=True)
    np.testing.assert_allclose(sorted(float(c[0, 0]) for c in model.fit.covariances), sorted(reference.vcomp), rtol=5e-3)
    assert model.fit.coefficients[0] == pytest.approx(reference.fe_params.iloc[0], abs=1e-6)
