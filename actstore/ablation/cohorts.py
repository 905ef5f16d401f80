"""The neurons of a cohort at a checkpoint, and what of a design could not be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from actstore.ablation.applied import Neurons
from actstore.ablation.design import Cohort, Condition
from actstore.errors import SelectionError
from actstore.extraction.job import Job
from actstore.model.interventions import intervention
from actstore.selection.choosing import select
from actstore.selection.selection import Selection
from actstore.selection.statistics import SAME, Statistics
from actstore.store.schema import LAYER, NEURON


def chosen(cohort: Cohort, statistics: Statistics, step: int) -> Selection:
    """The neurons of a cohort at a checkpoint, by any rule that needs no model."""
    if cohort.selection is not None:
        return cohort.selection
    values, *covariates = (_ranked(cohort, name, statistics, step) for name in (cohort.statistic, *cohort.match))
    return select(values, cohort.fraction, cohort.rule, seed=cohort.seed, scope=cohort.scope, match=covariates)


def _ranked(cohort: Cohort, name: str, statistics: Statistics, step: int) -> xr.DataArray:
    """A statistic (layer, neuron) where a cohort is chosen: at its checkpoint, in its layers."""
    values = statistics.at(name, cohort.checkpoint, step)
    return values.sel({LAYER: list(cohort.layers)}) if cohort.layers else values


@dataclass(frozen=True)
class Bottom:
    """The neurons that a perplexity-matched control is taken from, lowest first; never one of its target's."""

    values: xr.DataArray
    """(layer, neuron); NaN for those that cannot be taken."""
    scope: str
    largest: int
    """The most that can be taken: of every layer, or of all."""

    @classmethod
    def of(cls, cohort: Cohort, statistics: Statistics, step: int) -> Bottom:
        """That of a cohort at a checkpoint."""
        assert cohort.target is not None
        ranked = _ranked(cohort, cohort.statistic, statistics, step)
        is_edited = chosen(cohort.target, statistics, step).mask(ranked[LAYER].values)
        values = ranked.copy(data=np.where(is_edited, np.nan, ranked.values))
        n_left = values.notnull().sum(NEURON).values
        largest = int(n_left.min() if cohort.scope == "layer" else n_left.sum())
        if largest == 0:
            where, scope = (" in one layer", ' or scope = "all"') if n_left.any() else ("", "")
            raise SelectionError(
                f"{cohort.target.label} leaves no neurons to match perplexity with{where}; take a smaller fraction{scope}"
            )
        return cls(values, cohort.scope, largest)

    def neurons(self, size: int) -> Neurons:
        """The lowest `size` of every layer, or of all."""
        n_ranked = self.values.size if self.scope == "all" else self.values.sizes[NEURON]
        return select(self.values, size / n_ranked, "bottom", scope=self.scope).neurons


def check_choice(condition: Condition, statistics: Statistics, step: int, job: Job) -> None:
    """Refuse a condition whose neurons cannot be chosen, hours before its turn comes."""
    cohort = condition.cohort
    assert cohort is not None
    if cohort.selection is not None:
        selection = cohort.selection
        check_origin(
            "the selection", selection.model, selection.site, selection.n_neurons_per_layer, list(selection.neurons), job
        )
    elif cohort.is_perplexity_matched:
        Bottom.of(cohort, statistics, step)
    else:
        chosen(cohort, statistics, step)
    if intervention(condition.intervention).needs_negative_mean:
        statistics.at("negative_mean", SAME, step)


def check_origin(what: str, model: str, site: str, n_neurons: int, layers: Sequence[int], job: Job) -> None:
    """Refuse neurons of another model or site, or of layers that this one does not have."""
    name, layout = job.source.name, job.layout
    if model != name:
        raise SelectionError(f"{what} was made on {model}, this is {name}; select neurons on a store of {name}")
    if site != job.attrs["site"]:
        raise SelectionError(
            f"{what} was made at the site {site}, the design's is {job.attrs['site']}; "
            "name the same site in the design (--site), or select neurons on a store of the design's"
        )
    if n_neurons != layout.n_neurons or max(layers) >= len(layout.layers):
        raise SelectionError(
            f"{what} is for layers of {n_neurons} neurons up to layer {max(layers)}, "
            f"{name} has {len(layout.layers)} layers of {layout.n_neurons}"
        )
