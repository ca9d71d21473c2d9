"""The configs in a model's folder: read as data of a stranger, and what a plan takes from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from render.config.values import shown
from render.errors import ConfigError, Mistake
from render.files.untrusted import UnreadableFile, read_object
from render.models.family import Family, Reader
from render.models.sister_pipelines import family_flaw

CONFIG, INDEX = "config.json", "model_index.json"
HUB_NAME = re.compile(r"[\w-]+/[\w.-]+", re.ASCII)
ADAPTERS = {"pytorch_lora_weights.safetensors", "adapter_model.safetensors"}
"""File names that training scripts give to LoRAs."""
MOST_COUNTED, MOST_LATENT = 1 << 24, 1 << 12


def read_index(folder: Path, key: str = "model.path") -> dict[str, Any]:
    """model_index.json of a diffusers folder, of a pipeline that this project knows.

    Args:
        key: of the config that gives the folder, for errors.
    """
    path = folder / "model_index.json"
    if not path.is_file():
        raise ConfigError([Mistake(key, no_folder(folder))])
    index = read_json(path)
    wrong = family_flaw(str(index.get("_class_name")))
    if wrong:
        raise ConfigError([Mistake(str(path), wrong)])
    return index


def no_folder(folder: Path) -> str:
    """Why a path is no diffusers folder, with what may be meant."""
    why = "it has no model_index.json" if folder.exists() else "there is nothing of this name"
    what = f"{folder} is no diffusers folder ({why})"
    if folder.suffix.lower() == ".gguf":
        return f"{what}: GGUF is not read; get the model as .safetensors or in diffusers' format"
    if not folder.exists() and HUB_NAME.fullmatch(str(folder)):
        return f"{what}; a model of the hub is model.repository={folder}"
    inside = [*folder.glob(f"*/{INDEX}"), *folder.glob(f"snapshots/*/{INDEX}")]
    near = [*sorted(inside), folder.parent / INDEX]
    if meant := next((path.parent for path in near if path.is_file()), None):
        return f"{what}; did you mean {meant}?"
    files = sorted(folder.glob("*.safetensors"))
    if any(file.name in ADAPTERS for file in files):
        return f"{what} but a LoRA; give it beside a model: model.loras=[{{path: {folder}}}]"
    return f"{what}; is {files[0]} meant, a model in one file?" if len(files) == 1 else what


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or a ConfigError that names the file."""
    try:
        return read_object(path)
    except UnreadableFile as error:
        raise ConfigError([Mistake(str(path), str(error))]) from None


def encoder_of(tokenizer: str) -> str:
    """The component that reads what this tokenizer writes."""
    return tokenizer.replace("tokenizer", "text_encoder")


def config_of(folder: Path | None, component: str, name: str = CONFIG) -> dict[str, Any]:
    """A component's config; empty if it is not there."""
    path = folder / component / name if folder else None
    if not path or not path.is_file():
        return {}
    config = read_json(path)
    wrong = [
        Mistake(str(path), f"{key}: {shown(config[key])} is no setting of a model")
        for key, fits in SETTINGS.items()
        if config.get(key) is not None and not fits(config[key])
    ]
    if wrong:
        raise ConfigError(wrong)
    return config


def is_count(value: object) -> bool:
    """Whether a value can be a number of pixels, channels, layers or words."""
    return isinstance(value, int) and 0 < value < MOST_COUNTED


def are_counts(value: object) -> bool:
    """Whether a value is a list of such numbers."""
    return isinstance(value, list) and 0 < len(value) < 100 and all(map(is_count, value))


def is_one_or_more(value: object) -> bool:
    """Whether a value is such a number, or a list of them."""
    return is_count(value) or are_counts(value)


def is_latent_side(value: object) -> bool:
    """Whether a value is a side of latents, or two of them."""
    sides = value if isinstance(value, list) else [value]
    return is_one_or_more(value) and max(sides) <= MOST_LATENT


SETTINGS: Mapping[str, Callable[[object], bool]] = {
    "_class_name": lambda value: isinstance(value, str),
    "block_out_channels": are_counts,
    "cross_attention_dim": is_one_or_more,
    "encoder_block_out_channels": are_counts,
    "hidden_size": is_count,
    "in_channels": is_count,
    "latent_channels": is_count,
    "max_position_embeddings": is_count,
    "num_hidden_layers": is_count,
    "pos_embed_max_size": is_count,
    "sample_size": is_latent_side,
    "temperal_downsample": lambda value: isinstance(value, list) and len(value) < 100,
    "time_cond_proj_dim": is_count,
    "vocab_size": is_count,
}
"""The keys of configs that a plan reads, each with a check; a model's folder is a stranger's."""


def vae_factor(vae: Mapping[str, Any]) -> int | None:
    """Pixels on a side that are one latent pixel, by any autoencoder's config."""
    if "temperal_downsample" in vae:  # diffusers' spelling
        return int(2 ** len(vae["temperal_downsample"]))
    blocks = vae.get("encoder_block_out_channels", vae.get("block_out_channels"))
    return 2 ** (len(blocks) - 1) if blocks else None


def native_size(
    family: Family, denoiser: Mapping[str, Any], factor: int | None
) -> tuple[int, int] | tuple[None, None]:
    """Width and height in pixels that the model was trained at."""
    latent = family.native_latent(denoiser)
    if isinstance(latent, int):
        return latent * (factor or 8), latent * (factor or 8)
    if isinstance(latent, list) and [type(side) for side in latent] == [int, int]:
        height, width = latent
        return width * (factor or 8), height * (factor or 8)
    return (family.native, family.native) if family.native else (None, None)


def scheduler_class(index: Mapping[str, Any], scheduler: Mapping[str, Any]) -> str | None:
    """The scheduler that the pipeline makes: of the class in its index, whatever class once wrote
    the scheduler's own JSON; None if that is not there."""
    named = index.get("scheduler")
    if scheduler and isinstance(named, list) and isinstance(named[-1], str):
        return named[-1]
    return scheduler.get("_class_name")


def reader_of(family: Family, folder: Path | None) -> Reader:
    """The reader that this model has, of those its family may have."""
    here = [r for r in family.readers if folder and (folder / r.folder).is_dir()]
    return here[0] if here else family.readers[0]
