"""From the files of a checkpoint to a model in memory, whole or not at all.

Owns every call that reads weights, and the comparison of what is in the files with what the model
needs: transformers fills in random values for a weight that it does not find. Nothing in the files
is run.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actstore.errors import ModelError, first_line
from actstore.signals import hidden_signal

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

HARMLESS = {
    "gpt2": r"\.attn\.masked_bias",
    "gptj": r"\.attn\.(bias|masked_bias)",
    "gpt_neo": r"\.attn\.attention\.(bias|masked_bias)",
    "codegen": r"\.attn\.causal_mask",
    "opt": r"decoder\.version",
}
"""Family → stored names that no model reads, and that change nothing.

All are causal masks and the value put under them, which old versions of transformers stored and newer
ones compute; OPT's is the number of a file format. What transformers itself knows to be so is not
reported: the masks of GPT-2 and GPT-NeoX, and rotary frequencies. A head whose weights are those
of the embedding need not be stored either.
"""
_SHOWN = 3


def read_model(place: Path, label: str, dtype: torch.dtype) -> PreTrainedModel:
    """The model in a folder or `.gguf` file, in the dtype asked for.

    Parameters
    ----------
    place : Path
    label : str
        What messages call it.
    dtype : torch.dtype

    Raises
    ------
    ModelError
        If the files cannot be read, lack a weight that the model has, or hold one that it has not or
        that is of another shape.
    """
    from transformers import AutoModelForCausalLM, GgufConfig

    options: dict[str, Any] = {"quantization_config": GgufConfig(dequantize=True)} if place.is_file() else {}
    with quietly(label):
        config = read_config(place)
        model, report = AutoModelForCausalLM.from_pretrained(
            **where(place), config=config, dtype=dtype, local_files_only=True, trust_remote_code=False, weights_only=True,
            attn_implementation=_attention(config), output_loading_info=True, ignore_mismatched_sizes=True, **options,
        )  # fmt: skip
        unread = _unread(place, model, len(report["missing_keys"])) if place.is_file() else []
    _refuse_other_weights(label, model, report, unread)
    return model


def read_config(place: Path) -> PreTrainedConfig:
    """The configuration in a folder or `.gguf` file."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(**where(place), local_files_only=True, trust_remote_code=False)


def where(place: Path) -> dict[str, Any]:
    """How transformers wants to be told of a folder or a .gguf file."""
    if place.is_file():
        return {"pretrained_model_name_or_path": place.parent, "gguf_file": place.name}
    return {"pretrained_model_name_or_path": place}


@contextlib.contextmanager
def quietly(what: str) -> Iterator[None]:
    """Keep the loader's own progress bars and reports out of ours, and give its errors one line.

    Raises
    ------
    ModelError
        Whatever goes wrong inside.
    """
    from transformers.utils import logging as transformers_logging

    enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    reporting = logging.getLogger("transformers.modeling_utils")
    reporting.addFilter(_is_no_report)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the reader of .gguf has a bar that cannot be switched off
            yield
    except ModelError:
        raise
    except Exception as error:  # any reader of any format may fail in its own way
        if (signal := hidden_signal(error)) is not None:
            raise signal from None
        reason = first_line(error)
        raise ModelError(f"cannot load {what}: {reason}") from error
    finally:
        reporting.removeFilter(_is_no_report)
        if enabled:
            transformers_logging.enable_progress_bar()


def _is_no_report(record: logging.LogRecord) -> bool:
    """Whether a message is none of the tables of keys, which `_refuse_other_weights` judges."""
    return "LOAD REPORT" not in record.getMessage()


def _attention(config: PreTrainedConfig) -> str | None:
    """The fast attention where the family has it; None for the model's own choice (Gemma 2, BLOOM)."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    family = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    return "sdpa" if getattr(family, "_supports_sdpa", False) else None


def _refuse_other_weights(label: str, model: PreTrainedModel, report: dict[str, Any], unread: Collection[str]) -> None:
    """Refuse a model whose files hold other weights than it has."""
    harmless = re.compile(HARMLESS.get(model.config.model_type, r"(?!)") + "$")
    unexpected = [key for key in report["unexpected_keys"] if not harmless.search(key)]
    mismatched = [
        f"{key}, {_shape(stored)} in the files and {_shape(needed)} by the configuration"
        for key, stored, needed in report["mismatched_keys"]
    ]
    problems = [
        f"{len(keys):,} {what} ({_listed(keys)})"
        for what, keys in (
            ("missing", report["missing_keys"]),
            ("unexpected", {*unexpected, *unread}),
            ("of another shape", mismatched),
        )
        if keys
    ]
    if problems:
        raise ModelError(
            f"the weights of {label} are not those of its configuration: {'; '.join(problems)}; get its files again, or "
            "mend the configuration"
        )


def _shape(shape: Collection[int]) -> str:
    return " × ".join(map(str, shape))


def _listed(keys: Collection[str]) -> str:
    shown = sorted(keys)[:_SHOWN]
    return ", ".join(shown) + (", …" if len(keys) > len(shown) else "")


def _unread(path: Path, model: PreTrainedModel, n_missing: int) -> list[str]:
    """Tensors of a .gguf file that no weight was read from; for most architectures transformers skips them unsaid.

    With as many tensors as weights that were there to be read, every tensor was read.
    """
    from transformers.integrations.gguf.reader import read_gguf_metadata
    from transformers.integrations.gguf.utils import is_gguf_arch_supported
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

    metadata, names = read_gguf_metadata(str(path))
    architecture = metadata["general.architecture"]
    n_weights = len({tensor.data_ptr() for tensor in model.state_dict().values()})
    if is_gguf_arch_supported(architecture) or len(names) == n_weights - n_missing:
        return []
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    read = get_gguf_hf_weights_map(model, processor)
    return [name for name in names if name not in read and name.removesuffix(".weight") not in read]  # so experts are read
