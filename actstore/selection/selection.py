"""A selection: the chosen neurons, the rule that chose them, and their model."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from actstore.errors import ActstoreError, SelectionError
from actstore.selection.record import checked, read_record, write_record


@dataclass(frozen=True)
class Selection:
    """A choice of neurons, which ablation edits.

    Attributes
    ----------
    neurons : dict of int to tuple of int
        Layer (from 0) → the chosen neurons, ascending, each once.
    rule : str
        Rule by which they were chosen: `top`, `bottom`, `random`, ….
    statistic : str
        The statistic that was ranked; for `random`, the one whose top neurons were left out.
    fraction : float
        Requested fraction of each layer, or of all layers; in (0, 1].
    model : str
        Model whose neurons were chosen.
    site : str
        Module whose outputs are the neurons, as in the store's attributes.
    weights_fingerprint : str
        Fingerprint of the weights whose statistics were ranked.
    checkpoint : int
        Training step whose statistics were ranked.
    n_neurons_per_layer : int
        Neurons in each layer of the model; indices are below it.
    seed : int
        Seed of a random choice, -1 where nothing was drawn.
    scope : str
        `layer` if neurons were ranked layer by layer, `all` if together.
    provenance : dict
        Further facts, such as the fingerprint of the text or the package version.

    Raises
    ------
    SelectionError, UnknownNameError
        If a field has a wrong type, or a value out of its range.
    """

    neurons: dict[int, tuple[int, ...]]
    rule: str
    statistic: str
    fraction: float
    model: str
    site: str
    weights_fingerprint: str
    checkpoint: int
    n_neurons_per_layer: int
    seed: int = -1
    scope: str = "layer"
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in checked(vars(self)).items():
            object.__setattr__(self, name, value)

    @property
    def n_neurons(self) -> int:
        """Number of chosen neurons over all layers."""
        return sum(len(chosen) for chosen in self.neurons.values())

    @property
    def label(self) -> str:
        """Rule and fraction, with the statistic, scope and seed where they are not the defaults."""
        parts = [self.rule, f"{self.fraction:g}"]
        parts += [self.statistic] if self.statistic != "wasserstein_distance" else []
        parts += [self.scope] if self.scope != "layer" else []
        return "-".join(parts + ([f"s{self.seed}"] if self.seed >= 0 else []))

    def mask(self, layers: Iterable[int]) -> np.ndarray:
        """Boolean (layer, neuron) of these layers, true where a neuron is chosen."""
        neurons = np.arange(self.n_neurons_per_layer)
        return np.stack([np.isin(neurons, self.neurons.get(int(layer), ())) for layer in layers])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON with a checksum. A file of this name is replaced only when the new one is complete."""
        return write_record(path, asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Selection:
        """Read a selection file; a file written by hand needs no checksum.

        Raises
        ------
        SelectionError, UnknownNameError
            If the file is missing, is not a selection, was changed after it was written, or a
            field is unknown, missing or not valid.
        """
        fields = read_record(path)
        try:
            return cls(**fields)
        except ActstoreError as error:
            raise SelectionError(f"{path}: {error}; mend the file, or choose again with `actstore select`") from None
