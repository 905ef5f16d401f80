"""The size and partition of an extraction's arrays.

Owns shard and chunk extents, and so the number of bytes and files of a store before it is written.
A shard holds all layers of consecutive tokens of one checkpoint: few files, and one unit of work.
A chunk of it holds all these tokens for 64 neurons of one layer, so that reading a few neurons
reads few other bytes, in long runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from actstore.store.schema import CHECKPOINT, FIELDS, HIDDEN, LAYER, NEURON, TOKEN

if TYPE_CHECKING:
    import zarr

_CHUNK_NEURONS = 64
_SHARD_TOKENS = 8192
_CHECKSUM_BYTES = 4
IDENTITY_BYTES = 56
"""Bytes of a shard that say which rows of which array at which checkpoint it holds; see `shards`."""


@dataclass(frozen=True)
class ArrayLayout:
    """One sharded array (checkpoint, layer, row, column) or (checkpoint, row); rows are tokens, or a weight's inputs.

    Attributes
    ----------
    name : str
        A field of the schema.
    shape : tuple of int
        Of the whole array.
    shard_tokens : int
        Rows in a shard. It holds one checkpoint, and all of every other dim.
    dtype : numpy dtype
    long_name : str
        Description, if it differs from the schema's.
    """

    name: str
    shape: tuple[int, ...]
    shard_tokens: int
    dtype: np.dtype
    long_name: str = ""

    @property
    def width(self) -> int:
        """Entries of the last dim in a chunk: a divisor near 64 if there is one, so that nothing is padded."""
        if len(self.shape) != 4:
            return 1
        near = (width for width in range(_CHUNK_NEURONS, _CHUNK_NEURONS // 2, -1) if self.shape[-1] % width == 0)
        return next(near, min(_CHUNK_NEURONS, self.shape[-1]))

    @property
    def n_columns(self) -> int:
        """Chunks along the last dim; the last one may be padded."""
        return -(-self.shape[-1] // self.width) if len(self.shape) == 4 else 1

    @property
    def n_layers(self) -> int:
        """Layers, 1 for an array that has none."""
        return self.shape[1] if len(self.shape) == 4 else 1

    @property
    def n_chunks(self) -> int:
        """Chunks in a shard."""
        return self.n_layers * self.n_columns

    @property
    def chunks(self) -> tuple[int, ...]:
        """Extents of a chunk."""
        return (1, 1, self.shard_tokens, self.width) if len(self.shape) == 4 else (1, self.shard_tokens)

    @property
    def shards(self) -> tuple[int, ...]:
        """Extents of a shard."""
        if len(self.shape) == 4:
            return (1, self.n_layers, self.shard_tokens, self.n_columns * self.width)
        return self.chunks

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk's values."""
        return self.shard_tokens * self.width * self.dtype.itemsize

    @property
    def file_bytes(self) -> int:
        """Bytes of a shard's file: chunks with their checksums, its identity, and the index with its own checksum."""
        return self.n_chunks * (self.chunk_bytes + _CHECKSUM_BYTES) + IDENTITY_BYTES + self.index_bytes

    @property
    def index_bytes(self) -> int:
        """Bytes of a shard's index: offset and length of every chunk, and a checksum."""
        return self.n_chunks * 16 + _CHECKSUM_BYTES

    def rows(self, shard: int) -> tuple[int, int]:
        """First and one past the last row of a shard."""
        start = shard * self.shard_tokens
        return start, min(start + self.shard_tokens, self.shape[2 if len(self.shape) == 4 else 1])

    def key(self, checkpoint_index: int, shard: int) -> str:
        """Path of a shard's file within the store."""
        inner = f"0/{shard}/0" if len(self.shape) == 4 else f"{shard}"
        return f"{self.name}/c/{checkpoint_index}/{inner}"


@dataclass(frozen=True)
class Layout:
    """The arrays of an extraction.

    Attributes
    ----------
    n_checkpoints, n_tokens : int
    layers : tuple of int
        Numbers of the blocks.
    n_neurons, n_hidden : int
        Width of the site's output and input.
    dtype : str
        Of activations and weights.
    is_linear : bool
        Whether the site multiplies its input by weights, which are then stored.
    long_names : mapping of str to str
        Array → description, if it differs from the schema's.
    """

    n_checkpoints: int
    layers: tuple[int, ...]
    n_tokens: int
    n_neurons: int
    n_hidden: int
    dtype: str
    is_linear: bool = True
    long_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def shard_tokens(self) -> int:
        """Tokens in a shard: as equal as possible, so that the last shard is nearly full."""
        n_shards = -(-self.n_tokens // _SHARD_TOKENS)
        return -(-self.n_tokens // n_shards)

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First and one past the last token of each shard."""
        starts = range(0, self.n_tokens, self.shard_tokens)
        return [(start, min(start + self.shard_tokens, self.n_tokens)) for start in starts]

    @property
    def sizes(self) -> dict[str, int]:
        """Size of every dim."""
        return {
            CHECKPOINT: self.n_checkpoints,
            LAYER: len(self.layers),
            TOKEN: self.n_tokens,
            NEURON: self.n_neurons,
            HIDDEN: self.n_hidden,
        }

    @property
    def arrays(self) -> dict[str, ArrayLayout]:
        """Name → each array along `token`."""
        dtypes: Mapping[str, str] = {"preactivation": self.dtype, "mlp_input": self.dtype, "surprisal": "float32"}
        return {name: self._array(name, self.shard_tokens, dtype) for name, dtype in dtypes.items()}

    @property
    def weights(self) -> dict[str, ArrayLayout]:
        """Name → array of the weights of a linear site: one shard a checkpoint, written with its first tokens."""
        return {"neuron_weight": self._array("neuron_weight", self.n_hidden, self.dtype)} if self.is_linear else {}

    def _array(self, name: str, n_rows: int, dtype: str) -> ArrayLayout:
        shape = tuple(self.sizes[dim] for dim in FIELDS[name].dims)
        return ArrayLayout(name, shape, n_rows, np.dtype(dtype), self.long_names.get(name, ""))

    def stored_with(self, shard: int) -> dict[str, ArrayLayout]:
        """Name → array of every file that the block of this shard writes."""
        return self.arrays | (self.weights if shard == 0 else {})

    @property
    def bytes_per_token(self) -> int:
        """Bytes of the activations of one token at one checkpoint."""
        return len(self.layers) * (self.n_neurons + self.n_hidden) * np.dtype(self.dtype).itemsize


def layouts_of(group: zarr.Group) -> dict[str, ArrayLayout]:
    """The layout of every sharded array of a store, by its name."""
    arrays: dict[str, Any] = {name: array for name, array in group.arrays() if array.shards is not None}
    return {
        name: ArrayLayout(name, array.shape, array.shards[2 if array.ndim == 4 else 1], array.dtype)
        for name, array in arrays.items()
    }
