"""The public names of `actstore` and `analysis` with their signatures, one a line."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import actstore
import analysis

FILE = Path(__file__).parent / "reference" / "public_api.txt"


def text() -> str:
    """All of them as they are now."""
    names = [(package, name) for package in (actstore, analysis) for name in package.__all__]
    return "".join(f"{package.__name__}.{name}{_signature(getattr(package, name))}\n" for package, name in names)


def _signature(value: Any) -> str:
    is_error = isinstance(value, type) and issubclass(value, Exception)
    return "" if is_error else re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(value)))


if __name__ == "__main__":
    FILE.write_text(text())
