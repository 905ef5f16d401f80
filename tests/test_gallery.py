"""The gallery: its words say what its tables say, its files are those of a run, and it stays small."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from docutils import nodes

from analysis.claims.contrasts import CLAIMS
from analysis.claims.verdict import VERDICTS
from reports.evidence import claims_view

ROOT = Path(__file__).parent.parent
GALLERY = ROOT / "docs" / "gallery"
MODELS = ("pico-neox", "smollm2-135m", "gemma-3-270m")
SCRIPT = ROOT / "docs" / "gallery_from_run.py"
TABLES = runpy.run_path(str(ROOT / "docs" / "gallery_tables.py"))
FIGURES = runpy.run_path(str(ROOT / "docs" / "gallery_figures.py"))["FIGURES"]
SIZES = {
    "pico-neox": set(),
    "smollm2-135m": {"135", "4", "0.1.2"},
    "gemma-3-270m": {"270", "168", "4", "8", "1.0.0"},
}
"""Numbers that a page says outside its findings, of models and text."""
VALUES = ["estimate", "lower", "upper", "p_adjusted"]
NUMBER = re.compile(r"(?<![\w.-])[+−]?\d[\d,]*(?:\.\d+)*")
FINDING = re.compile(r"^\*\*(C\d): ([a-z ]+)\.\*\* (.+?)\n\n", re.MULTILINE | re.DOTALL)


@pytest.fixture(params=MODELS)
def model(request):
    return request.param


def text_of(model):
    return (GALLERY / f"{model}.md").read_text(encoding="utf-8")


def claims_of(model):
    return TABLES["read_claims"](GALLERY / model / "claims.csv")


def numbers_in(prose):
    """Numbers as written, without those of claims, and of code, files and links."""
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)|\bC\d\b|95%", "", prose)
    return NUMBER.findall(prose)


def is_said(written, values):
    """Whether one of the values is this number, rounded as it is written; without a sign, of either sign."""
    decimals = len(written.partition(".")[2])
    number = float(written.replace("−", "-").replace(",", ""))
    if written[0] in "+−":
        return any(round(value, decimals) == number for value in values)
    return any(round(abs(value), decimals) == number for value in values)


def unsaid(finding, rows):
    return [written for written in numbers_in(finding) if not is_said(written, rows[VALUES].to_numpy().ravel())]


def test_every_claim_has_a_finding_with_its_verdict(model):
    verdicts = claims_of(model).groupby("claim")["claim_verdict"].first()
    assert [(key, verdict) for key, verdict, _ in FINDING.findall(text_of(model))] == list(verdicts.items())
    assert list(verdicts.index) == list(CLAIMS)


def test_numbers_of_findings_are_those_of_the_claim(model):
    claims = claims_of(model)
    findings = FINDING.findall(text_of(model))
    assert {key: left for key, _, text in findings if (left := unsaid(text, claims[claims["claim"] == key]))} == {}


def test_verdicts_within_findings_are_those_of_contrasts_of_the_claim(model):
    claims = claims_of(model)
    for key, _, text in FINDING.findall(text_of(model)):
        said = {verdict for verdict in VERDICTS if re.search(rf"\b{verdict}\b", " ".join(text.split()))}
        assert said <= set(claims.loc[claims["claim"] == key, "verdict"]), key


def test_other_numbers_are_facts_of_the_run_or_known_sizes(model):
    prose = re.sub(r"^```.*?^```|^#.*?$", "", FINDING.sub("", text_of(model)), flags=re.MULTILINE | re.DOTALL)
    names = re.sub(r"[A-Za-z]\w*-\d+\w*|Gemma 3 270M", "", prose)
    facts = set(numbers_in((GALLERY / model / "facts.csv").read_text(encoding="utf-8")))
    assert set(numbers_in(names)) - facts <= SIZES[model] <= set(numbers_in(names))


def test_a_sentence_has_three_numbers_at_most():
    for page in GALLERY.glob("*.md"):
        for _, _, text in FINDING.findall(page.read_text(encoding="utf-8")):
            sentences = re.split(r"[.:;] ", re.sub(r"\(p = [\d.]+[^)]*\)", "", " ".join(text.split())))
            assert all(len(numbers_in(sentence)) <= 3 for sentence in sentences), text


@pytest.mark.parametrize(
    ("written", "is_right"),
    [
        ("+0.117", True),
        ("0.117", True),
        ("0.12", True),
        ("−0.117", False),
        ("+0.116", False),
        ("0.1166", True),
        ("−0.051", True),
    ],
)
def test_numbers_are_compared_as_they_are_rounded(written, is_right):
    assert is_said(written, [0.1166343, float("nan"), -0.05136]) == is_right


def test_a_wrong_number_is_noticed():
    claims = claims_of("pico-neox")
    rows = claims[claims["claim"] == "C1"]
    assert unsaid("They lie +0.117 SD [+0.109, +0.125] further (C1, 95%), of `7` neurons.", rows) == []
    assert unsaid("They lie +0.117 SD [+0.109, +0.135] further, p = 0.4.", rows) == ["+0.135", "0.4"]


def test_figures_are_there_with_words(model):
    assert f"```{{gallery-figures}} {model}\n" in text_of(model)
    for name, (alt, caption) in FIGURES.items():
        assert len(alt) > 40
        assert re.fullmatch(r"C\d: [^.]+\.", caption)
        assert (GALLERY / model / f"{name}.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")
    files = {path.name for path in (GALLERY / model).iterdir()}
    assert files == {"claims.csv", "facts.csv", *(f"{name}.svg" for name in FIGURES)}


def test_the_index_has_every_model():
    index = (GALLERY / "index.md").read_text(encoding="utf-8")
    listed = re.search(r"\{verdicts-table\}\n(.*?)```", index, re.DOTALL)[1].split()
    assert listed == [f"{model}/claims.csv" for model in MODELS]
    assert re.search(r"\{toctree\}.*?\n\n(.*?)```", index, re.DOTALL)[1].split() == list(MODELS)
    assert {path.stem for path in GALLERY.glob("*.md")} == {"index", *MODELS}


def test_tables_are_worded_and_rounded_as_in_a_report():
    head, rows = TABLES["contrasts"](claims_view(claims_of("pico-neox"), ()))
    assert head == ["claim", "contrast", "estimate", "p (Holm)", "verdict"]
    assert rows[2] == [
        "C2",
        "functional share beyond matched pairs, top less rest (claimed above 0)",
        "+0.060 [+0.042, +0.079]",
        "< 0.001",
        "supported",
    ]
    _, rows = TABLES["contrasts"](claims_view(claims_of("gemma-3-270m"), ()))
    (relu,) = [row for row in rows if row[0] == "C3"]
    assert relu[2:] == ["", "", "not tested: no ReLU model in the study"]


def test_the_table_of_verdicts_has_claims_by_models():
    every = pd.concat(map(claims_of, MODELS))
    head, rows = TABLES["verdicts"](claims_view(every, ()))
    assert head == ["claim", "statement", *MODELS]
    for key, statement, *verdicts in rows:
        assert statement == CLAIMS[key][0]
        of_claim = every[every["claim"] == key].groupby("model")["claim_verdict"].first()
        assert verdicts == [of_claim[model] for model in MODELS]


def test_cells_of_a_table_have_verdicts_as_classes():
    table = TABLES["table_of"](["a", "b"], [["C1", "no evidence"], ["C3", "not tested: none"]], "wide", caption="Words.")
    assert table.next_node(nodes.title).astext() == "Words."
    assert table["classes"] == ["claims", "wide"]
    cells = [(entry.astext(), entry["classes"]) for entry in table.findall(nodes.entry)]
    assert cells[2:] == [
        ("C1", []),
        ("no evidence", ["verdict", "no-evidence"]),
        ("C3", []),
        ("not tested: none", ["verdict", "not-tested"]),
    ]


PROVENANCE = {
    "Code": {"actstore": "0.1.0"},
    "Model m": {
        "n_layer": "4",
        "n_neuron": "512",
        "nonlinearity": "gelu",
        "corpus": "a",
        "n_token": "8,155",
        "n_documents": "84",
    },
    "Ablation d": {"corpus": "b", "n_token": "90", "n_documents": "2", "n_pair": "840", "pairs": "x, y", "n_item": "5"}
    | {"compute_dtype": "float32"},
    "Selection": {"neurons": "104", "rule": "top 0.05 of each layer by wasserstein_distance"},
}


@pytest.fixture
def finished_run(tmp_path):
    report = tmp_path / "run" / "report"
    (report / "figures").mkdir(parents=True)
    shutil.copy(GALLERY / "pico-neox" / "claims.csv", report)
    for name in FIGURES:
        shutil.copy(GALLERY / "pico-neox" / f"{name}.svg", report / "figures")
    (report / "results.json").write_text(json.dumps({"provenance": PROVENANCE}), encoding="utf-8")
    return report.parent


def copy_from(run, gallery):
    return subprocess.run([sys.executable, SCRIPT, run, gallery], capture_output=True, text=True, check=False)


def test_files_are_copied_from_a_finished_run(finished_run, tmp_path):
    done = copy_from(finished_run, tmp_path / "new" / "m")
    assert done.returncode == 0, done.stderr
    copied = {path.name: path.read_bytes() for path in (tmp_path / "new" / "m").iterdir()}
    facts = copied.pop("facts.csv").decode().splitlines()
    assert copied == {name: (GALLERY / "pico-neox" / name).read_bytes() for name in copied}
    assert len(copied) == 1 + len(FIGURES)
    assert facts == [
        "fact,value",
        'model,"4 layers of 512 MLP neurons, gelu"',
        'top neurons,"104, top 0.05 of each layer by wasserstein distance"',
        'chosen on,"a: 8,155 tokens, 84 documents"',
        'ablated on,"b: 90 tokens, 2 documents"',
        'minimal pairs,"840, x, y"',
        "other items,5",
        "computed in,float32",
    ]


def test_what_is_missing_is_named_and_nothing_is_copied(finished_run, tmp_path):
    (finished_run / "report" / "figures" / "sweep.svg").unlink()
    done = copy_from(finished_run, tmp_path / "new")
    assert done.returncode == 2
    assert "sweep.svg" in done.stderr
    assert "claims.csv" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_it_stays_small():
    """Together with the notebooks' pages, 4 MB at most; `test_docs.py` measures those."""
    assert sum(path.stat().st_size for path in GALLERY.rglob("*") if path.is_file()) < 2_800_000
