"""How `notebooks/` become pages: the store that they open, figures as SVG, and outputs that are kept until the code changes.

Everything is made in `build/`, from a fresh checkout too.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from actstore import open_store
from actstore.errors import StoreError

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
STORE = Path(os.environ.get("ACTSTORE_STORE", BUILD / "store.zarr")).absolute()
_EXTRACT = "extract --model pico-neox --checkpoints all --tokens 8192 --store"
"""As the notebooks say it in their first cell."""


def prepare() -> None:
    """Make the store if there is none that is complete, and say to the notebooks' processes where it is and how to draw."""
    try:
        open_store(STORE)
    except StoreError:
        subprocess.run([sys.executable, "-m", "actstore", *_EXTRACT.split(), str(STORE)], cwd=ROOT, check=True)
    profile = BUILD / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text('c.InlineBackend.figure_formats = {"svg"}\n', encoding="utf-8")
    os.environ |= {"ACTSTORE_STORE": str(STORE), "IPYTHONDIR": str(profile.parent)}
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # no bars are shown, so none that can be clicked are missed


def cache_folder() -> Path:
    """Where outputs are kept: a folder for each state of the code and of the store, as the notebooks' text alone does not say
    that a function which they call has changed.
    """
    state = hashlib.sha256(str(STORE).encode() + Path(__file__).read_bytes())
    for package in ("actstore", "analysis", "reports"):
        for file in sorted((ROOT / package).rglob("*.py")):
            state.update(file.read_bytes())
    return BUILD / "notebooks" / state.hexdigest()[:16]
