"""Statistics of stored pre-activations; needs no model and no torch.

>>> import analysis
>>> sorted(analysis.__all__)[:3]
['accuracy_by_phenomenon', 'cohort_trajectory', 'entanglement']
"""

from analysis.ablation import accuracy_by_phenomenon, perplexity_table, probe_table, surprisal_by_upos, word_table
from analysis.dynamics import cohort_trajectory
from analysis.entanglement import entanglement, wasserstein_distance
from analysis.selection import select

__all__ = [
    "accuracy_by_phenomenon",
    "cohort_trajectory",
    "entanglement",
    "perplexity_table",
    "probe_table",
    "select",
    "surprisal_by_upos",
    "wasserstein_distance",
    "word_table",
]
