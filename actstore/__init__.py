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
    from actstore.ablation.design import CohortSpec as CohortSpec
    from actstore.ablation.design import Design as Design
    from actstore.ablation.design import Readouts as Readouts
    from actstore.ablation.design import Text as Text
    from actstore.ablation.design import load_design as load_design
    from actstore.ablation.run import ablate as ablate
    from actstore.ablation.run import applied as applied
    from actstore.errors import ActstoreError as ActstoreError
    from actstore.extraction.job import ExtractConfig as ExtractConfig
    from actstore.extraction.run import RunOptions as RunOptions
    from actstore.extraction.run import extract as extract
    from actstore.model.interventions import Intervention as Intervention
    from actstore.model.interventions import intervention as intervention
    from actstore.selection.choosing import select as select
    from actstore.selection.selection import Selection as Selection
    from actstore.store.opening import open_store as open_store
    from actstore.verification import verify as verify

_HOMES = homes(
    {
        "actstore.ablation.design": "CohortSpec Design Readouts Text load_design",
        "actstore.ablation.run": "ablate applied",
        "actstore.errors": "ActstoreError",
        "actstore.extraction.job": "ExtractConfig",
        "actstore.extraction.run": "RunOptions extract",
        "actstore.model.interventions": "Intervention intervention",
        "actstore.selection.choosing": "select",
        "actstore.selection.selection": "Selection",
        "actstore.store.opening": "open_store",
        "actstore.verification": "verify",
    }
)
__all__ = sorted(_HOMES)
__getattr__ = loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
