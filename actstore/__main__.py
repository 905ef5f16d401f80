"""`python -m actstore`, as the `actstore` command."""

from __future__ import annotations

import sys
from pathlib import Path

import actstore

# Python looks for modules in the folder that it was started in first: a user's `analysis.py` there is not ours.
if not sys.flags.safe_path and Path(sys.path[0]).resolve() != Path(actstore.__file__).resolve().parents[1]:
    del sys.path[0]

from actstore.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
