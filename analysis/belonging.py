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
"""Attributes that stores have and results keep."""


class Origin(NamedTuple):
    """What a store, results or a selection are of."""

    name: str
    """How a message calls it."""
    model: str
    site: str
    text: str
    """Fingerprint of its tokens; empty where it may differ."""
    weights: Mapping[int, str]
    """Training step to the fingerprint of its weights."""
    is_whole: bool = True
    """Whether its checkpoints must be those of what it belongs to."""


def origin_of(data: xr.Dataset, name: str, *, has_own_text: bool = False) -> Origin:
    """What a store, or results of one, are of.

    Parameters
    ----------
    data : Dataset
        With the attributes `IDENTITY`, and `checkpoint` and `weights_fingerprint` as coordinates.
    name : str
        How a message calls it.
    has_own_text : bool
        Whether its text and checkpoints may be others, as an ablation's are.

    Raises
    ------
    StoreError
        If it does not say what it is of.
    """
    missing = next((key for key in IDENTITY if key not in data.attrs), None)
    missing = missing or next((key for key in (CHECKPOINT, "weights_fingerprint") if key not in data.coords), None)
    if missing is not None:
        raise StoreError(f"{name} does not say its {missing}; make it again with this version")
    steps, weights = (np.atleast_1d(data[key].values).tolist() for key in (CHECKPOINT, "weights_fingerprint"))
    model, site, text = (str(data.attrs[key]) for key in IDENTITY)
    return Origin(name, model, site, "" if has_own_text else text, dict(zip(steps, weights, strict=True)), not has_own_text)


def origin_of_results(folder: Path, name: str) -> Origin | None:
    """What `NAME.zarr` of a results folder is of, without reading its values; None if it is not there.

    Raises
    ------
    StoreError
        If it cannot be read, or does not say what it is of.
    """
    path = folder / f"{name}.zarr"
    if not path.exists():
        return None
    try:
        data = xr.open_zarr(checked_store(path, Contents.of(path)), chunks=None)
        return origin_of(data, str(path))
    except StoreError:
        raise
    except Exception as error:  # a decoder fails in its own way
        raise StoreError(f"cannot read {path} ({error}); compute it again") from None


def origin_of_selection(selection: Selection, path: Path) -> Origin:
    """What a selection was chosen on; its text where its provenance says so."""
    text = str(selection.provenance.get("corpus_fingerprint", ""))
    weights = {selection.checkpoint: selection.weights_fingerprint}
    return Origin(str(path), selection.model, selection.site, text, weights, is_whole=False)


def check_belonging(store: Origin, *parts: Origin | None) -> None:
    """Refuse what is not of the same model, site, text and weights.

    Parameters
    ----------
    store : Origin
        What the parts are held to.
    *parts : Origin, optional
        What is not there is left out.

    Raises
    ------
    StoreError
        If one of them differs; the message names both.
    """
    for part in filter(None, parts):
        for what, theirs, ours in (("model", part.model, store.model), ("site", part.site, store.site)):
            if theirs != ours:
                raise StoreError(f"{part.name} is of the {what} {theirs}, {store.name} of {ours}; name two of one {what}")
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
