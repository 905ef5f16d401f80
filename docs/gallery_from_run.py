"""Copy what a page of the gallery shows from the folder of a finished run: the table of its claims, six figures, and what was run.

    python docs/gallery_from_run.py runs/smollm2 docs/gallery/smollm2-135m

The words of a page, `docs/gallery/MODEL.md`, are written by hand; `pytest tests/test_gallery.py` says which of their numbers and
verdicts the new table does not hold.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from gallery_figures import FIGURES


def sources(run: Path) -> list[Path]:
    """The files of a run that a page shows as they are."""
    report = run / "report"
    return [report / "claims.csv", *(report / "figures" / f"{name}.svg" for name in FIGURES)]


def facts(provenance: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What was run, in words, from the provenance of a report's `results.json`: of its first model and first ablation."""
    model = next(entry for name, entry in provenance.items() if name.startswith("Model "))
    ablation = next(entry for name, entry in provenance.items() if name.startswith("Ablation "))
    selection = provenance["Selection"]
    return {
        "model": f"{model['n_layer']} layers of {model['n_neuron']} MLP neurons, {model['nonlinearity']}",
        "top neurons": f"{selection['neurons']}, {selection['rule'].replace('_', ' ')}",
        "chosen on": _text(model),
        "ablated on": _text(ablation),
        "minimal pairs": f"{ablation['n_pair']}, {ablation['pairs']}",
        "other items": ablation["n_item"],
        "computed in": ablation["compute_dtype"],
    }


def _text(store: Mapping[str, str]) -> str:
    return f"{store['corpus']}: {store['n_token']} tokens, {store['n_documents']} documents"


def main() -> None:
    """Copy all, or say what is missing and copy nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("gallery", type=Path, metavar="GALLERY_FOLDER")
    arguments = parser.parse_args()
    results = arguments.run / "report" / "results.json"
    if missing := [str(file) for file in (*sources(arguments.run), results) if not file.is_file()]:
        parser.exit(2, f"missing: {', '.join(missing)}\nRun the study to its end first: actstore report STUDY\n")
    arguments.gallery.mkdir(parents=True, exist_ok=True)
    for file in sources(arguments.run):
        shutil.copyfile(file, arguments.gallery / file.name)
    provenance = json.loads(results.read_text(encoding="utf-8"))["provenance"]
    with (arguments.gallery / "facts.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows([("fact", "value"), *facts(provenance).items()])


if __name__ == "__main__":
    main()
