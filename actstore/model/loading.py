"""Reading a model from its files, completely or not at all.

Owns every call that reads weights, and the comparison of the weights in the files with those that the
model has: transformers fills in random values for a weight that is missing. No code in the files is
run.
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
"""Family → pattern of stored names that models no longer read, and that change nothing.

These are causal masks and their fill values, which old versions of transformers stored and newer ones
compute, and OPT's number of a file format. transformers itself ignores the masks of GPT-2 and GPT-NeoX,
rotary frequencies, and a missing output projection that equals the embedding.
"""
_N_LISTED = 3


def read_model(path: Path, label: str, dtype: torch.dtype) -> PreTrainedModel:
    """Read the model in a folder or `.gguf` file, in the requested dtype.

    Parameters
    ----------
    path : Path
    label : str
        Name for messages.
    dtype : torch.dtype

    Raises
    ------
    ModelError
        If the files cannot be read, lack a weight of the model, or hold a weight that the model does
        not have or that has another shape.
    """
    from transformers import AutoModelForCausalLM, GgufConfig

    options: dict[str, Any] = {"quantization_config": GgufConfig(dequantize=True)} if path.is_file() else {}
    options |= {"local_files_only": True, "trust_remote_code": False, "weights_only": True}
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    with quietly(label):
        config = read_config(path)
        options |= {"config": config, "dtype": dtype, "attn_implementation": _attention(config)}
        model, report = AutoModelForCausalLM.from_pretrained(**location(path), **options)
        unread = _unread(path, model, len(report["missing_keys"])) if path.is_file() else []
    _refuse_other_weights(label, model, report, unread)
    return model


def read_config(path: Path) -> PreTrainedConfig:
    """Read the configuration in a folder or `.gguf` file."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(**location(path), local_files_only=True, trust_remote_code=False)


def location(path: Path) -> dict[str, Any]:
    """The arguments by which transformers finds a folder or a .gguf file."""
    if path.is_file():
        return {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    return {"pretrained_model_name_or_path": path}


@contextlib.contextmanager
def quietly(label: str) -> Iterator[None]:
    """Suppress the progress bars and reports of transformers, and turn its errors into one line.

    Raises
    ------
    ModelError
        On any error inside the context.
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
    except Exception as error:  # the readers of the formats can raise anything
        if (signal := hidden_signal(error)) is not None:
            raise signal from None
        reason = first_line(error)
        raise ModelError(f"cannot load {label}: {reason}") from error
    finally:
        reporting.removeFilter(_is_no_report)
        if enabled:
            transformers_logging.enable_progress_bar()


def _is_no_report(record: logging.LogRecord) -> bool:
    """Whether a message is no table of keys; `_refuse_other_weights` checks the keys."""
    return "LOAD REPORT" not in record.getMessage()


def _attention(config: PreTrainedConfig) -> str | None:
    """The fast attention if the family supports it; None for the model's default (Gemma 2, BLOOM)."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    family = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    return "sdpa" if getattr(family, "_supports_sdpa", False) else None


def _refuse_other_weights(label: str, model: PreTrainedModel, report: dict[str, Any], unread: Collection[str]) -> None:
    """Refuse a model if the weights in its files are not those of its configuration."""
    harmless = re.compile(HARMLESS.get(model.config.model_type, r"(?!)") + "$")
    unexpected = [key for key in report["unexpected_keys"] if not harmless.search(key)]
    mismatched = [
        f"{key}, {_shape(stored)} in the files and {_shape(needed)} by the configuration"
        for key, stored, needed in report["mismatched_keys"]
    ]
    keys_of = {"missing": report["missing_keys"], "unexpected": {*unexpected, *unread}, "of another shape": mismatched}
    problems = [f"{len(keys):,} {problem} ({_listed(keys)})" for problem, keys in keys_of.items() if keys]
    if problems:
        raise ModelError(
            f"the weights of {label} are not those of its configuration: {'; '.join(problems)}; get its files again, or "
            "mend the configuration"
        )


def _shape(shape: Collection[int]) -> str:
    return " × ".join(map(str, shape))


def _listed(keys: Collection[str]) -> str:
    listed = sorted(keys)[:_N_LISTED]
    return ", ".join(listed) + (", …" if len(keys) > len(listed) else "")


def _unread(path: Path, model: PreTrainedModel, n_missing: int) -> list[str]:
    """Tensors of a .gguf file that were not read; for most architectures transformers skips these without notice.

    If the file has as many tensors as the model has weights that are not missing, all were read.
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
    weights = get_gguf_hf_weights_map(model, processor)  # names of experts are without ".weight"
    return [name for name in names if name not in weights and name.removesuffix(".weight") not in weights]
