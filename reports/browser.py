"""The neuron browser: what the page knows of every neuron, in files beside it.

Owns the data of the browser: a description inside the page, one file of texts, one file a layer. The files are scripts, since a
page that is opened from a disk may load scripts, and nothing else. What they hold is drawn by `templates/browser.js`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from reports.results import Results

FOLDER = "neurons"
_OF_NEURON = ("layer", "neuron")
_WHOLE = ("uint8", "uint16", "int16", "uint32", "int32")
"""Types of whole numbers in the files, the narrowest first; all other numbers are float32."""
_LEFT_OUT = {"p_value"}
"""Arrays of the profiles that the page does not show: q-values are."""
_FIRST_STATISTICS = (
    "wasserstein_distance",
    "negative_wasserstein_frac",
    "negative_frac",
    "mapping_difficulty",
    "skewness",
    "excess_kurtosis",
    "bimodality_coefficient",
)
"""In this order, before all others by name."""
_FEATURES = {
    "upos": "part of speech",
    "deprel": "dependency relation",
    "word": "word",
    "position": "position in the window",
    "depth": "depth in the syntax tree",
}
_MOST_STARTS = 40


def browser_head(results: Results) -> dict[str, Any] | None:
    """What the page itself says of the profiles of all neurons; None without profiles.

    The dict has `id`, which the files repeat; `layers`, `n_neurons`, `n_tokens`; `statistics` (their names, meanings and columns in
    the files), `features`, `classes`, `edges` of the bins, `quantiles` of the example tokens and `n_extremes` of them at either
    end, `checkpoints` of the story, `starts` (the neuron of each layer with the largest distance), `table` (the file of all
    statistics).
    """
    profiles = results.main.profiles
    if profiles is None:
        return None
    names = [str(name) for name in profiles["statistic"].values]
    order = [*(name for name in _FIRST_STATISTICS if name in names), *(n for n in names if n not in _FIRST_STATISTICS)]
    about = {name: (str(profiles["long_name"].values[k]), str(profiles["units"].values[k])) for k, name in enumerate(names)}
    return {
        "id": _fingerprint(profiles),
        "model": results.model_name(results.main),
        "layers": profiles["layer"].values.tolist(),
        "n_neurons": profiles.sizes["neuron"],
        "n_tokens": int(profiles.attrs["n_text_tokens"]),
        "n_extremes": int(profiles.attrs["n_extremes"]),
        "statistics": [
            {"name": _words(name), "column": names.index(name), "meaning": about[name][0], "unit": _unit(about[name][1])}
            for name in order
        ],
        "features": [_FEATURES.get(name, _words(name)) for name in profiles["feature"].values],
        "classes": [
            {"name": visible(name), "n": int(n)}
            for name, n in zip(profiles["class"].values, profiles["n_tokens"].values, strict=True)
        ],
        "edges": [round(float(edge), 6) for edge in (*profiles["left"].values, profiles["right"].values[-1])],
        "quantiles": [round(float(quantile), 3) for quantile in profiles["quantile"].values],
        "checkpoints": profiles["checkpoint"].values.tolist(),
        "n_checkpoints": int(profiles.attrs["n_checkpoints"]),
        "starts": _starts(profiles),
        "table": f"tables/models/{results.main.name}/neurons.csv",
    }


def export_neurons(results: Results, folder: Path) -> None:
    """Write `neurons/tokens.js` and `neurons/layer-NN.js`, or remove those of an earlier report."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    profiles = results.main.profiles
    if profiles is None:
        return
    (folder / FOLDER).mkdir()
    identity = _fingerprint(profiles)
    for name, data in _files(profiles, results.main.tables.get("atlas")):
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII alone: no text can end a line or a script
        (folder / FOLDER / f"{name}.js").write_text(f'neuronBrowser.take("{name}","{identity}",{text});\n', encoding="ascii")


