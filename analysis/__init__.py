"""Statistics of stored pre-activations; needs no model and no torch.

>>> import analysis
>>> sorted(analysis.__all__)[:3]
['Evidence', 'MixedModel', 'choice_margins']
"""

from typing import TYPE_CHECKING

from actstore.lazy import homes, loader

if TYPE_CHECKING:
    from actstore.selection.choosing import select as select
    from analysis.ablation.choices import choice_margins as choice_margins
    from analysis.ablation.contrasts import perplexity_contrasts as perplexity_contrasts
    from analysis.ablation.dissociation import dissociation as dissociation
    from analysis.ablation.minimal_pairs import pair_accuracy as pair_accuracy
    from analysis.ablation.minimal_pairs import pair_clusters as pair_clusters
    from analysis.ablation.minimal_pairs import pair_margins as pair_margins
    from analysis.ablation.minimal_pairs import paired_tests as paired_tests
    from analysis.ablation.overlap import text_overlap as text_overlap
    from analysis.ablation.readouts import readout_table as readout_table
    from analysis.ablation.registry import register_table as register_table
    from analysis.ablation.tables import edited_by_layer as edited_by_layer
    from analysis.ablation.tables import perplexity_table as perplexity_table
    from analysis.ablation.tables import probe_table as probe_table
    from analysis.ablation.tables import surprisal_by_upos as surprisal_by_upos
    from analysis.ablation.tables import task_table as task_table
    from analysis.ablation.trends import damage_trends as damage_trends
    from analysis.claims.contrasts import Evidence as Evidence
    from analysis.claims.table import claims_table as claims_table
    from analysis.claims.verdict import verdict as verdict
    from analysis.neurons.atlas import neuron_atlas as neuron_atlas
    from analysis.neurons.distance_contrasts import distance_contrasts as distance_contrasts
    from analysis.neurons.distribution import entanglement as entanglement
    from analysis.neurons.distribution import shape_statistics as shape_statistics
    from analysis.neurons.distribution import wasserstein_distance as wasserstein_distance
    from analysis.neurons.every_neuron import neuron_profiles as neuron_profiles
    from analysis.neurons.functional_share import functional_shares as functional_shares
    from analysis.neurons.mapping_difficulty import mapping_difficulty as mapping_difficulty
    from analysis.neurons.profiles import neuron_histograms as neuron_histograms
    from analysis.neurons.profiles import neuron_story as neuron_story
    from analysis.neurons.profiles import pairs_in_context as pairs_in_context
    from analysis.neurons.registry import register_statistic as register_statistic
    from analysis.neurons.statistics import histogram as histogram
    from analysis.neurons.statistics import neuron_statistics as neuron_statistics
    from analysis.neurons.statistics import neuron_table as neuron_table
    from analysis.pairs.contrasts import pair_contrasts as pair_contrasts
    from analysis.pairs.differentiation import cohort_table as cohort_table
    from analysis.pairs.differentiation import most_differentiated as most_differentiated
    from analysis.pairs.differentiation import pair_differentiation as pair_differentiation
    from analysis.pairs.explanation import explained_by_shape as explained_by_shape
    from analysis.pairs.explanation import rank_correlations as rank_correlations
    from analysis.pairs.functional import functional_differentiation as functional_differentiation
    from analysis.pairs.functional import functional_table as functional_table
    from analysis.pairs.labels import pair_labels as pair_labels
    from analysis.pairs.similarity import find_pairs as find_pairs
    from analysis.surprisal.fitting import fit_surprisal_model as fit_surprisal_model
    from analysis.surprisal.mixed_model import MixedModel as MixedModel
    from analysis.surprisal.models import control_pairs as control_pairs
    from analysis.surprisal.models import surprisal_curves as surprisal_curves
    from analysis.surprisal.models import surprisal_effects as surprisal_effects
    from analysis.surprisal.words import surprisal_table as surprisal_table
    from analysis.surprisal.words import word_table as word_table
    from analysis.training.cohorts import cohort_overlap as cohort_overlap
    from analysis.training.cohorts import cohort_trajectory as cohort_trajectory
    from analysis.training.emergence import emergence as emergence
    from analysis.training.rise import rise as rise
    from analysis.training.weights import weight_dissimilarity as weight_dissimilarity
    from analysis.transport.classes import class_separation as class_separation
    from analysis.transport.two_samples import distribution_distance as distribution_distance
    from analysis.transport.two_samples import sliced_distance as sliced_distance

_PUBLIC = {
    "actstore.selection.choosing": "select",
    "analysis.ablation.readouts": "readout_table",
    "analysis.ablation.registry": "register_table",
    "analysis.ablation.tables": "edited_by_layer perplexity_table probe_table surprisal_by_upos task_table",
    "analysis.ablation.choices": "choice_margins",
    "analysis.ablation.contrasts": "perplexity_contrasts",
    "analysis.ablation.trends": "damage_trends",
    "analysis.neurons.distance_contrasts": "distance_contrasts",
    "analysis.neurons.functional_share": "functional_shares",
    "analysis.pairs.contrasts": "pair_contrasts",
    "analysis.pairs.functional": "functional_differentiation functional_table",
    "analysis.training.rise": "rise",
    "analysis.claims.contrasts": "Evidence",
    "analysis.claims.table": "claims_table",
    "analysis.claims.verdict": "verdict",
    "analysis.neurons.atlas": "neuron_atlas",
    "analysis.pairs.differentiation": "cohort_table most_differentiated pair_differentiation",
    "analysis.pairs.labels": "pair_labels",
    "analysis.ablation.dissociation": "dissociation",
    "analysis.training.cohorts": "cohort_overlap cohort_trajectory",
    "analysis.training.emergence": "emergence",
    "analysis.training.weights": "weight_dissimilarity",
    "analysis.neurons.distribution": "entanglement shape_statistics wasserstein_distance",
    "analysis.pairs.explanation": "explained_by_shape rank_correlations",
    "analysis.ablation.minimal_pairs": "pair_accuracy pair_clusters pair_margins paired_tests",
    "analysis.neurons.every_neuron": "neuron_profiles",
    "analysis.neurons.mapping_difficulty": "mapping_difficulty",
    "analysis.surprisal.fitting": "fit_surprisal_model",
    "analysis.surprisal.mixed_model": "MixedModel",
    "analysis.neurons.registry": "register_statistic",
    "analysis.neurons.statistics": "histogram neuron_statistics neuron_table",
    "analysis.ablation.overlap": "text_overlap",
    "analysis.neurons.profiles": "neuron_histograms neuron_story pairs_in_context",
    "analysis.pairs.similarity": "find_pairs",
    "analysis.surprisal.models": "control_pairs surprisal_curves surprisal_effects",
    "analysis.transport.classes": "class_separation",
    "analysis.transport.two_samples": "distribution_distance sliced_distance",
    "analysis.surprisal.words": "surprisal_table word_table",
}
_HOMES = homes(_PUBLIC)
__all__ = sorted(_HOMES)
__getattr__ = loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
