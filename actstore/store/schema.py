"""The names, dims, units and versions of what is stored.

Owns the dims and the names that extraction and every ablation store. A readout or a statistic declares its own fields beside
its code (`declare`). Writers and readers take names from here, so that both spell them alike. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actstore.errors import ActstoreError

SCHEMA_VERSION = 3

CHECKPOINT, LAYER, TOKEN, NEURON, HIDDEN = "checkpoint", "layer", "token", "neuron", "hidden"
CONDITION, PAIR, ITEM, OPTION, SAMPLE = "condition", "pair", "item", "option", "sample"

NO_WORD = -1
"""`word`, `sentence` of a token that belongs to none (BOS, white space)."""
NOT_A_DUPLICATE = -1
"""`duplicate_of` of a checkpoint whose weights no earlier checkpoint has."""
BASELINE = "none"
"""The condition without an intervention."""


@dataclass(frozen=True)
class Field:
    """One stored array.

    Attributes
    ----------
    dims : tuple of str
    dtype : str
        Of numpy, or `str`.
    long_name, units : str
        What it is, and in what.
    readout : str
        The readout of an ablation that fills it; empty for none.
    """

    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = "1"
    readout: str = ""

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes stored with the array."""
        return {"long_name": self.long_name, "units": self.units} | ({"readout": self.readout} if self.readout else {})


TOLERANCE = (
    "greatest difference of a matched perplexity to its target's, relative to it, and within a tenth of the rise; NaN where "
    "none is matched"
)
FIELDS: dict[str, Field] = {
    # What the model computed.
    "preactivation": Field(
        (CHECKPOINT, LAYER, TOKEN, NEURON), "float16", "MLP pre-activation: what the non-linearity receives"
    ),
    "mlp_input": Field((CHECKPOINT, LAYER, TOKEN, HIDDEN), "float16", "MLP input after the block's normalisation"),
    "neuron_weight": Field((CHECKPOINT, LAYER, HIDDEN, NEURON), "float16", "weights by which the neuron reads the MLP input"),
    "surprisal": Field((CHECKPOINT, TOKEN), "float32", "surprisal of the token given its window; NaN where unscored", "nat"),
    # Coordinates of the axes.
    CHECKPOINT: Field((CHECKPOINT,), "int64", "training step of the checkpoint", "step"),
    LAYER: Field((LAYER,), "int64", "transformer block, from 0"),
    NEURON: Field((NEURON,), "int64", "neuron within its layer, from 0"),
    "revision": Field((CHECKPOINT,), "str", "revision or folder that the weights were loaded from"),
    "weights_fingerprint": Field((CHECKPOINT,), "str", "BLAKE2b digest of all weights as loaded"),
    "duplicate_of": Field((CHECKPOINT,), "int64", "earliest checkpoint with the same weights, -1 if none", "step"),
    "token_id": Field((TOKEN,), "int64", "vocabulary index"),
    "token_text": Field((TOKEN,), "str", "decoded text of the token"),
    "document": Field((TOKEN,), "int64", "document, from 0"),
    "sentence": Field((TOKEN,), "int64", "sentence, counted through the corpus, -1 for none"),
    "word": Field((TOKEN,), "int64", "word, counted through the corpus, -1 for none"),
    "word_form": Field((TOKEN,), "str", "the word that the token is a piece of"),
    "window": Field((TOKEN,), "int64", "window (one forward pass), counted through the corpus"),
    "position": Field((TOKEN,), "int64", "position within the window; 0 is BOS"),
    "upos": Field((TOKEN,), "str", "universal part of speech of the word, empty if unknown"),
    "deprel": Field((TOKEN,), "str", "universal dependency relation of the word, empty if unknown"),
    "depth": Field((TOKEN,), "int64", "arcs between the word and the root of its sentence, -1 if unknown"),
    "is_scored": Field((TOKEN,), "bool", "whether the token has a surprisal"),
    # Conditions of an ablation: what tells one from another, in columns, and labels for display.
    CONDITION: Field((CONDITION,), "str", "intervention and cohort, for display"),
    "intervention": Field((CONDITION,), "str", "edit of the pre-activation, none for the intact model"),
    "cohort": Field((CONDITION,), "str", "the edited neurons, for display; draws of one cohort share it"),
    "rule": Field((CONDITION,), "str", "rule by which the edited neurons were chosen"),
    "statistic": Field((CONDITION,), "str", "statistic by which they were ranked"),
    "fraction": Field((CONDITION,), "float64", "fraction of neurons asked for, of each layer or of all"),
    "scope": Field((CONDITION,), "str", "layer: ranked layer by layer; all: ranked together"),
    "first_layer": Field((CONDITION,), "int64", "first layer that neurons were chosen in, -1 for the intact model"),
    "last_layer": Field((CONDITION,), "int64", "last layer that neurons were chosen in, -1 for the intact model"),
    "chosen_at": Field((CONDITION,), "str", "checkpoint whose statistics were ranked; same: the one that is ablated"),
    "target_scope": Field((CONDITION,), "str", "scope of the top cohort that this one controls for, empty for none"),
    "selection_seed": Field((CONDITION,), "int64", "seed of the neuron choice, -1 where there is none"),
    "tolerance": Field((CONDITION,), "float64", TOLERANCE),
    "is_edited": Field((CHECKPOINT, CONDITION, LAYER, NEURON), "bool", "whether the neuron was edited"),
    "target_perplexity": Field((CHECKPOINT, CONDITION), "float64", "perplexity to be matched; NaN where none is"),
    "is_matched": Field((CHECKPOINT, CONDITION), "int8", "1: perplexity is matched, 0: it could not be, -1: it was not to be"),
    # Measured under every condition on the text of the design; other readouts declare theirs beside their code.
    "ablated_surprisal": Field(
        (CHECKPOINT, CONDITION, TOKEN), "float32", "surprisal under the condition; NaN where unscored", "nat"
    ),
    "perplexity": Field((CHECKPOINT, CONDITION), "float64", "exponential of the mean surprisal per scored token"),
}

TOKEN_COORDS = tuple(name for name, spec in FIELDS.items() if spec.dims == (TOKEN,))


_OWNERS: dict[str, str] = {}
"""Stored name → the module that declared it, beside those above."""


def declare(fields: Mapping[str, Field], module: str) -> None:
    """Add the fields of a readout or statistic to the names that may be stored; a module may change its own.

    Raises
    ------
    ActstoreError
        If a name is taken by another module.
    """
    for name, spec in fields.items():
        taken, owner = FIELDS.get(name), _OWNERS.get(name)
        if taken is not None and owner != module:
            raise ActstoreError(f"the stored name {name!r} is taken ({taken.long_name}); give {spec.long_name!r} another")
        FIELDS[name], _OWNERS[name] = spec, module
