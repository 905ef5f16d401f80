"""The real hub client against a local hub: every way in which a download can fail."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import xarray as xr
from huggingface_hub import constants

from actstore.cli.main import main
from actstore.config import ExtractConfig, TextConfig
from actstore.errors import ModelError, UnknownNameError
from actstore.extraction.run import RunOptions, extract
from actstore.hub import calls, repositories, watch
from actstore.model import sources
from actstore.store.resumable import Outcome
from tests.helpers import QUIET

REPO = "tiny/suite"
CONFIG = ExtractConfig(REPO, "all", text=TextConfig(tokens=400))


def files_of(source, step):
    folder = source.checkpoints[step].fetch()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    tokenizer = source.checkpoints[step].tokenizer_folder()
    return files | {path.name: path.read_bytes() for path in tokenizer.glob("tokenizer*")} | {"README.md": b"# Never read"}


@pytest.fixture
def server(hub_server, neox_source):
    """A hub that serves four checkpoints of an embedded model; step 1 has the weights of step 0."""
    for step in (0, 1, 64, 4000):
        hub_server.add(REPO, f"step{step}", files_of(neox_source, step))
    hub_server.add(REPO, "main", files_of(neox_source, 4000))
    return hub_server


def weights_path(step):
    """Pattern of the path under which a step's weights are downloaded."""
    return rf"{sources.resolve(REPO).checkpoints[step].commit}/.*\.safetensors"


def n_downloads(server, step):
    pattern = weights_path(step)
    return sum(method == "GET" and bool(re.search(pattern, path)) for method, path in list(server.requests))


def weights_of(source, step):
    return sources.weights_fingerprint(sources.load(source, step, torch.float32))


def resolved(spec="all", **options):
    source = sources.resolve(REPO)
    return sources.preflight(source, sources.choose_checkpoints(source, spec, **options), **options)


def test_checkpoints_come_from_the_refs_in_numeric_order(server):
    source = sources.resolve(REPO)
    assert list(source.checkpoints) == [sources.UNNUMBERED, 0, 1, 64, 4000]
    assert sources.choose_checkpoints(source, "all") == [0, 1, 64, 4000]
    assert sources.choose_checkpoints(source, "main") == [sources.UNNUMBERED]
    assert sources.choose_checkpoints(source, "1:100") == [1, 64]


def test_extraction_from_the_hub_is_that_from_a_folder(server, tmp_path):
    assert extract(CONFIG, tmp_path / "hub.zarr", QUIET) is Outcome.WRITTEN
    extract(replace(CONFIG, model="pico-neox", checkpoints="0,1,64,4000"), tmp_path / "local.zarr", QUIET)
    ours, theirs = (xr.open_zarr(tmp_path / name, chunks=None) for name in ("hub.zarr", "local.zarr"))
    for name in ("preactivation", "mlp_input", "surprisal", "weights_fingerprint", "duplicate_of"):
        np.testing.assert_array_equal(ours[name].values, theirs[name].values)
    assert ours["revision"].values.tolist() == ["step0", "step1", "step64", "step4000"]
    assert ours["duplicate_of"].values.tolist() == [-1, 0, -1, -1]


def test_nothing_heavy_is_downloaded_before_everything_is_resolved(server):
    resolved()
    assert not [path for method, path in server.requests if path.endswith(".safetensors")]


def test_equal_weights_are_known_from_the_metadata(server, caplog):
    resolved()
    assert "step 1 has the weights of step 0" in caplog.text
    assert "step 64" not in caplog.text


