"""The names, dims, units and versions of everything that is stored.

Owns every dimension, coordinate, variable and attribute name. Writers and
readers take names from here, so that both spell them alike. Imports neither torch nor
transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 2

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
    """One stored array: its dims, dtype and description."""

    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = "1"

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes stored with the array."""
        return {"long_name": self.long_name, "units": self.units}


FIELDS: dict[str, Field] = {
    # What the model computed.
    "preactivation": Field((CHECKPOINT, LAYER, TOKEN, NEURON), "float16", "MLP pre-activation: what the non-linearity receives"),
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
    # Ablation results.
    "intervention": Field((CONDITION,), "str", "edit of the pre-activation, none for the intact model"),
    "cohort": Field((CONDITION,), "str", "the edited neurons; draws of one cohort share it"),
    CONDITION: Field((CONDITION,), "str", "intervention and cohort"),
    "selection_seed": Field((CONDITION,), "int64", "seed of the neuron choice, -1 where there is none"),
    "rule": Field((CONDITION,), "str", "rule by which the edited neurons were chosen"),
    "statistic": Field((CONDITION,), "str", "statistic by which they were ranked"),
    "fraction": Field((CONDITION,), "float64", "fraction of neurons asked for, of each layer or of all"),
    "scope": Field((CONDITION,), "str", "whether neurons were ranked by layer, or all together"),
    "cohort_layers": Field((CONDITION,), "str", "layers that neurons were chosen in, first to last, or all"),
    "chosen_at": Field((CONDITION,), "str", "checkpoint whose statistics were ranked, same for the one that is ablated"),
    "controls": Field((CONDITION,), "str", "cohort that this one controls for, empty for none"),
    "tolerance": Field((CONDITION,), "float64", "greatest difference of a matched perplexity to its cohort's, relative to it, and within a tenth of the rise; NaN where none is matched"),
    "is_edited": Field((CHECKPOINT, CONDITION, LAYER, NEURON), "bool", "whether the neuron was edited"),
    "target_perplexity": Field((CHECKPOINT, CONDITION), "float64", "perplexity of the cohort that is controlled for, to be matched; NaN where none is"),
    "is_matched": Field((CHECKPOINT, CONDITION), "int8", "1 if perplexity is matched, 0 if it could not be, -1 where none is to be"),
    "ablated_surprisal": Field((CHECKPOINT, CONDITION, TOKEN), "float32", "surprisal under the condition; NaN where unscored", "nat"),
    "perplexity": Field((CHECKPOINT, CONDITION), "float64", "exponential of the mean surprisal per scored token"),
    "log_probability_good": Field((CHECKPOINT, CONDITION, PAIR), "float64", "total log-probability of the good sentence", "nat"),
    "log_probability_bad": Field((CHECKPOINT, CONDITION, PAIR), "float64", "total log-probability of the bad sentence", "nat"),
    "critical_log_probability_good": Field((CHECKPOINT, CONDITION, PAIR), "float64", "log-probability of the good sentence's critical region", "nat"),
    "critical_log_probability_bad": Field((CHECKPOINT, CONDITION, PAIR), "float64", "log-probability of the bad sentence's critical region", "nat"),
    "benchmark": Field((PAIR,), "str", "source of the minimal pair"),
    "n_tokens_good": Field((PAIR,), "int64", "scored tokens of the good sentence"),
    "n_tokens_bad": Field((PAIR,), "int64", "scored tokens of the bad sentence"),
    "n_critical_good": Field((PAIR,), "int64", "tokens in the good sentence's critical region, where the two differ"),
    "n_critical_bad": Field((PAIR,), "int64", "tokens in the bad sentence's critical region, where the two differ"),
    "phenomenon": Field((PAIR,), "str", "linguistic phenomenon of the minimal pair"),
    "paradigm": Field((PAIR,), "str", "paradigm (UID) of the minimal pair"),
    "sentence_good": Field((PAIR,), "str", "well-formed sentence"),
    "sentence_bad": Field((PAIR,), "str", "ill-formed sentence"),
    "log_probability_option": Field((CHECKPOINT, CONDITION, ITEM, OPTION), "float64", "log-probability of an option given its context", "nat"),
    "probe": Field((ITEM,), "str", "non-grammatical probe that the item belongs to"),
    "answer": Field((ITEM,), "int64", "index of the right option"),
    "task_score": Field((CHECKPOINT, CONDITION, SAMPLE), "float64", "score of one item of a task by one metric"),
    "task": Field((SAMPLE,), "str", "task of lm-evaluation-harness"),
    "task_item": Field((SAMPLE,), "int64", "item of the task"),
    "metric": Field((SAMPLE,), "str", "metric of the score"),
    # Analysis results.
    "wasserstein_distance": Field((CHECKPOINT, LAYER, NEURON), "float64", "1-Wasserstein distance of the standardised pre-activation to N(0, 1)", "standard deviation"),
    "negative_wasserstein_frac": Field((CHECKPOINT, LAYER, NEURON), "float64", "share of the Wasserstein integral on negative pre-activations"),
    "wasserstein_2_distance": Field((CHECKPOINT, LAYER, NEURON), "float64", "2-Wasserstein distance of the standardised pre-activation to N(0, 1)", "standard deviation"),
    "wasserstein_distance_all_positions": Field((CHECKPOINT, LAYER, NEURON), "float64", "1-Wasserstein distance with the first position of each window", "standard deviation"),
    "mean": Field((CHECKPOINT, LAYER, NEURON), "float64", "mean pre-activation"),
    "std": Field((CHECKPOINT, LAYER, NEURON), "float64", "population standard deviation of the pre-activation"),
    "skewness": Field((CHECKPOINT, LAYER, NEURON), "float64", "skewness of the pre-activation"),
    "excess_kurtosis": Field((CHECKPOINT, LAYER, NEURON), "float64", "excess kurtosis of the pre-activation"),
    "bimodality_coefficient": Field((CHECKPOINT, LAYER, NEURON), "float64", "Sarle's bimodality coefficient of the pre-activation"),
    "negative_frac": Field((CHECKPOINT, LAYER, NEURON), "float64", "fraction of tokens with a negative pre-activation"),
    "negative_mean": Field((CHECKPOINT, LAYER, NEURON), "float64", "mean of the negative pre-activations; NaN where there is none"),
    "mapping_difficulty": Field((CHECKPOINT, LAYER, NEURON), "float64", "mean normalised output distance over normalised input distance of random pairs"),
    "output_scale": Field((CHECKPOINT, LAYER, NEURON), "float64", "median output distance of the sampled pairs, N_y"),
    "input_scale": Field((CHECKPOINT, LAYER), "float64", "largest input distance of the sampled pairs, N_x"),
    "n_identical_pairs": Field((CHECKPOINT, LAYER), "int64", "sampled pairs with the same input, left out"),
}  # fmt: skip

TOKEN_COORDS = tuple(name for name, spec in FIELDS.items() if spec.dims == (TOKEN,))
