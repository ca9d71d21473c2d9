"""The model as a plan needs it: where it is, what it is (identity), its size. Without torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from render.config.model_group import ModelConfig
from render.errors import ConfigError, Mistake
from render.models.families import FAMILIES, STABLE_DIFFUSION
from render.models.family import Family, Reader
from render.models.foreign_tensors import mistakes_in_tensors
from render.models.hub_cache import resolve_commit
from render.models.hub_configs import planned_folder
from render.models.identity import file_hash, folder_identity
from render.models.model_configs import (
    config_of,
    encoder_of,
    native_size,
    read_index,
    reader_of,
    scheduler_class,
    vae_factor,
)
from render.models.model_source import ModelSource
from render.models.single_file import (
    check_readable,
    config_folder,
    is_single_file,
    parts_held,
    tensors_in,
)
from render.models.sister_pipelines import (
    BESIDE,
    family_flaw,
    family_of,
    pipeline_of,
    sister_flaw,
)
from render.models.weight_files import only_variant


@dataclass(frozen=True, slots=True)
class Model:
    """A model resolved: everything a plan needs to know of it."""

    source: ModelSource
    identity: str
    width: int
    height: int
    multiple: int
    scheduler: str | None
    """Class of the scheduler in the model's folder, or None if it is not on this machine yet."""
    tokenizer: Path | None
    """Folder of the tokenizer whose encoder reads most of a text."""
    family: Family = STABLE_DIFFUSION
    reader: Reader = STABLE_DIFFUSION.readers[0]
    scheduler_config: Mapping[str, Any] = field(default_factory=dict)
    positions: int | None = None
    """Tokens that the reader's text encoder has places for, where its config says so."""
    longest: int | None = None
    """Pixels on a side that the denoiser has places for, where there is an end to them."""
    notes: tuple[str, ...] = ()
    """Lines that a plan says of the model's folder."""
    by_own_configs: bool = True
    """Whether the configs that decide on frames are on this machine: a plan goes by them."""


def resolve_model(written: ModelConfig, known: dict[str, Any], here: Path) -> Model:
    """Find the model and read its facts. Nothing is written.

    Args:
        written: the `model` group.
        known: hashes of big weight files (`remembered`); those of new ones are added.
        here: what a relative `model.path` is relative to.

    Raises:
        ConfigError: no diffusers folder there, a pipeline this project does not know, or a
            revision nobody can name (the hub is unreachable).
    """
    if written.path is not None and is_single_file(written.path):
        return resolve_file(written, known, here)
    if written.path is not None:
        folder = here / written.path.expanduser()
        index = read_index(folder)
        variant, note = folder_variant(written, folder, index)
        identity = folder_identity(folder, index, known) + variant_mark(variant)
        source = ModelSource(folder, None, None, variant, pipeline_of(index))
        return replace(with_facts(written, source, identity, index, folder), notes=note)
    repository = str(written.repository)
    commit = resolve_commit(repository, written.revision or "main")
    expected = expected_family(written)
    cached, notes = planned_folder(repository, commit, denoiser_of(expected))
    index = read_index(cached) if cached else {"_class_name": expected}
    source = ModelSource(None, repository, commit, written.variant, pipeline_of(index))
    identity = f"{repository}@{commit}{variant_mark(written.variant)}"
    model = with_facts(written, source, identity, index, cached)
    return replace(model, notes=notes, by_own_configs=not notes and model.scheduler is not None)


def resolve_file(written: ModelConfig, known: dict[str, Any], here: Path) -> Model:
    """The model of a single file. It is its weights and those files of its folder that are used."""
    file = here / Path(str(written.path)).expanduser()
    names = tensors_in(file, "model.path")
    if wrong := list(mistakes_in_tensors([file], "model.path")):
        raise ConfigError(wrong)
    folder = config_folder(written, names, here)
    index = read_index(folder, "model.config")
    family = pipeline_of(index)
    check_readable(family, file)
    identity = folder_identity(folder, index, known, parts_held(names, index, FAMILIES[family]))
    total = hashlib.sha256(f"{file_hash(file, known)}\n{identity}".encode())
    source = ModelSource(folder, None, None, None, family, file)
    return with_facts(written, source, f"sha256:{total.hexdigest()}", index, folder)


