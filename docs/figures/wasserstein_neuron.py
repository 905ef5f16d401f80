"""Draw the README's figure: a Wasserstein neuron beside an ordinary neuron of the same layer.

    python docs/figures/wasserstein_neuron.py [FILE]

Extracts the embedded model `pico-neox` over the embedded corpus, which takes some seconds, and
writes the figure as SVG.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

import analysis
from actstore import ExtractConfig, RunOptions, extract, open_store
from reports.style import COLORS, saved, styled

FILE = Path(__file__).with_suffix(".svg")


def neurons(distance: xr.DataArray) -> tuple[int, int, int]:
    """Choose a layer, its neuron of largest distance, and its median one.

    Layer 0 is left out: there the model sees each token by itself.
    """
    layer = int(distance.sel(layer=slice(1, None)).max("neuron").idxmax("layer"))
    ranked = distance.sel(layer=layer).argsort().values
    return layer, int(ranked[-1]), int(ranked[len(ranked) // 2])


def draw(ax: Axes, bins: pd.DataFrame, title: str, color: str) -> None:
    """One neuron's distribution over the text, against the standard normal."""
    edges = [*bins["left"], bins["right"].iloc[-1]]
    grid = np.linspace(-5, 5, 101)
    ax.axvspan(-5, bins["zero"].iloc[0], color="black", alpha=0.07, lw=0, label="pre-activation below 0")
    ax.stairs(bins["density"], edges, fill=True, color=color, alpha=0.75)
    ax.plot(grid, norm.pdf(grid), color="black", lw=1.4, label="Gaussian, N(0, 1)")
    ax.set(title=title, xlim=(-5, 5))


def figure(store: xr.Dataset) -> Figure:
    """Both neurons of a store's last checkpoint."""
    step = int(store["checkpoint"][-1])
    text = store.sel(checkpoint=step).isel(token=(store["position"] > 0).values)
    distance = analysis.wasserstein_distance(text["preactivation"])
    layer, wasserstein, ordinary = neurons(distance)
    panels = {wasserstein: ("A Wasserstein neuron", COLORS["top"]), ordinary: ("An ordinary neuron", COLORS["random"])}
    with styled():
        fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.3), sharey=True, layout="constrained")
        for ax, (neuron, (name, color)) in zip(axes, panels.items(), strict=True):
            wd = float(distance.sel(layer=layer, neuron=neuron))
            title = f"{name}: WD = {wd:.2f}\nlayer {layer}, neuron {neuron}"
            draw(ax, analysis.histogram(store, step, layer, neuron, n_bins=50), title, color)
        fig.supxlabel("pre-activation (SD from its mean)", fontsize="medium")
        axes[0].set_ylabel("density")
        axes[0].legend(loc="upper left")
    return fig


def main(file: Path = FILE) -> None:
    """Extract, draw, and save as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.zarr"
        extract(ExtractConfig("pico-neox"), path, RunOptions(progress=False))
        file.write_bytes(saved(figure(open_store(path)), "svg"))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
