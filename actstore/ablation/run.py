"""The ablation runner: the only code that re-enters a model after extraction.

Owns the cells of a design: every condition at every checkpoint. A cell is computed from the design
alone, stored item by item and sealed, so that a run can be interrupted, resumed and shared.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedModel

from actstore.ablation.design import Cohort, Condition, Design, conditions
from actstore.ablation.readouts import ChoiceReadout, PairReadout, Readout, TextReadout
from actstore.builtin.probes import PROBES
from actstore.errors import ActstoreError, ModelError, SelectionError
from actstore.extraction.job import ExtractConfig, Job, prepare
from actstore.extraction.run import write_checkpoint_axis
from actstore.model import scoring, sources
from actstore.model.families import adapter_for
from actstore.model.hooks import edit
from actstore.model.interventions import Intervention, intervention
from actstore.model.sites import refuse_idle
from actstore.selection.choosing import select
from actstore.selection.matching import Match, match_perplexity
from actstore.selection.selection import Selection
from actstore.selection.statistics import SAME, Statistics
from actstore.store.ledger import Seal
from actstore.store.resumable import Outcome, Resumable, share
from actstore.store.schema import BASELINE, CONDITION, LAYER, NEURON
from actstore.store.writer import StoreWriter
from actstore.text.minimal_pairs import read_pairs

Neurons = Mapping[int, Sequence[int]]


@contextlib.contextmanager
def applied(
    model: PreTrainedModel,
    change: Intervention,
    neurons: Neurons,
    *,
    negative_mean: NDArray[np.floating] | None = None,
    site: str | None = None,
) -> Iterator[PreTrainedModel]:
    """A model under an intervention; as it was on leaving, whatever happened.

    Parameters
    ----------
    model : PreTrainedModel
    change : Intervention
    neurons : mapping of int to sequence of int
        Layer to the neurons that are edited.
    negative_mean : array (layer, neuron), optional
        Mean negative pre-activation of every neuron of the model, for interventions that need it.
    site : str, optional
        As in `actstore extract`.

    Raises
    ------
    ActstoreError
        If one of the neurons is already under an intervention, there is no such layer or neuron, or
        the family's modules are not known.
    """
    adapter = adapter_for(model, site)
    if change.needs_negative_mean and negative_mean is None:
        raise SelectionError(f"{change.name} needs every neuron's mean negative pre-activation; name the design's statistics")
    # A neuron that was never negative has no mean: there, 0 is the nearest that is not positive.
    known = None if negative_mean is None else torch.from_numpy(np.nan_to_num(negative_mean)).to(model.device, model.dtype)

    @cache
    def means(layer: int) -> tuple[torch.Tensor, ...]:
        return () if known is None or not change.needs_negative_mean else (known[layer, list(neurons[layer])],)

    def changed(layer: int, *values: torch.Tensor) -> torch.Tensor:
        return change.change(*values, *means(layer))

    activations = adapter.activations(model) if change.edits_activation else None
    modules = adapter.modules(model)
    tried = min(modules.keys() & neurons.keys(), default=None)
    if not adapter.activation and tried is not None:
        refuse_idle(model, adapter.site, modules[tried])
    with edit(modules, neurons, changed, activations):
        yield model


@dataclass(frozen=True)
class Cell:
    """A condition at a checkpoint, with their places on the store's dims: `index` is the checkpoint's."""

    index: int
    condition: int
    step: int
    state: Condition

    @property
    def key(self) -> tuple[int, int]:
        """Of its seal."""
        return self.step, self.condition


@dataclass(frozen=True)
class Run:
    """A design made concrete: all that its cells depend on."""

    design: Design
    job: Job
    statistics: Statistics
    states: list[Condition]
    text: TextReadout
    others: list[Readout]

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells, checkpoint by checkpoint, the intact model first."""
        return [Cell(i, j, step, state) for i, step in enumerate(self.job.steps) for j, state in enumerate(self.states)]

    @property
    def readouts(self) -> list[Readout]:
        """Every readout."""
        return [self.text, *self.others]

    @property
    def configuration(self) -> dict[str, Any]:
        """What must be equal for two runs to write the same store."""
        return asdict(self.design) | {
            "checkpoints": self.job.steps,
            "device": self.design.device.partition(":")[0],
            "statistics_digest": self.statistics.digest,
            "selections": [asdict(state.cohort.selection) for state in self.states if state.cohort and state.cohort.selection],
            "weights_digest": self.job.source.weights_digest,
            "corpus_fingerprint": self.job.attrs["corpus_fingerprint"],
            "package_version": self.job.attrs["package_version"],
        }

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the store."""
        readouts = self.design.readouts
        return self.job.attrs | {
            "dtype": "float32",
            "pairs": ", ".join(readouts.pairs) or "none",
            "bos_policy": "every window, sentence and probe begins with BOS (EOS where there is none), not scored",
            "pair_score": "total log-probability; its mean and that of the critical region can be had",
        }


def ablate(design: Design, store: Path, *, worker: tuple[int, int] | None = None, progress: bool = True) -> Outcome:
    """Compute every cell of a design that is not there yet.

    Parameters
    ----------
    design : Design
    store : Path
        The store of results to write.
    worker : tuple of int, optional
        (i, n): compute the i-th of n equal shares, 1 ≤ i ≤ n, beside other processes.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ActstoreError
        If a name, selection or text does not fit the model, or the store cannot be written.
    """
    run = concrete(design)
    resumable = Resumable(
        run.configuration,
        run.attrs,
        run.cells,
        lambda writer: _write_axes(writer, run),
        lambda writer: write_checkpoint_axis(writer, run.job),
    )
    return resumable.run(store, lambda writer: _compute(run, resumable, writer, worker, progress), is_shared=worker is not None)


def concrete(design: Design) -> Run:
    """Resolve every name of a design, and read its texts, before anything is computed.

    Raises
    ------
    ActstoreError
        If something is not there or does not fit.
    """
    text = design.text
    job = prepare(ExtractConfig(
        design.model, design.checkpoints, corpus=text.corpus, tokens=text.tokens or None, window=text.window, seed=text.seed,
        documents=text.documents, spacy=text.spacy, site=design.site, device=design.device, compute_dtype=design.compute_dtype,
    ))  # fmt: skip
    _check_layers(job)
    states = conditions(design, len(job.layout.layers))
    statistics = Statistics(design.statistics)
    if (data := statistics.data) is not None:
        what = f"the statistics {design.statistics}"
        _check_origin(what, data.attrs["model"], data.attrs["site"], data.sizes[NEURON], data[LAYER].values.tolist(), job)
    for state, step in itertools.product(states, job.steps):
        if state.cohort is not None:
            _check_choice(state, statistics, step, job)
    return Run(design, job, statistics, states, TextReadout(job.table), _readouts(design, job))


def _check_layers(job: Job) -> None:
    """Refuse a site that some blocks lack: neurons are counted by the blocks of the whole model."""
    layers = job.layout.layers
    if layers != tuple(range(len(layers))):
        raise ModelError(
            f"{job.attrs['site']} is in layers {', '.join(map(str, layers))} alone, so it cannot be ablated; choose a site of every block"
        )


def _check_choice(state: Condition, statistics: Statistics, step: int, job: Job) -> None:
    """Refuse what could not be computed, hours before its turn comes."""
    cohort = state.cohort
    assert cohort is not None
    if cohort.selection is not None:
        chosen = cohort.selection
        _check_origin("the selection", chosen.model, chosen.site, chosen.n_neurons_per_layer, list(chosen.neurons), job)
    elif cohort.is_perplexity_matched:
        _Bottom.of(cohort, statistics, step)
    else:
        _chosen(cohort, statistics, step)
    if intervention(state.intervention).needs_negative_mean:
        statistics.at("negative_mean", SAME, step)


def _check_origin(what: str, model: str, site: str, n_neurons: int, layers: Sequence[int], job: Job) -> None:
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


def _ranked(cohort: Cohort, name: str, statistics: Statistics, step: int) -> xr.DataArray:
    """A statistic (layer, neuron) where a cohort is chosen: at its checkpoint, in its layers."""
    values = statistics.at(name, cohort.checkpoint, step)
    return values.sel({LAYER: list(cohort.layers)}) if cohort.layers else values


def _chosen(cohort: Cohort, statistics: Statistics, step: int) -> Selection:
    """The neurons of a cohort at a checkpoint, by any rule that needs no model."""
    if cohort.selection is not None:
        return cohort.selection
    values, *covariates = (_ranked(cohort, name, statistics, step) for name in (cohort.statistic, *cohort.match))
    return select(values, cohort.fraction, cohort.rule, seed=cohort.seed, scope=cohort.scope, match=covariates)


@dataclass(frozen=True)
class _Bottom:
    """The neurons that a perplexity-matched control is taken from, lowest first; never one of its target's."""

    values: xr.DataArray
    """(layer, neuron); NaN for those that are not to be had."""
    scope: str
    largest: int
    """The most that can be taken: of every layer, or of all."""

    @classmethod
    def of(cls, cohort: Cohort, statistics: Statistics, step: int) -> _Bottom:
        assert cohort.target is not None
        ranked = _ranked(cohort, cohort.statistic, statistics, step)
        is_edited = _chosen(cohort.target, statistics, step).mask(ranked[LAYER].values)
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


