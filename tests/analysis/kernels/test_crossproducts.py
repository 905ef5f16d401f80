"""Sums of products by the dense and by the sparse route."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from analysis.kernels.deviance import Likelihood
from tests.analysis.kernels.test_deviance import mixed_data


def test_levels_that_meet_many_and_few_are_added_up_alike():
    """The dense and the sparse route together give the Gram matrix."""
    x, y, factors = mixed_data(6, 8000, [(300, 1), (150, 1)])
    likelihood = Likelihood(x, y, factors)
    products = likelihood.products
    assert products.sparse_rows.size
    assert products.dense_rows.size
    weights = np.random.default_rng(0).uniform(size=(300, 1, 1))
    scaled = (x @ sparse.diags_array(1 / likelihood.scale)).toarray()
    rest = np.column_stack([factors[1].indicator.toarray(), scaled])
    m = factors[0].indicator.T @ rest
    gram = products.gram(weights)[:-1, :-1]
    np.testing.assert_allclose(gram, m.T @ (weights[:, :, 0] * m), atol=1e-8)
