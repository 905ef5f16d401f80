"""The neuron browser: what the page knows of every selected neuron.

Owns the data that the script of the page draws from. Without the script, the table of selected neurons is there.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.results import Results

_BY_NEURON = ("neuron_histograms", "neuron_story", "neuron_pairs")
_STATISTICS = (
    "wasserstein_distance",
    "negative_wasserstein_frac",
    "negative_frac",
    "skewness",
    "excess_kurtosis",
    "bimodality_coefficient",
    "mapping_difficulty",
)
_FEATURES = ("upos", "deprel", "word", "position", "depth")


def browser_data(results: Results) -> list[dict[str, Any]] | None:
    """One entry for each selected neuron, layer by layer; None without the tables.

    An entry has `layer`, `neuron`, `statistics` (name → number), `histogram` (edges, density, zero), `story` (checkpoints and
    distances), `features` (name, share of the clusters' entropy explained, q), `clusters` (of its negative values, as text),
    `apart` (the clusters furthest apart) and `pairs` in context.
    """
    main = results.main
    if not main.has("neurons", "atlas", *_BY_NEURON):
        return None
    neurons, atlas = main.tables["neurons"], main.tables["atlas"].set_index(["layer", "neuron"])
    histograms, stories, pairs = (dict(list(main.tables[name].groupby(["layer", "neuron"]))) for name in _BY_NEURON)
    entries = []
    for row in neurons[neurons["selected"]].to_dict("records"):
        neuron = (row["layer"], row["neuron"])
        entry: dict[str, Any] = {"layer": int(row["layer"]), "neuron": int(row["neuron"])}
        entry["statistics"] = {name: _rounded(row[name]) for name in _STATISTICS if name in row}
        if neuron in histograms:
            entry["histogram"] = _histogram(histograms[neuron])
        if neuron in stories:
            entry["story"] = _story(stories[neuron])
        if neuron in atlas.index:
            entry |= _features(atlas.loc[neuron].fillna(""))
        if neuron in pairs:
            entry["pairs"] = [_pair(pair) for pair in pairs[neuron].fillna("").to_dict("records")]
        entries.append(entry)
    return entries


def _histogram(bins: pd.DataFrame) -> dict[str, Any]:
    edges = [*bins["left"], bins["right"].iloc[-1]]
    return {
        "edges": [_rounded(edge) for edge in edges],
        "density": [_rounded(density) for density in bins["density"]],
        "zero": _rounded(bins["zero"].iloc[0]),
    }


def _story(story: pd.DataFrame) -> list[list[Any]]:
    """Checkpoints with the neuron's distance."""
    distances = zip(story["checkpoint"], story["wasserstein_distance"], strict=True)
    return [[int(step), _rounded(distance)] for step, distance in distances]


def _features(row: pd.Series) -> dict[str, Any]:
    """What a neuron follows, from its row of the atlas."""
    return {
        "features": [[name, _rounded(row[f"explained_{name}"]), _rounded(row[f"q_{name}"])] for name in _FEATURES],
        "clusters": [cluster for cluster in str(row["clusters"]).split(" | ") if cluster],
        "apart": str(row["apart"]),
    }


def _pair(row: dict[Any, Any]) -> list[list[Any]]:
    """Both sides: text before, the token, text after, part of speech, pre-activation."""
    return [
        [
            *(visible(row[f"{part}_{side}"]) for part in ("before", "text", "after")),
            str(row[f"upos_{side}"]),
            _rounded(row[f"preactivation_{side}"]),
        ]
        for side in "ab"
    ]


def visible(text: object) -> str:
    """Text with a picture in place of each control character, which HTML does not allow."""
    return "".join(map(_visible, str(text)))


def _visible(character: str) -> str:
    if character == "\x7f":
        return "␡"
    is_control = ord(character) < 0x20 and character not in "\t\n\r"
    return chr(0x2400 + ord(character)) if is_control else character


def _rounded(value: object) -> float | None:
    number = pd.to_numeric(pd.Series([value]), errors="coerce").iloc[0]
    return None if pd.isna(number) else float(f"{number:.5g}")
