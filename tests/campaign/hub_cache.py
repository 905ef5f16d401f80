"""A cache of the hub's files that was filled from a hub of our own, and an extraction from it without the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from actstore.builtin import MODELS_FOLDER
from tests.campaign.children import Child, main_of, start
from tests.campaign.trials import differences

_REPO = "own/tiny"
_ARGUMENTS = ("extract", "--quiet", "--model", _REPO, "--layers", "0", "--tokens", "120", "--store", "out.zarr")


def fill(folder: Path) -> int:
    """Fill `folder/cache`; runs in a child, for the hub is a thread of it."""
    from huggingface_hub import constants

    from tests.hub_server import HubServer

    model = MODELS_FOLDER / "pico-neox"
    files = [file for source in (model, model / "step64") for file in source.iterdir() if file.is_file()]
    with HubServer() as server:
        server.add(_REPO, "main", {file.name: file.read_bytes() for file in files})
        constants.ENDPOINT, constants.HF_HUB_OFFLINE = server.url, False
        constants.HUGGINGFACE_CO_URL_TEMPLATE = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        constants.HF_HUB_CACHE = str(folder / "cache")
        code = main_of("actstore")(_ARGUMENTS)
        shutil.rmtree(folder / "out.zarr", ignore_errors=True)
        return code


def extract_offline(folder: Path) -> Child:
    """Extract to `folder/out.zarr` with the files of `folder/cache` alone."""

    def action() -> int:
        from huggingface_hub import constants

        constants.HF_HUB_CACHE = str(folder / "cache")
        return main_of("actstore")(_ARGUMENTS)

    return start(action, folder)


def unlike(folder: Path, reference: Path) -> list[str]:
    """Which files of two extractions differ."""
    return differences(folder / "out.zarr", reference / "out.zarr")
