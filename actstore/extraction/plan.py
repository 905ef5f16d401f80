"""The cost of an extraction, predicted before it runs.

The layout gives the exact number of bytes and files. Time is estimated from a short measurement of
this machine's matrix products and its disk. Nothing is downloaded.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from actstore.config import ExtractConfig, RunConfig, TextConfig
from actstore.errors import ActstoreError, CorpusError
from actstore.extraction.block import piece_tokens
from actstore.extraction.job import COMPUTE_DTYPES, check_device, check_window, layout_of, read_tokens
from actstore.files import disk_errors
from actstore.model import sources
from actstore.model.checkpoints import LocalCheckpoint
from actstore.model.families import adapter_for
from actstore.store.layout import Layout
from actstore.store.schema import TOKEN_COORDS
from actstore.text.corpus import BUILTIN, WIKITEXT, locate
from actstore.text.tagging import Tagger

_LABEL_BYTES = 9
_METADATA_BYTES = 60_000
_N_OTHER_FILES = 14
"""Metadata of the group and of its ledger, metadata and values of the coordinates of checkpoints, layers and neurons."""
_CALIBRATION_SECONDS = 1.0
_CALIBRATION_BYTES = 2**27


@dataclass(frozen=True)
class Plan:
    """The predicted cost of an extraction.

    Attributes
    ----------
    model : str
    layout : Layout
        Shape of every array.
    window : int
    n_tokens_known : bool
        Whether the text was tokenized; otherwise the requested number of tokens is assumed.
    bytes_of : dict of str to int
        Part of the store → bytes on disk.
    n_files : int
    compute_seconds, write_seconds : float
        Both run at the same time, so the longer one counts.
    free_bytes : int
        Free space at the path of the store.
    """

    model: str
    layout: Layout
    window: int
    n_tokens_known: bool
    bytes_of: dict[str, int]
    n_files: int
    compute_seconds: float
    write_seconds: float
    free_bytes: int

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole store."""
        return sum(self.bytes_of.values())

    @property
    def fits(self) -> bool:
        """Whether the disk has room for it."""
        return self.total_bytes <= self.free_bytes


def plan(config: ExtractConfig, folder: Path) -> Plan:
    """Predict the cost of an extraction into a folder.

    Raises
    ------
    ActstoreError
        If a name, a layer or the text is not valid, or the sizes of the model are not known without a
        download.
    """
    text, run = config.text, config.run
    check_device(run)
    source = sources.resolve(config.model, connect=False)
    steps = sources.choose_checkpoints(source, config.checkpoints)
    is_local = any(isinstance(checkpoint, LocalCheckpoint) for checkpoint in source.checkpoints.values())
    if not is_local and source.entry is None:
        raise ActstoreError(f"the sizes of {source.name} are not known without a download; plan by a name of `actstore models`")
    outline = sources.outline(source, connect=is_local)
    check_window(text, outline, source.name)
    if text.corpus not in (*BUILTIN, *WIKITEXT):
        locate(text.corpus)
    n_tokens = _count_tokens(text, source) if is_local else None
    if n_tokens is None and text.n_tokens is None:
        raise CorpusError(f"the tokenizer of {source.name} is not on this machine, so say how many with --tokens N")
    layout = layout_of(outline, adapter_for(outline, run.site), config, n_tokens or text.n_tokens or 0, len(steps))
    bytes_of = {name: len(layout.bounds) * len(steps) * array.file_bytes for name, array in layout.arrays.items()}
    bytes_of |= {name: len(steps) * array.file_bytes for name, array in layout.weights.items()}
    bytes_of["labels"] = layout.n_tokens * _LABEL_BYTES + _METADATA_BYTES
    n_shards = len(steps) * (len(layout.bounds) * len(layout.arrays) + len(layout.weights))
    disk = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return Plan(
        model=source.name,
        layout=layout,
        window=text.window,
        n_tokens_known=n_tokens is not None,
        bytes_of=bytes_of,
        n_files=n_shards + len(layout.stored_with(0)) + 2 * len(TOKEN_COORDS) + _N_OTHER_FILES,
        compute_seconds=_compute_seconds(outline, config, layout),
        write_seconds=sum(bytes_of.values()) / _disk_rate(disk),
        free_bytes=shutil.disk_usage(disk).free,
    )


def _count_tokens(text: TextConfig, source: sources.ModelSource) -> int:
    return len(read_tokens(text, sources.load_tokenizer(source), Tagger("none")))


def _compute_seconds(outline: PreTrainedModel, config: ExtractConfig, layout: Layout) -> float:
    """Time of all forward passes, from the rate of a matrix product of the MLP's size.

    A forward pass takes about two operations per weight and token. Embeddings are only looked up; the
    vocabulary projection is multiplied; attention adds two products of window by width per layer.
    """
    embedding = outline.get_input_embeddings().weight.numel()
    projection = outline.get_output_embeddings().weight.numel()
    weights: float = outline.num_parameters() - embedding + (projection if outline.config.tie_word_embeddings else 0)
    sizes = outline.config.get_text_config()
    attention = 2 * config.text.window * int(sizes.hidden_size) * int(sizes.num_hidden_layers)
    operations: float = 2 * (weights + attention) * layout.n_tokens * layout.n_checkpoints
    return operations / _matrix_rate(
        config.run, piece_tokens(layout, config.text.window, config.run.device), int(sizes.hidden_size)
    )


def _matrix_rate(run: RunConfig, rows: int, width: int) -> float:
    """Operations a second in products of a piece of text with weights of an MLP's size, `width` by 4 `width`."""
    dtype = COMPUTE_DTYPES[run.compute_dtype]
    x = torch.randn(rows, width, device=run.device).to(dtype)
    weight = torch.randn(width, 4 * width, device=run.device).to(dtype)
    x @ weight
    n_products, start = 0, time.perf_counter()
    while time.perf_counter() - start < _CALIBRATION_SECONDS:
        product = x @ weight
        product[0, 0].item()  # waits for an accelerator
        n_products += 1
    return 2 * rows * weight.numel() * n_products / (time.perf_counter() - start)


def _disk_rate(folder: Path) -> float:
    """Bytes a second written to a folder, with the wait for the disk; NaN if there is too little space to try."""
    n_pieces = min(_CALIBRATION_BYTES, shutil.disk_usage(folder).free // 4) // 2**22
    if n_pieces == 0:
        return math.nan
    path = folder / f".actstore-{os.getpid()}"
    values = np.random.default_rng(0).bytes(2**22)
    with disk_errors(folder):
        try:
            start = time.perf_counter()
            with path.open("wb") as file:
                for _ in range(n_pieces):
                    file.write(values)
                file.flush()
                os.fdatasync(file.fileno())
            return float(n_pieces * len(values) / (time.perf_counter() - start))
        finally:
            path.unlink(missing_ok=True)
