"""Statistics of stored pre-activations; needs no model and no torch.

>>> import analysis
>>> sorted(analysis.__all__)[:3]
['MixedModel', 'class_separation', 'cohort_overlap']
"""

from actstore.selection import select
from analysis.ablation import edited_by_layer, perplexity_table, probe_table, surprisal_by_upos, task_table
from analysis.atlas import neuron_atlas
from analysis.differentiation import cohort_table, most_differentiated, pair_differentiation, pair_labels
from analysis.dissociation import dissociation
from analysis.dynamics import cohort_overlap, cohort_trajectory, emergence, weight_dissimilarity
from analysis.entanglement import entanglement, shape_statistics, wasserstein_distance
from analysis.explanation import explained_by_shape, rank_correlations
from analysis.grammar import pair_accuracy, pair_clusters, pair_margins, paired_tests
from analysis.mapping import mapping_difficulty
from analysis.mixed_model import MixedModel
from analysis.neurons import histogram, neuron_statistics, neuron_table
from analysis.overlap import text_overlap
from analysis.profiles import neuron_histograms, neuron_story, pairs_in_context
from analysis.similarity import find_pairs
from analysis.surprisal import control_pairs, fit_surprisal_model, surprisal_curves, surprisal_effects
from analysis.transport import class_separation, distribution_distance, sliced_distance
from analysis.words import surprisal_table, word_table

__all__ = [
    "MixedModel",
    "class_separation",
    "cohort_overlap",
    "cohort_table",
    "cohort_trajectory",
    "control_pairs",
    "dissociation",
    "distribution_distance",
    "edited_by_layer",
    "emergence",
    "entanglement",
    "explained_by_shape",
    "find_pairs",
    "fit_surprisal_model",
    "histogram",
    "mapping_difficulty",
    "most_differentiated",
    "neuron_atlas",
    "neuron_histograms",
    "neuron_statistics",
    "neuron_story",
    "neuron_table",
    "pair_accuracy",
    "pair_clusters",
    "pair_differentiation",
    "pair_labels",
    "pair_margins",
    "paired_tests",
    "pairs_in_context",
    "perplexity_table",
    "probe_table",
    "rank_correlations",
    "select",
    "shape_statistics",
    "sliced_distance",
    "surprisal_by_upos",
    "surprisal_curves",
    "surprisal_effects",
    "surprisal_table",
    "task_table",
    "text_overlap",
    "wasserstein_distance",
    "weight_dissimilarity",
    "word_table",
]
