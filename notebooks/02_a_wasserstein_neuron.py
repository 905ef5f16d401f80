# %% [markdown]
# # A Wasserstein neuron
#
# The Wasserstein distance of a neuron says how far its standardised pre-activations are from a Gaussian. Here are the layers,
# the neuron furthest out, and what its negative side tells apart. The model is a small embedded one: an example of the method,
# no finding.

# %%
import os
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

import analysis
from actstore import open_store
from reports.style import COLORS, printable, styled

# Made by: actstore extract --model pico-neox --checkpoints all --tokens 8192 --store runs/store.zarr
STORE = os.environ.get("ACTSTORE_STORE", "runs/store.zarr")
store = open_store(STORE)
final = store.isel(checkpoint=-1, token=(store.position > 0).values)
statistics = analysis.entanglement(final.preactivation)
distance = statistics.wasserstein_distance
cohort = analysis.select(distance, fraction=0.01)  # the top 1% of every layer

# %% [markdown]
# **By layer.** The outlines are all neurons of a layer, the dots its top 1%. A neuron that is truly Gaussian has a distance
# near 0, and a little above it on a finite text.

# %%
top = distance.where(cohort.mask(distance.layer.values))  # NaN elsewhere
with styled():
    figure, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
    ax.violinplot(list(distance.values), distance.layer.values, showextrema=False, widths=0.8)
    ax.plot(top.layer, top, "o", color=COLORS["top"], ms=4)
    ax.set_xticks(distance.layer.values)
    ax.set(xlabel="layer", ylabel="Wasserstein distance to N(0, 1) (SD)", title="All neurons, and the top 1% of each layer")

# %% [markdown]
# **One of them.** The furthest out beyond layer 0, where this model sees each token by itself. Its histogram against the
# Gaussian of the same mean and spread; the shaded side is where the raw pre-activation is negative, which GELU turns into small
# negative numbers, and into nearly 0 far out.

# %%
furthest = distance.sel(layer=slice(1, None)).argmax(["layer", "neuron"])
layer, neuron = 1 + int(furthest["layer"]), int(furthest["neuron"])
bins = analysis.histogram(store, int(final.checkpoint), layer, neuron, n_bins=60)
share = float(statistics.negative_wasserstein_frac.sel(layer=layer, neuron=neuron))
grid = np.linspace(bins["left"].min() - 0.5, bins["right"].max() + 0.5, 400)
with styled():
    figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
    ax.axvspan(grid[0], bins["zero"].iloc[0], color="black", alpha=0.06, lw=0, label="negative pre-activation")
    edges = [*bins["left"], bins["right"].iloc[-1]]
    ax.stairs(bins["density"], edges, fill=True, color=COLORS["top"], alpha=0.7, label="neuron")
    ax.plot(grid, norm.pdf(grid), color="black", lw=1, label="Gaussian")
    ax.set(xlabel="pre-activation (SD from its mean)", ylabel="density", xlim=(grid[0], grid[-1]))
    ax.set_title(f"Layer {layer}, neuron {neuron}: {share:.0%} of the distance lies on its negative side")
    ax.legend()

# %% [markdown]
# **Similar inputs driven apart.** Of tokens whose MLP inputs are nearest neighbours, the pairs that this neuron drives furthest
# apart on its negative side. They are picked for being extreme, so they illustrate; `analysis.pair_differentiation` tests them.

# %%
pairs = analysis.find_pairs(store, n_tokens=2048)
single = replace(cohort, neurons={layer: (neuron,)})
contexts = analysis.pairs_in_context(store, analysis.most_differentiated(store, pairs, single, n_top=6), n_context=5)
with styled():
    figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
    texts = {}
    for row, pair in contexts.iterrows():
        for height, side in ((row, "a"), (row + 0.4, "b")):
            before, text, after, upos = (pair[f"{name}_{side}"] for name in ("before", "text", "after", "upos"))
            texts[height] = printable(f"…{before.lstrip()}{text.replace(text.strip(), f'[{text.strip()}]')}{after}…   {upos}")
        ax.plot([pair["preactivation_a"], pair["preactivation_b"]], [row, row + 0.4], "o-", color=COLORS["top"], lw=1, ms=4)
    ax.set_yticks(list(texts), texts.values(), fontsize=8)
    ax.set(xlabel="pre-activation", ylabel="token in its context", title="Similar inputs that the neuron drives apart")
    ax.invert_yaxis()

# %% [markdown]
# **Which parts of speech.** Distances between the negative pre-activations of any two parts of speech with 50 such tokens or
# more, in standard deviations. Dots mark q < 0.05; tokens count as independent, which flatters classes of few, frequent words.
# The atlas adds what clusters of the negative values hold: centre, share, commonest part of speech, typical words.

# %%
values = final.preactivation.sel(layer=layer, neuron=[neuron])
classes = analysis.class_separation(values, final.upos.values, side="negative", min_count=50).isel(neuron=0)
is_frequent = (classes.n_tokens >= 50).values
classes, names = classes.isel({"class": is_frequent, "other_class": is_frequent}), classes["class"].values[is_frequent]
with styled():
    figure, ax = plt.subplots(figsize=(5.4, 4.4), layout="constrained")
    image = ax.imshow(classes.transport_distance, cmap="viridis")
    ax.plot(*np.nonzero((classes.q_value < 0.05).values), ".", color="white", ms=3)
    ax.set_xticks(range(len(names)), names, rotation=60, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="part of speech", ylabel="part of speech", title="What the negative side keeps apart")
    ax.grid(False)
    figure.colorbar(image, label="transport distance (SD)")
atlas = analysis.neuron_atlas(store, single, pairs).iloc[0]
print(f"follows {atlas['feature']}, keeps apart {atlas['apart']}:", *atlas["clusters"].split(" | "), sep="\n")
