"""Tasks of lm-evaluation-harness: the model goes to the harness as it is, intervention and all."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actstore import bounds
from actstore.ablation.readout import Reading, Readout, Subject, register_readout
from actstore.errors import ActstoreError, UnknownNameError, first_line
from actstore.files import existing
from actstore.settings import setting, with_settings
from actstore.store.schema import CHECKPOINT, CONDITION, SAMPLE, Field
from actstore.text.tokens import bos_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BATCH = 16
MARGIN = "margin"
"""The metric of multiple choice beside the task's own: log-probability of the right option less the best wrong one, in nats."""


@register_readout
@with_settings
class Tasks(Readout):
    """Scores of every item of some tasks, by every metric of theirs that is a number an item, and margins of multiple choice."""

    name = "tasks"
    fields: ClassVar = {
        "task_score": Field((CHECKPOINT, CONDITION, SAMPLE), "float64", "score of one item of a task by one metric"),
        "task": Field((SAMPLE,), "str", "task of lm-evaluation-harness"),
        "task_item": Field((SAMPLE,), "int64", "item of the task"),
        "metric": Field((SAMPLE,), "str", "metric of the score"),
    }

    names: tuple[str, ...] = setting("tasks, or groups of tasks", is_some=True)
    folder: str = setting("folder with tasks of one's own", default="", is_path=True)
    limit: int = setting("at most N items of a task; 0 for all", default=0, check=bounds.between(0, bounds.MOST_ITEMS))
    seed: int = setting("seed of few-shot examples", default=0, check=bounds.between(0, bounds.LARGEST_SEED))

    @property
    def summary(self) -> str:
        """Scores of the tasks' items."""
        return f"scores of items of {', '.join(self.names)}"

    def check(self) -> None:
        """Refuse tasks that the harness does not know; their data are not fetched."""
        if self.folder and existing(self.folder) is None:
            raise ActstoreError(f"there is no task folder {self.folder}; name the folder of the tasks' .yaml files")
        task_manager(self.names, self.folder)

    def prepare(self, subject: Subject) -> Reading:
        """Every item of every task."""
        scorer = TaskScorer(subject.tokenizer, self)
        return Reading(scorer.labels, scorer.read)


class TaskScorer:
    """The tasks of the harness, loaded once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: Tasks) -> None:
        manager = task_manager(options.names, options.folder)
        from lm_eval.tasks import get_task_dict

        self._tokenizer, self._limit = tokenizer, options.limit or None
        with _quiet():
            try:
                self._tasks = get_task_dict(list(options.names), manager)
            except Exception as error:  # a data set fails to load in its own way
                raise ActstoreError(f"cannot load the tasks {', '.join(options.names)}: {first_line(error)}") from None
        rows = []
        for name, task in _flat(self._tasks):
            task.set_fewshot_seed(options.seed)
            n_items = min(len(task.eval_docs), options.limit or len(task.eval_docs))
            names = [*task.aggregation(), *([MARGIN] if task.OUTPUT_TYPE == "multiple_choice" else [])]
            rows += [(name, item, metric) for metric in names for item in range(n_items)]
        tasks, items, metrics = zip(*rows, strict=True)
        self._row_index = {row: index for index, row in enumerate(rows)}
        self.labels = {"task": np.array(tasks), "task_item": np.array(items), "metric": np.array(metrics)}

    def read(self, model: PreTrainedModel) -> dict[str, NDArray[Any]]:
        """`task_score` (sample,); NaN where a metric gives no number an item."""
        from lm_eval.evaluator import evaluate

        scores = np.full(len(self._row_index), np.nan)
        with _quiet():
            # No cache between calls: the same request has another answer under another intervention.
            harness_model = _harness_model(model, self._tokenizer)
            evaluation = evaluate(
                lm=harness_model, task_dict=self._tasks, limit=self._limit, bootstrap_iters=0, log_samples=True
            )
        for name, samples in evaluation["samples"].items():
            for sample in samples:
                for metric in sample["metrics"]:
                    index = self._row_index.get((name, sample["doc_id"], metric))
                    if index is not None and np.isscalar(sample[metric]):
                        scores[index] = float(sample[metric])
                if (index := self._row_index.get((name, sample["doc_id"], MARGIN))) is not None:
                    scores[index] = _margin(sample)
        return {"task_score": scores}


def _margin(sample: Mapping[str, Any]) -> float:
    """The margin of a multiple-choice item; NaN where the task does not say which option is right."""
    scores = [float(response[0]) for response in sample["filtered_resps"]]
    if not isinstance(sample["target"], (int, np.integer)) or not 0 <= sample["target"] < len(scores) or len(scores) < 2:
        return np.nan
    return scores.pop(sample["target"]) - max(scores)


@cache  # it takes seconds, and the ablations of a study name the same
def task_manager(names: Sequence[str], folder: str) -> Any:
    """The harness's list of tasks, with those of a folder, which has all that are named.

    Raises
    ------
    UnknownNameError, ActstoreError
        If one is not known, or the harness is not installed.
    """
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise ActstoreError("tasks need lm-evaluation-harness: pip install 'actstore[bench]'") from None
    with _quiet():
        manager = TaskManager(include_path=folder or None)
    unknown = next((name for name in names if name not in manager.all_tasks), None)
    if unknown is not None:
        raise UnknownNameError("task", unknown, manager.all_tasks)
    return manager


def _harness_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The harness's view of the model, with BOS before every context as everywhere here."""
    from lm_eval.models.huggingface import HFLM

    class WithBos(HFLM):  # type: ignore[misc]
        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            stem, rest = super()._encode_pair(context, continuation)
            bos = bos_id(tokenizer)
            return (stem if stem[:1] == [bos] else [bos, *stem]), rest

    return WithBos(pretrained=model, tokenizer=tokenizer, batch_size=_BATCH)


def _flat(tasks: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Tasks by name, out of groups too."""
    for name, task in tasks.items():
        if isinstance(task, Mapping):
            yield from _flat(task)
        else:
            yield str(name), task


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the harness's progress bars and notices out of ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
