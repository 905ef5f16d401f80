"""Statistics of neurons as a file: what cohorts are chosen by.

Owns what such a file must hold, and how the ablation runner reads it. Imports neither torch nor
transformers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import SelectionError, StoreError, UnknownNameError
from actstore.files import existing
from actstore.store.checked import checked_store
from actstore.store.ledger import Contents, checksum
from actstore.store.opening import kind_of
from actstore.store.schema import CHECKPOINT, LAYER, NEURON

SAME, LAST = "same", "last"
"""The checkpoint that is ablated, and the last one of the statistics."""
_DIMS = (CHECKPOINT, LAYER, NEURON)
_NAME = "entanglement.zarr"
_MAKER = "`actstore entanglement`"
_MEND = f"make them again by {_MAKER}"


def check_statistics(data: xr.Dataset, where: object) -> None:
    """Hold statistics to what choosing by them relies on.

    Parameters
    ----------
    data : Dataset
        Statistics over (checkpoint, layer, neuron), as of `analysis.neuron_statistics`.
    where : object
        Their path, for the message.

    Raises
    ------
    SelectionError
        If a dim, coordinate or attribute is missing or holds what it cannot, or no array has the
        three dims.
    """
    for name, least in zip(_DIMS, (-1, 0, 0), strict=True):
        values = data[name].values if name in data.coords and data[name].dims == (name,) else np.empty(0)
        if values.dtype.kind not in "iu" or not len(values) or values.min() < least or (np.diff(values) <= 0).any():
            raise SelectionError(f"{where}: {name} must hold ascending whole numbers from {least}; {_MEND}")
    if not np.array_equal(data[NEURON].values, np.arange(data.sizes[NEURON])):
        raise SelectionError(f"{where} does not hold every neuron of a layer; {_MEND}")
    fingerprints = data.coords.get("weights_fingerprint")
    if fingerprints is None or fingerprints.dims != (CHECKPOINT,) or not all(_is_text(v) for v in fingerprints.values.tolist()):
        raise SelectionError(f"{where} does not say the weights_fingerprint of each checkpoint; {_MEND}")
    ranked = statistics_in(data)
    if not ranked:
        raise SelectionError(f"{where} holds no statistic over {', '.join(_DIMS)}; {_MEND}")
    for attribute in ("model", "site"):
        stated = {name: holder.attrs.get(attribute) for name, holder in {"the file": data, **ranked}.items()}
        wrong = next((name for name, value in stated.items() if not _is_text(value) or value != stated["the file"]), None)
        if wrong is not None:
            raise SelectionError(
                f"{where}: {wrong} has the {attribute} {stated[wrong]!r}, the file {stated['the file']!r}; {_MEND}"
            )
    for name, array in ranked.items():
        if array.dtype.kind != "f":
            raise SelectionError(f"{where}: {name} holds {array.dtype} instead of floats; {_MEND}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _refuse_other_kinds(data: xr.Dataset, path: str) -> None:
    """Refuse a store."""
    if "schema_version" in data.attrs:
        raise SelectionError(f"{path} is {kind_of(data)}, not statistics of neurons; make these by {_MAKER}")


def statistics_in(data: xr.Dataset) -> dict[str, xr.DataArray]:
    """The arrays over (checkpoint, layer, neuron), by name."""
    return {str(name): array for name, array in data.data_vars.items() if array.dims == _DIMS}


class Statistics:
    """What neurons are chosen by: a file of `actstore entanglement`, or none.

    Parameters
    ----------
    path : str
        Empty for none.

    Raises
    ------
    StoreError, SelectionError
        If the file is damaged, cannot be read, or `check_statistics` refuses it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.data: xr.Dataset | None = None
        if not path:
            return
        if existing(str(Path(path, _NAME))):
            raise SelectionError(f"{path} is a results folder; name the statistics in it, {Path(path, _NAME)}")
        if existing(path) is None:
            raise SelectionError(f"cannot read the statistics {path}: no such file or folder; make them by {_MAKER}")
        try:
            lazy = xr.open_zarr(checked_store(Path(path), Contents.of(Path(path))), chunks=None)
            _refuse_other_kinds(lazy, path)  # before it is loaded, as a store may be larger than memory
            data: xr.Dataset = lazy.load()
        except (StoreError, SelectionError):
            raise
        except Exception as error:  # a decoder fails in its own way
            raise SelectionError(f"cannot read the statistics {path} ({error}); make them by `actstore entanglement`") from None
        check_statistics(data, path)
        self.data = data

    @property
    def digest(self) -> str:
        """Digest of all values; empty without statistics."""
        return "" if self.data is None else checksum(np.stack([array.values for array in statistics_in(self.data).values()]))

    def at(self, name: str, cohort_step: str, step: int) -> xr.DataArray:
        """One statistic (layer, neuron) of the checkpoint that a cohort is chosen at."""
        if self.data is None:
            raise SelectionError(f"choosing neurons by {name} needs statistics; name those of `actstore entanglement`")
        ranked = statistics_in(self.data)
        if name not in ranked:
            raise UnknownNameError(f"statistic in {self._path}", name, ranked)
        steps = self.data[CHECKPOINT].values.tolist()
        wanted = {SAME: str(step), LAST: str(max(steps))}.get(cohort_step, cohort_step)
        if wanted not in map(str, steps):
            raise UnknownNameError(f"checkpoint in {self._path}", wanted, steps)
        return ranked[name].sel({CHECKPOINT: int(wanted)})

    def weights_at(self, step: int) -> str | None:
        """Fingerprint of the weights of a checkpoint; None where the statistics do not have it."""
        if self.data is None or step not in self.data[CHECKPOINT].values:
            return None
        return str(self.data["weights_fingerprint"].sel({CHECKPOINT: step}).item())

    def negative_mean(self, step: int, n_layers: int) -> NDArray[np.float64] | None:
        """(layer, neuron) of the whole model, NaN where it is not known; None without statistics."""
        if self.data is None:
            return None
        mean = self.at("negative_mean", SAME, step)
        values = np.full((n_layers, mean.sizes[NEURON]), np.nan)
        values[mean[LAYER].values] = mean.values
        return values
