# %% [markdown]
# # Training dynamics
#
# When do the Wasserstein neurons of the last checkpoint become so, were others in their place before, and when do their weights
# settle? The cohort is the top 1% of each layer at the end, followed back in time: it was chosen for being high there, so part
# of its lead at the end is choice and not development. With 5 neurons a layer of one small model, this is a way of asking, no
# answer for others.

# %%
import os

import matplotlib.pyplot as plt

import analysis
from actstore import open_store
from reports.figures.curves import by_layer, training_axis
from reports.style import layer_color, styled

# Made by: actstore extract --model pico-neox --checkpoints all --tokens 8192 --store runs/store.zarr
STORE = os.environ.get("ACTSTORE_STORE", "runs/store.zarr")
store = open_store(STORE)
text = store.isel(token=(store.position > 0).values)
distance = analysis.wasserstein_distance(text.preactivation)  # (checkpoint, layer, neuron); a layer in memory at a time
cohort = analysis.select(distance.isel(checkpoint=-1), fraction=0.01)

# %% [markdown]
# **The cohort and the rest.** Mean distance of the cohort (solid, with 95% bounds over its neurons) and of all other neurons
# (dashed). Checkpoints that repeat earlier weights are left out by all of these functions; step 1 does, as the first step has a
# learning rate of 0.

# %%
trajectory = analysis.cohort_trajectory(distance, cohort)
with styled():
    figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    by_layer(trajectory, "mean Wasserstein distance (SD)", ax)
    figure.suptitle("The top 1% of the last checkpoint, and the rest", fontsize=10.5)

# %% [markdown]
# **Emergence.** Between which checkpoints the cohort's mean rises most steeply per doubling of the step, and where half of its
# rise is done, with bounds over neurons; layer −1 is all layers together. Both are no finer than the checkpoints in
# the store.

# %%
emerged = analysis.emergence(distance, cohort)
columns = ["layer", "step_from", "step_to", "rise", "half_rise_step", "half_rise_step_lower", "half_rise_step_upper"]
print(emerged[columns].round(3).to_string(index=False))

# %% [markdown]
# **Overlap and weights.** Left, the share of the final top 1% that was in the top 1% earlier; the dotted line is chance, and
# the lines are set apart a little so that all can be seen. Right, how far the neurons' weights point from where they end (1 −
# cosine; 1 is orthogonal), the cohort solid and the rest dashed. An overlap that rises only as the weights turn says that the
# neurons became what they are in training; it says nothing of why these.

# %%
overlap = analysis.cohort_overlap(distance, fraction=0.01)
with styled():
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for layer, part in overlap.overlap_frac.isel(other_checkpoint=-1).groupby("layer"):
        color = layer_color(int(layer), store.sizes["layer"])
        left.plot(part.checkpoint, part.squeeze("layer") + 0.008 * layer, "o-", ms=3, color=color, label=f"layer {layer}")
    left.axhline(overlap.chance, color="black", ls=":", lw=1)
    training_axis(left)
    left.set(ylabel="share of the final top 1%", title="Who was there before")
    left.legend()
    if "neuron_weight" in store:
        turned = analysis.weight_dissimilarity(store.neuron_weight, cohort)
        by_layer(turned, "1 − cosine to the last checkpoint", right).get_legend().remove()
        right.set_title("How far the weights are from the end")
    else:
        right.set_title(f"No weights: {store.site} is no linear map")
