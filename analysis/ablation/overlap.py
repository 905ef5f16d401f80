"""How much of a readout's text was seen by the extraction on which neurons were chosen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from analysis.kernels.runs import shared_runs
from analysis.labels import text_tokens

RUN_LENGTH = 32
"""Length of a run of tokens that two texts do not share by chance; set phrases and titles are shorter."""


def text_overlap(extraction: xr.Dataset, readout: xr.Dataset, run_length: int = RUN_LENGTH) -> pd.DataFrame:
    """How much of a readout's text is in the text of an extraction.

    Parameters
    ----------
    extraction : Dataset
        A store of `actstore extract`.
    readout : Dataset
        A store of `actstore ablate` of the same model.
    run_length : int
        A token counts as seen if it lies in a run of this many tokens of one document that is also
        in the extraction's text; a document of fewer tokens is one run.

    Returns
    -------
    DataFrame
        One row. Of the extraction `extraction_corpus`, `extraction_seed`, `extraction_documents` (their
        number); of the readout `readout_corpus`, `readout_seed`, `n_documents`, `n_documents_seen` (with
        a token that was seen), `n_tokens` (without the first of each window), `n_tokens_seen`; `run_length`.

    Raises
    ------
    StoreError
        If the stores have different tokenizers, so that their tokens cannot be compared.

    Notes
    -----
    Texts are compared by content, not by name: corpora with different names may share text, and so may documents
    that are cut differently; two seeds of one corpus may share none. See `analysis.kernels.runs.shared_runs`.
    """
    if extraction.attrs["tokenizer_fingerprint"] != readout.attrs["tokenizer_fingerprint"]:
        raise StoreError("the extraction and the readout have two tokenizers; name the extraction of the ablated model")
    (ids, document), (reference_ids, reference_document) = _tokens(readout), _tokens(extraction)
    is_seen = shared_runs(ids, document, reference_ids, reference_document, run_length)
    row = {
        "extraction_corpus": extraction.attrs["corpus"],
        "extraction_seed": extraction.attrs["seed"],
        "extraction_documents": len(np.unique(reference_document)),
        "readout_corpus": readout.attrs["corpus"],
        "readout_seed": readout.attrs["seed"],
        "n_documents": len(np.unique(document)),
        "n_documents_seen": len(np.unique(document[is_seen])),
        "n_tokens": len(ids),
        "n_tokens_seen": int(is_seen.sum()),
        "run_length": run_length,
    }
    return pd.DataFrame([row])


def _tokens(store: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vocabulary index and document of each token of the text, windows joined."""
    text = text_tokens(store[["token_id", "document", "position"]])
    return text["token_id"].values, text["document"].values
