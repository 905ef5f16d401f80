"""Non-linearities of MLPs on plain arrays, by the names that model configurations use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

Activation = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x * ndtr(x))


def _gelu_tanh(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _silu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x * expit(x))


ACTIVATIONS: dict[str, Activation] = {
    "gelu": _gelu,
    "gelu_python": _gelu,
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_accurate"), _gelu_tanh),
    "quick_gelu": lambda x: np.asarray(x * expit(1.702 * x)),
    **dict.fromkeys(("silu", "swish"), _silu),
    "relu": lambda x: np.maximum(x, 0),
}
"""Name, as in a store's attribute `nonlinearity` → function.

References: Hendrycks and Gimpel (2016) for GELU and its two approximations; Elfwing et al. (2018) for SiLU.
"""
