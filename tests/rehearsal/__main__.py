"""Run a study as a user with a network would, with a shelf in the hub's place.

python -m tests.rehearsal studies/smollm2.toml --shelf SHELF --runs RUNS
python -m tests.rehearsal studies/pythia-1b.toml --small --shelf SHELF --runs RUNS
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.hub_server import HubServer

_ROOT = Path(__file__).parents[2]
_SMALL = (
    (r'(?m)^device = "cuda"', 'device = "cpu"'),
    (r"(?m)^tokens = \d+", "tokens = 8192"),
    (r"(?m)^per_paradigm = \d+\n", ""),
    (r"(?m)^(\[.*readouts\.minimal_pairs\].*)$", r"\1\nper_paradigm = 5"),
)
"""What is changed in a study that is made small: pattern → replacement."""


def serve(hub: HubServer, shelf: Path) -> None:
    """Register everything on a shelf."""
    for kind in ("models", "datasets"):
        for folder in sorted((shelf / kind).glob("*/*")):
            name, _, revision = f"{folder.parent.name}/{folder.name}".partition("@")
            hub.add(name, revision or "main", folder, kind=kind)


def small(study: str) -> str:
    """The text of a study for a processor and stand-ins: few tokens and pairs, every step and every condition as before."""
    for pattern, replacement in _SMALL:
        study = re.sub(pattern, replacement, study)
    return study


def main() -> int:
    """Serve the shelf, run `actstore report STUDY`, and give its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal", description=main.__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--shelf", type=Path, required=True, help="folder made by tests.rehearsal.shelf")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="with few tokens and pairs, on the processor")
    options = parser.parse_args()
    study = options.study
    if options.small:
        study = options.runs / "small" / study.name  # beside the runs, their folders would be taken for models of these names
        study.parent.mkdir(parents=True, exist_ok=True)
        study.write_text(small(options.study.read_text(encoding="utf-8")), encoding="utf-8")
    with HubServer() as hub:
        serve(hub, options.shelf)
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(options.shelf.resolve() / "cache")}
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # this code, whichever is installed
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        command = (sys.executable, "-P", "-m", "actstore", "report", str(study), "--runs", str(options.runs))
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
