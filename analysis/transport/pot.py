"""POT, loaded without the array libraries that it would import on its own."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

_BACKENDS = {"torch": "PYTORCH", "jax": "JAX", "cupy": "CUPY", "tensorflow": "TENSORFLOW"}


@cache
def pot() -> Any:
    """The module `ot`. By default it imports every array library that is installed, torch among them; here it does not."""
    unused = [f"POT_BACKEND_DISABLE_{name}" for library, name in _BACKENDS.items() if library not in sys.modules]
    added = {key: "1" for key in unused if key not in os.environ}
    os.environ.update(added)
    try:
        import ot
    finally:
        for key in added:
            os.environ.pop(key, None)
    return ot