def visible(text: object) -> str:
    """Text with a picture in place of each control character, which HTML does not allow or does not show."""
    return "".join(map(_visible, str(text)))


def _visible(character: str) -> str:
    if character == "\x7f":
        return "␡"
    return chr(0x2400 + ord(character)) if ord(character) < 0x20 else character


def _files(profiles: xr.Dataset, atlas: pd.DataFrame | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The contents of every file by its name."""
    yield "tokens", _texts(profiles)
    for number in profiles["layer"].values:
        yield f"layer-{number:02d}", _of_layer(profiles.sel({"layer": number}), atlas)


def _texts(profiles: xr.Dataset) -> dict[str, Any]:
    """The text that neurons have read, token by token."""
    names, codes = np.unique(profiles["upos"].values.astype(object), return_inverse=True)
    return {
        "text": [visible(text) for text in profiles["token_text"].values],
        "upos": [visible(name) for name in names],
        "columns": {
            "upos": packed(codes),
            "segment": packed(profiles["segment"].values),
            "word": packed(profiles["word"].values),
        },
    }


def _of_layer(layer: xr.Dataset, atlas: pd.DataFrame | None) -> dict[str, Any]:
    """The arrays of a layer, each by neuron, and what the atlas says of the selected neurons in words."""
    columns = {}
    for name, array in layer.data_vars.items():
        if "neuron" in array.dims and name not in _LEFT_OUT:
            columns[str(name)] = packed(array.transpose("neuron", ...).values)
    return {"columns": columns, "notes": _notes(atlas, int(layer["layer"]))}


def _notes(atlas: pd.DataFrame | None, layer: int) -> dict[int, dict[str, Any]]:
    """By neuron: the clusters of its negative values, and the parts of speech that are furthest apart there."""
    if atlas is None:
        return {}
    rows = atlas[atlas["layer"] == layer].fillna({"clusters": "", "apart": ""}).to_dict("records")
    return {
        int(row["neuron"]): {
            "clusters": [visible(cluster) for cluster in str(row["clusters"]).split(" | ") if cluster],
            "apart": visible(row["apart"]),
        }
        for row in rows
    }


def packed(values: NDArray[Any]) -> dict[str, str]:
    """Numbers as a type and the base64 of their little-endian bytes, in the order of the array (C).

    Whole numbers and truth values have the narrowest type that holds them all; others are float32, NaN where there is none.
    """
    if values.dtype.kind == "f":
        kind = "float32"
    else:
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        kind = next(name for name in _WHOLE if np.iinfo(name).min <= low and high <= np.iinfo(name).max)
    raw = np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<")).tobytes()
    return {"type": kind, "data": base64.b64encode(raw).decode("ascii")}


def _starts(profiles: xr.Dataset) -> list[tuple[int, int]]:
    """The neuron of each layer with the largest Wasserstein distance; of very many layers, some."""
    place = profiles["statistic_rank"].sel({"statistic": "wasserstein_distance"}).values
    layers = profiles["layer"].values[:: -(-len(place) // _MOST_STARTS)]
    return [
        (int(number), int(np.argmax(ranks == 1)))
        for number, ranks in zip(profiles["layer"].values, place, strict=True)
        if number in layers
    ]


def _fingerprint(profiles: xr.Dataset) -> str:
    """Names the profiles, so that a page can tell files of another report."""
    digest = hashlib.sha256()
    for name, array in sorted(profiles.variables.items(), key=lambda item: str(item[0])):
        is_text = array.dtype.kind in "OUT"
        raw = json.dumps(array.values.tolist()).encode() if is_text else np.ascontiguousarray(array.values).tobytes()
        digest.update(f"{name} {array.dims} {array.shape}".encode() + raw)
    return digest.hexdigest()[:16]


def _words(name: object) -> str:
    return str(name).replace("_", " ").replace(" frac", " share")


def _unit(units: str) -> str:
    return {"standard deviation": "SD", "1": ""}.get(units, units)
