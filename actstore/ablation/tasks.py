"""Tasks of lm-evaluation-harness as a readout: the model is handed over as it is, intervention and all."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from actstore.errors import ActstoreError, UnknownNameError, first_line
from actstore.text.tokens import bos_id

_BATCH = 16


class TaskReadout:
    """Scores of every item of some tasks by every metric of theirs that is a number an item.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
    names : sequence of str
        Tasks or groups of tasks.
    folder : str
        Folder with tasks of one's own, or empty.
    limit : int
        At most this many items of a task; 0 for all.
    seed : int
        Of few-shot examples.

    Raises
    ------
    UnknownNameError, ActstoreError
        If a task is not known, its data cannot be had, or the harness is not installed.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, names: Sequence[str], folder: str, limit: int, seed: int) -> None:
        manager = task_manager(names, folder)
        from lm_eval.tasks import get_task_dict

        self._tokenizer, self._limit = tokenizer, limit or None
        with _quiet():
            try:
                self._tasks = get_task_dict(list(names), manager)
            except Exception as error:  # a data set fails to load in its own way
                raise ActstoreError(f"cannot load the tasks {', '.join(names)}: {first_line(error)}") from None
        rows = []
        for name, task in _flat(self._tasks):
            task.set_fewshot_seed(seed)
            n_items = min(len(task.eval_docs), limit or len(task.eval_docs))
            rows += [(name, item, metric) for metric in task.aggregation() for item in range(n_items)]
        task_of, item_of, metric_of = zip(*rows, strict=True)
        self._place = {row: index for index, row in enumerate(rows)}
        self.labels = {"task": np.array(task_of), "task_item": np.array(item_of), "metric": np.array(metric_of)}
        self.shapes: dict[str, tuple[int, ...]] = {"task_score": (len(rows),)}

    def read(self, model: PreTrainedModel) -> dict[str, NDArray[Any]]:
        """`task_score` (sample,); NaN where a metric gives no number an item."""
        from lm_eval.evaluator import evaluate

        scores = np.full(len(self._place), np.nan)
        with _quiet():
            # No cache between calls: the same request has another answer under another intervention.
            handed = _handed(model, self._tokenizer)
            found = evaluate(lm=handed, task_dict=self._tasks, limit=self._limit, bootstrap_iters=0, log_samples=True)
        for name, samples in found["samples"].items():
            for sample in samples:
                for metric in sample["metrics"]:
                    place = self._place.get((name, sample["doc_id"], metric))
                    if place is not None and np.isscalar(sample[metric]):
                        scores[place] = float(sample[metric])
        return {"task_score": scores}


def task_manager(names: Sequence[str], folder: str) -> Any:
    """The harness's list of tasks, with those of a folder, which has all that are named.

    Raises
    ------
    UnknownNameError, ActstoreError
        If it has not, or the harness is not installed.
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


def _handed(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The harness's view of the model, with BOS before every context as everywhere here."""
    from lm_eval.models.huggingface import HFLM

    class Handed(HFLM):  # type: ignore[misc]
        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            stem, rest = super()._encode_pair(context, continuation)
            bos = bos_id(tokenizer)
            return (stem if stem[:1] == [bos] else [bos, *stem]), rest

    return Handed(pretrained=model, tokenizer=tokenizer, batch_size=_BATCH)


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
