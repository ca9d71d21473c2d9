"""The config's model with its parts, looked through before anything of it is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from render.config.model_group import ModelConfig
from render.models.code_in_folders import code_notes
from render.models.components import with_parts
from render.models.resolve import Model, resolve_model
from render.models.safety import check_index, check_model

HASHES_NAME = "models.json"


def sound_model(written: ModelConfig, known: dict[str, Any]) -> Model:
    """The config's model; a folder is looked through before anything of it is loaded."""
    model = model_with_parts(written, known)
    if model.source.folder:
        check_model(model.source, model.source.folder)
        model = replace(model, notes=(*model.notes, *code_notes(model.source.folder)))
    elif model.tokenizer:
        check_index(model.tokenizer.parent / "model_index.json")
    return model


def model_with_parts(written: ModelConfig, known: dict[str, Any]) -> Model:
    """The config's model with its parts, by what lies in its files now."""
    return with_parts(resolve_model(written, known, Path()), written, known, Path())