def test_equal_weights_are_downloaded_once(server):
    source = resolved()
    for step in (0, 1):
        source.checkpoints[step].fetch()
    heavy = [path for method, path in server.requests if method == "GET" and path.endswith(".safetensors")]
    assert len(heavy) == 1


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("dropped", {}),
        ("dropped", {"reset": True}),
        ("503", {}),
        ("500", {}),
        ("429", {"retry_after": 0}),
        ("truncated", {}),
        ("slow", {"delay": 0.01}),
    ],
)
def test_a_passing_failure_of_a_download_is_overcome(server, neox_source, fault, options):
    server.fail(weights_path(64), fault, times=1, **options)
    assert weights_of(resolved("64"), 64) == weights_of(neox_source, 64)
    assert n_downloads(server, 64) == (1 if fault == "slow" else 2)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_file_that_comes_with_another_bit_is_fetched_again(server, neox_source, caplog, name):
    server.fail(rf"/resolve/.*/{name}$", "flipped", times=1)
    source = resolved("64")
    assert weights_of(source, 64) == weights_of(neox_source, 64)
    assert sources.tokenizer_fingerprint(sources.load_tokenizer(source)) == sources.tokenizer_fingerprint(
        sources.load_tokenizer(neox_source)
    )
    assert f"{name} of {REPO} at step64 is damaged; fetching it again" in caplog.text
    assert sum(method == "GET" and path.endswith(f"/{name}") for method, path in server.requests) == 2


def test_a_file_that_always_comes_damaged_is_named_and_removed(server, tmp_path):
    server.fail(weights_path(64), "flipped", times=None)
    source = resolved("64")
    with pytest.raises(ModelError, match=r"model\.safetensors of tiny/suite at step64 came damaged 3 times"):
        source.checkpoints[64].fetch()
    assert n_downloads(server, 64) == repositories._FETCHES
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size > 100_000]


