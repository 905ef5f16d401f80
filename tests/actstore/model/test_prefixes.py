from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actstore.ablation.applied import applied
from actstore.model import prefixes, scoring
from actstore.model.interventions import intervention
from tests.helpers import FAMILIES, tiny_model

SEQUENCES = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=7).map(np.array), min_size=1, max_size=12)


@given(SEQUENCES, st.integers(1, 20))
def test_packs_hold_every_sequence_as_a_path(sequences, max_nodes):
    packed = set()
    for pack in prefixes.packs(sequences, max_nodes):
        assert len(pack.node_id) <= max(max_nodes, max(map(len, sequences)) - 1)
        edges = list(zip(pack.edge_node, pack.edge_token, strict=True))
        assert len(set(edges)) == len(edges), "each (context, token) occurs once"
        contexts = []
        for node, parent in enumerate(pack.parent):
            assert parent < node
            contexts.append((contexts[parent] if parent >= 0 else ()) + (pack.node_id[node],))
            assert pack.depth[node] == len(contexts[node]) - 1
        assert len(set(contexts)) == len(contexts), "each beginning occurs once"
        np.testing.assert_array_equal(
            pack.sees(), [[a[: len(b)] == b for b in contexts] for a in contexts] if contexts else np.zeros((0, 0))
        )
        for index, path in pack.paths:
            tokens = sequences[index].tolist()
            assert [(contexts[node], token) for node, token in (edges[e] for e in path)] == [
                (tuple(tokens[:i]), tokens[i]) for i in range(1, len(tokens))
            ]
            assert index not in packed
            packed.add(index)
    assert len(packed) == len(sequences)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_equals_one_by_one(family):
    rng = np.random.default_rng(0)
    stems = [rng.integers(1, 64, 6) for _ in range(3)]
    sequences = [np.append(stems[i % 3][: 1 + i % 6], rng.integers(1, 64, i % 9)) for i in range(40)]
    model = tiny_model(family)
    assert prefixes._takes_trees(model), "every listed family is scored the fast way"
    one_by_one = [scoring.sequence_surprisals(model, [sequence])[0] for sequence in sequences]
    for values, expected in zip(prefixes.shared_surprisals(model, sequences), one_by_one, strict=True):
        np.testing.assert_allclose(values, expected, atol=1e-5)
    with applied(model, intervention("negative-zero"), {0: range(0, 24, 2), 1: (3,)}):
        one_by_one = [scoring.sequence_surprisals(model, [sequence])[0] for sequence in sequences]
        for values, expected in zip(prefixes.shared_surprisals(model, sequences), one_by_one, strict=True):
            np.testing.assert_allclose(values, expected, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(SEQUENCES)
def test_any_sequences(neox, sequences):
    surprisals = prefixes.shared_surprisals(neox, sequences)
    for values, sequence in zip(surprisals, sequences, strict=True):
        np.testing.assert_allclose(values, scoring.sequence_surprisals(neox, [sequence])[0], atol=2e-4)


def test_a_model_that_takes_no_trees_is_scored_too():
    """ALiBi has no explicit positions, so a tree would give wrong scores."""
    shape = {"vocab_size": 64, "hidden_size": 16, "n_layer": 2, "n_head": 2}
    model = tiny_model("bloom", shape)
    sequences = [np.array([1, 2, 3, 4]), np.array([1, 2, 5]), np.array([7])]
    assert not prefixes._takes_trees(model)
    for values, sequence in zip(prefixes.shared_surprisals(model, sequences), sequences, strict=True):
        np.testing.assert_allclose(values, scoring.sequence_surprisals(model, [sequence])[0], atol=1e-5)


def test_longer_than_a_sliding_window():
    model = tiny_model("mistral", FAMILIES["mistral"] | {"sliding_window": 4})
    sequences = [np.arange(1, 12), np.append(np.arange(1, 6), [40, 41])]
    for values, sequence in zip(prefixes.shared_surprisals(model, sequences), sequences, strict=True):
        np.testing.assert_allclose(values, scoring.sequence_surprisals(model, [sequence])[0], atol=1e-5)


def test_nothing_to_score(neox):
    assert prefixes.shared_surprisals(neox, []) == []
