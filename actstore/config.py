"""What commands, designs and studies share: which text is read, how a model runs, what is extracted. Needs no torch."""

from __future__ import annotations

from actstore import bounds
from actstore.settings import setting, with_settings

DEFAULT_TOKENS = 16_384
ANY_PIPELINE, NO_WORDS = "auto", "none"
"""In place of a spaCy pipeline's name: the default one where it is installed, and none."""
CHECKPOINTS = "all, main (the final model), log, START:STOP:EVERY, or steps: 512,1000"
MODEL = "name (see `actstore models`), hub repository, local folder or .gguf file"


@with_settings
class TextConfig:
    """A text: where it comes from, and what of it is taken."""

    corpus: str = setting(
        "builtin, builtin-evaluation, wikitext2, wikitext2-validation, or a path to .txt, .jsonl, .conllu (also .gz), Brown's "
        "tagged files, or a folder or .zip of these",
        default="builtin",
        is_path=True,
    )
    tokens: int | str = setting(
        "whole documents, in an order drawn by seed, up to N tokens; all for a whole corpus in its own order",
        default=DEFAULT_TOKENS,
        check=bounds.check_tokens,
    )
    window: int = setting("tokens in a window, BOS included", default=128, check=bounds.check_window)
    seed: int = setting(
        "seed of an embedded corpus, or of the choice of documents", default=0, check=bounds.between(0, bounds.LARGEST_SEED)
    )
    documents: str = setting(
        "what a document of plain text is; of WikiText-2 article in place of file", default="file", choices=bounds.DOCUMENTS
    )
    spacy: str = setting(
        "spaCy pipeline for words and UPOS of raw text; auto takes en_core_web_sm where it is installed, none gives no words",
        default=ANY_PIPELINE,
    )

    @property
    def n_tokens(self) -> int | None:
        """The most tokens that are taken; None for all."""
        return None if isinstance(self.tokens, str) else self.tokens


@with_settings
class RunConfig:
    """How a model runs, and where its neurons are."""

    device: str = setting("where the model runs: cpu, cuda, cuda:1", default="cpu", check=bounds.check_device)
    compute_dtype: str = setting("dtype of the model's arithmetic", default="float32", choices=bounds.COMPUTE_DTYPES)
    site: str | None = setting(
        "module whose output is taken, {layer} standing for the block's number, e.g. model.layers.{layer}.mlp.up_proj; left "
        "out, it is the family's pre-activation",
        default=None,
        check=bounds.check_site,
    )

    @property
    def device_kind(self) -> str:
        """The device without its number: what a store depends on."""
        return self.device.partition(":")[0]


@with_settings
class ExtractConfig:
    """What to extract; two equal configurations give the same store, bit for bit."""

    model: str = setting(MODEL)
    checkpoints: str = setting(CHECKPOINTS, default="main")
    layers: str = setting("all, START:STOP[:EVERY] with both ends included, or a list: 0,5,11", default="all")
    dtype: str = setting("stored dtype of activations", default="float16", choices=bounds.STORED_DTYPES)
    text: TextConfig = setting("the text that is read", default_factory=TextConfig)
    run: RunConfig = setting("how the model runs", default_factory=RunConfig)
