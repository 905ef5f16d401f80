# %% [markdown]
# # A tour of a store
#
# A store holds what one model computed on one text: every MLP pre-activation, with labels. It is a Zarr group that opens as an
# xarray Dataset, and neither the model nor torch is needed to read it. This one is of a small embedded model on an artificial
# English; what it shows need not hold for large models.

# %%
import os

import matplotlib.pyplot as plt

import analysis
from actstore import open_store
from reports.style import COLORS, printable, styled

# Made by: actstore extract --model pico-neox --checkpoints all --tokens 8192 --store runs/store.zarr
STORE = os.environ.get("ACTSTORE_STORE", "runs/store.zarr")
store = open_store(STORE)
store

# %% [markdown]
# **What is in it.** The dims have names, so nothing is indexed by place. The coordinates on `token` say what each token is; the
# attributes say where everything came from. Opening reads the labels alone: the arrays stay on disk until their values are
# asked for.

# %%
for name, array in store.data_vars.items():
    print(f"{name:<14} {dict(array.sizes)}, {array.nbytes / 2**20:.0f} MiB: {array.attrs['long_name']}")
print({key: store.attrs[key] for key in ("model", "nonlinearity", "corpus", "dtype", "bos_policy")})
store[["token_text", "word_form", "upos", "deprel", "sentence", "position"]].isel(token=slice(0, 12)).to_dataframe()

# %% [markdown]
# **Selecting.** `sel` goes by label, `isel` by place, and a boolean array keeps tokens. Only what is selected is read. The
# first position of every window is BOS, which is no text, so it is left out before anything is averaged. Values are float16 on
# disk; sums want more.

# %%
final = store.isel(checkpoint=-1, token=(store.position > 0).values)  # still lazy
sample = final.preactivation.sel(neuron=slice(0, 63)).load().astype("float32")  # read here: (layer, token, neuron)
by_upos = sample.groupby("upos").mean()  # (layer, upos, neuron)
print("share of negative values by layer:", (sample < 0).mean(["token", "neuron"]).values.round(2))
print("neuron 7, mean by part of speech:", by_upos.sel(layer=1, neuron=7, upos=["DET", "NOUN", "VERB"]).values.round(2))

# %% [markdown]
# **Surprisal by part of speech.** A word may be several tokens: its surprisal is their sum, and it counts once. The boxes are
# the quartiles over words, the whiskers reach 1.5 times as far, and words beyond them are not drawn. The order says which words
# this model finds hard to foresee; content words have more rivals, so that is no measure of how well it knows them. X are
# made-up words.

# %%
tokens = final[["surprisal"]].to_dataframe().query("is_scored and word >= 0")
words = tokens.groupby("word").agg({"surprisal": "sum", "upos": "first"})
groups = {upos: part["surprisal"] for upos, part in words.groupby("upos") if len(part) >= 10}
order = sorted(groups, key=lambda upos: groups[upos].median())
with styled():
    figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
    labels = [f"{upos} ({len(groups[upos])})" for upos in order]
    ax.boxplot([groups[upos] for upos in order], tick_labels=labels, orientation="horizontal", showfliers=False)
    ax.set(xlabel="surprisal (nats a word)", ylabel="part of speech (words)", title="Surprisal by part of speech")

# %% [markdown]
# **One neuron over a sentence.** The neuron of layer 1 whose distribution is furthest from Gaussian, beside one at the median,
# both in standard deviations from their means over the text. (Layer 0 of this model sees each token by itself, so there a
# neuron is a function of the token.) A single sentence is an illustration and no evidence; notebook 2 asks over all tokens.

# %%
of_layer = final.preactivation.sel(layer=1).load().astype("float32")
distance = analysis.wasserstein_distance(of_layer)
ranked = distance.sortby(distance, ascending=False).neuron.values  # one array in the order of another
values = of_layer.sel(neuron=[ranked[0], ranked[len(ranked) // 2]])
standard = (values - values.mean("token")) / values.std("token")  # broadcast by name
sentence = standard.isel(token=(standard.sentence == 3).values)
with styled():
    figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for color, neuron in zip((COLORS["top"], COLORS["rest"]), sentence.neuron.values, strict=True):
        label = f"neuron {neuron}, distance {distance.sel(neuron=neuron):.2f}"
        ax.plot(sentence.sel(neuron=neuron).values, "o-", color=color, lw=1, ms=4, label=label)
    ax.axhline(0, color="black", lw=0.6)
    ax.set_xticks(range(sentence.sizes["token"]), map(printable, sentence.token_text.values), rotation=45, ha="right")
    ax.set(xlabel="token", ylabel="pre-activation (SD from its mean)", title="Two neurons of layer 1 over one sentence")
    ax.legend()
