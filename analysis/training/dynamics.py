"""How entanglement grows over training.

Owns the story of fixed cohorts over checkpoints: their means, when they emerge, how cohorts of
different checkpoints overlap, and how far their weights are from settled. Checkpoints whose
weights repeat an earlier one are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import t as student

from actstore.errors import SelectionError, StoreError, UnknownNameError
from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, HIDDEN, LAYER, NEURON, NOT_A_DUPLICATE
from analysis.kernels.clusters import LEAST_CLUSTERS
from analysis.kernels.ranks import ranked
from analysis.kernels.resampling import mean_replicates

_LEAST_NEURONS = 5
"""With fewer, bounds of a step cover too seldom (of two neurons 84% at best)."""
ALL_LAYERS = -1
"""`layer` of a row over all layers."""
OTHER_CHECKPOINT = "other_checkpoint"
REFERENCES = ("last", "previous")


def cohort_trajectory(statistic: xr.DataArray, selection: Selection) -> pd.DataFrame:
    """Mean of a statistic in the selected neurons and in the rest, per checkpoint, by layer and over all layers.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), with `duplicate_of` on `checkpoint`.
    selection : Selection
        The cohort, fixed over checkpoints.

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer, cohort), and one over the neurons of all layers (`layer` −1):
        `mean`, in units of the statistic, and its 95% bounds over neurons `mean_lower` and
        `mean_upper` (Student's t); `n_neurons`, which are the `n_clusters` of the `cluster` neuron.
        Neurons without a value are left out. NaN: the mean of no neuron, the bounds of fewer than two.

    Raises
    ------
    SelectionError
        If the selection is for layers of another size.

    Notes
    -----
    The bounds are mean ± t s / √n, with s the sample standard deviation over n neurons and t the 97.5% quantile of
    Student's t with n − 1 degrees of freedom. The neurons' values come from one text, so they are about this text.
    """
    kept, mask = _cohort(statistic, selection)
    layers = (*map(int, kept[LAYER].values), ALL_LAYERS)
    return _cohort_means(
        (
            (int(step), layer, values, chosen)
            for step, by_layer in zip(kept[CHECKPOINT].values, kept.transpose(CHECKPOINT, LAYER, NEURON).values, strict=True)
            for layer, values, chosen in zip(layers, (*by_layer, by_layer.ravel()), (*mask, mask.ravel()), strict=True)
        ),
        selection.rule,
    )


def emergence(
    statistic: xr.DataArray, selection: Selection, *, least_gap: float = 0.5, n_replicates: int = 4000, seed: int = 0
) -> pd.DataFrame:
    r"""When the mean of a statistic over a cohort rises most steeply, and when half of its rise is done.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), checkpoints ascending, with `duplicate_of` on `checkpoint`.
    selection : Selection
        The cohort, fixed over checkpoints. Neurons without a value at every distinct checkpoint are
        left out.
    least_gap : float
        Doublings of 1 + step between the checkpoints that slopes are taken over; nearer ones are passed
        over: of an evenly spaced run the late ones, where noise over a small gap looks like a rise.
    n_replicates : int
        Of the mean curve over neurons.
    seed : int
        Of the replicates; a layer's bounds do not depend on the other layers.

    Returns
    -------
    DataFrame
        One row a layer with a neuron left, and one over the neurons of all layers (`layer` −1):

        - `step_from`, `step_to`: the neighbouring checkpoints with the steepest rise;
        - `rise`: the difference between their means, in units of the statistic;
        - `slope`: that rise per doubling of 1 + step; below 0 if the mean falls everywhere;
        - `half_rise_step`: the first checkpoint at which at least half of the way from the first mean to
          the last is done; NaN if the last is not above the first;
        - `…_lower`, `…_upper`: 95% bounds of `slope` (NaN for a single neuron), `step_to` and `half_rise_step` (NaN for fewer
          than five neurons, and where the bound is that the mean never rises, which counts as later than any step);
        - `n_neurons`, which are the `n_clusters` of the `cluster` neuron.

    Raises
    ------
    StoreError
        If there are fewer than two distinct checkpoints.
    SelectionError
        If the selection is for layers of another size, or no neuron of it is left.

    Notes
    -----
    With :math:`m_t` the cohort mean at step :math:`t`, the steepest rise is where

    .. math:: (m_{t'} - m_t) / (\log_2(1 + t') - \log_2(1 + t))

    is largest. Bounds of `slope` are Student's t over the neurons' slopes between these two steps; chosen as the largest,
    it is raised by noise. Bounds of a step are checkpoints, percentiles over replicates of the cohort's mean curve that
    vary as much as Student's t for so few neurons (`analysis.kernels.resampling`). Noise that all neurons share is in
    none of them. `half_rise_step` takes no differences of neighbours and uses every checkpoint. Memory is of the order
    of `n_replicates` · `n_neurons`.

    References
    ----------
    Kong et al. (2026), on training dynamics; Davison & Hinkley (1997), section 5.3.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from actstore import Selection
    >>> cohort = Selection({0: (0, 1)}, "top", "wasserstein_distance", 0.5, "m", "site", "", 7, 4)
    >>> statistic = xr.DataArray(
    ...     np.repeat([0.0, 0.1, 0.8, 1.0], 4).reshape(4, 1, 4),
    ...     {"checkpoint": [0, 1, 3, 7], "layer": [0], "duplicate_of": ("checkpoint", [-1] * 4)},
    ...     ("checkpoint", "layer", "neuron"),
    ... )
    >>> emergence(statistic, cohort)[["layer", "step_from", "step_to", "half_rise_step"]].values.tolist()
    [[0.0, 1.0, 3.0, 3.0], [-1.0, 1.0, 3.0, 3.0]]
    """
    kept, mask = _cohort(statistic, selection)
    steps = kept[CHECKPOINT].values
    if len(steps) < 2:
        raise StoreError("emergence needs at least two distinct checkpoints; extract with --checkpoints all or log")
    values = kept.transpose(CHECKPOINT, LAYER, NEURON).values
    mask = mask & ~np.isnan(values).any(axis=0)
    if not mask.any():
        raise SelectionError("no selected neuron has a value at every checkpoint; select neurons on the same store")
    cohorts = {int(layer): values[:, index, mask[index]] for index, layer in enumerate(kept[LAYER].values)}
    cohorts[ALL_LAYERS] = values[:, mask]
    rows = (
        {"layer": layer, **_emerged(of_layer, steps, least_gap, n_replicates, seed)}
        for layer, of_layer in cohorts.items()
        if of_layer.size
    )
    return _over_neurons(pd.DataFrame(rows))


def cohort_overlap(statistic: xr.DataArray, fraction: float = 0.01) -> xr.Dataset:
    r"""Share of a layer's top neurons that two checkpoints have in common.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), with `duplicate_of` on `checkpoint`.
    fraction : float
        Share of each layer that is its top, in (0, 1]: exactly `round(fraction * n_neurons)` neurons,
        ties by neuron, lowest first.

    Returns
    -------
    Dataset
        `overlap_frac` over (checkpoint, other_checkpoint, layer), 0 to 1, 1 of a checkpoint with
        itself; NaN where one of the two has fewer neurons with a value than are asked for. Attributes:
        `fraction`, and `chance`, the expected share for independent choices.

    Raises
    ------
    SelectionError
        If the fraction chooses no neuron, or more than all.

    Notes
    -----
    :math:`|A \cap B| / k` for the tops A and B of k of n neurons; independent ones share k / n on
    average.

    Examples
    --------
    >>> import xarray as xr
    >>> statistic = xr.DataArray(
    ...     [[[4.0, 3.0, 2.0, 1.0]], [[1.0, 4.0, 2.0, 3.0]]],
    ...     {"checkpoint": [0, 8], "layer": [0], "duplicate_of": ("checkpoint", [-1, -1])},
    ...     ("checkpoint", "layer", "neuron"),
    ... )
    >>> overlap = cohort_overlap(statistic, 0.5)
    >>> overlap["overlap_frac"].sel(checkpoint=0, layer=0).values.tolist(), overlap.chance
    ([1.0, 0.5], 0.5)
    """
    kept = _distinct(statistic).transpose(LAYER, CHECKPOINT, NEURON)
    n_neurons = kept.sizes[NEURON]
    n_top = round(fraction * n_neurons)
    if not 0 < n_top <= n_neurons:
        raise SelectionError(f"{fraction:g} of {n_neurons} neurons rounds to {n_top}; give a larger fraction, up to 1")
    tops = (_is_top(of_layer, n_top) for of_layer in kept.values)
    shared = np.stack([top @ top.T for top in tops], axis=-1) / n_top
    steps = kept[CHECKPOINT].values
    attrs = {"long_name": "share of the top neurons that are top at both checkpoints", "units": "1"}
    return xr.Dataset(
        {"overlap_frac": ((CHECKPOINT, OTHER_CHECKPOINT, LAYER), shared, attrs)},
        coords={CHECKPOINT: steps, OTHER_CHECKPOINT: steps, LAYER: kept[LAYER].values},
        attrs={"chance": n_top / n_neurons, "fraction": fraction},
    )


def weight_dissimilarity(neuron_weight: xr.DataArray, selection: Selection, *, reference: str = "last") -> pd.DataFrame:
    r"""Cosine dissimilarity of neurons' weights between checkpoints, in the selected neurons and in the rest.

    Parameters
    ----------
    neuron_weight : DataArray
        (checkpoint, layer, hidden, neuron), checkpoints ascending, with `duplicate_of` on `checkpoint`;
        any float dtype. May be lazy and larger than memory.
    selection : Selection
        The cohort, fixed over checkpoints.
    reference : str
        What each distinct checkpoint is compared with: the `last` one, or the `previous` one (the first has
        none, and no row).

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer, cohort): `mean` of 1 − cosine, 0 (same direction) to 2, 1 for
        orthogonal weights, and its 95% bounds over neurons `mean_lower` and `mean_upper` (Student's t);
        `n_neurons`, which are the `n_clusters` of the `cluster` neuron. Neurons whose weights are all zero have no direction
        and are left out. NaN: the mean of no neuron, the bounds of fewer than two.

    Raises
    ------
    UnknownNameError
        If there is no such reference.
    SelectionError
        If the selection is for layers of another size.

    Notes
    -----
    :math:`1 - w_t \cdot w_r / \sqrt{(w_t \cdot w_t)(w_r \cdot w_r)}` for the weights w of a neuron at
    steps t and r, summed in float64; bounds as in `cohort_trajectory`. Holds the weights of one layer
    at two checkpoints.

    References
    ----------
    Kong et al. (2026), on training dynamics.

    Examples
    --------
    >>> import xarray as xr
    >>> from actstore import Selection
    >>> cohort = Selection({0: (0,)}, "top", "wasserstein_distance", 0.5, "m", "site", "", 8, 2)
    >>> weight = xr.DataArray(
    ...     [[[[1.0, 1.0], [0.0, 1.0]]], [[[0.0, 2.0], [1.0, 2.0]]]],
    ...     {"checkpoint": [0, 8], "layer": [0], "duplicate_of": ("checkpoint", [-1, -1])},
    ...     ("checkpoint", "layer", "hidden", "neuron"),
    ... )
    >>> weight_dissimilarity(weight, cohort)[["checkpoint", "cohort", "mean"]].values.tolist()
    [[0, 'top', 1.0], [0, 'rest', 0.0], [8, 'top', 0.0], [8, 'rest', 0.0]]
    """
    if reference not in REFERENCES:
        raise UnknownNameError("reference", reference, REFERENCES)
    kept, mask = _cohort(neuron_weight, selection)
    steps = kept[CHECKPOINT].values
    parts = (
        (int(steps[number]), int(layer), dissimilarity, mask[index])
        for index, layer in enumerate(kept[LAYER].values)
        for number, dissimilarity in _turned(kept.isel({LAYER: index}), reference)
    )
    return _cohort_means(parts, selection.rule).sort_values([CHECKPOINT, LAYER], kind="stable", ignore_index=True)


def _distinct(array: xr.DataArray) -> xr.DataArray:
    return array.isel({CHECKPOINT: np.flatnonzero(array["duplicate_of"].values == NOT_A_DUPLICATE)})


def _cohort(array: xr.DataArray, selection: Selection) -> tuple[xr.DataArray, NDArray[np.bool]]:
    """The distinct checkpoints, and the selected neurons (layer, neuron)."""
    if selection.n_neurons_per_layer != array.sizes[NEURON]:
        raise SelectionError(
            f"the selection is for layers of {selection.n_neurons_per_layer} neurons, these have {array.sizes[NEURON]}; "
            "select neurons on the same store"
        )
    return _distinct(array), selection.mask(array[LAYER].values)


def _cohort_means(parts: Iterable[tuple[int, int, NDArray[Any], NDArray[np.bool]]], rule: str) -> pd.DataFrame:
    """Mean and its bounds over each cohort of (checkpoint, layer, values, chosen)."""
    rows = []
    for step, layer, values, mask in parts:
        for cohort, chosen in ((rule, mask), ("rest", ~mask)):
            inside = values[chosen]
            inside = inside[~np.isnan(inside)]
            rows.append((step, layer, cohort, *_mean_with_bounds(inside), len(inside)))
    columns = [CHECKPOINT, LAYER, "cohort", "mean", "mean_lower", "mean_upper", "n_neurons"]
    return _over_neurons(pd.DataFrame(rows, columns=columns))


def _mean_with_bounds(values: NDArray[Any]) -> tuple[float, float, float]:
    """Mean and its 95% bounds by Student's t."""
    n = len(values)
    mean = float(values.mean()) if n else np.nan
    reach = student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n >= LEAST_CLUSTERS else np.nan
    return mean, mean - reach, mean + reach


def _over_neurons(table: pd.DataFrame) -> pd.DataFrame:
    """With the columns that say what its intervals rest on."""
    return table.assign(n_clusters=table["n_neurons"], cluster="neuron")


def _emerged(
    values: NDArray[np.float64], steps: NDArray[np.int64], least_gap: float, n_replicates: int, seed: int
) -> dict[str, Any]:
    """Row of `emergence` of the neurons of a cohort (checkpoint, neuron)."""
    n_neurons = values.shape[1]
    curves = values.mean(axis=1)[None]
    if n_neurons >= _LEAST_NEURONS:
        curves = np.vstack([curves, mean_replicates(values.T, n_replicates, np.random.default_rng(seed))])
    found = _rises(curves, steps, least_gap)
    row = {name: of_curve[0] for name, of_curve in found.items()}
    tail = int(0.025 * n_replicates)
    for name in ("step_to", "half_rise_step"):
        ordered = np.sort(found[name][1:])  # NaN, never, comes last
        bounds = (ordered[tail], ordered[-1 - tail]) if len(ordered) else (np.nan, np.nan)
        row |= dict(zip((f"{name}_lower", f"{name}_upper"), bounds, strict=True))
    first, last = (int(np.flatnonzero(steps == row[name])[0]) for name in ("step_from", "step_to"))
    slopes = (values[last] - values[first]) / np.log2((1 + steps[last]) / (1 + steps[first]))
    _, row["slope_lower"], row["slope_upper"] = _mean_with_bounds(slopes)
    return row | {"n_neurons": n_neurons}


def _rises(means: NDArray[np.float64], steps: NDArray[np.int64], least_gap: float) -> dict[str, NDArray[Any]]:
    """Steepest rise of every curve (curve, checkpoint), and the step of half its way."""
    kept = _apart(np.log2(1 + steps), least_gap)
    rises = np.diff(means[:, kept], axis=1)
    slopes = rises / np.diff(np.log2(1 + steps[kept]))
    at, curve = slopes.argmax(axis=1), np.arange(len(means))
    done = means - means[:, :1]
    halfway = (done >= done[:, -1:] / 2).argmax(axis=1)
    return {
        "step_from": steps[kept][at],
        "step_to": steps[kept][at + 1],
        "rise": rises[curve, at],
        "slope": slopes[curve, at],
        "half_rise_step": np.where(done[:, -1] > 0, steps[halfway], np.nan),
    }


def _apart(places: NDArray[np.float64], least_gap: float) -> NDArray[np.int64]:
    """The first and the last place, and of those between them as many as are so far apart, the early ones first."""
    kept = [0]
    for index in range(1, len(places) - 1):
        if min(places[index] - places[kept[-1]], places[-1] - places[index]) >= least_gap:
            kept.append(index)
    return np.array([*kept, len(places) - 1])


def _is_top(values: NDArray[np.float64], n_top: int) -> NDArray[np.float64]:
    """1 for the highest of every row and 0 for the rest; NaN for a row with too few values."""
    top = np.zeros(values.shape)
    for of_row, row in zip(top, values, strict=True):
        chosen = ranked(row)[:n_top]
        of_row[chosen] = 1
        if len(chosen) < n_top:
            of_row[:] = np.nan
    return top


def _turned(weight: xr.DataArray, reference: str) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Number of a checkpoint and 1 − cosine of every neuron to the reference, for (checkpoint, hidden, neuron)."""

    def read(number: int) -> NDArray[Any]:
        one = weight.isel({CHECKPOINT: number}).compute()  # transposed only when it is in memory
        return one.transpose(HIDDEN, NEURON).values

    against = read(-1) if reference == "last" else None
    for number in range(weight.sizes[CHECKPOINT]):
        own = read(number)
        if against is not None:
            yield number, _dissimilarity(own, against)
        if reference == "previous":
            against = own


def _dissimilarity(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """1 − cosine of columns (hidden, neuron); NaN where one is zero."""
    ab, aa, bb = (np.einsum("hn,hn->n", *pair, dtype=np.float64) for pair in ((a, b), (a, a), (b, b)))
    with np.errstate(invalid="ignore"):
        return np.asarray(1 - ab / np.sqrt(aa * bb))
