"""A selection: which neurons were chosen, how, and of which model."""

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
    """A choice of neurons: what analysis hands to the ablation runner.

    Attributes
    ----------
    neurons : dict of int to tuple of int
        Layer (from 0) to the chosen neurons, ascending, each once.
    rule : str
        How they were chosen: `top`, `bottom`, `random`, ….
    statistic : str
        The variable that was ranked (or excluded, for `random`).
    fraction : float
        Fraction of each layer, or of all, that was asked for; in (0, 1].
    model : str
        The model whose store the choice was made on.
    site : str
        The module whose outputs the neurons are, as in the store's attributes.
    weights_fingerprint : str
        The weights that the choice was made on.
    checkpoint : int
        Training step whose statistics were ranked.
    n_neurons_per_layer : int
        Neurons in each layer of the model; the range of valid indices.
    seed : int
        Seed of a random choice, -1 where nothing was drawn.
    scope : str
        `layer` if neurons were ranked layer by layer, `all` if together.
    provenance : dict
        Anything else worth knowing (fingerprint of the text, package version).

    Raises
    ------
    SelectionError, UnknownNameError
        If a field has another type, or a value out of its range.
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
        """Chosen neurons over all layers."""
        return sum(len(chosen) for chosen in self.neurons.values())

    @property
    def label(self) -> str:
        """What tells it from other selections: rule, fraction, and what is out of the ordinary."""
        parts = [self.rule, f"{self.fraction:g}"]
        parts += [self.statistic] if self.statistic != "wasserstein_distance" else []
        parts += [self.scope] if self.scope != "layer" else []
        return "-".join(parts + ([f"s{self.seed}"] if self.seed >= 0 else []))

    def mask(self, layers: Iterable[int]) -> np.ndarray:
        """Boolean (layer, neuron) of these layers, true where chosen."""
        chosen = [np.isin(np.arange(self.n_neurons_per_layer), self.neurons.get(int(layer), ())) for layer in layers]
        return np.stack(chosen)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON with a checksum, under its final name only when whole."""
        return write_record(path, asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Selection:
        """Read a selection file; one without a checksum, written by hand, is taken.

        Raises
        ------
        SelectionError, UnknownNameError
            If the file is missing, is not a selection, was changed after it was written, or a
            field is unknown, missing, or holds what it cannot.
        """
        fields = read_record(path)
        try:
            return cls(**fields)
        except ActstoreError as error:
            raise SelectionError(f"{path}: {error}; mend the file, or choose again with `actstore select`") from None
