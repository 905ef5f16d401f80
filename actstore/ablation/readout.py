"""What a readout is: something that is measured of a model in every condition of an ablation, item by item.

A readout is a settings class that declares its options, the arrays it stores, and how it reads a model, in one place.
Those of this package lie in `actstore.ablation.readouts`; one's own lies in a plugin. Needs no torch until one is prepared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from actstore.errors import ActstoreError, UnknownNameError
from actstore.registry import Registry
from actstore.settings import build, located, table_of
from actstore.store.schema import CHECKPOINT, CONDITION, Field, declare

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HEAD = (CHECKPOINT, CONDITION)


@dataclass(frozen=True)
class Subject:
    """The model that a readout is prepared for.

    Attributes
    ----------
    tokenizer : PreTrainedTokenizerBase
    context : int
        The most tokens that it takes at once.
    """

    tokenizer: PreTrainedTokenizerBase
    context: int

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Token ids of each text, after BOS (EOS where there is none).

        Raises
        ------
        CorpusError
            If a text is longer than the context.
        """
        from actstore.model import scoring

        return scoring.encode(self.tokenizer, texts, self.context)


@dataclass(frozen=True)
class Reading:
    """A readout prepared for a model.

    Attributes
    ----------
    labels : mapping of str to array
        The coordinates of its items, each over one dim.
    read : callable (model) → mapping of str to array
        Gives the value of every array for the model as it is, without the dims of checkpoint and condition.
    sizes : mapping of str to int
        Of dims that have no coordinate.
    """

    labels: Mapping[str, NDArray[Any]]
    read: Callable[[PreTrainedModel], Mapping[str, Any]]
    sizes: Mapping[str, int] = field(default_factory=dict)


class Readout(ABC):
    """Base of readouts: a class with `@register_readout` above `@with_settings`, whose fields are its options.

    Attributes
    ----------
    name : str
        Of its table in a design, `[readouts.NAME]`.
    fields : mapping of str to Field
        The arrays it stores: values over (checkpoint, condition, …), and the coordinates of its items. A dim of its own may
        have any name that no other has.
    is_default : bool
        Whether a design without `[readouts]` has it.

    Examples
    --------
    >>> import torch
    >>> from actstore import Field, Reading, Readout, register_readout, setting, with_settings
    >>> @register_readout
    ... @with_settings
    ... class NextToken(Readout):
    ...     "Log-probability of the most likely next token after some prompts."
    ...     name = "next_token"
    ...     fields = {
    ...         "prompt": Field(("prompt",), "str", "text before the token"),
    ...         "next_log_probability": Field(("checkpoint", "condition", "prompt"), "float64", "of the best token", "nat"),
    ...     }
    ...     prompts: tuple[str, ...] = setting("texts to continue", default=("The",), is_some=True)
    ...
    ...     def prepare(self, subject):
    ...         inputs = [torch.as_tensor(ids)[None] for ids in subject.encode(self.prompts)]
    ...         def read(model):
    ...             logits = [model(input_ids=ids).logits[0, -1].float() for ids in inputs]
    ...             return {"next_log_probability": [float(values.log_softmax(-1).max()) for values in logits]}
    ...         return Reading({"prompt": list(self.prompts)}, read)
    """

    name: ClassVar[str]
    fields: ClassVar[Mapping[str, Field]]
    is_default: ClassVar[bool] = False

    def check(self) -> None:  # noqa: B027  # nothing to check is the rule
        """Refuse what is not there, before anything is computed; downloads nothing.

        Raises
        ------
        ActstoreError
            If something it names is missing.
        """

    @property
    def attrs(self) -> dict[str, str]:
        """Attributes of a store that has it."""
        return {}

    @property
    def summary(self) -> str:
        """What its items are, in words, as the report's methods say after their number."""
        return f"items of the readout {self.name}"

    @abstractmethod
    def prepare(self, subject: Subject) -> Reading | None:
        """What reads a model; None if the options ask for nothing.

        Raises
        ------
        ActstoreError
            If an item does not fit the model.
        """


R = TypeVar("R", bound=type[Readout])
READOUTS: Registry[type[Readout]] = Registry("readout", "actstore.ablation.readouts")


def register_readout(kind: R) -> R:
    """Register a readout by its name, and declare the arrays that it stores.

    Parameters
    ----------
    kind : subclass of Readout

    Raises
    ------
    ActstoreError
        If another module has registered that name, or a stored name is taken.
    """
    own = {name: replace(spec, readout=kind.name) if spec.dims[:2] == _HEAD else spec for name, spec in kind.fields.items()}
    declare(own, kind.__module__)
    kind.fields = own
    READOUTS.add(kind.name, kind, kind.__module__)
    return kind


def default_readouts() -> tuple[Readout, ...]:
    """The readouts of a design that names none."""
    return tuple(kind() for kind in READOUTS.entries.values() if kind.is_default)


def readouts_of(tables: Any, path: str | Path, where: str = "") -> tuple[Readout, ...]:
    """The readouts that a `[readouts]` table names, each with its options.

    Parameters
    ----------
    tables : mapping of str to mapping
        Name of the readout → its options.
    path, where
        As in `actstore.settings.build`.

    Raises
    ------
    ActstoreError
        If there is no such readout, or an option is wrong.
    """
    place = f"readouts of {where}" if where else "[readouts]"
    if not isinstance(tables, dict):
        raise ActstoreError(f"{located(path, 'readouts')}: {place} must be a table, got {tables!r}")
    unknown = next((name for name in tables if name not in READOUTS.entries), None)
    if unknown is not None:
        raise UnknownNameError("readout", unknown, READOUTS.entries, located(path, unknown))
    return tuple(
        build(READOUTS[name], table, path, f"readouts.{name} of {where}" if where else f"[readouts.{name}]")
        for name, table in tables.items()
    )


def readout_tables(readouts: Sequence[Readout]) -> dict[str, Any]:
    """The `[readouts]` table that names these."""
    return {readout.name: table_of(readout) for readout in readouts}


def shapes(readout: Readout, reading: Reading) -> dict[str, tuple[int, ...]]:
    """The arrays that a readout fills, without the dims of checkpoint and condition."""
    sizes = dict(reading.sizes)
    for name, values in reading.labels.items():
        sizes[readout.fields[name].dims[0]] = len(np.asarray(values))
    values_of = {name: spec.dims[2:] for name, spec in readout.fields.items() if spec.dims[:2] == _HEAD}
    return {name: tuple(sizes[dim] for dim in dims) for name, dims in values_of.items()}
