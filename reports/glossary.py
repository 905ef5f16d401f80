"""The words of the page and what they mean; the same words as in the documentation's glossary, which has more."""

from __future__ import annotations

GLOSSARY = {
    "pre-activation": "What a neuron's non-linearity receives. What the non-linearity gives is the activation.",
    "non-linearity": (
        "The function that turns pre-activations into activations. GELU and SiLU are smooth: a negative pre-activation gives a "
        "small negative activation. ReLU gives 0 for every negative pre-activation."
    ),
    "negative side": "The part of a neuron's distribution below 0, and what the neuron does there.",
    "Wasserstein distance (WD)": (
        "How far the values of one distribution have to be moved, on average, to give another. The WD of a neuron is the "
        "distance between its pre-activations over a text, standardised to mean 0 and standard deviation 1, and N(0, 1). The "
        "unit is the standard deviation."
    ),
    "Wasserstein neuron": (
        "A neuron with one of the largest Wasserstein distances of its layer: the top 1%, unless another share is chosen."
    ),
    "mapping difficulty (MD)": (
        "The mean, over random pairs of tokens, of the distance between a neuron's two outputs, divided by the distance between "
        "the two inputs. High values mean that the neuron drives similar inputs apart."
    ),
    "similar pairs, matched pairs": (
        "Similar pairs are pairs of tokens whose MLP inputs are nearest neighbours. Matched pairs are alike in token "
        "frequency, position and spelling, but their inputs are dissimilar: they say what a neuron does by chance."
    ),
    "NN, PN, PP": ("The signs of a neuron's two pre-activations on a pair: both negative, one of each, both positive."),
    "cohort": "A set of neurons that is studied or edited together.",
    "ablation": "A run of the model with some neurons edited, and what it can no longer do.",
    "intervention": (
        "How pre-activations or activations are edited, and nothing else with them. The main one is negative-zero, which sets "
        "negative pre-activations to 0. Its mirror is positive-zero."
    ),
    "condition": "One intervention on one cohort. The condition none is the intact model, which is not edited.",
    "control": (
        "A condition that shows what an ablation would do anyway. It controls for one top cohort, and is compared with that "
        "alone."
    ),
    "random control": "As many neurons of each layer, drawn without the top ones.",
    "matched control": (
        "Other neurons whose statistics, for instance mean and standard deviation (the covariates), are as close to those of "
        "the top as possible."
    ),
    "perplexity-matched control": (
        "As many of the neurons with the smallest distance as raise perplexity like the top cohort does. It shows what else an "
        "equal loss of perplexity costs."
    ),
    "surprisal": (
        "−log p of a token or word given what comes before it, in nats (natural logarithm). High surprisal: the model did not "
        "expect it."
    ),
    "perplexity": "The exponential of the mean surprisal of a token.",
    "minimal pair": (
        "Two sentences that differ in little, one grammatical and one not. The model is right if it gives the grammatical one "
        "a higher probability."
    ),
    "paradigm, phenomenon": (
        "A paradigm is one template of minimal pairs; a phenomenon of grammar, such as agreement, has several paradigms."
    ),
    "probe": (
        "A multiple-choice test that needs memory and no grammar: facts of the embedded world, recall of a string in the "
        "context."
    ),
    "dissociation": "An ablation that costs one ability and spares another. It is double if a control does the opposite.",
    "scaffolding words, content words": (
        "Scaffolding words carry a sentence's structure: determiners, adpositions, auxiliaries, particles, pronouns, "
        "conjunctions and punctuation. Content words are nouns, names, verbs, adjectives, adverbs and numbers."
    ),
    "interval": "Bounds that hold the true value in 95% of samples.",
    "cluster": "Values that hang together, such as the tokens of one document. Intervals count clusters, not values.",
    "p-value, corrected": (
        "The chance of a result at least so strong if there were no effect. Many tests find something by chance, so p-values "
        "are corrected, by Holm or by Benjamini and Hochberg (then called q-values)."
    ),
    "mixed model": (
        "A regression with fixed effects, the same everywhere, and random effects, which differ by document or word type."
    ),
}
