"""Tasks of lm-evaluation-harness, on a task of our own with local data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from actstore.ablation.applied import applied
from actstore.ablation.readout import Subject, shapes
from actstore.ablation.readouts.probes import ChoiceScorer
from actstore.ablation.readouts.tasks import Tasks
from actstore.builtin.probes import fact_probes
from actstore.errors import ActstoreError, UnknownNameError
from actstore.model.interventions import intervention

pytest.importorskip("lm_eval")

pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's own
ITEMS = fact_probes(24)
TASK = """
task: local_facts
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: "{{{{options}}}}"
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tasks")
    rows = [{"context": i.context, "options": [o.strip() for o in i.options], "answer": i.answer} for i in ITEMS]
    (path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (path / "facts.yaml").write_text(TASK.format(data=path / "items.jsonl"))
    return str(path)


@pytest.fixture(scope="module")
def readout(folder, neox_tokenizer):
    return Tasks(("local_facts",), folder).prepare(Subject(neox_tokenizer, 256))


def test_scores_are_those_of_the_intervened_model(readout, neox, neox_tokenizer):
    """Item by item what our own scoring says, intact, ablated, and intact again: nothing is cached."""
    ours = ChoiceScorer(Subject(neox_tokenizer, 256), ITEMS)
    answer = np.array([item.answer for item in ITEMS])

    def both():
        scores = ours.read(neox)["log_probability_option"]
        right = np.take_along_axis(scores, answer[:, None], axis=1)[:, 0]
        np.put_along_axis(scores, answer[:, None], -np.inf, axis=1)
        accuracy, margin = readout.read(neox)["task_score"].reshape(2, -1)
        np.testing.assert_allclose(margin, right - scores.max(axis=1), atol=1e-4)
        return accuracy, right > scores.max(axis=1)

    intact, expected = both()
    np.testing.assert_array_equal(intact, expected)
    with applied(neox, intervention("both-zero"), {layer: range(512) for layer in range(4)}):
        ablated, expected = both()
        np.testing.assert_array_equal(ablated, expected)
    assert ablated.mean() < intact.mean()
    np.testing.assert_array_equal(both()[0], intact)


def test_labels(readout):
    assert set(readout.labels["task"]) == {"local_facts"}
    assert set(readout.labels["metric"]) == {"acc", "margin"}
    assert readout.labels["task_item"].tolist() == [*range(24), *range(24)]


def test_a_limit(folder, neox, neox_tokenizer):
    tasks = Tasks(("local_facts",), folder, limit=5)
    reading = tasks.prepare(Subject(neox_tokenizer, 256))
    assert shapes(tasks, reading) == {"task_score": (10,)}
    assert not np.isnan(reading.read(neox)["task_score"]).any()


def test_what_is_not_there(folder, neox_tokenizer, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'local_facts'"):
        Tasks(("local_fact",), folder).check()
    (tmp_path / "facts.yaml").write_text(TASK.format(data=tmp_path / "nowhere.jsonl"))
    with pytest.raises(ActstoreError, match="cannot load the tasks local_facts"):
        Tasks(("local_facts",), str(tmp_path)).prepare(Subject(neox_tokenizer, 256))
