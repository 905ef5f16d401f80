"""Whether what a study or design names is there: known before anything is computed, with no download.

Owns these checks. Imports neither torch nor transformers, unless spaCy or tasks are named.
"""

from __future__ import annotations

from functools import cache

from actstore.ablation.design import FILE, Design
from actstore.config import ANY_PIPELINE, NO_WORDS
from actstore.errors import ActstoreError
from actstore.model import sources
from actstore.model.checkpoints import LocalCheckpoint
from actstore.selection.statistics import SAME
from actstore.text.corpus import BUILTIN, WIKITEXT, locate


def check_model(name: str) -> None:
    """Refuse a model that is no embedded one, folder, file, short name or hub repository.

    Raises
    ------
    UnknownNameError, ModelError
        If it is none of these, or a path that holds no model.
    """
    sources.resolve(name, connect=False)


def check_checkpoints(name: str, spec: str) -> list[int] | None:
    """Refuse checkpoints that a model does not have, where those that it has are known without a download.

    Returns
    -------
    list of int or None
        The training steps; None where only the hub knows them.

    Raises
    ------
    UnknownNameError, ModelError
        If they cannot be read, or none of them is there.
    """
    source = sources.resolve(name, connect=False)
    if source.entry is not None or all(isinstance(checkpoint, LocalCheckpoint) for checkpoint in source.checkpoints.values()):
        return sources.choose_checkpoints(source, spec)
    return None


def check_chosen_steps(design: Design, extracted: str) -> None:
    """Refuse a design that chooses neurons at a checkpoint without statistics.

    Parameters
    ----------
    design : Design
    extracted : str
        The checkpoints of the design's model that statistics are made of, as `--checkpoints` takes them.

    Raises
    ------
    ActstoreError
        If one is not among these, as far as the training steps are known without a download.
    """
    ablated, available = (check_checkpoints(design.model, spec) for spec in (design.checkpoints, extracted))
    if ablated is None or available is None:
        return
    chosen_at = {step for spec in design.cohorts if spec.rule != FILE for step in spec.checkpoint}
    steps = {step for step in ablated if SAME in chosen_at} | {int(step) for step in chosen_at if step.isdecimal()}
    missing = sorted(steps.difference(available))
    if missing:
        raise ActstoreError(
            f"it chooses neurons at {'steps' if missing[1:] else 'step'} {', '.join(map(str, missing))} of {design.model}, of "
            f"which nothing is extracted; name them in the checkpoints of the study, which are {extracted}"
        )


def check_corpus(name: str) -> None:
    """Refuse a corpus that has no name of its own and is no path.

    Raises
    ------
    UnknownNameError
        If there is nothing there.
    """
    if name not in BUILTIN and name not in WIKITEXT:
        locate(name)


@cache  # loading takes seconds, and the ablations of a study name the same
def check_tagger(pipeline: str) -> None:
    """Refuse a spaCy pipeline that is not installed.

    Raises
    ------
    CorpusError
        If it is named and not there.
    """
    if pipeline not in (ANY_PIPELINE, NO_WORDS):
        from actstore.text.tagging import Tagger

        Tagger(pipeline)


def check_design(design: Design) -> None:
    """Refuse a design that names a model, text, minimal pairs or task folder that is not there.

    Selection files are read when the design unfolds (`actstore.ablation.design.conditions`), and the statistics
    by the ablation, as a study computes them first.

    Raises
    ------
    ActstoreError
        If one is missing; the message names it.
    """
    check_checkpoints(design.model, design.checkpoints)
    check_corpus(design.text.corpus)
    check_tagger(design.text.spacy)
    for readout in design.readouts:
        readout.check()
