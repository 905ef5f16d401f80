# %% [markdown]
# # An intervention of your own
#
# An intervention is a function of pre-activations. Here one is defined, put on the Wasserstein neurons of a small embedded
# model, and compared with the intact model and with negative-zero on a few sentences; then an ablation already computed is
# asked about all of its text. This notebook alone needs torch. A few sentences show how to look, not what is so.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

import analysis
from actstore import Intervention, applied, intervention, open_store
from actstore.model import scoring, sources
from reports.style import COLORS, CYCLE, printable, styled

# Made as in the README: actstore ablate designs/dissociation.toml --store runs/dissociation.zarr
ABLATION = os.environ.get("ACTSTORE_ABLATION", "runs/dissociation.zarr")
ablation = open_store(ABLATION).isel(checkpoint=[-1])
condition = "negative-zero/top-0.01"
edited = ablation.is_edited.sel(condition=condition).squeeze("checkpoint")
neurons = {int(layer): np.flatnonzero(edited.sel(layer=layer)).tolist() for layer in edited.layer}

# %% [markdown]
# **The intervention.** GELU is lowest at about −0.75, and nearly 0 far below it. So a neuron can tell negative values apart,
# and *floor*, which raises everything below −0.75 to it, takes that away for the far ones: their output becomes that of the
# dip. Negative-zero instead makes all of them 0. An edit of the activation would set `edits_activation`.

# %%
floor = Intervention("floor", lambda preactivation: preactivation.clamp(min=-0.75))
source = sources.resolve(ablation.attrs["model"])
model, tokenizer = sources.load(source, int(ablation.checkpoint[-1]), torch.float32), sources.load_tokenizer(source)
inside = ablation.isel(token=(ablation.sentence >= 0).values)
sentences = inside.token_text.to_series().groupby(inside.sentence.values).agg("".join)
texts = [text.strip() for text in sentences.iloc[:30] if 30 < len(text) < 60][:3]  # of the evaluation text
sequences = scoring.encode(tokenizer, texts, scoring.context_length(model))
surprisal = {"intact": scoring.sequence_surprisals(model, sequences)}
for change in (intervention("negative-zero"), floor):
    with applied(model, change, neurons):  # as it was on leaving
        surprisal[change.name] = scoring.sequence_surprisals(model, sequences)

# %% [markdown]
# **A few sentences.** Change of every token's surprisal against the intact model, in nats: above zero the token has become less
# expected. Where both edits do the same, it may be the difference among negative values that the model misses; where they do
# not, the level that these are put to matters too.

# %%
with styled():
    figure, axes = plt.subplots(len(texts), 1, figsize=(8, 2.3 * len(texts)), layout="constrained", sharey=True)
    for ax, sequence, index in zip(axes, sequences, range(len(texts)), strict=True):
        place = np.arange(len(sequence) - 1)
        for shift, name, color in ((-0.2, "negative-zero", COLORS["top"]), (0.2, "floor", CYCLE[0])):
            ax.bar(place + shift, surprisal[name][index] - surprisal["intact"][index], 0.4, color=color, label=name)
        ax.axhline(0, color="black", lw=0.6)
        ax.set_xticks(place, [printable(tokenizer.decode([token])) for token in sequence[1:]], rotation=45, ha="right")
        ax.set(ylabel="change (nats)")
    axes[-1].set_xlabel("token")
    axes[0].set_title("Change of surprisal under two interventions on the same neurons")
    axes[0].legend()

# %% [markdown]
# **The same from cached data.** One row a word of the whole evaluation text and condition, and a mixed model with random
# intercepts for word type and document. Dots are the mean changes for each class of words (scaffolding: determiners,
# prepositions, auxiliaries and their like), all else alike, with the model's 95% intervals; one that holds zero is no evidence
# of a change. The robust intervals in the table make fewer assumptions; where the two disagree, trust neither far.
# `print(fitted)` shows the whole fit and its warnings.

# %%
table = analysis.surprisal_table(ablation)
table = table[(table["intervention"] == "negative-zero") & (table["word_class"] != "other")]
fitted = analysis.fit_surprisal_model(table, "delta ~ condition * word_class + log_frequency", n_replicates=200)
means = fitted.marginal_means(["condition", "word_class"])
conditions = list(dict.fromkeys(means["condition"]))
with styled():
    figure, ax = plt.subplots(figsize=(7, 0.5 * len(conditions) + 1.5), layout="constrained")
    for shift, (name, part), color in zip((-0.12, 0.12), means.groupby("word_class", observed=True), CYCLE, strict=False):
        place = [conditions.index(label) + shift for label in part["condition"]]
        ax.errorbar(part["estimate"], place, xerr=part["upper"] - part["estimate"], fmt="o", ms=4, color=color, label=name)
    ax.axvline(0, color="black", lw=0.6)
    ax.set_yticks(range(len(conditions)), conditions)
    ax.set(xlabel="change of surprisal (nats a word)", ylabel="condition", title="By class of word, over the whole text")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
print(means[["condition", "word_class", "estimate", "lower", "upper", "robust_lower", "robust_upper"]].round(3).to_string())
