"""Statistics of stored pre-activations; needs no model and no torch.

>>> import analysis
>>> sorted(analysis.__all__)[:3]
['accuracy_by_phenomenon', 'class_separation', 'cohort_overlap']
"""

from analysis.ablation import accuracy_by_phenomenon, perplexity_table, probe_table, surprisal_by_upos, word_table
from analysis.atlas import neuron_atlas
from analysis.differentiation import cohort_table, most_differentiated, pair_differentiation, pair_labels
from analysis.dynamics import cohort_overlap, cohort_trajectory, emergence, weight_dissimilarity
from analysis.entanglement import entanglement, shape_statistics, wasserstein_distance
from analysis.explanation import explained_by_shape, rank_correlations
from analysis.mapping import mapping_difficulty
from analysis.neurons import histogram, neuron_statistics, neuron_table
from analysis.selection import select
from analysis.similarity import find_pairs
from analysis.transport import class_separation, distribution_distance, sliced_distance

__all__ = [
    "accuracy_by_phenomenon",
    "class_separation",
    "cohort_overlap",
    "cohort_table",
    "cohort_trajectory",
    "distribution_distance",
    "emergence",
    "entanglement",
    "explained_by_shape",
    "find_pairs",
    "histogram",
    "mapping_difficulty",
    "most_differentiated",
    "neuron_atlas",
    "neuron_statistics",
    "neuron_table",
    "pair_differentiation",
    "pair_labels",
    "perplexity_table",
    "probe_table",
    "rank_correlations",
    "select",
    "shape_statistics",
    "sliced_distance",
    "surprisal_by_upos",
    "wasserstein_distance",
    "weight_dissimilarity",
    "word_table",
]
