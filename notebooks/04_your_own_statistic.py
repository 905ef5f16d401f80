# %% [markdown]
# # A statistic of your own
#
# Any number per neuron can rank neurons. Two are registered here: how closely a neuron's pre-activation follows the surprisal
# of the *next* token, and how far its left tail reaches. Neurons are then chosen by the first and ablated. The model is a small
# embedded one; the numbers are an example. The last step needs torch.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata

import analysis
from actstore import CohortSpec, Design, MinimalPairs, TextConfig, ablate, open_store
from reports.style import COLORS, layer_color, styled

# Made by: actstore extract --model pico-neox --checkpoints all --tokens 8192 --store runs/store.zarr
STORE = os.environ.get("ACTSTORE_STORE", "runs/store.zarr")
store = open_store(STORE)

# %% [markdown]
# **The statistics.** A function gets one layer at one checkpoint in memory, without the first position of each window, and
# gives a number for every neuron. The surprisal of token t + 1 stands beside the pre-activations of token t, which is what the
# model has when it foresees it; a window's last token has no next one. Spearman's correlation is Pearson's of the ranks.


# %%
@analysis.register_statistic(
    "next_surprisal", "|rank correlation| with the next surprisal", needs=("preactivation", "surprisal")
)
def next_surprisal(layer):
    """How closely the neuron follows the surprisal of the next token."""
    has_next = (layer.position.shift(token=-1) == layer.position + 1).values
    values, coming = layer.preactivation.values[has_next], layer.surprisal.shift(token=-1).values[has_next]
    ranks = rankdata(np.column_stack([values, coming]), axis=0)
    standard = (ranks - ranks.mean(0)) / ranks.std(0)
    return abs(standard[:, :-1].T @ standard[:, -1]) / len(standard)


@analysis.register_statistic("far_negative_frac", "share of tokens below −2 SD")
def far_negative_frac(layer):
    """Share of tokens more than two standard deviations below the neuron's mean."""
    values = layer.preactivation.astype("float32")
    return (values < values.mean("token") - 2 * values.std("token")).mean("token")


statistics = analysis.neuron_statistics(store.isel(checkpoint=[-1])).isel(checkpoint=0)
names = ["next_surprisal", "far_negative_frac"]
print(statistics[[*names, "wasserstein_distance"]].to_dataframe().groupby("layer")[names].mean().round(3).to_string())

# %% [markdown]
# **Against the Wasserstein distance.** A dot is a neuron, each layer in its colour. Where a cloud has no slope the statistic
# ranks neurons in its own way. A Gaussian has 2.3% of its mass below −2 SD (dotted), and both less and more of it make a
# distance: where the cloud is a wedge, a rank correlation does not say how closely the two are related, and that they are is
# arithmetic and no discovery.

# %%
with styled():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharex=True)
    for ax, name in zip(axes, names, strict=True):
        for index, (layer, part) in enumerate(statistics.groupby("layer", squeeze=False)):
            color = layer_color(index, statistics.sizes["layer"])
            ax.scatter(part.wasserstein_distance, part[name], s=6, lw=0, alpha=0.6, color=color, label=f"layer {layer}")
        ax.set(xlabel="Wasserstein distance to N(0, 1) (SD)", ylabel=statistics[name].long_name)
    axes[1].axhline(0.0228, color="black", ls=":", lw=1)
    axes[0].legend(markerscale=2)
    figure.suptitle("Two statistics of one's own beside the Wasserstein distance", fontsize=10.5)

# %% [markdown]
# **Selections.** The top 1% of each layer by the new statistic, and as many others drawn at random for a control. A file holds
# the model's name and the fingerprint of its weights, so that it cannot be applied to others by mistake.

# %%
top = {name: analysis.select(statistics[name], fraction=0.01) for name in (*names, "wasserstein_distance")}
control = analysis.select(statistics["next_surprisal"], fraction=0.01, rule="random", seed=0)
files = [selection.save(f"runs/next_surprisal/{selection.rule}.json") for selection in (top["next_surprisal"], control)]
masks = {name: selection.mask(statistics.layer.values) for name, selection in top.items()}
for name in names:
    shared = (masks[name] & masks["wasserstein_distance"]).sum()
    print(f"top 1% by {name}: {shared} of {masks[name].sum()} are Wasserstein neurons too")

# %% [markdown]
# **What the model loses.** The negative side of both cohorts is set to 0, one cohort at a time, and minimal pairs are asked
# with it. Dots are changes of accuracy against the intact model with 95% intervals; one that holds zero is no evidence of a
# change. There are few pairs here, and one draw of the control.

# %%
design = Design(
    store.attrs["model"],
    text=TextConfig("builtin-evaluation", tokens=2000),
    readouts=(MinimalPairs(per_paradigm=3),),
    cohorts=(CohortSpec("file", selection=tuple(map(str, files))),),
)
ablate(design, Path("runs/next_surprisal/ablation.zarr"), progress=False)
ablation = open_store("runs/next_surprisal/ablation.zarr")
accuracy = analysis.pair_accuracy(ablation, "phenomenon")
of_all = accuracy[(accuracy["phenomenon"] == "all") & (accuracy["intervention"] != "none")]
bounds = of_all[["delta_accuracy_lower", "delta_accuracy_upper"]]
with styled():
    figure, ax = plt.subplots(figsize=(6, 1.8), layout="constrained")
    rows = range(len(of_all))
    ax.hlines(rows, *bounds.values.T, color=COLORS["top"])
    ax.plot(of_all["delta_accuracy"], rows, "o", color=COLORS["top"], ms=5)
    ax.axvline(0, color="black", lw=0.6)
    ax.set_yticks(rows, of_all["cohort"])
    ax.set(xlabel="change of accuracy", ylabel="cohort", ylim=(-0.5, len(of_all) - 0.5), title="All phenomena")
print(analysis.perplexity_table(ablation)[["cohort", "perplexity", "perplexity_ratio"]].round(3).to_string(index=False))
