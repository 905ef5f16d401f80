"""The former place of `ALL_LAYERS`, for the reports alone; it goes when they import `analysis.training.cohorts`."""

from analysis.training.cohorts import ALL_LAYERS as ALL_LAYERS
