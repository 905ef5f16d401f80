"""Stored pre-activations of language models: extraction, the store, selections, ablation.

The only package that touches a model. Importing it loads neither torch nor transformers; a name
that needs them loads them when it is asked for.

>>> import actstore
>>> actstore.intervention("negative-zero").name
'negative-zero'
"""

from typing import TYPE_CHECKING

from actstore.lazy import homes, loader

if TYPE_CHECKING:
    from actstore.ablation.applied import applied as applied
    from actstore.ablation.design import CohortSpec as CohortSpec
    from actstore.ablation.design import Design as Design
    from actstore.ablation.design import load_design as load_design
    from actstore.ablation.readout import Reading as Reading
    from actstore.ablation.readout import Readout as Readout
    from actstore.ablation.readout import Subject as Subject
    from actstore.ablation.readout import register_readout as register_readout
    from actstore.ablation.readouts.minimal_pairs import MinimalPairs as MinimalPairs
    from actstore.ablation.readouts.probes import Probes as Probes
    from actstore.ablation.readouts.tasks import Tasks as Tasks
    from actstore.ablation.run import ablate as ablate
    from actstore.config import ExtractConfig as ExtractConfig
    from actstore.config import RunConfig as RunConfig
    from actstore.config import TextConfig as TextConfig
    from actstore.errors import ActstoreError as ActstoreError
    from actstore.extraction.run import RunOptions as RunOptions
    from actstore.extraction.run import extract as extract
    from actstore.model.families import Adapter as Adapter
    from actstore.model.families import register_family as register_family
    from actstore.model.interventions import Intervention as Intervention
    from actstore.model.interventions import intervention as intervention
    from actstore.model.interventions import register_intervention as register_intervention
    from actstore.selection.choosing import select as select
    from actstore.selection.selection import Selection as Selection
    from actstore.settings import setting as setting
    from actstore.settings import with_settings as with_settings
    from actstore.store.opening import open_store as open_store
    from actstore.store.schema import Field as Field
    from actstore.verification import verify as verify

_HOMES = homes(
    {
        "actstore.ablation.applied": "applied",
        "actstore.ablation.design": "CohortSpec Design load_design",
        "actstore.ablation.readout": "Reading Readout Subject register_readout",
        "actstore.ablation.readouts.minimal_pairs": "MinimalPairs",
        "actstore.ablation.readouts.probes": "Probes",
        "actstore.ablation.readouts.tasks": "Tasks",
        "actstore.ablation.run": "ablate",
        "actstore.config": "ExtractConfig RunConfig TextConfig",
        "actstore.errors": "ActstoreError",
        "actstore.extraction.run": "RunOptions extract",
        "actstore.model.families": "Adapter register_family",
        "actstore.model.interventions": "Intervention intervention register_intervention",
        "actstore.selection.choosing": "select",
        "actstore.selection.selection": "Selection",
        "actstore.settings": "setting with_settings",
        "actstore.store.opening": "open_store",
        "actstore.store.schema": "Field",
        "actstore.verification": "verify",
    }
)
__all__ = sorted(_HOMES)
__getattr__ = loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
