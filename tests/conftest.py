"""Shared fixtures: one small real store and ablation of an embedded model, made once a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
import xarray as xr
from huggingface_hub import constants
from hypothesis import settings

from actstore.ablation.design import FILE, CohortSpec, Design
from actstore.ablation.readouts.minimal_pairs import MinimalPairs
from actstore.ablation.readouts.probes import Probes
from actstore.ablation.run import ablate
from actstore.config import ExtractConfig, TextConfig
from actstore.extraction.run import extract
from actstore.hub import calls, repositories
from actstore.model import sources
from actstore.store.opening import open_store
from analysis.__main__ import main as analysis_main
from tests.helpers import QUIET
from tests.hub_server import HubServer

collect_ignore = ["own_module.py", "own_figure.py"]
"""Modules of a user's, loaded by the tests that need them alone."""
mpl.use("Agg")
settings.register_profile("untimed", deadline=None)  # machines are shared
settings.load_profile("untimed")

CHECKPOINTS = "0,1,64,4000"


@pytest.fixture(scope="session")
def extract_config() -> ExtractConfig:
    return ExtractConfig("pico-neox", CHECKPOINTS, text=TextConfig(tokens=1500))


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, extract_config: ExtractConfig) -> Path:
    """A run's folder as the study runner leaves it: store, analysis, ablation."""
    folder = tmp_path_factory.mktemp("run")
    extract(extract_config, folder / "store.zarr", QUIET)
    store, results = str(folder / "store.zarr"), str(folder / "analysis")
    assert analysis_main(["entanglement", "--store", store, "--out", results, "--random-seeds", "2"]) == 0
    selections = sorted(str(path) for path in (folder / "analysis" / "selections").glob("*.json"))
    design = Design(
        "pico-neox",
        text=TextConfig("builtin-evaluation", tokens=1500),
        readouts=(MinimalPairs(per_paradigm=3), Probes()),
        cohorts=(CohortSpec(FILE, selection=tuple(selections)),),
    )
    ablate(design, folder / "ablation.zarr", progress=False)
    ablation = str(folder / "ablation.zarr")
    assert analysis_main(["tables", "--store", ablation, "--extraction", store, "--out", results]) == 0
    return folder


@pytest.fixture(scope="session")
def store(run_folder: Path) -> xr.Dataset:
    return open_store(run_folder / "store.zarr")


@pytest.fixture(scope="session")
def ablation(run_folder: Path) -> xr.Dataset:
    return open_store(run_folder / "ablation.zarr")


@pytest.fixture(scope="session")
def neox_source() -> sources.ModelSource:
    return sources.resolve("pico-neox")


@pytest.fixture(scope="session")
def neox_tokenizer(neox_source):
    return sources.load_tokenizer(neox_source)


@pytest.fixture(scope="session")
def neox(neox_source):
    """The last checkpoint; tests must leave it as it is."""
    return sources.load(neox_source, 4000, torch.float32)


@pytest.fixture
def hub_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub of one's own that the client is pointed at, with an empty cache in `tmp_path / "cache"`."""
    with HubServer() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**16)
        monkeypatch.setattr(calls, "_FIRST_WAIT", 0.01)
        repositories._tree.cache_clear()
        yield running
    repositories._tree.cache_clear()
