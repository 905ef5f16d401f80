"""A registry of the tables of an ablation: each is one function, registered where it is written.

`actstore tables` writes every table that a store supports. A readout without a table of its own is in `readouts.csv`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import xarray as xr

from actstore.registry import Registry


class TableOptions(NamedTuple):
    """What the user says of all tables: as in `pair_accuracy`, `paired_tests` and `dissociation`."""

    score: str
    correction: str
    margin: float


Compute = Callable[[xr.Dataset, TableOptions], pd.DataFrame]


@dataclass(frozen=True)
class AblationTable:
    """A registered table: the array that a store must have, the readout that it is of, and its function."""

    needs: str
    readout: str
    compute: Compute


TABLES: Registry[AblationTable] = Registry("table of an ablation", "analysis.ablation")


def register_table(name: str, *, needs: str = "perplexity", readout: str = "") -> Callable[[Compute], Compute]:
    """Register a function as a table of ablations, `NAME.csv`.

    Parameters
    ----------
    name : str
        Of the file.
    needs : str
        The array that a store must have.
    readout : str
        The readout that the table is of: it is then left out of `readouts.csv`.

    Returns
    -------
    callable
        A decorator that gives the function back. The function takes an ablation store and `TableOptions`; an empty table is
        not written.

    Raises
    ------
    ActstoreError
        If another module has registered that name.
    """

    def register(compute: Compute) -> Compute:
        TABLES.add(name, AblationTable(needs, readout, compute), compute.__module__)
        return compute

    return register
