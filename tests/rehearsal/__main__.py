"""Run a study as a user with a network would, with a shelf in the hub's place.

python -m tests.rehearsal studies/smollm2.toml --shelf SHELF --runs RUNS
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.hub_server import HubServer


def serve(hub: HubServer, shelf: Path) -> None:
    """Register everything on a shelf."""
    for kind in ("models", "datasets"):
        for folder in sorted((shelf / kind).glob("*/*")):
            name, _, revision = f"{folder.parent.name}/{folder.name}".partition("@")
            hub.add(name, revision or "main", folder, kind=kind)


def main() -> int:
    """Serve the shelf, run `actstore report STUDY`, and give its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal", description=main.__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--shelf", type=Path, required=True, help="folder made by tests.rehearsal.shelf")
    parser.add_argument("--runs", type=Path, required=True)
    options = parser.parse_args()
    with HubServer() as hub:
        serve(hub, options.shelf)
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(options.shelf.resolve() / "cache")}
        command = (sys.executable, "-P", "-m", "actstore", "report", str(options.study), "--runs", str(options.runs))
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