def _readouts(design: Design, job: Job) -> list[Readout]:
    wanted = design.readouts
    tokenizer, limit = sources.load_tokenizer(job.source), scoring.context_length(sources.outline(job.source))
    made: list[Readout] = []
    pairs = [
        pair
        for source in wanted.pairs
        for pair in read_pairs(source, wanted.pairs_per_paradigm or None, wanted.seed, skip_bad=wanted.skip_bad)
    ]
    if pairs:
        made.append(PairReadout(tokenizer, pairs, limit))
    if wanted.probes:
        items = [item for name in wanted.probes for item in PROBES[name](seed=wanted.seed)]
        made.append(ChoiceReadout(tokenizer, items, limit))
    if wanted.tasks:
        from actstore.ablation.tasks import TaskReadout

        made.append(TaskReadout(tokenizer, wanted.tasks, wanted.task_folder, wanted.task_limit, wanted.seed))
    return made


def _write_axes(writer: StoreWriter, run: Run) -> None:
    """Labels of everything, and empty arrays."""
    cohorts = [state.cohort for state in run.states]
    writer.write(CONDITION, np.array([state.label for state in run.states]))
    writer.write("intervention", np.array([state.intervention for state in run.states]))
    writer.write("cohort", np.array([c.label if c else BASELINE for c in cohorts]))
    writer.write("rule", np.array([c.rule if c else BASELINE for c in cohorts]))
    writer.write("statistic", np.array([c.statistic if c else "" for c in cohorts]))
    writer.write("fraction", np.array([c.fraction if c else 0.0 for c in cohorts]))
    writer.write("scope", np.array([c.scope if c else "" for c in cohorts]))
    spans = [f"{c.layers[0]}-{c.layers[-1]}" if c and c.layers else "all" if c else "" for c in cohorts]
    writer.write("cohort_layers", np.array(spans))
    writer.write("chosen_at", np.array([c.checkpoint if c else "" for c in cohorts]))
    writer.write("controls", np.array([c.target.label if c and c.target else "" for c in cohorts]))
    writer.write("selection_seed", np.array([c.seed if c else -1 for c in cohorts]))
    writer.write("tolerance", np.array([c.tolerance or np.nan if c else np.nan for c in cohorts]))
    writer.write(LAYER, np.array(run.job.layout.layers))
    writer.write(NEURON, np.arange(run.job.layout.n_neurons))
    head = (len(run.job.steps), len(run.states))
    writer.allot("is_edited", (*head, len(run.job.layout.layers), run.job.layout.n_neurons))
    for name in ("target_perplexity", "is_matched"):
        writer.allot(name, head)
    for readout in run.readouts:
        for name, values in readout.labels.items():
            writer.write(name, values)
        for name, shape in readout.shapes.items():
            writer.allot(name, (*head, *shape))


