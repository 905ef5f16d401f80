"""The ablation runner: the only code that re-enters a model after extraction.

Owns the tasks of a design: every condition at every checkpoint. A task is computed from the design alone, stored item by item
and sealed, so that a run can be interrupted, resumed and shared.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedModel

from actstore import plugins
from actstore.ablation.cohorts import check_choice, check_origin
from actstore.ablation.design import Condition, Design, conditions, design_table
from actstore.ablation.readout import READOUTS, Reading, Readout, Subject, shapes
from actstore.ablation.state import State
from actstore.ablation.text import TextScorer
from actstore.config import ExtractConfig
from actstore.errors import ActstoreError, ModelError
from actstore.extraction.job import Job, prepare
from actstore.extraction.run import write_checkpoint_axis
from actstore.model import scoring, sources
from actstore.model.interventions import INTERVENTIONS
from actstore.selection.statistics import Statistics
from actstore.store.ledger import Seal
from actstore.store.resumable import Outcome, Resumable, share
from actstore.store.schema import BASELINE, CONDITION, LAYER, NEURON
from actstore.store.writer import StoreWriter


@dataclass(frozen=True)
class Task:
    """A condition at a checkpoint, with their indices on the store's dims: `index` is the checkpoint's."""

    index: int
    condition_index: int
    step: int
    condition: Condition

    @property
    def key(self) -> tuple[int, int]:
        """Of its seal."""
        return self.step, self.condition_index


@dataclass(frozen=True)
class Prepared:
    """A readout, prepared for the model of a run."""

    readout: Readout
    reading: Reading

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it fills, without the dims of checkpoint and condition."""
        return shapes(self.readout, self.reading)

    def read(self, model: PreTrainedModel) -> dict[str, Any]:
        """The values of every array, of the shapes that were declared.

        Raises
        ------
        ActstoreError
            If they are others: a readout of the user's may be wrong.
        """
        values = {name: np.asarray(array) for name, array in self.reading.read(model).items()}
        if {name: array.shape for name, array in values.items()} != self.shapes:
            gives = {name: array.shape for name, array in values.items()}
            raise ActstoreError(
                f"the readout {self.readout.name!r} gives {gives}, its fields and labels say {self.shapes}; make them agree"
            )
        return values


@dataclass(frozen=True)
class Run:
    """A design made concrete: all that its tasks depend on."""

    design: Design
    job: Job
    statistics: Statistics
    conditions: list[Condition]
    text: TextScorer
    readouts: list[Prepared]

    @cached_property
    def tasks(self) -> list[Task]:
        """All tasks, checkpoint by checkpoint, the intact model first."""
        return [
            Task(index, condition_index, step, condition)
            for index, step in enumerate(self.job.steps)
            for condition_index, condition in enumerate(self.conditions)
        ]

    @property
    def configuration(self) -> dict[str, Any]:
        """What must be equal for two runs to write the same store."""
        selections = [condition.cohort.selection for condition in self.conditions if condition.cohort]
        return design_table(self.design) | {
            "checkpoints": self.job.steps,
            "run": self.job.configuration["run"],
            "plugins": self._plugins,
            "statistics_digest": self.statistics.digest,
            "selections": [asdict(selection) for selection in selections if selection],
            "weights_digest": self.job.source.weights_digest,
            "corpus_fingerprint": self.job.attrs["corpus_fingerprint"],
            "package_version": self.job.attrs["package_version"],
        }

    @property
    def _plugins(self) -> dict[str, str]:
        """Digests of the user's modules that have a part in the values."""
        kinds = [condition.intervention.partition(":")[0] for condition in self.conditions]
        modules = INTERVENTIONS.modules_of(kinds) | READOUTS.modules_of(readout.name for readout in self.design.readouts)
        return {**self.job.configuration["plugins"], **plugins.digests(modules)}

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the store."""
        attrs = self.job.attrs | {
            "dtype": "float32",
            "bos_policy": "every window, sentence and probe begins with BOS (EOS where there is none), not scored",
        }
        for readout in self.design.readouts:
            attrs |= readout.attrs
        return attrs


def ablate(design: Design, store: Path, *, worker: tuple[int, int] | None = None, progress: bool = True) -> Outcome:
    """Compute every task of a design that is not there yet.

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
        run.tasks,
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
    job = prepare(ExtractConfig(design.model, design.checkpoints, text=design.text, run=design.run))
    _check_layers(job)
    every = conditions(design, len(job.layout.layers), job.layout.n_neurons)
    statistics = Statistics(design.statistics)
    if (data := statistics.data) is not None:
        name = f"the statistics {design.statistics}"
        check_origin(name, data.attrs["model"], data.attrs["site"], data.sizes[NEURON], data[LAYER].values.tolist(), job)
    for condition, step in itertools.product(every, job.steps):
        if condition.cohort is not None:
            check_choice(condition, statistics, step, job)
    subject = Subject(sources.load_tokenizer(job.source), scoring.context_length(sources.outline(job.source)))
    readings = [(readout, readout.prepare(subject)) for readout in design.readouts]
    prepared = [Prepared(readout, reading) for readout, reading in readings if reading is not None]
    return Run(design, job, statistics, every, TextScorer(job.table), prepared)


