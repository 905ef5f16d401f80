# %% [markdown]
# # An intervention and a readout of your own
#
# An intervention is a function of pre-activations; a readout is a class that asks the model something under every condition.
# One of each is registered here and used in an ablation of the Wasserstein neurons of a small embedded model. It needs torch.
# Few sentences and few subjects show how to look, not what is so.

# %%
import os
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import torch

import actstore
import analysis
from actstore import CohortSpec, Design, Field, Reading, Readout, TextConfig, setting
from reports.style import COLORS, CYCLE, printable, styled

# Made by: actstore extract --model pico-neox --checkpoints all --tokens 8192 --store runs/store.zarr
STORE = os.environ.get("ACTSTORE_STORE", "runs/store.zarr")
store = actstore.open_store(STORE)

# %% [markdown]
# **The intervention.** GELU is lowest at about −0.75, and nearly 0 far below it. So a neuron can tell negative values apart,
# and *floor*, which raises everything below a bound to it, takes that away for the far ones: at −0.75 their output becomes that
# of the dip. Negative-zero instead makes all of them 0. The bound is a keyword-only argument, so a design writes `floor:-0.75`.


# %%
@actstore.register_intervention("floor")
def floor(preactivation, *, at):
    """`max(a, at)`."""
    return preactivation.clamp(min=at)


print(floor(torch.tensor([-3.0, -0.5, 2.0]), at=-0.75))

# %% [markdown]
# **The readout.** After a subject, how much likelier is the right one of *is* and *are*? The noun nearest to the verb is of the
# other number. The fields of the class are its options; `fields` says what is stored, with a coordinate for every item;
# `prepare` tokenizes once, and what it gives reads the model as it is under a condition.


# %%
@actstore.register_readout
@actstore.with_settings
class Agreement(Readout):
    """How much likelier the verb of the right number is than that of the wrong one, after some subjects."""

    name = "agreement"
    fields: ClassVar = {
        "subject": Field(("subject",), "str", "text before the verb"),
        "agreement_margin": Field(("checkpoint", "condition", "subject"), "float64", "log p(right) − log p(wrong)", "nat"),
    }
    singular: tuple[str, ...] = setting("subjects of is", default=("The clerk near the guests", "The aunt behind the boys"))
    plural: tuple[str, ...] = setting("subjects of are", default=("The clerks near the guest", "The aunts behind the boy"))

    def prepare(self, subject):
        """Tokens of every subject after BOS, and of both verbs."""
        tokenizer = subject.tokenizer
        subjects = [*self.singular, *self.plural]
        inputs = [torch.tensor([[tokenizer.bos_token_id, *tokenizer(text).input_ids]]) for text in subjects]
        verbs = [tokenizer(verb).input_ids[0] for verb in (" is", " are")]
        sign = np.repeat([1, -1], [len(self.singular), len(self.plural)])

        def read(model):
            logits = [model(input_ids=ids.to(model.device)).logits[0, -1, verbs].float() for ids in inputs]
            return {"agreement_margin": sign * [float(is_ - are) for is_, are in logits]}

        return Reading({"subject": subjects}, read)


# %% [markdown]
# **The ablation.** Both interventions on the top 1% of each layer and on as many neurons drawn at random. A design is the same
# in Python as in a file.

# %%
distance = analysis.wasserstein_distance(store.isel(checkpoint=-1, token=(store.position > 0).values).preactivation)
top, control = analysis.select(distance, 0.01), analysis.select(distance, 0.01, "random", seed=0)
files = [selection.save(f"runs/floor/{selection.rule}.json") for selection in (top, control)]
design = Design(
    store.attrs["model"],
    interventions=("negative-zero", "floor:-0.75"),
    text=TextConfig("builtin-evaluation", tokens=1500),
    readouts=(Agreement(),),
    cohorts=(CohortSpec("file", selection=tuple(map(str, files))),),
)
actstore.ablate(design, Path("runs/floor/ablation.zarr"), progress=False)
ablation = actstore.open_store("runs/floor/ablation.zarr").isel(checkpoint=0)
margins = ablation.agreement_margin
with styled():
    figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
    height = 0.8 / margins.sizes["condition"]
    for index, label in enumerate(margins.condition.values):
        rows = np.arange(margins.sizes["subject"]) + index * height
        ax.barh(rows, margins.sel(condition=label), height, color=[COLORS["none"], *CYCLE][index], label=label)
    ax.set_yticks(np.arange(margins.sizes["subject"]) + 2 * height, margins.subject.values)
    ax.set(xlabel="log p(right verb) − log p(wrong verb) (nats)", ylabel="subject", title="Agreement under every condition")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="none: the intact model")

# %% [markdown]
# **A few sentences.** Change of every token's surprisal against the intact model, in nats: above zero the token has become less
# expected. Where both edits do the same, it may be the difference among negative values that the model misses; where they do
# not, the level that these are put to matters too.

# %%
edits = {name: f"{name} of top 1%" for name in ("negative-zero", "floor:-0.75")}
change = ablation.ablated_surprisal - ablation.ablated_surprisal.sel(condition="none", drop=True)
sentences = [change.isel(token=(change.sentence == number).values) for number in (0, 1, 2)]
with styled():
    figure, axes = plt.subplots(len(sentences), 1, figsize=(8, 2.3 * len(sentences)), layout="constrained", sharey=True)
    for ax, sentence in zip(axes, sentences, strict=True):
        index = np.arange(sentence.sizes["token"])
        for shift, (name, label), color in zip((-0.2, 0.2), edits.items(), (COLORS["top"], CYCLE[0]), strict=True):
            ax.bar(index + shift, sentence.sel(condition=label), 0.4, color=color, label=name)
        ax.axhline(0, color="black", lw=0.6)
        ax.set_xticks(index, map(printable, sentence.token_text.values), rotation=45, ha="right")
        ax.set(ylabel="change (nats)")
    axes[-1].set_xlabel("token")
    axes[0].set_title("Change of surprisal under two interventions on the same neurons")
    axes[0].legend()

# %% [markdown]
# **The whole text.** One row a word and condition, and a mixed model with random intercepts for word type and document. Dots
# are the mean changes for each class of words (scaffolding: determiners, prepositions, auxiliaries and their like), all else
# alike, with the model's 95% intervals; one that holds zero is no evidence of a change. The robust intervals in the table make
# fewer assumptions; where the two disagree, trust neither far. `print(fitted)` shows the whole fit and its warnings.

# %%
table = analysis.surprisal_table(actstore.open_store("runs/floor/ablation.zarr"))
table = table[table["word_class"] != "other"]
fitted = analysis.fit_surprisal_model(table, "delta ~ condition * word_class + log_frequency", n_replicates=200)
means = fitted.marginal_means(["condition", "word_class"])
labels = list(dict.fromkeys(means["condition"]))
with styled():
    figure, ax = plt.subplots(figsize=(7, 0.5 * len(labels) + 1.5), layout="constrained")
    for shift, (name, part), color in zip((-0.12, 0.12), means.groupby("word_class", observed=True), CYCLE, strict=False):
        rows = [labels.index(label) + shift for label in part["condition"]]
        ax.errorbar(part["estimate"], rows, xerr=part["upper"] - part["estimate"], fmt="o", ms=4, color=color, label=name)
    ax.axvline(0, color="black", lw=0.6)
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xlabel="change of surprisal (nats a word)", ylabel="condition", title="By class of word, over the whole text")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
print(means[["condition", "word_class", "estimate", "lower", "upper", "robust_lower", "robust_upper"]].round(3).to_string())
