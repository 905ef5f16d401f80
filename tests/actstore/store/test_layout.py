from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actstore.store.layout import Layout


@given(n_tokens=st.integers(1, 200_000))
def test_shards_cover_all_tokens_and_are_nearly_full(n_tokens):
    layout = Layout(1, (0,), n_tokens, 64, 64, "float16")
    bounds = layout.bounds
    assert [start for start, _ in bounds[1:]] == [stop for _, stop in bounds[:-1]]
    assert (bounds[0][0], bounds[-1][1]) == (0, n_tokens)
    assert layout.shard_tokens * len(bounds) - n_tokens < len(bounds)


@given(n_neurons=st.integers(1, 20_480))
def test_chunks_cover_all_neurons(n_neurons):
    array = Layout(1, (0, 1), 100, n_neurons, 8, "float16").arrays["preactivation"]
    assert array.n_columns * array.width >= n_neurons
    assert array.width <= 64
    assert array.n_columns * array.width - n_neurons < 64
    assert all(shard % chunk == 0 for shard, chunk in zip(array.shards, array.chunks, strict=True))


def test_a_width_with_a_divisor_near_64_is_not_padded():
    arrays = Layout(1, (0,), 100, 1536, 96, "float16").arrays
    assert (arrays["preactivation"].width, arrays["preactivation"].n_columns) == (64, 24)
    assert (arrays["mlp_input"].width, arrays["mlp_input"].n_columns) == (48, 2)
