"""The record of a selection: what each of its fields may hold, and the JSON file that stores it.

Owns the checks of `actstore.selection.selection.Selection`, the file's format and its checksum.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any

import google_crc32c

from actstore import bounds
from actstore.errors import SelectionError, SettingError, UnknownNameError
from actstore.files import disk_errors, make_folder, write_synced

SCOPES = ("layer", "all")
_MAKER = "`actstore select`"
FORMAT = "actstore-selection-2"
_WITHOUT_SITE = "actstore-selection-1"
_LAYER = re.compile(r"0|-?[1-9][0-9]*")
_TEXTS = ("rule", "statistic", "model", "site")
_LEAST = {"checkpoint": -1, "seed": -1, "n_neurons_per_layer": 1}
_REQUIRED = ("neurons", *_TEXTS, "fraction", "weights_fingerprint", "checkpoint", "n_neurons_per_layer")
_FIELDS = (*_REQUIRED, "seed", "scope", "provenance")


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a selection, checked; whole numbers of NumPy become Python's.

    Parameters
    ----------
    fields : mapping
        Every field of `actstore.selection.selection.Selection` by name.

    Raises
    ------
    SelectionError
        If a field has a wrong type or a value out of its range; the message names the field.
    """
    integers = {name: _integer(fields[name], name, least) for name, least in _LEAST.items()}
    texts = {name: _text(fields[name], name) for name in (*_TEXTS, "weights_fingerprint")}
    for name in _TEXTS:
        if not texts[name]:
            raise SelectionError(f"{name} must not be empty")
    fraction, scope, provenance = fields["fraction"], fields["scope"], fields["provenance"]
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
        raise SelectionError(f"fraction must be a number, got {reprlib.repr(fraction)}")
    check_share(fraction)
    if scope not in SCOPES:
        raise UnknownNameError("selection scope", scope, SCOPES)
    if not isinstance(provenance, dict):
        raise SelectionError(f"provenance must be a mapping, got {reprlib.repr(provenance)}")
    neurons = _neurons(fields["neurons"], integers["n_neurons_per_layer"])
    return {**integers, **texts, "fraction": float(fraction), "neurons": neurons}


def check_share(fraction: float) -> None:
    """Refuse a fraction of neurons that is not above 0 and at most 1.

    Raises
    ------
    SelectionError
        If it is not, or is no number.
    """
    try:
        bounds.check_fraction("fraction", fraction)
    except SettingError as error:
        raise SelectionError(str(error)) from None


def _integer(value: Any, field: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise SelectionError(f"{field} must be a whole number from {least}, got {reprlib.repr(value)}")
    return int(value)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise SelectionError(f"{field} must be text, got {reprlib.repr(value)}")
    return str(value)


def _neurons(layers: Any, n_neurons: int) -> dict[int, tuple[int, ...]]:
    """Layer → neurons, layers ascending."""
    if not isinstance(layers, Mapping):
        raise SelectionError(f"neurons must map a layer to its neurons, got {reprlib.repr(layers)}")
    chosen: dict[int, tuple[int, ...]] = {}
    for key, values in layers.items():
        layer = _integer(key, "a layer", 0)
        if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
            raise SelectionError(f"layer {layer} must have a list of neurons, got {reprlib.repr(values)}")
        neurons = tuple(_integer(value, f"a neuron of layer {layer}", 0) for value in values)
        if neurons and max(neurons) >= n_neurons:
            raise SelectionError(f"layer {layer} has neurons 0 to {n_neurons - 1}, the selection names {max(neurons)}")
        if any(first >= second for first, second in pairwise(neurons)):
            raise SelectionError(f"the neurons of layer {layer} must ascend, each named once")
        chosen[layer] = neurons
    if not any(chosen.values()):
        raise SelectionError("the selection holds no neuron; choose a larger fraction")
    return dict(sorted(chosen.items()))


def write_record(path: str | os.PathLike[str], fields: Mapping[str, Any]) -> Path:
    """Write the fields of a selection as JSON. A file of this name is replaced only when the new one is complete.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    path = Path(path)
    neurons = {str(layer): list(chosen) for layer, chosen in fields["neurons"].items()}
    record = {"format": FORMAT, **fields, "neurons": neurons}
    with disk_errors(path):
        make_folder(path.parent)
        write_synced(path, json.dumps({**record, "checksum": _checksum(record)}, indent=1) + "\n")
    return path


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of a selection file by name, with layers as numbers; `checked` checks the values.

    Raises
    ------
    SelectionError, UnknownNameError
        If the file cannot be read, is no selection, has no site, has a key twice, lacks a key or has
        an unknown one, or its checksum differs.
    """
    record = _parsed(path)
    _check_format(record, path)
    checksum = record.pop("checksum", None)
    if checksum is not None and checksum != _checksum(record):
        raise SelectionError(
            f"{path} was changed after it was written: its checksum differs; write it again, or leave out "
            "its checksum if the change is meant"
        )
    fields = {name: value for name, value in record.items() if name != "format"}
    unknown = next((name for name in fields if name not in _FIELDS), None)
    if unknown is not None:
        raise UnknownNameError("key of a selection", unknown, [*_FIELDS, "checksum"], str(path))
    missing = [name for name in _REQUIRED if name not in fields]
    if missing:
        raise SelectionError(f"{path} lacks {', '.join(missing)}; choose again with `actstore select`")
    if isinstance(fields["neurons"], dict):
        fields["neurons"] = {_layer(key, path): neurons for key, neurons in fields["neurons"].items()}
    return fields


def _parsed(path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    except OSError as error:
        raise SelectionError(f"cannot read the selection {path}: {error.strerror}; choose with {_MAKER}") from None
    except (ValueError, RecursionError) as error:
        raise SelectionError(f"{path} is no selection file ({error}); make one with {_MAKER}") from None


def _check_format(record: Any, path: str | os.PathLike[str]) -> None:
    file_format = record.get("format") if isinstance(record, dict) else None
    if file_format == _WITHOUT_SITE:
        raise SelectionError(
            f"{path} is of an older form ({_WITHOUT_SITE}) that does not say at which site the neurons are; "
            f"choose them again with {_MAKER}"
        )
    if file_format != FORMAT:
        raise SelectionError(f"{path} is not a selection file (format {FORMAT}); make one with {_MAKER}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, none of whose keys is repeated: Python would silently drop the first value."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return record


def _layer(key: str, path: str | os.PathLike[str]) -> int:
    if not _LAYER.fullmatch(key):
        raise SelectionError(f"{path}: a layer must be a whole number from 0, got {reprlib.repr(key)}")
    return int(key)


def _checksum(record: Mapping[str, Any]) -> str:
    """CRC-32C of a record as 8 hexadecimal digits; spacing and the order of keys make no difference."""
    content = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return f"{google_crc32c.value(content.encode('ascii')):08x}"
