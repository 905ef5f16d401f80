"""The old home of `ALL_LAYERS`; delete it once reports import `analysis.training.cohorts`."""

from analysis.training.cohorts import ALL_LAYERS as ALL_LAYERS
