# %% [markdown]
# # A statistic of your own
#
# Any number per neuron can rank neurons: compute it with xarray, hand it to `analysis.select`, and save a selection that the
# ablation runner takes. Here: how closely a neuron's pre-activation follows the surprisal of the *next* token, and how far its
# left tail reaches. The model is a small embedded one; the numbers are an example.

# %%
import os

import matplotlib.pyplot as plt
import xarray as xr
from scipy.stats import rankdata

import analysis
from actstore import open_store
from reports.style import layer_color, styled

# Made by: actstore extract --model pico-neox --checkpoints all --tokens 8192 --store runs/store.zarr
STORE = os.environ.get("ACTSTORE_STORE", "runs/store.zarr")
store = open_store(STORE)
final = store.isel(checkpoint=-1)

# %% [markdown]
# **The statistics.** The surprisal of token t + 1 stands beside the pre-activations of token t, which is what the model has
# when it foresees it; a window's last token has no next one, as the first of a window is not scored (NaN). Spearman's
# correlation is Pearson's of the ranks. Reductions over `token` keep the labels that a selection needs (checkpoint, fingerprint
# of the weights); name and model are ours to add.

# %%
coming = final.surprisal.load().shift(token=-1)
known = ((final.position > 0) & coming.notnull()).values
values = final.preactivation.isel(token=known).load().astype("float32")


def ranks(array: xr.DataArray) -> xr.DataArray:
    """Ranks over tokens, ties alike."""
    return xr.apply_ufunc(rankdata, array, input_core_dims=[["token"]], output_core_dims=[["token"]], kwargs={"axis": -1})


statistics = xr.Dataset({
    "next_surprisal": abs(xr.corr(ranks(values), ranks(coming.isel(token=known)), "token")),
    "far_negative_frac": (values < values.mean("token") - 2 * values.std("token")).mean("token"),
    "wasserstein_distance": analysis.wasserstein_distance(values),
})  # fmt: skip
print(statistics.to_dataframe()[list(statistics)].groupby("layer").corr("spearman").round(2).to_string())

# %% [markdown]
# **Against the Wasserstein distance.** A dot is a neuron, each layer in its colour. Where a cloud has no slope the statistic
# ranks neurons in its own way. A Gaussian has 2.3% of its mass below −2 SD (dotted), and both less and more of it make a
# distance: where the cloud is a wedge, the rank correlation above does not say how closely the two are related, and that they
# are is arithmetic and no discovery.

# %%
labels = {"next_surprisal": "|rank correlation| with the next surprisal", "far_negative_frac": "share of tokens below −2 SD"}
with styled():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharex=True)
    for ax, (name, label) in zip(axes, labels.items(), strict=True):
        for index, (layer, part) in enumerate(statistics.groupby("layer", squeeze=False)):
            color = layer_color(index, statistics.sizes["layer"])
            ax.scatter(part.wasserstein_distance, part[name], s=6, lw=0, alpha=0.6, color=color, label=f"layer {layer}")
        ax.set(xlabel="Wasserstein distance to N(0, 1) (SD)", ylabel=label)
    axes[1].axhline(0.0228, color="black", ls=":", lw=1)
    axes[0].legend(markerscale=2)
    figure.suptitle("Two statistics of one's own beside the Wasserstein distance", fontsize=10.5)

# %% [markdown]
# **A selection.** The top 1% of each layer by the new statistic, and as many others drawn at random for a control. A file holds
# the model's name and the fingerprint of its weights, so that it cannot be applied to others by mistake. What the model loses
# without them is then asked by
#
#     actstore ablate --model pico-neox --selection runs/next_surprisal/*.json --store runs/next_surprisal.zarr

# %%
ranked = {name: statistics[name].assign_attrs({key: store.attrs[key] for key in ("model", "site")}) for name in statistics}
top = {name: analysis.select(statistic, fraction=0.01) for name, statistic in ranked.items()}
control = analysis.select(ranked["next_surprisal"], fraction=0.01, rule="random", seed=0)
for selection in (top["next_surprisal"], control):
    print(selection.save(f"runs/next_surprisal/{selection.rule}.json"), selection.n_neurons, "neurons")
masks = {name: selection.mask(statistics.layer.values) for name, selection in top.items()}
for name in labels:
    shared = (masks[name] & masks["wasserstein_distance"]).sum()
    print(f"top 1% by {name}: {shared} of {masks[name].sum()} are Wasserstein neurons too")
