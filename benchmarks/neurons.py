"""The profiles of every neuron and their browser, at the size of a small real model.

    python -m benchmarks.neurons
    python -m benchmarks.neurons --study studies/default.toml --runs runs/default      # also opens the page in Chromium

Makes a store of random values that follow the token, its pairs and its statistics; prints time and memory of the profiles, and
the size of the files. With a finished run, whose page gets the profiles in place of its own, also: first paint, the time until a
neuron of a layer that was not read yet is shown, until another one of the same layer is, and a search of all layers for a token.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from actstore.selection.selection import Selection
from analysis.neurons.every_neuron import neuron_profiles
from benchmarks.memory import peak, reset_peak
from benchmarks.sizes import parsed
from reports.browser import export_neurons
from reports.build import write
from reports.results import Results, Run, load_results
from reports.study import Study, load_study

_WINDOW, _TYPES, _PAIRS, _STATISTICS = 512, 2_000, 12_000, 15
_UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
_PROFILES = ("tokens", "layer-00")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--neurons", type=int, default=1536)
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--checkpoints", type=int, default=24)
    parser.add_argument("--study", type=Path, help="the study file of a finished run")
    parser.add_argument("--runs", type=Path, help="the run's folder")
    options = parsed(parser, arguments, layers=2, neurons=64, tokens=1024, checkpoints=2)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = made_store(folder / "store.zarr", options.layers, options.neurons, options.tokens)
        profiles = timed_profiles(store, options.checkpoints)
        if options.study is None:
            run = Run("m", {}, {"model": "m"}, {}, profiles=profiles)
            results = Results(Study("none", ("m",)), {"m": run}, {}, _selection(store))
            export_neurons(results, folder)
        else:
            results = load_results(load_study(options.study), options.runs)
            main_run = replace(results.main, profiles=profiles)
            results = replace(results, models={**results.models, main_run.name: main_run})
            start = time.perf_counter()
            write(results, {}, folder)
            print(f"page and files: {time.perf_counter() - start:.1f} s")
        print_sizes(folder)
        if options.study is not None:
            time_page(folder, options.layers)


def made_store(path: Path, n_layers: int, n_neurons: int, n_tokens: int) -> xr.Dataset:
    """A store on disk, layer by layer: Zipfian tokens, values that follow them and noise."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, _TYPES + 1)
    ids = rng.choice(_TYPES, n_tokens, p=share / share.sum())
    index = np.arange(n_tokens)
    numbers = {
        "token_id": ids,
        "position": index % _WINDOW,
        "window": index // _WINDOW,
        "document": index // 300,
        "word": index // 2,
        "depth": rng.integers(0, 7, n_tokens),
    }
    texts = {
        "token_text": [f" w{number}" for number in ids],
        "word_form": [f"w{number}" for number in ids],
        "upos": [_UPOS[number % len(_UPOS)] for number in ids],
        "deprel": [f"r{number % 40}" for number in ids],
    }
    labels = {name: ("token", np.array(values, object if name in texts else int)) for name, values in (numbers | texts).items()}
    shape = (n_layers, n_tokens, n_neurons)
    template = xr.Dataset(coords={"layer": np.arange(n_layers), "neuron": np.arange(n_neurons), **labels})
    template.to_zarr(path, zarr_format=3, consolidated=False)
    array = zarr.open_group(path).create_array(
        "preactivation",
        shape=shape,
        chunks=(1, n_tokens, n_neurons),
        dtype="float16",
        dimension_names=("layer", "token", "neuron"),
    )
    for layer in range(n_layers):
        effects = rng.standard_normal((_TYPES, n_neurons), np.float32)
        scale = rng.gamma(2.0, 1.0, n_neurons).astype(np.float32)
        noise = rng.standard_normal((n_tokens, n_neurons), np.float32)
        array[layer] = ((effects[ids] + noise - 0.8) * scale).astype(np.float16)
    opened = xr.open_zarr(path, chunks=None, consolidated=False).assign_attrs(model="m", site="s", corpus_fingerprint="f")
    return opened.assign_coords({name: labels[name] for name in texts})


