from __future__ import annotations

import shutil

import pytest

from actstore.cli.main import main
from actstore.config import ExtractConfig, TextConfig
from actstore.errors import ActstoreError, CorpusError
from actstore.extraction.plan import plan
from actstore.extraction.run import extract
from actstore.model import sources
from actstore.store import layout
from tests.helpers import QUIET


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("actstore.extraction.plan._CALIBRATION_SECONDS", 0.01)
    monkeypatch.setattr("actstore.extraction.plan._CALIBRATION_BYTES", 2**22)


@pytest.mark.parametrize(
    "config",
    [
        ExtractConfig("pico-neox", "0,64", text=TextConfig(tokens=3000)),
        ExtractConfig("pico-llama", dtype="float32", text=TextConfig(tokens=5000)),
        ExtractConfig("pico-neox", "0,64,4000", layers="0,3", text=TextConfig(tokens=2000)),
    ],
    ids=lambda config: f"{config.model} {config.checkpoints} {config.layers}",
)
def test_bytes_and_files_are_as_written(config, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "_SHARD_TOKENS", 900)
    predicted = plan(config, tmp_path / "s.zarr")
    extract(config, tmp_path / "s.zarr", QUIET)
    files = [path for path in (tmp_path / "s.zarr").rglob("*") if path.is_file()]
    written = sum(path.stat().st_size for path in files)
    assert abs(predicted.total_bytes / written - 1) < 0.02
    assert predicted.n_files == len(files)
    for name in predicted.layout.arrays:
        stored = sum(p.stat().st_size for p in (tmp_path / "s.zarr" / name / "c").rglob("*") if p.is_file())
        assert predicted.bytes_of[name] == stored


def test_a_public_model_is_planned_with_no_network(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sources.repositories, "api", lambda *_: pytest.fail("it asked the hub"))
    arguments = ["plan", "--model", "pythia-1b", "--checkpoints", "all", "--tokens", "131072", "--store", str(tmp_path / "s")]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "154 checkpoints × 16 layers × 131,072 tokens" in output
    assert "154 × 16 × 131,072 × 8,192" in output
    assert "NOT ENOUGH" in output
    assert not list(tmp_path.iterdir())


def test_bytes_of_a_public_model_by_hand(tmp_path):
    predicted = plan(ExtractConfig("pythia-1b", "all", text=TextConfig(tokens=131_072)), tmp_path)
    by_hand = 154 * (131_072 * (16 * (8192 + 2048) * 2 + 4) + 16 * 8192 * 2048 * 2)
    assert predicted.total_bytes == pytest.approx(by_hand, rel=1e-3)
    assert not predicted.n_tokens_known


def test_plans_that_need_a_download_are_refused(tmp_path):
    with pytest.raises(ActstoreError, match="not known without a download"):
        plan(ExtractConfig("someone/some-model"), tmp_path)
    with pytest.raises(CorpusError, match="--tokens N"):
        plan(ExtractConfig("pythia-1b", text=TextConfig(corpus="wikitext2", tokens="all")), tmp_path)


def test_extractions_that_would_fail_are_not_planned(tmp_path):
    with pytest.raises(CorpusError, match="--window 9000 exceeds the context of pythia-1b, 2048"):
        plan(ExtractConfig("pythia-1b", text=TextConfig(window=9000)), tmp_path)
    with pytest.raises(CorpusError, match=r"corpus novel\.txt: no such file or folder"):
        plan(ExtractConfig("pythia-1b", text=TextConfig(corpus="novel.txt")), tmp_path)


def test_a_nearly_full_disk_is_planned_for(tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    assert main(["plan", "--model", "pythia-1b", "--store", str(tmp_path / "s")]) == 0
    output = capsys.readouterr().out
    assert "writing not measured" in output
    assert "NOT ENOUGH" in output


def test_time_grows_with_the_work(tmp_path):
    single, all_checkpoints = (
        plan(ExtractConfig("pythia-70m", spec, text=TextConfig(tokens=4096)), tmp_path) for spec in ("main", "all")
    )
    assert all_checkpoints.compute_seconds > 50 * single.compute_seconds
