"""What intervals and tests rest on, in words: how many clusters, and of what.

Owns the sentences of captions and limits on few clusters; the numbers are columns of the tables.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.kernels.clusters import FEW_CLUSTERS, LEAST_CLUSTERS
from reports.results import Results, Run, ablated
from reports.sentences import listed

_STUDENT = "Student's t"


def basis(*tables: pd.DataFrame, what: str = "Intervals", method: str = _STUDENT, also: str = "") -> str:
    """What a caption says of its intervals: method, clusters, draws, and whether these are few.

    Parameters
    ----------
    *tables : DataFrame
        Have `n_clusters` and `cluster`; `n_seeds` or `n_draws` where cohorts may have been drawn at random.
    what : str
        Intervals, bands or tests.
    method : str
    also : str
        What else varies in them.
    """
    units = _units(tables)
    over = listed([_counted(low, high, unit) for unit, (low, high) in units.items()])
    said = f"{what}: 95%, {method} over {over}{also}{_drawn(tables)}."
    fewest = min(low for low, _ in units.values())
    if fewest < LEAST_CLUSTERS:
        said += f" No interval where there is a single {_fewest_unit(units)}."
    elif fewest < FEW_CLUSTERS:
        said += f" Few: {_counted(fewest, fewest, _fewest_unit(units))}."
    return said


def _units(tables: Sequence[pd.DataFrame]) -> dict[str, tuple[int, int]]:
    """Fewest and most clusters of every unit."""
    rows = pd.concat([table[["cluster", "n_clusters"]] for table in tables])
    ranges = rows.groupby("cluster", sort=False)["n_clusters"].agg(["min", "max"])
    return {str(unit): (int(row["min"]), int(row["max"])) for unit, row in ranges.iterrows()}


def _fewest_unit(units: dict[str, tuple[int, int]]) -> str:
    return min(units, key=lambda unit: units[unit][0])


def _counted(low: int, high: int, unit: str) -> str:
    """`7 documents`, `20 to 50 items`."""
    return f"{f'{low:,}' if low == high else f'{low:,} to {high:,}'} {unit}{'' if high == 1 else 's'}"


def _drawn(tables: Sequence[pd.DataFrame]) -> str:
    """The draws of cohorts that were drawn several times."""
    draws = {int(n) for table in tables for name in ("n_seeds", "n_draws") if name in table for n in table[name] if n > 1}
    return f" and, where neurons were drawn at random, over {listed([str(n) for n in sorted(draws)])} draws" if draws else ""


def few_clusters(results: Results) -> list[str]:
    """Limits: every table that rests on few clusters, tests that cannot reject, and controls of few draws."""
    limits = []
    for kind, runs in (("model", results.models), ("ablation", results.ablations)):
        for name, run in runs.items():
            limits += _few_of_run(f"{kind} “{name}”", run)
    if limits:
        limits.append(
            f"Intervals over fewer than {FEW_CLUSTERS} clusters depend on Student's t and are wide; over one there is none."
        )
    for name, run in results.ablations.items():
        limits += _few_draws(name, run)
        limits += _hopeless_tests(name, run)
    return limits


def _few_of_run(place: str, run: Run) -> list[str]:
    """Tables of a run whose intervals rest on few clusters, by what and how many."""
    few: dict[str, list[str]] = {}
    for name, table in run.tables.items():
        if "n_clusters" in table and len(table):
            for unit, (low, _) in _units([table]).items():
                if low < FEW_CLUSTERS:
                    few.setdefault(_counted(low, low, unit), []).append(name)
    if not few:
        return []
    told = [f"{listed(names)} (as few as {count})" for count, names in few.items()]
    return [f"Few clusters in {place}: {'; '.join(told)}."]


def _few_draws(name: str, run: Run) -> list[str]:
    """Controls drawn at random, by how often."""
    table = ablated(run.tables["perplexity"])
    draws = table.loc[table["rule"] == "random", "n_seeds"]
    if draws.empty:
        return []
    if draws.min() == 1:
        return [f"In “{name}” a random control was drawn once: its intervals are of this draw, not of such draws."]
    n = int(draws.min())
    return (
        [f"In “{name}” random controls rest on {n} draws: {n} are few, and intervals are as wide as that."]
        if n < FEW_CLUSTERS
        else []
    )


def _hopeless_tests(name: str, run: Run) -> list[str]:
    """Paired tests of so few clusters that no outcome is significant."""
    if not run.has("paired_tests"):
        return []
    table = run.tables["paired_tests"]
    key = "phenomenon" if "phenomenon" in table else "paradigm"
    rows = list(dict.fromkeys(table.loc[table["least_p"] > 0.05, key].astype(str)))
    return (
        [f"In “{name}” paired tests of {listed(rows)} cannot be significant, whatever happens: too few clusters."]
        if rows
        else []
    )
