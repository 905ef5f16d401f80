"""The neuron browser: what the page knows of every selected neuron.

Owns the data that the script of the page draws from; without the script the table of selected neurons stands.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.results import Results

_NEEDED = ("neurons", "neuron_histograms", "neuron_story", "neuron_pairs", "atlas")
_STATISTICS = (
    "wasserstein_distance", "negative_wasserstein_frac", "negative_frac", "skewness", "excess_kurtosis", "bimodality_coefficient", "mapping_difficulty",
)  # fmt: skip
_FEATURES = ("upos", "deprel", "word", "position", "depth")


def browser_data(results: Results) -> list[dict[str, Any]] | None:
    """One entry a selected neuron, layer by layer; None where the tables are not there.

    Each has `layer`, `neuron`, `statistics` (name → number), `histogram` (edges, density, zero), `story` (checkpoints and
    distances), `features` (name, share of the clusters' entropy explained, q), `clusters` (of its negative values, as text), `apart`, and `pairs` in context.
    """
    main = results.main
    if not main.has(*_NEEDED):
        return None
    neurons = main.tables["neurons"]
    atlas = main.tables["atlas"].set_index(["layer", "neuron"])
    grouped = {name: dict(list(main.tables[name].groupby(["layer", "neuron"]))) for name in _NEEDED[1:4]}
    found = []
    for row in neurons[neurons["selected"]].to_dict("records"):
        key = (row["layer"], row["neuron"])
        entry: dict[str, Any] = {"layer": int(key[0]), "neuron": int(key[1])}
        entry["statistics"] = {name: _rounded(row[name]) for name in _STATISTICS if name in row}
        bins = grouped["neuron_histograms"].get(key)
        if bins is not None:
            edges = [*bins["left"], bins["right"].iloc[-1]]
            entry["histogram"] = {"edges": [_rounded(edge) for edge in edges], "density": [_rounded(d) for d in bins["density"]],
                                  "zero": _rounded(bins["zero"].iloc[0])}  # fmt: skip
        story = grouped["neuron_story"].get(key)
        if story is not None:
            entry["story"] = [
                [int(step), _rounded(value)]
                for step, value in zip(story["checkpoint"], story["wasserstein_distance"], strict=True)
            ]
        if key in atlas.index:
            line = atlas.loc[key].fillna("")
            entry["features"] = [[name, _rounded(line[f"explained_{name}"]), _rounded(line[f"q_{name}"])] for name in _FEATURES]
            entry["clusters"] = [part for part in str(line["clusters"]).split(" | ") if part]
            entry["apart"] = str(line["apart"])
        pairs = grouped["neuron_pairs"].get(key)
        if pairs is not None:
            entry["pairs"] = [_pair(pair) for pair in pairs.fillna("").to_dict("records")]
        found.append(entry)
    return found


def _pair(row: dict[Any, Any]) -> list[list[Any]]:
    """Both sides: text before, the token, text after, part of speech, pre-activation."""
    return [
        [
            shown(row[f"before_{side}"]),
            shown(row[f"text_{side}"]),
            shown(row[f"after_{side}"]),
            str(row[f"upos_{side}"]),
            _rounded(row[f"preactivation_{side}"]),
        ]
        for side in "ab"
    ]


def shown(text: object) -> str:
    """Text with control characters as their pictures: HTML has no place for them."""
    return "".join(
        chr(0x2400 + ord(c)) if ord(c) < 0x20 and c not in "\t\n\r" else "␡" if ord(c) == 0x7F else c for c in str(text)
    )


def _rounded(value: object) -> float | None:
    number = pd.to_numeric(pd.Series([value]), errors="coerce").iloc[0]
    return None if pd.isna(number) else float(f"{number:.5g}")
