"""A model's parts made into its stock diffusers pipeline, from a folder or from a single file.

What is loaded was checked before (checkpoint.py): data only, never code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch

from render.checkpoint import WEIGHTLESS, components, parts_beside
from render.errors import ConfigError, Mistake
from render.families import Family, ModelSource
from render.models import read_json


def assembled(source: ModelSource, folder: Path, family: Family, dtype: torch.dtype) -> Any:
    """The stock pipeline with its weights in that dtype, on the CPU.

    Raises:
        ConfigError: a single file that does not fit its configs.
    """
    kind = getattr(diffusers, family.pipeline)
    options = {"dtype": dtype, "local_files_only": True}
    if source.file is None:
        variant = source.variant
        return kind.from_pretrained(
            folder, variant=variant, use_safetensors=True, **options, **family.loading
        )
    try:
        parts = {**parts_from(source, folder, family, options), **family.loading}
        with nothing_left_out():
            pipeline = kind.from_single_file(
                str(source.file), config=str(folder), **options, **parts
            )
        check_filled(pipeline)
        return pipeline
    except Exception as error:  # a stranger's file can fail anywhere in its conversion
        what = (
            f"does not fit the configs in {folder} ({in_short(error)}); give another model.config"
        )
        raise unusable(source, what) from error


def parts_from(
    source: ModelSource, folder: Path, family: Family, options: dict[str, Any]
) -> dict[str, Any]:
    """The components with weights that a single file lacks, from its folder."""
    assert source.file is not None
    index = components(read_json(folder / "model_index.json"))
    return {
        name: getattr(sys.modules[index[name][0]], class_name).from_pretrained(
            folder, subfolder=name, use_safetensors=True, **options
        )
        for name, class_name in parts_beside(source.file, folder, family).items()
        if not class_name.endswith(WEIGHTLESS)
    }


@contextmanager
def nothing_left_out() -> Iterator[None]:
    """Refuse weights that a file lacks: diffusers leaves them random and says nothing.

    Raises:
        ValueError: a network was filled only in part.
    """
    stock, lacking = torch.nn.Module.load_state_dict, []

    def load(net: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        told = stock(net, *args, **kwargs)
        lacking.extend(told.missing_keys)
        return told

    torch.nn.Module.load_state_dict = load  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        torch.nn.Module.load_state_dict = stock  # type: ignore[method-assign]
    if lacking:
        raise ValueError(f"it lacks {len(lacking)} weights, the first {lacking[0]}")


def check_filled(pipeline: Any) -> None:
    """The same where accelerate is installed: such weights are then on no device at all."""
    for name, part in pipeline.components.items():
        for path, weight in part.named_parameters() if isinstance(part, torch.nn.Module) else ():
            if weight.is_meta:
                raise ValueError(f"it lacks weights, the first {name}.{path}")


def unusable(source: ModelSource, what: str) -> ConfigError:
    """The error for a model that is there but can't be used."""
    return ConfigError([Mistake("model", f"{source} {what}; model=storybook runs as it is")])


def first_line(error: BaseException) -> str:
    """An error of a library in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def in_short(error: BaseException) -> str:
    """The first two lines of a library's error, since torch's first only says where."""
    return " ".join(line.strip() for line in str(error).strip().splitlines()[:2])[:300]