def timed_profiles(store: xr.Dataset, n_checkpoints: int) -> xr.Dataset:
    """The profiles; prints their time and memory."""
    rng = np.random.default_rng(1)
    n_layers, n_neurons = store.sizes["layer"], store.sizes["neuron"]
    text = np.flatnonzero(store["position"].values > 0)
    drawn = rng.choice(text, min(len(text), 4096), replace=False)
    ends = np.stack([rng.permutation(np.resize(drawn, _PAIRS)) for _ in range(4 * n_layers)]).reshape(4, n_layers, _PAIRS)
    ends[1] = np.where(ends[1] == ends[0], np.roll(ends[1], 1, axis=1), ends[1])
    names = ("token_a", "token_b", "matched_a", "matched_b")
    pairs = xr.Dataset(
        {name: (("layer", "pair"), array) for name, array in zip(names, ends, strict=True)}, {"layer": store["layer"]}
    )
    dims, shape = ("checkpoint", "layer", "neuron"), (n_checkpoints, n_layers, n_neurons)
    known = ("wasserstein_distance", "negative_wasserstein_frac")
    arrays = {
        name: (dims, rng.random(shape)) for name in (*known, *(f"statistic_{k}" for k in range(_STATISTICS - len(known))))
    }
    coords = {"checkpoint": np.arange(n_checkpoints), "layer": store["layer"].values, "neuron": store["neuron"].values}
    statistics = xr.Dataset(arrays, coords)
    before, start = reset_peak(), time.perf_counter()
    profiles = neuron_profiles(store, pairs, statistics, _selection(store))
    seconds, n = time.perf_counter() - start, n_layers * n_neurons
    print(
        f"profiles of {n_layers} × {n_neurons:,} neurons, {store.sizes['token']:,} tokens: {seconds:.1f} s (aim ≤ 180), "
        f"{1000 * seconds / n:.2f} ms a neuron; {(peak() - before) / 2**20:.0f} MiB more memory"
    )
    return profiles


def _selection(store: xr.Dataset) -> Selection:
    n = store.sizes["neuron"]
    return Selection({0: (0,)}, "top", "wasserstein_distance", 0.01, "m", "s", "", 0, n)


def print_sizes(folder: Path) -> None:
    sizes = pd.Series({file.stem: file.stat().st_size for file in sorted((folder / "neurons").iterdir())})
    first = ", ".join(f"{name} {sizes[name] / 2**20:.2f} MiB" for name in _PROFILES)
    print(f"files beside the page: {sizes.sum() / 1e6:.1f} MB (aim ≤ 60); {first}")


def time_page(folder: Path, n_layers: int) -> None:
    """First paint, two neurons and a search in Chromium, from disk."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((folder / "index.html").as_uri())
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        print(f"page of {(folder / 'index.html').stat().st_size / 2**20:.1f} MiB: first paint {paint / 1000:.2f} s (aim ≤ 2)")
        shows = {f"L{n_layers - 1}N3": "a new layer", f"L{n_layers - 1}N60": "the same layer", "L0N1,L1N2": "two new layers"}
        for name, title in shows.items():
            shown = f"Shown: {name.replace(',', ' beside ')}."
            print(f"a neuron of {title}: {_seconds(page, f'location.hash = {name!r}', shown):.3f} s (aim ≤ 0.3)")
        page.fill("#browser-search [name=token]", "w7")
        for title in ("all layers, read first", "all layers again"):
            seconds = _seconds(page, "document.querySelector('#browser-search button').click()", "found")
            print(f"search of {title}: {seconds:.2f} s")
        browser.close()


def _seconds(page: Any, action: str, text: str) -> float:
    """From an action to a text in the status, as the page sees it, with the next frame drawn."""
    return float(
        page.evaluate(
            f"""() => new Promise((done) => {{
            const status = document.getElementById("browser-status"), start = performance.now();
            status.textContent = "";
            new MutationObserver((_, observer) => {{
                if (!status.textContent.includes({text!r})) return;
                observer.disconnect();
                requestAnimationFrame(() => setTimeout(() => done((performance.now() - start) / 1000)));
            }}).observe(status, {{ childList: true, characterData: true, subtree: true }});
            {action};
        }})"""
        )
    )


if __name__ == "__main__":
    main()