def expected_family(written: ModelConfig) -> str:
    """The pipeline that the config expects of a model which is not on this machine yet."""
    expected = written.family or STABLE_DIFFUSION.pipeline
    if wrong := family_flaw(expected):
        raise ConfigError([Mistake("model.family", wrong)])
    return expected


def denoiser_of(pipeline: str) -> str:
    """The component that denoises in a pipeline of a known family."""
    return FAMILIES[pipeline_of({"_class_name": pipeline})].denoiser


def variant_mark(variant: str | None) -> str:
    """A variant is a choice among a model's weight files, so other pictures."""
    return f" {variant}" if variant else ""


def folder_variant(
    written: ModelConfig, folder: Path, index: Mapping[str, Any]
) -> tuple[str | None, tuple[str, ...]]:
    """The variant of a folder's weights: the one asked for, else the only one that there is where
    plain weights are missing; with a line that says so."""
    unread = {*FAMILIES[pipeline_of(index)].loading, *BESIDE}
    parts = {
        name: (value[0], value[1])
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and name not in unread
    }
    taken = None if written.variant else only_variant(folder, parts)
    if taken is None:
        return written.variant, ()
    return taken, (f"some weights in {folder} are there as {taken} only: model.variant={taken}",)


def with_facts(
    written: ModelConfig,
    source: ModelSource,
    identity: str,
    index: Mapping[str, Any],
    folder: Path | None,
) -> Model:
    """Size, scheduler and reader from the config, else from the folder's own configs."""
    family = FAMILIES[pipeline_of(index)]
    denoiser = config_of(folder, family.denoiser)
    if denoiser:
        family = family_of(index, denoiser)
    check_served(family, index, denoiser, folder)
    factor = vae_factor(config_of(folder, "vae"))
    width, height = size_of(written, native_size(family, denoiser, factor))
    scheduler = config_of(folder, "scheduler", "scheduler_config.json")
    multiple = math.lcm(written.multiple, factor * family.patch if factor else family.multiple)
    places = denoiser.get(family.places) if family.places else None
    reader = reader_of(family, folder)
    encoder = config_of(folder, encoder_of(reader.folder))
    return Model(
        source=source,
        identity=identity,
        width=width,
        height=height,
        multiple=multiple,
        longest=places * (factor or 8) * family.patch if places else None,
        scheduler=scheduler_class(index, scheduler),
        tokenizer=folder / reader.folder if folder else None,
        family=family,
        reader=reader,
        scheduler_config=scheduler,
        positions=encoder.get("max_position_embeddings"),
    )


def check_served(
    family: Family, index: Mapping[str, Any], denoiser: Mapping[str, Any], folder: Path | None
) -> None:
    """Refuse a model whose pictures would not be its own family's.

    Raises:
        ConfigError: it was made to change given pictures, or its denoiser is of an unserved kind.
    """
    if wrong := sister_flaw(index, denoiser):
        raise ConfigError([Mistake(f"{folder}/model_index.json", f"a {wrong}")])
    for key, why in family.unserved.items():
        if denoiser.get(key):
            raise ConfigError([Mistake(f"{folder}/{family.denoiser}/config.json", f"{key}: {why}")])


def size_of(written: ModelConfig, own: tuple[int, int] | tuple[None, None]) -> tuple[int, int]:
    """Width and height in pixels: those of the config, else the model's own.

    Raises:
        ConfigError: neither says them.
    """
    width, height = written.width or own[0], written.height or own[1]
    if width is None or height is None:
        missing = [side for side in ("width", "height") if getattr(written, side) is None]
        what = "the folder does not say the model's native size; give it"
        raise ConfigError([Mistake(f"model.{side}", what) for side in missing])
    return width, height
