"""A small store whose inputs come in groups of near neighbours, and selections of its neurons."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actstore.selection.selection import Selection

N_TOKENS, N_NEURONS = 900, 24


def selection(neurons, n_neurons=N_NEURONS):
    return Selection(neurons, "top", "wasserstein_distance", 0.1, "m", "site", "", 0, n_neurons)


def toy_store(seed=0, n_layers=1, values=None):
    """A store of Gaussian values: inputs in groups of near neighbours, labels that follow the group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 60, N_TOKENS)
    centres = rng.normal(size=(n_layers, 60, 12))
    inputs = centres[:, group] + 0.2 * rng.normal(size=(n_layers, N_TOKENS, 12))
    if values is None:
        values = rng.normal(size=(n_layers, N_TOKENS, N_NEURONS))
    index = np.arange(N_TOKENS)
    numbers = {
        "token_id": rng.integers(0, 40, N_TOKENS),
        "position": 1 + index % 50,
        "document": index // 30,
        "sentence": index // 10,
        "window": index // 50,
        "word": index,
    }
    upos = np.array(["NOUN", "DET", "VERB"], dtype=object)[group % 3]
    texts = {"upos": upos, "deprel": upos, "word_form": np.array([f"w{g}" for g in group], dtype=object)}
    coords = {name: ("token", array) for name, array in {**numbers, **texts, "token_text": texts["word_form"]}.items()}
    arrays = {
        "preactivation": (("layer", "token", "neuron"), values.astype(np.float32)),
        "mlp_input": (("layer", "token", "hidden"), inputs.astype(np.float32)),
    }
    return xr.Dataset(arrays, coords={"layer": np.arange(n_layers), **coords})


def planted_store():
    """Neuron 5 spreads its negative values within groups of similar inputs; neuron 6 spreads its positive values."""
    store = toy_store(3)
    rng = np.random.default_rng(1)
    values = store["preactivation"].values.copy()
    is_determiner = store["upos"].values == "DET"
    for neuron, sign in ((5, -1), (6, 1)):
        spread = np.where(is_determiner, 1 + 6 * rng.random(N_TOKENS), 0.5 + 0.1 * rng.random(N_TOKENS))
        values[0, :, neuron] = sign * np.where(is_determiner | (rng.random(N_TOKENS) < 0.5), spread, -0.1 * spread)
    return store.assign(preactivation=(("layer", "token", "neuron"), values))


def spreading_store(spread, seed=0, n_layers=2, of_groups=()):
    """Neurons whose sign follows the group of similar inputs, and whose negative values spread by `spread` (neuron,).

    The spread is within groups, so that similar inputs are driven apart; of the neurons `of_groups` it is between groups, which
    gives the same distribution of values and drives nothing apart. Of a SiLU, which rises again only below -1.28.
    """
    rng = np.random.default_rng(seed)
    shape = (n_layers, N_TOKENS, len(spread))
    store = toy_store(seed, n_layers, values=np.zeros(shape))
    group = np.array([int(form[1:]) for form in store["word_form"].values])
    sign = np.where(rng.random((n_layers, 60, len(spread))) < 0.5, -1, 1)[:, group]
    within, between = (
        rng.random(shape) - 0.5,
        (rng.permuted(np.tile(np.arange(60) / 59, (n_layers, len(spread), 1)), axis=2) - 0.5),
    )
    place = np.where(np.isin(np.arange(len(spread)), list(of_groups)), between.transpose(0, 2, 1)[:, group], within)
    values = np.where(sign < 0, -0.6 + np.asarray(spread) * place, 0.6 + 0.2 * rng.random(shape))
    return store.assign(preactivation=(("layer", "token", "neuron"), values.astype(np.float32))).assign_attrs(
        nonlinearity="silu"
    )
