"""Whether stores, results and selections belong together.

Owns what they must share: the model, the site, the text and the weights of each checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from actstore.errors import StoreError
from actstore.selection.selection import Selection
from actstore.store.checked import checked_store
from actstore.store.ledger import Contents
from actstore.store.schema import CHECKPOINT

IDENTITY = ("model", "site", "corpus_fingerprint")
"""Attributes of a store that its results have too."""


class Origin(NamedTuple):
    """The model, text and weights behind a store, results or a selection."""

    name: str
    """Its name in messages."""
    model: str
    site: str
    text: str
    """Fingerprint of the tokens; empty where the text may differ."""
    weights: Mapping[int, str]
    """Training step → fingerprint of the weights."""
    is_whole: bool = True
    """Whether the store that it belongs to must have all its checkpoints."""


def origin_of(data: xr.Dataset, name: str, *, has_own_text: bool = False) -> Origin:
    """Origin of a store, or of results computed from a store.

    Parameters
    ----------
    data : Dataset
        With the attributes `IDENTITY`, and `checkpoint` and `weights_fingerprint` as coordinates.
    name : str
        Its name in messages.
    has_own_text : bool
        Whether its text and checkpoints may differ, as an ablation's may.

    Raises
    ------
    StoreError
        If an attribute or coordinate is missing.
    """
    missing = next((key for key in IDENTITY if key not in data.attrs), None)
    missing = missing or next((key for key in (CHECKPOINT, "weights_fingerprint") if key not in data.coords), None)
    if missing is not None:
        raise StoreError(f"{name} does not say its {missing}; make it again with this version")
    steps, weights = (np.atleast_1d(data[key].values).tolist() for key in (CHECKPOINT, "weights_fingerprint"))
    model, site, text = (str(data.attrs[key]) for key in IDENTITY)
    return Origin(name, model, site, "" if has_own_text else text, dict(zip(steps, weights, strict=True)), not has_own_text)


def origin_of_results(folder: Path, name: str) -> Origin | None:
    """Origin of `NAME.zarr` of a results folder, without reading its values; None if there is no such file.

    Raises
    ------
    StoreError
        If it cannot be read, or an attribute or coordinate is missing.
    """
    path = folder / f"{name}.zarr"
    if not path.exists():
        return None
    try:
        data = xr.open_zarr(checked_store(path, Contents.of(path)), chunks=None)
        return origin_of(data, str(path))
    except StoreError:
        raise
    except Exception as error:  # decoders raise errors of many kinds
        raise StoreError(f"cannot read {path} ({error}); compute it again") from None


def origin_of_selection(selection: Selection, path: Path) -> Origin:
    """Origin of the statistics that a selection was chosen on; its text is empty where the provenance names none."""
    text = str(selection.provenance.get("corpus_fingerprint", ""))
    weights = {selection.checkpoint: selection.weights_fingerprint}
    return Origin(str(path), selection.model, selection.site, text, weights, is_whole=False)


def check_belonging(store: Origin, *parts: Origin | None) -> None:
    """Refuse parts that are not of the store's model, site, text and weights.

    Parameters
    ----------
    store : Origin
    *parts : Origin, optional
        Compared with the store; None is left out.

    Raises
    ------
    StoreError
        If a part differs from the store; the message names both.
    """
    for part in parts:
        if part is not None:
            _check_part(store, part)


def _check_part(store: Origin, part: Origin) -> None:
    for key in ("model", "site"):
        value, expected = getattr(part, key), getattr(store, key)
        if value != expected:
            raise StoreError(f"{part.name} is of the {key} {value}, {store.name} of {expected}; name two of one {key}")
    if part.text and store.text and part.text != store.text:
        raise StoreError(
            f"{part.name} is of another text than {store.name} (fingerprints {part.text} and {store.text}); "
            "compute it again on this text, or name two of one text"
        )
    shared = part.weights.keys() & store.weights.keys()
    changed = next((step for step in sorted(shared) if part.weights[step] != store.weights[step]), None)
    if changed is not None:
        raise StoreError(
            f"checkpoint {changed} of {part.name} has other weights than that of {store.name} "
            f"({part.weights[changed]} and {store.weights[changed]}); compute it again, or name two of one model"
        )
    absent = sorted(part.weights.keys() - store.weights.keys())
    if part.is_whole and absent:
        raise StoreError(f"{part.name} has the checkpoint {absent[0]}, {store.name} does not; compute it again")
