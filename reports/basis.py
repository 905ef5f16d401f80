"""What intervals and tests rest on, in words: how many clusters, and of what.

Owns the sentences of captions and limits on few clusters; the numbers are columns of the tables.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.kernels.clusters import FEW_CLUSTERS, LEAST_CLUSTERS
from analysis.rows import ablated
from reports.results import Results, Run
from reports.sentences import listed

_STUDENT = "Student's t"


def basis(*tables: pd.DataFrame, label: str = "Intervals", method: str = _STUDENT, also: str = "") -> str:
    """What a caption says of its intervals: method, clusters, draws, and whether these are few.

    Parameters
    ----------
    *tables : DataFrame
        Have `n_clusters` and `cluster`; `n_seeds` or `n_draws` where cohorts may have been drawn at random.
    label : str
        Intervals, bands or tests.
    method : str
    also : str
        What else they vary over.
    """
    units = _units(tables)
    counts = listed([_counted(low, high, unit) for unit, (low, high) in units.items()])
    text = f"{label}: 95% each, not adjusted for their number, {method} over {counts}{also}{_draws(tables)}."
    unit = min(units, key=lambda unit: units[unit][0])
    fewest, _ = units[unit]
    if fewest < LEAST_CLUSTERS:
        return f"{text} No interval where there is a single {unit}."
    return f"{text} Few: {_counted(fewest, fewest, unit)}." if fewest < FEW_CLUSTERS else text


def _units(tables: Sequence[pd.DataFrame]) -> dict[str, tuple[int, int]]:
    """Fewest and most clusters of every unit."""
    rows = pd.concat([table[["cluster", "n_clusters"]] for table in tables])
    ranges = rows.groupby("cluster", sort=False)["n_clusters"].agg(["min", "max"])
    return {str(unit): (int(row["min"]), int(row["max"])) for unit, row in ranges.iterrows()}


def _counted(low: int, high: int, unit: str) -> str:
    """`7 documents`, `20 to 50 items`."""
    return f"{f'{low:,}' if low == high else f'{low:,} to {high:,}'} {unit}{'' if high == 1 else 's'}"


def _draws(tables: Sequence[pd.DataFrame]) -> str:
    """How often cohorts were drawn at random, where more than once."""
    draws = {int(n) for table in tables for name in ("n_seeds", "n_draws") if name in table for n in table[name] if n > 1}
    return f" and, where neurons were drawn at random, over {listed([str(n) for n in sorted(draws)])} draws" if draws else ""


def no_width(table: pd.DataFrame, value: str, reference: float = 0.0) -> str:
    """What a caption says of intervals of no width, which have open dots; empty if there is none.

    Parameters
    ----------
    table : DataFrame
        Has `value`, its bounds and `cluster`.
    value : str
    reference : float
        Where "no effect" is.
    """
    rows = table[table[f"{value}_lower"] == table[f"{value}_upper"]]
    if rows.empty:
        return ""
    reasons = []
    if (rows[value] == reference).any():
        reasons.append("nothing at all changed, as every answer or token is that of the intact model")
    if (rows[value] != reference).any():
        reasons.append(f"the change is the same in every {listed(list(dict.fromkeys(rows['cluster'])))}")
    return f" Open dots have intervals of no width: {'; or '.join(reasons)}."


def few_clusters(results: Results) -> list[str]:
    """Limits of intervals over few clusters, of tests that cannot reject, and of controls with few draws."""
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


def _few_of_run(name: str, run: Run) -> list[str]:
    """Tables of a run whose intervals rest on few clusters, by number and unit of the clusters."""
    few: dict[str, list[str]] = {}
    for table_name, table in run.tables.items():
        if "n_clusters" in table and len(table):
            for unit, (low, _) in _units([table]).items():
                if low < FEW_CLUSTERS:
                    few.setdefault(_counted(low, low, unit), []).append(table_name)
    if not few:
        return []
    clauses = [f"{listed(names)} (as few as {count})" for count, names in few.items()]
    return [f"Few clusters in {name}: {'; '.join(clauses)}."]


def _few_draws(name: str, run: Run) -> list[str]:
    """Whether controls were drawn at random only a few times."""
    table = ablated(run.tables["perplexity"])
    draws = table.loc[table["rule"] == "random", "n_seeds"]
    n = int(draws.min()) if len(draws) else FEW_CLUSTERS
    if n >= FEW_CLUSTERS:
        return []
    if n == 1:
        return [f"In “{name}” a random control was drawn once: its intervals are of this draw, not of such draws."]
    return [f"In “{name}” random controls rest on {n} draws: {n} are few, and intervals are as wide as that."]


def _hopeless_tests(name: str, run: Run) -> list[str]:
    """Paired tests with so few clusters that no outcome is significant."""
    if not run.has("paired_tests"):
        return []
    table = run.tables["paired_tests"]
    key = "phenomenon" if "phenomenon" in table else "paradigm"
    names = list(dict.fromkeys(table.loc[table["least_p"] > 0.05, key].astype(str)))
    if not names:
        return []
    return [f"In “{name}” paired tests of {listed(names)} cannot be significant, whatever happens: too few clusters."]
