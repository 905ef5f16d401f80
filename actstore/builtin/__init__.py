"""The embedded language and the embedded models: all that works without a download."""

from __future__ import annotations

from pathlib import Path

MODELS_FOLDER = Path(__file__).parent / "models"
"""One folder a model, holding its tokenizer and `step*/` checkpoints."""
