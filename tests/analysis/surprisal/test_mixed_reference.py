"""Parity with lme4 and lmerTest on frozen numbers, and with statsmodels where it can fit."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import statsmodels.formula.api as smf

from analysis.surprisal.mixed_model import FitWarning
from analysis.surprisal.models import fit_surprisal_model
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
    wanted = REFERENCE[name]
    assert digest(design.table) == wanted["digest"][0], "other data than the reference was made from"
    fixed = model.fixed_effects().assign(effect=lambda t: t["effect"].map(lme4_name)).set_index("effect").loc[wanted["effects"]]
    error = np.array(wanted["standard_error"])
    assert np.abs(fixed["estimate"] - wanted["estimate"]).max() < 1e-3 * error.min()
    np.testing.assert_allclose(fixed["standard_error"], error, rtol=1e-3)
    assert model.log_likelihood == pytest.approx(wanted["log_likelihood"][0], rel=1e-6)
    assert model.fit.residual_variance == pytest.approx(wanted["residual_variance"][0], rel=1e-3)
    for grouping, covariance in zip(model.groupings, model.fit.covariances, strict=True):
        np.testing.assert_allclose(covariance, wanted["covariances"][grouping.name], rtol=1e-3, atol=1e-9)
    if name != "singular":
        np.testing.assert_allclose(fixed["df"], wanted["df"], rtol=5e-3)
    assert model.fit.is_converged
    assert any(model.fit.singular) == (name == "singular")


def test_parity_with_statsmodels_for_one_factor():
    design, model = fitted("sleep")
    other = smf.mixedlm("y ~ day", design.table, groups="subject", re_formula="~day").fit(reml=True)
    fixed = model.fixed_effects()
    np.testing.assert_allclose(fixed["estimate"], other.fe_params, rtol=1e-5)
    np.testing.assert_allclose(fixed["standard_error"], other.bse_fe, rtol=1e-3)
    np.testing.assert_allclose(model.fit.covariances[0], other.cov_re, rtol=2e-3)
    assert model.log_likelihood == pytest.approx(other.llf, rel=1e-6)


def test_parity_with_statsmodels_for_crossed_factors():
    design, model = fitted("penicillin")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it sees one group
        other = smf.mixedlm(
            "y ~ 1", design.table.assign(one=1), groups="one", vc_formula={"plate": "0 + C(plate)", "sample": "0 + C(sample)"}
        ).fit(reml=True)
    np.testing.assert_allclose(sorted(float(c[0, 0]) for c in model.fit.covariances), sorted(other.vcomp), rtol=5e-3)
    assert model.fit.coefficients[0] == pytest.approx(other.fe_params.iloc[0], abs=1e-6)