def _compute(run: Run, resumable: Resumable[Cell], writer: StoreWriter, worker: tuple[int, int] | None, progress: bool) -> None:
    """Every cell of this process's share that is not sealed yet."""
    cells = share(resumable.tasks, worker)
    missing = resumable.missing(writer, cells)
    n_done = len(cells) - len(missing)
    with tqdm(total=len(cells), initial=n_done, unit="cell", desc=run.job.source.name, disable=not progress) as bar:
        for step, of_step in itertools.groupby(missing, key=lambda cell: cell.step):
            model, _, fingerprint = run.job.load(step)
            writer.ledger.refuse_other_weights(step, fingerprint)
            state = _State(run, model, step, fingerprint)
            for cell in of_step:
                bar.set_postfix(checkpoint=step, condition=cell.state.label)
                files = writer.fill((cell.index, cell.condition), state.read(cell.state))
                writer.ledger.add(Seal(step, cell.condition, cell.condition + 1, fingerprint, files))
                bar.update()
            del model, state  # before the next one is loaded


class _State:
    """A loaded checkpoint, and the perplexities that controls are matched to."""

    def __init__(self, run: Run, model: PreTrainedModel, step: int, fingerprint: str) -> None:
        self._run, self._model, self._step, self._fingerprint = run, model, step, fingerprint
        self._known: dict[Any, float] = {}
        self._refuse_other_weights(run.statistics.weights_at(step))

    def _refuse_other_weights(self, chosen_on: str | None) -> None:
        if chosen_on not in (None, self._fingerprint):
            raise SelectionError(
                f"the neurons were chosen on other weights of {self._run.job.source.name} step {self._step} (or another "
                "--compute-dtype); extract and select again"
            )

    def read(self, condition: Condition) -> dict[str, Any]:
        """The values of every array of a cell."""
        layout = self._run.job.layout
        chosen, match = self._choice(condition)
        mask = np.zeros((len(layout.layers), layout.n_neurons), bool)
        for layer, neurons in chosen.items():
            mask[layer, list(neurons)] = True
        values: dict[str, Any] = {
            "is_edited": mask,
            "target_perplexity": match.target if match else np.nan,
            "is_matched": -1 if match is None else int(match.is_matched),
        }
        with self._under(condition.intervention, chosen) as model:
            for readout in self._run.readouts:
                values |= readout.read(model)
        if not np.isfinite(values["perplexity"]):
            raise ActstoreError(
                f"under {condition.label} of checkpoint {self._step} perplexity is not finite; leave that condition out"
            )
        self._known[self._key(condition.intervention, chosen)] = float(values["perplexity"])
        return values

    def _under(self, name: str, chosen: Neurons) -> contextlib.AbstractContextManager[PreTrainedModel]:
        if not chosen:
            return contextlib.nullcontext(self._model)
        change = intervention(name)
        means = (
            self._run.statistics.negative_mean(self._step, len(self._run.job.layout.layers))
            if change.needs_negative_mean
            else None
        )
        return applied(self._model, change, chosen, negative_mean=means, site=self._run.design.site)

    def _choice(self, condition: Condition) -> tuple[Neurons, Match | None]:
        """The neurons of a cell, and how they match where perplexity decides on them."""
        cohort = condition.cohort
        if cohort is None:
            return {}, None
        if cohort.is_perplexity_matched:
            return self._matched(condition.intervention, cohort)
        chosen = _chosen(cohort, self._run.statistics, self._step)
        if chosen.checkpoint == self._step:
            self._refuse_other_weights(chosen.weights_fingerprint)
        return chosen.neurons, None

    def _matched(self, name: str, cohort: Cohort) -> tuple[Neurons, Match]:
        """The bottom neurons that raise perplexity as those of the target do under the same intervention."""
        bottom = _Bottom.of(cohort, self._run.statistics, self._step)
        target, _ = self._choice(Condition(name, cohort.target))
        match = match_perplexity(
            lambda size: self._perplexity(name, bottom.neurons(size)), bottom.largest, self._perplexity(name, target),
            self._perplexity(name, {}), cohort.tolerance,
        )  # fmt: skip
        return bottom.neurons(match.size), match

    def _perplexity(self, name: str, chosen: Neurons) -> float:
        key = self._key(name, chosen)
        if key not in self._known:
            with self._under(name, chosen) as model:
                self._known[key] = self._run.text.perplexity(model)
        return self._known[key]

    @staticmethod
    def _key(name: str, chosen: Neurons) -> Any:
        return (name if chosen else BASELINE, tuple((layer, tuple(neurons)) for layer, neurons in sorted(chosen.items())))