def _check_layers(job: Job) -> None:
    """Refuse a site that some blocks lack: neurons are counted by the blocks of the whole model."""
    layers = job.layout.layers
    if layers != tuple(range(len(layers))):
        raise ModelError(
            f"{job.attrs['site']} is in layers {', '.join(map(str, layers))} alone, so it cannot be ablated; choose a site of every block"
        )


def _write_axes(writer: StoreWriter, run: Run) -> None:
    """Labels of everything, and empty arrays."""
    layout = run.job.layout
    columns = [_columns(condition, layout.layers[-1]) for condition in run.conditions]
    for name in columns[0]:
        writer.write(name, np.array([column[name] for column in columns]))
    writer.write(LAYER, np.array(layout.layers))
    writer.write(NEURON, np.arange(layout.n_neurons))
    head = (len(run.job.steps), len(run.conditions))
    writer.allot("is_edited", (*head, len(layout.layers), layout.n_neurons))
    for name in ("target_perplexity", "is_matched"):
        writer.allot(name, head)
    _write_items(writer, run.text.labels, run.text.shapes, head)
    for prepared in run.readouts:
        _write_items(writer, prepared.reading.labels, prepared.shapes, head)


def _write_items(
    writer: StoreWriter, labels: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], head: tuple[int, int]
) -> None:
    """The items of a readout, and its arrays."""
    for name, values in labels.items():
        writer.write(name, np.asarray(values))
    for name, shape in shapes.items():
        writer.allot(name, (*head, *shape))


def _columns(condition: Condition, last_layer: int) -> dict[str, Any]:
    """What tells a condition from others, and its labels for display."""
    cohort = condition.cohort
    if cohort is None:
        texts = dict.fromkeys(("statistic", "scope", "chosen_at", "target_scope"), "")
        numbers = {"fraction": 0.0, "first_layer": -1, "last_layer": -1, "selection_seed": -1, "tolerance": np.nan}
        return {CONDITION: condition.label, "intervention": BASELINE, "cohort": BASELINE, "rule": BASELINE, **texts, **numbers}
    layers = cohort.layers or (0, last_layer)
    return {
        CONDITION: condition.label,
        "intervention": condition.intervention,
        "cohort": cohort.label,
        "rule": cohort.rule,
        "statistic": cohort.statistic,
        "scope": cohort.scope,
        "chosen_at": cohort.checkpoint,
        "target_scope": cohort.target.scope if cohort.target else "",
        "fraction": cohort.fraction,
        "first_layer": layers[0],
        "last_layer": layers[-1],
        "selection_seed": cohort.seed,
        "tolerance": cohort.tolerance or np.nan,
    }


def _compute(run: Run, resumable: Resumable[Task], writer: StoreWriter, worker: tuple[int, int] | None, progress: bool) -> None:
    """Every task of this process's share that is not sealed yet."""
    tasks = share(resumable.tasks, worker)
    missing = resumable.missing(writer, tasks)
    n_done = len(tasks) - len(missing)
    with tqdm(total=len(tasks), initial=n_done, unit="task", desc=run.job.source.name, disable=not progress) as bar:
        for step, of_step in itertools.groupby(missing, key=lambda task: task.step):
            model, _, fingerprint = run.job.load(step)
            writer.ledger.refuse_other_weights(step, fingerprint)
            state = State(run, model, step, fingerprint)
            for task in of_step:
                bar.set_postfix(checkpoint=step, condition=task.condition.label)
                files = writer.fill((task.index, task.condition_index), state.read(task.condition))
                writer.ledger.add(Seal(step, task.condition_index, task.condition_index + 1, fingerprint, files))
                bar.update()
            del model, state  # before the next one is loaded
