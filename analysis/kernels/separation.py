"""How much of the separation of pairs the negative side of a non-linearity contributes, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from analysis.kernels.activations import Activation
from analysis.kernels.parallel import blocks, workers

_BLOCK_ROWS = 16


class Shares(NamedTuple):
    """Shares of a separation, and how they depend on clusters of tokens."""

    share: NDArray[np.float64]
    """(neuron,) NaN for a neuron that separates no pair."""
    moves: NDArray[np.float64]
    """(neuron, cluster) Derivatives of the shares by each cluster's weight; 0 columns without clusters."""


class Activations(NamedTuple):
    """What the next layer receives of every neuron at every token (neuron, token)."""

    whole: NDArray[np.float32]
    """From the pre-activations as they are."""
    positive: NDArray[np.float32]
    """From max(a, 0): the negative side is zero."""

    @classmethod
    def of(cls, values: NDArray[np.floating], activation: Activation) -> Activations:
        """From pre-activations (neuron, token)."""
        whole = activation(values.astype(np.float64)).astype(np.float32)
        return cls(whole, np.where(values > 0, whole, np.float32(activation(np.zeros(1))[0])))

    def take(self, neurons: NDArray[np.bool_] | slice) -> Activations:
        """Those of some neurons."""
        return Activations(self.whole[neurons], self.positive[neurons])


def separation_shares(activations: Activations, pairs: NDArray[np.int64], cluster: NDArray[np.intp] | None = None) -> Shares:
    r"""Share of every neuron's separation of pairs that negative-zero removes.

    Parameters
    ----------
    activations : Activations
    pairs : int array (pair, 2)
        Tokens of each pair.
    cluster : int array (token,), optional
        From 0; a pair's weight is the product of the weights of both tokens' clusters.

    Notes
    -----
    A pair (a, b) is separated by :math:`d = |\sigma(a) - \sigma(b)|`, and by
    :math:`d_0 = |\sigma(\max(a, 0)) - \sigma(\max(b, 0))|` where the negative side is zero. The share is
    :math:`\sum (d - d_0) / \sum d`: 0 under a ReLU, 1 for a neuron whose pairs are all negative. Time is of order
    neurons × pairs.
    """
    first, second = np.ascontiguousarray(pairs.T)
    ends = None if cluster is None else _ends(cluster[pairs], int(cluster.max()) + 1)

    def of_neurons(neurons: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        parts = activations.take(neurons)
        distance, kept = (np.abs(part.take(first, axis=1) - part.take(second, axis=1)) for part in parts)
        total = distance.sum(axis=1, dtype=np.float64)
        removed = np.subtract(distance, kept, out=kept)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(total > 0, removed.sum(axis=1, dtype=np.float64) / total, np.nan)
            if ends is None:
                return share, np.empty((len(share), 0))
            removed -= np.nan_to_num(share)[:, None].astype(np.float32) * distance
            return share, np.asarray((ends.T @ removed.T).T / total[:, None], np.float64)

    of_blocks = list(workers().map(of_neurons, blocks(len(activations.whole), _BLOCK_ROWS)))
    return Shares(*(np.concatenate([part[index] for part in of_blocks]) for index in (0, 1)))


def _ends(cluster: NDArray[np.intp], n_clusters: int) -> csr_array:
    """(pair, cluster) How many ends of each pair are in each cluster."""
    rows = np.repeat(np.arange(len(cluster)), 2)
    return csr_array((np.ones(cluster.size, np.float32), (rows, cluster.ravel())), shape=(len(cluster), n_clusters))
