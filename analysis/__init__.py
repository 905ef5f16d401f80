"""Statistics of stored pre-activations; needs no model and no torch.

>>> import analysis
>>> sorted(analysis.__all__)[:3]
['MixedModel', 'class_separation', 'cohort_overlap']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actstore.selection import select as select
    from analysis.ablation import edited_by_layer as edited_by_layer
    from analysis.ablation import perplexity_table as perplexity_table
    from analysis.ablation import probe_table as probe_table
    from analysis.ablation import surprisal_by_upos as surprisal_by_upos
    from analysis.ablation import task_table as task_table
    from analysis.atlas import neuron_atlas as neuron_atlas
    from analysis.differentiation import cohort_table as cohort_table
    from analysis.differentiation import most_differentiated as most_differentiated
    from analysis.differentiation import pair_differentiation as pair_differentiation
    from analysis.differentiation import pair_labels as pair_labels
    from analysis.distribution import entanglement as entanglement
    from analysis.distribution import shape_statistics as shape_statistics
    from analysis.distribution import wasserstein_distance as wasserstein_distance
    from analysis.double_dissociation import dissociation as dissociation
    from analysis.dynamics import cohort_overlap as cohort_overlap
    from analysis.dynamics import cohort_trajectory as cohort_trajectory
    from analysis.dynamics import emergence as emergence
    from analysis.dynamics import weight_dissimilarity as weight_dissimilarity
    from analysis.explanation import explained_by_shape as explained_by_shape
    from analysis.explanation import rank_correlations as rank_correlations
    from analysis.grammar import pair_accuracy as pair_accuracy
    from analysis.grammar import pair_clusters as pair_clusters
    from analysis.grammar import pair_margins as pair_margins
    from analysis.grammar import paired_tests as paired_tests
    from analysis.mapping import mapping_difficulty as mapping_difficulty
    from analysis.mixed_model import MixedModel as MixedModel
    from analysis.neurons import histogram as histogram
    from analysis.neurons import neuron_statistics as neuron_statistics
    from analysis.neurons import neuron_table as neuron_table
    from analysis.overlap import text_overlap as text_overlap
    from analysis.profiles import neuron_histograms as neuron_histograms
    from analysis.profiles import neuron_story as neuron_story
    from analysis.profiles import pairs_in_context as pairs_in_context
    from analysis.similarity import find_pairs as find_pairs
    from analysis.surprisal import control_pairs as control_pairs
    from analysis.surprisal import fit_surprisal_model as fit_surprisal_model
    from analysis.surprisal import surprisal_curves as surprisal_curves
    from analysis.surprisal import surprisal_effects as surprisal_effects
    from analysis.transport import class_separation as class_separation
    from analysis.transport import distribution_distance as distribution_distance
    from analysis.transport import sliced_distance as sliced_distance
    from analysis.words import surprisal_table as surprisal_table
    from analysis.words import word_table as word_table

_PUBLIC = {
    "actstore.selection": "select",
    "analysis.ablation": "edited_by_layer perplexity_table probe_table surprisal_by_upos task_table",
    "analysis.atlas": "neuron_atlas",
    "analysis.differentiation": "cohort_table most_differentiated pair_differentiation pair_labels",
    "analysis.double_dissociation": "dissociation",
    "analysis.dynamics": "cohort_overlap cohort_trajectory emergence weight_dissimilarity",
    "analysis.distribution": "entanglement shape_statistics wasserstein_distance",
    "analysis.explanation": "explained_by_shape rank_correlations",
    "analysis.grammar": "pair_accuracy pair_clusters pair_margins paired_tests",
    "analysis.mapping": "mapping_difficulty",
    "analysis.mixed_model": "MixedModel",
    "analysis.neurons": "histogram neuron_statistics neuron_table",
    "analysis.overlap": "text_overlap",
    "analysis.profiles": "neuron_histograms neuron_story pairs_in_context",
    "analysis.similarity": "find_pairs",
    "analysis.surprisal": "control_pairs fit_surprisal_model surprisal_curves surprisal_effects",
    "analysis.transport": "class_separation distribution_distance sliced_distance",
    "analysis.words": "surprisal_table word_table",
}
_HOMES = {name: module for module, names in _PUBLIC.items() for name in names.split()}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """A public name, its module loaded when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
