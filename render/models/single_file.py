"""A checkpoint in one .safetensors file: what it holds, and the folder of the configs it lacks.

Only headers are read here, so without torch. Such a file has weights and nothing else: sizes of the
layers, the tokenizer and the scheduler's settings come from a diffusers folder of its family.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors

from render.config.model_group import ModelConfig
from render.errors import ConfigError, Mistake
from render.files.atomic import opened_regular
from render.files.untrusted import POINTER
from render.models.families import FAMILIES
from render.models.family import Family

FLOATS = ("F16", "BF16", "F32", "F64")
"""Types of weights, as safetensors calls them."""
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
CLIP_IN_FILES = ("cond_stage_model.", "conditioner.embedders.", "text_encoders.clip_")
HELD = {
    "AutoencoderKL": ("first_stage_model.", "vae."),
    "CLIPTextModel": CLIP_IN_FILES,
    "CLIPTextModelWithProjection": CLIP_IN_FILES,
    "T5EncoderModel": ("text_encoders.t5xxl.",),
}
"""How names of weights begin where a file holds such a component beside its denoiser."""
MOST_HEADER_BYTES = 1 << 24  # of one file, and of all that a component has; real ones have 1 MB
REPOSITORIES = {
    "conditioner.embedders.1.": "stabilityai/stable-diffusion-xl-base-1.0",
    "cond_stage_model.transformer.": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
"""Whose configs fit a file with such names. Stable Diffusion 2's do not say what they predict."""


def is_single_file(path: Path) -> bool:
    """Whether a path is that of a checkpoint in one file, by its name."""
    return path.suffix.lower() in {".safetensors", *PICKLES}


def broken(path: Path) -> str | None:
    """Why a file is no whole safetensors file, or None. Reads its header only."""
    try:
        if not os.path.isfile(path):
            return "is no regular file; download it again"
        if pointer_of_lfs(path):
            return "is only Git LFS's pointer to the file; run `git lfs pull`, or download it again"
        if (length := header_length(path)) > MOST_HEADER_BYTES:
            what = f"its header would have {length:,} bytes"
            return f"is no whole safetensors file ({what}); download it again"
        with safetensors.safe_open(path, framework="numpy"):
            return None
    except (safetensors.SafetensorError, OSError) as error:
        said = (str(error).strip().splitlines() or ["unreadable"])[0]
        return f"is no whole safetensors file ({said}); download it again"


def pointer_of_lfs(path: Path) -> bool:
    """Whether a clone without Git LFS left its note in place of the file."""
    with opened_regular(Path(os.path.realpath(path))) as stream:
        return stream.read(len(POINTER)) == POINTER


def header_length(path: Path) -> int:
    """The length of a safetensors file's header, as its first eight bytes say; 0 if it can't be
    read or is no regular file: a pipe would wait for ever."""
    try:
        with opened_regular(Path(os.path.realpath(path))) as stream:
            return int.from_bytes(stream.read(8), "little")
    except OSError:
        return 0


def tensors_in(file: Path, key: str) -> frozenset[str]:
    """The names of a file's weights; see `shapes_in`."""
    return frozenset(shapes_in(file, key))


def shapes_in(file: Path, key: str) -> dict[str, tuple[int, ...]]:
    """The names of a file's weights with their shapes.

    Args:
        key: of the config that gives the file, for errors.

    Raises:
        ConfigError: it is not there, a pickle, or broken.
    """
    if file.suffix.lower() in PICKLES:
        what = f"{file} is a pickle, which can run code; get or make a .safetensors of it"
        raise ConfigError([Mistake(key, what)])
    if not file.is_file():
        raise ConfigError([Mistake(key, f"{file} is not there")])
    if wrong := broken(file):
        raise ConfigError([Mistake(key, f"{file} {wrong}")])
    return {name: shape for name, (shape, _) in entries(file).items()}


def types_in(file: Path, key: str) -> dict[str, str]:
    """The names of a file's weights with their types as safetensors calls them (`F16`); see
    `shapes_in`."""
    tensors_in(file, key)
    return {name: kind for name, (_, kind) in entries(file).items()}


def entries(file: Path) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """The shapes and types of a whole file's weights by name."""
    status = file.stat()
    return entries_of(file.resolve(), (status.st_mtime_ns, status.st_ctime_ns, status.st_size))


@lru_cache(maxsize=16)
def entries_of(file: Path, stamp: tuple[int, ...]) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """See `entries`; read once while the file stays as it is, which `stamp` says."""
    with safetensors.safe_open(file, framework="numpy") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
        return {name: (tuple(one.get_shape()), one.get_dtype()) for name, one in slices.items()}


def parts_held(names: frozenset[str], index: Mapping[str, Any], family: Family) -> frozenset[str]:
    """The components of a model_index.json whose weights are in the file with these names."""
    return frozenset(
        part
        for part, value in index.items()
        if part == family.denoiser
        or (
            isinstance(value, list)
            and any(name.startswith(HELD.get(str(value[-1]), ())) for name in names)
        )
    )


def config_folder(written: ModelConfig, names: frozenset[str], here: Path) -> Path:
    """The folder of a single file's configs: the one given, else one in the hub's local cache.

    Raises:
        ConfigError: there is none; it says what to give.
    """
    if written.config is not None:
        return here / written.config.expanduser()
    fitting = [
        repository
        for prefix, repository in REPOSITORIES.items()
        if any(name.startswith(prefix) for name in names)
    ]
    for repository in fitting:
        if cached := any_snapshot(repository):
            return cached
    repository = fitting[0] if fitting else "OWNER/MODEL"
    what = (
        f"{written.path} holds weights only; give model.config, a diffusers folder of its kind "
        "(model_index.json and the small files of each part; no weights are needed of those that "
        f"the file holds), or fetch one: hf download {repository} --include '*.json' '*.txt'"
    )
    raise ConfigError([Mistake("model.config", what)])


def any_snapshot(repository: str) -> Path | None:
    """Configs of a hub's model in the local cache; which commit's does not matter, for what
    counts is hashed."""
    from huggingface_hub import constants

    store = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    found = sorted(store.glob("snapshots/*/model_index.json"))
    return found[0].parent if found else None


def check_readable(pipeline: str, file: Path) -> None:
    """Refuse a family whose checkpoints diffusers does not read from one file."""
    if not FAMILIES[pipeline].single_files:
        what = f"{file}: diffusers reads no single files for {pipeline}; give a diffusers folder"
        raise ConfigError([Mistake("model.path", what)])
