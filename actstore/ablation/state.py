"""A loaded checkpoint that is read under one condition after another, and the perplexities that controls are matched to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedModel

from actstore.ablation.applied import Neurons, applied
from actstore.ablation.cohorts import Bottom, chosen
from actstore.ablation.design import Cohort, Condition
from actstore.errors import ActstoreError, SelectionError
from actstore.model.interventions import intervention
from actstore.selection.matching import Match, match_perplexity
from actstore.store.schema import BASELINE

if TYPE_CHECKING:
    from actstore.ablation.run import Run


class State:
    """A checkpoint of a run.

    Parameters
    ----------
    run : Run
    model : PreTrainedModel
    step : int
        Its training step.
    fingerprint : str
        Of its weights.

    Raises
    ------
    SelectionError
        If the statistics are of other weights.
    """

    def __init__(self, run: Run, model: PreTrainedModel, step: int, fingerprint: str) -> None:
        self._run, self._model, self._step, self._fingerprint = run, model, step, fingerprint
        self._perplexities: dict[Any, float] = {}
        self._refuse_other_weights(run.statistics.weights_at(step))

    def _refuse_other_weights(self, chosen_on: str | None) -> None:
        if chosen_on not in (None, self._fingerprint):
            raise SelectionError(
                f"the neurons were chosen on other weights of {self._run.job.source.name} step {self._step} (or another "
                "--compute-dtype); extract and select again"
            )

    def read(self, condition: Condition) -> dict[str, Any]:
        """The values of every array of a task."""
        layout = self._run.job.layout
        neurons, match = self._choice(condition)
        mask = np.zeros((len(layout.layers), layout.n_neurons), bool)
        for layer, of_layer in neurons.items():
            mask[layer, list(of_layer)] = True
        values: dict[str, Any] = {
            "is_edited": mask,
            "target_perplexity": match.target if match else np.nan,
            "is_matched": -1 if match is None else int(match.is_matched),
        }
        with self._under(condition.intervention, neurons) as model:
            values |= self._run.text.read(model)
            for readout in self._run.readouts:
                values |= readout.read(model)
        if not np.isfinite(values["perplexity"]):
            raise ActstoreError(
                f"under {condition.label} of checkpoint {self._step} perplexity is not finite; leave that condition out"
            )
        self._perplexities[self._key(condition.intervention, neurons)] = float(values["perplexity"])
        return values

    def _under(self, name: str, neurons: Neurons) -> contextlib.AbstractContextManager[PreTrainedModel]:
        if not neurons:
            return contextlib.nullcontext(self._model)
        change, run = intervention(name), self._run
        n_layers = len(run.job.layout.layers)
        means = run.statistics.negative_mean(self._step, n_layers) if change.needs_negative_mean else None
        return applied(self._model, change, neurons, negative_mean=means, site=run.design.run.site)

    def _choice(self, condition: Condition) -> tuple[Neurons, Match | None]:
        """The neurons of a condition, and how they match where perplexity decides on them."""
        cohort = condition.cohort
        if cohort is None:
            return {}, None
        if cohort.is_perplexity_matched:
            return self._matched(condition.intervention, cohort)
        selection = chosen(cohort, self._run.statistics, self._step)
        if selection.checkpoint == self._step:
            self._refuse_other_weights(selection.weights_fingerprint)
        return selection.neurons, None

    def _matched(self, name: str, cohort: Cohort) -> tuple[Neurons, Match]:
        """The bottom neurons that raise perplexity as those of the target do under the same intervention."""
        bottom = Bottom.of(cohort, self._run.statistics, self._step)
        target, _ = self._choice(Condition(name, cohort.target))
        to_reach, intact = self._perplexity(name, target), self._perplexity(name, {})
        match = match_perplexity(
            lambda size: self._perplexity(name, bottom.neurons(size)), bottom.largest, to_reach, intact, cohort.tolerance
        )
        return bottom.neurons(match.size), match

    def _perplexity(self, name: str, neurons: Neurons) -> float:
        key = self._key(name, neurons)
        if key not in self._perplexities:
            with self._under(name, neurons) as model:
                self._perplexities[key] = self._run.text.perplexity(model)
        return self._perplexities[key]

    @staticmethod
    def _key(name: str, neurons: Neurons) -> Any:
        return name if neurons else BASELINE, tuple((layer, tuple(of_layer)) for layer, of_layer in sorted(neurons.items()))
