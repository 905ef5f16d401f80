"""Shares of a run. Tests of extraction and ablation check that resumed and shared runs give the same bytes."""

from __future__ import annotations

import pytest

from actstore.store.resumable import share


@pytest.mark.parametrize("n_tasks", [1, 7, 12])
@pytest.mark.parametrize("n_workers", [1, 3, 8, 20])
def test_shares_are_a_partition_in_order(n_tasks, n_workers):
    tasks = list(range(n_tasks))
    shares = [share(tasks, (i, n_workers)) for i in range(1, n_workers + 1)]
    assert [task for part in shares for task in part] == tasks
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert share(tasks, None) == tasks


@pytest.mark.parametrize("n_workers", [1, 2, 5, 9])
def test_shares_of_whole_checkpoints(n_workers):
    tasks = [(step, shard) for step in range(5) for shard in range(3)]
    shares = [share(tasks, (i, n_workers), 3) for i in range(1, n_workers + 1)]
    assert [task for part in shares for task in part] == tasks
    workers = [{i for i, part in enumerate(shares) if any(task[0] == step for task in part)} for step in range(5)]
    assert [len(numbers) for numbers in workers] == [1] * 5