def spoil(path):
    """Turn a bit of a file in the cache."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.resolve().write_bytes(bytes(content))


def test_damage_in_the_cache_is_fetched_again(server, neox_source):
    source = resolved("64")
    spoil(source.checkpoints[64].fetch() / "model.safetensors")
    assert weights_of(source, 64) == weights_of(neox_source, 64)
    assert n_downloads(server, 64) == 2
    weights_of(source, 64)
    assert n_downloads(server, 64) == 2


def test_damage_in_the_cache_is_named_without_the_hub(server, monkeypatch):
    folder = resolved("64").checkpoints[64].fetch()
    source = sources.resolve(REPO)
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert weights_of(source, 64)
        spoil(folder / "model.safetensors")
        with pytest.raises(ModelError, match=r"step64 is damaged in the cache; unset HF_HUB_OFFLINE"):
            weights_of(source, 64)
    assert weights_of(resolved("64"), 64), "with the hub it is mended"


@pytest.mark.parametrize("fault", ["dropped", "503", "429"])
@pytest.mark.parametrize("where", ["/refs", "/tree/"])
def test_a_passing_failure_of_the_listing_is_overcome(server, fault, where):
    server.fail(where, fault, times=2)
    assert list(resolved("0,64").checkpoints) == [0, 64]


def test_retry_after_is_heeded_within_bounds(server, monkeypatch):
    waits = []
    monkeypatch.setattr(calls.time, "sleep", waits.append)
    server.fail("/refs", "429", times=1, retry_after=7)
    server.fail("/refs", "429", times=1, retry_after=100_000)
    sources.resolve(REPO)
    assert waits == [7, calls._LONGEST_WAIT]


def test_waits_are_reported(server, monkeypatch, caplog):
    monkeypatch.setattr(calls.time, "sleep", lambda _: None)
    server.fail("/refs", "429", times=2, retry_after=100_000)
    sources.resolve(REPO)
    messages = [record.message for record in caplog.records if "waiting" in record.message]
    assert messages == [f"tiny/suite: waiting 300 s for the hub (the hub answers 429; {n} of 5)…" for n in (1, 2)]


@pytest.mark.parametrize("where", ["/refs", "weights"])
def test_a_wait_without_end_is_given_up(server, monkeypatch, where):
    waits = []
    source = resolved("64")
    monkeypatch.setattr(calls.time, "sleep", waits.append)
    server.fail(weights_path(64) if where == "weights" else where, "429", times=None, retry_after=100_000)
    with pytest.raises(ModelError, match=r"tiny/suite.*: the hub keeps answering 429; try again later"):
        source.checkpoints[64].fetch() if where == "weights" else sources.resolve(REPO)
    assert waits == [calls._LONGEST_WAIT] * (calls._ATTEMPTS - 1), "the client's own waits have no bound"


@pytest.mark.parametrize("where", ["/refs", "weights"])
def test_a_body_that_drips_is_reported_and_given_up(server, monkeypatch, caplog, where):
    monkeypatch.setattr(watch, "PATIENCE", 0.1)
    monkeypatch.setattr(watch, "SLOWEST_RATE", 1e9)
    monkeypatch.setattr(calls, "_REPORTED_WAIT", 0.0)
    source = resolved("64")
    server.fail(weights_path(64) if where == "weights" else where, "slow", times=None, delay=0.04)
    with pytest.raises(ModelError, match=r"cannot get tiny/suite.*: the hub sends [\d,]+ bytes a second"):
        source.checkpoints[64].fetch() if where == "weights" else sources.resolve(REPO)
    assert [f"{n} of 5" in record.message for n, record in enumerate(caplog.records[-4:], 1)] == [True] * 4


def test_a_body_that_drips_once_is_overcome(server, monkeypatch, neox_source):
    monkeypatch.setattr(watch, "PATIENCE", 0.1)
    monkeypatch.setattr(watch, "SLOWEST_RATE", 1e9)
    source = resolved("64")
    server.fail(weights_path(64), "slow", times=1, delay=0.04)
    assert weights_of(source, 64) == weights_of(neox_source, 64)


def test_the_client_that_others_share_is_left_as_it_was(server):
    """Other code of the process uses it too, and waits for a busy hub in its own way."""
    hooks = list(huggingface_hub.get_session().event_hooks["response"])
    resolved("64").checkpoints[64].fetch()
    assert huggingface_hub.get_session().event_hooks["response"] == hooks
    server.fail(weights_path(64), "404", times=None)
    with pytest.raises(ModelError):
        sources.resolve("tiny/none")
    assert huggingface_hub.get_session().event_hooks["response"] == hooks


def test_a_download_that_always_fails_is_named_after_a_bounded_number_of_attempts(server, monkeypatch):
    monkeypatch.setattr(huggingface_hub.file_download.time, "sleep", lambda _: None)
    server.fail(weights_path(64), "503", times=None)
    source = resolved("64")
    with pytest.raises(ModelError, match=r"tiny/suite at step64: the hub keeps answering 503"):
        source.checkpoints[64].fetch()
    assert n_downloads(server, 64) == calls._ATTEMPTS


def test_a_file_that_is_always_cut_short_is_named(server):
    server.fail(weights_path(64), "truncated", times=None)
    source = resolved("64")
    with pytest.raises(ModelError, match=r"cannot get tiny/suite at step64.*Consistency check failed"):
        source.checkpoints[64].fetch()


def test_a_revision_that_is_gone_is_reported_and_left_out(server, caplog):
    commit = sources.resolve(REPO).checkpoints[64].commit
    server.fail(f"/tree/{commit}", "404", times=None)
    with caplog.at_level(logging.WARNING):
        source = sources.resolve(REPO)
        assert list(sources.preflight(source, [0, 64]).checkpoints) == [0]
    assert "tiny/suite at step64 is not on the hub; left out" in caplog.text
    repositories._tree.cache_clear()
    with pytest.raises(ModelError):
        sources.preflight(source, [0, 64], strict=True)


def test_a_step_that_was_never_published(server, caplog):
    assert list(resolved("64,65").checkpoints) == [64]
    assert "no checkpoint 65; left out" in caplog.text
    with pytest.raises(UnknownNameError, match="'65'"):
        resolved("64,65", strict=True)


def test_a_revision_without_weights_is_left_out(server, neox_source, caplog):
    server.add(REPO, "step7", {"config.json": b"{}"})
    assert list(resolved("0,7").checkpoints) == [0]
    assert "neither safetensors nor .bin" in caplog.text


def test_a_revision_of_bin_files_alone_loads_the_same_weights(server, neox_source, tmp_path):
    state = sources.load(neox_source, 64, torch.float16).state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin")
    files = files_of(neox_source, 64)
    del files["model.safetensors"]
    server.add(REPO, "step65", files | {"pytorch_model.bin": (tmp_path / "pytorch_model.bin").read_bytes()})
    source = resolved("64,65")
    assert source.checkpoints[65].weights[0][0] == "pytorch_model.bin"
    assert weights_of(source, 65) == weights_of(source, 64)


def test_a_pickle_that_runs_code_is_refused(server, neox_source, tmp_path):
    import os
    import pickle

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    files = files_of(neox_source, 64)
    del files["model.safetensors"]
    server.add(REPO, "step66", files | {"pytorch_model.bin": pickle.dumps({"weight": Evil()})})
    with pytest.raises(ModelError, match="cannot load"):
        sources.load(resolved("66"), 66, torch.float32)
    assert not (tmp_path / "pwned").exists()


def test_discarding_removes_files_that_no_other_revision_needs(server, tmp_path):
    def weights(folder):
        return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 100_000]

    config = replace(CONFIG, checkpoints="0,1,64")
    extract(config, tmp_path / "kept.zarr", RunOptions(progress=False))
    assert weights(tmp_path / "cache")
    extract(config, tmp_path / "s.zarr", RunOptions(discard_downloads=True, progress=False))
    assert not weights(tmp_path / "cache")


def test_an_interrupted_run_goes_on_after_discarding(server, tmp_path, neox_source):
    server.fail(weights_path(64), "404", times=2)
    options = RunOptions(discard_downloads=True, progress=False)
    with pytest.raises(ModelError, match="step64"):
        extract(replace(CONFIG, checkpoints="0,64"), tmp_path / "s.zarr", options)
    assert (n_downloads(server, 0), n_downloads(server, 64)) == (1, 2), "ahead, then in earnest"
    assert extract(replace(CONFIG, checkpoints="0,64"), tmp_path / "s.zarr", options) is Outcome.WRITTEN
    assert (n_downloads(server, 0), n_downloads(server, 64)) == (1, 3), "the sealed checkpoint is not fetched again"


def test_offline_uses_the_cache_alone(server, monkeypatch):
    for checkpoint in resolved("0,64").checkpoints.values():
        checkpoint.fetch()
        checkpoint.tokenizer_folder()
    n_requests = len(server.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    source = sources.resolve(REPO)
    assert sources.choose_checkpoints(source, "all") == [0, 64]
    source = sources.preflight(source, [0, 64])
    assert weights_of(source, 64)
    assert sources.load_tokenizer(source)
    assert len(server.requests) == n_requests
    with pytest.raises(ModelError, match="not in the cache"):
        sources.resolve("tiny/other")


def test_offline_damage_in_the_cache_is_one_line(server, monkeypatch, tmp_path, capsys):
    """A link without its content, and a list of revisions that is no text."""
    arguments = ["extract", "--quiet", "--model", REPO, "--layers", "0", "--tokens", "120", "--store", str(tmp_path / "s.zarr")]
    assert main(arguments) == 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (generation,) = Path(constants.HF_HUB_CACHE).glob("models--tiny--suite/snapshots/*/generation_config.json")
    content = generation.resolve().read_bytes()
    generation.resolve().unlink()
    capsys.readouterr()
    assert main([*arguments[:-1], str(tmp_path / "t.zarr")]) == 2
    assert "generation_config.json of tiny/suite at main is damaged in the cache" in capsys.readouterr().err
    generation.resolve().write_bytes(content)
    (Path(constants.HF_HUB_CACHE) / "models--tiny--suite" / "refs" / "main").write_bytes(b"\xff\xfe")
    assert main([*arguments[:-1], str(tmp_path / "t.zarr")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "tiny/suite" in error


def test_an_unreachable_hub_is_one_line(server, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert main(["extract", "--quiet", "--model", REPO, "--store", str(tmp_path / "s.zarr")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot get tiny/suite from http://127.0.0.1:9" in error
    assert "HF_HUB_OFFLINE" in error


def test_a_repository_that_does_not_exist(server):
    with pytest.raises(ModelError, match="tiny/none is not on the hub, or private"):
        sources.resolve("tiny/none")


def test_a_gated_repository_says_what_to_do(server, neox_source):
    server.add("tiny/gated", "main", files_of(neox_source, 64), gated=True)
    with pytest.raises(ModelError, match="gated: accept its terms"):
        sources.load(sources.resolve("tiny/gated"), sources.MAIN, torch.float32)


def test_a_branch_that_moves_during_the_run_is_noticed(server, neox_source):
    source = resolved("64")
    server.add(REPO, "step64", files_of(neox_source, 4000))
    with pytest.raises(ModelError, match="changed on the hub"):
        source.checkpoints[64].fetch()


def test_wikitext_is_read_from_the_hub(server, tmp_path):
    import pandas as pd

    from actstore.text.corpus import read_corpus

    lines = ["", " = One = \n", " Text of one . \n", " = = Section = = \n", " More . \n", " = Two = \n", " Text of two . \n"]
    pd.DataFrame({"text": lines}).to_parquet(tmp_path / "test.parquet")
    server.add(
        "Salesforce/wikitext",
        "main",
        {"wikitext-2-raw-v1/test-00000-of-00001.parquet": (tmp_path / "test.parquet").read_bytes()},
        kind="datasets",
    )
    server.fail(r"\.parquet$", "flipped", times=1)
    documents = list(read_corpus("wikitext2", None))
    assert [document.text.split("\n")[0] for document in documents] == [" = One = ", " = Two = "]
    assert "More" in documents[0].text
    assert [len(list(read_corpus("wikitext2", None, boundary))) for boundary in ("article", "section", "line")] == [2, 3, 6]


def test_blimp_is_read_from_the_hub(server, tmp_path):
    import pandas as pd

    from actstore.text.minimal_pairs import read_pairs

    files = {}
    for uid in ("adjunct_island", "npi_present_1"):
        records = [
            {"sentence_good": f"{uid} {i}", "sentence_bad": f"bad {i}", "linguistics_term": "t", "UID": uid} for i in range(4)
        ]
        pd.DataFrame(records).to_parquet(tmp_path / "x.parquet")
        files[f"{uid}/train-00000-of-00001.parquet"] = (tmp_path / "x.parquet").read_bytes()
    server.add("nyu-mll/blimp", "main", files, kind="datasets")
    server.fail(r"npi_present_1/.*\.parquet$", "flipped", times=1)
    pairs = read_pairs("blimp", 2)
    assert [pair.paradigm for pair in pairs] == ["adjunct_island"] * 2 + ["npi_present_1"] * 2
    assert {(pair.benchmark, pair.phenomenon) for pair in pairs} == {("blimp", "t")}


def test_a_v0_model_gives_no_trend_unless_asked(server, neox_source):
    repo = "EleutherAI/pythia-70m-v0"
    for step in (1, 64):
        server.add(repo, f"step{step}", files_of(neox_source, step))
    source = sources.resolve(repo)
    with pytest.raises(ModelError, match=r"--allow-v0"):
        sources.preflight(source, [1, 64])
    assert list(sources.preflight(source, [1, 64], allow_v0=True).checkpoints) == [1, 64]
    assert list(sources.preflight(source, [64]).checkpoints) == [64]
