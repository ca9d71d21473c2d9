"""The model as a plan needs it: where it is, what it is (identity), its size. Without torch.

A folder's identity is the hash of its files; big weight files are hashed once and remembered by
size, times, place on the disk and a sample of their content. A hub model's identity is its commit:
the pinned one, else what the local cache or the hub says the named revision is today.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

from render.config.schema import ModelConfig
from render.config.values import shown
from render.errors import ConfigError, DiskFull, Mistake
from render.files.atomic import (
    BLOCK_BYTES,
    make_folder,
    opened_regular,
    write_whole,
)
from render.files.ownership import make_way, unsaid
from render.files.received_json import read_memory
from render.files.untrusted import VOCABULARY_BYTES, UnreadableFile, read_object
from render.models.families import (
    BESIDE,
    FAMILIES,
    STABLE_DIFFUSION,
    Family,
    ModelSource,
    Reader,
    family_mistake,
    family_of,
    pipeline_of,
    sister_mistake,
)
from render.models.single_file import (
    check_readable,
    config_folder,
    is_single_file,
    names_in,
    parts_held,
)
from render.models.weight_files import only_variant

IDENTITY_SUFFIXES = {".json", ".model", ".safetensors", ".txt"}
CONFIG = "config.json"
MOST_COUNTED, MOST_LATENT = 1 << 24, 1 << 12
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
REMEMBERED_BYTES = 1 << 20  # smaller files are read faster than remembered
SPARSE_BYTES = 1 << 30  # a larger file that hardly takes room on the disk holds no weights
HEADER_BYTES = 1 << 16  # of a big file, read whenever it is looked at …
SAMPLES = 64  # … with so many blocks all over it


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
    notes: tuple[str, ...] = ()
    """Lines that a plan says of the model's folder."""


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
    cached = cached_folder(repository, commit)
    index = read_index(cached) if cached else {"_class_name": expected_family(written)}
    source = ModelSource(None, repository, commit, written.variant, pipeline_of(index))
    identity = f"{repository}@{commit}{variant_mark(written.variant)}"
    return with_facts(written, source, identity, index, cached)


def resolve_file(written: ModelConfig, known: dict[str, Any], here: Path) -> Model:
    """The model of a single file. It is its weights and those files of its folder that are used."""
    file = here / Path(str(written.path)).expanduser()
    names = names_in(file, "model.path")
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
    if wrong := family_mistake(expected):
        raise ConfigError([Mistake("model.family", wrong)])
    return expected


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


def read_index(folder: Path, key: str = "model.path") -> dict[str, Any]:
    """model_index.json of a diffusers folder, of a pipeline that this project knows.

    Args:
        key: of the config that gives the folder, for errors.
    """
    path = folder / "model_index.json"
    if not path.is_file():
        what = f"{folder} is no diffusers folder (it has no model_index.json)"
        raise ConfigError([Mistake(key, what)])
    index = read_json(path)
    wrong = family_mistake(str(index.get("_class_name")))
    if wrong:
        raise ConfigError([Mistake(str(path), wrong)])
    return index


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or a ConfigError that names the file."""
    try:
        return read_object(path)
    except UnreadableFile as error:
        raise ConfigError([Mistake(str(path), str(error))]) from None


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
    if wrong := sister_mistake(index, denoiser):
        raise ConfigError([Mistake(f"{folder}/model_index.json", f"a {wrong}")])
    for key, why in family.unserved.items():
        if denoiser.get(key):
            raise ConfigError([Mistake(f"{folder}/{family.denoiser}/config.json", f"{key}: {why}")])
    factor = vae_factor(config_of(folder, "vae"))
    own_width, own_height = native_size(family, denoiser, factor)
    width, height = written.width or own_width, written.height or own_height
    if width is None or height is None:
        missing = [side for side in ("width", "height") if getattr(written, side) is None]
        what = "the folder does not say the model's native size; give it"
        raise ConfigError([Mistake(f"model.{side}", what) for side in missing])
    scheduler = config_of(folder, "scheduler", "scheduler_config.json")
    reader = reader_of(family, folder)
    encoder = config_of(folder, encoder_of(reader.folder))
    return Model(
        source=source,
        identity=identity,
        width=width,
        height=height,
        multiple=math.lcm(written.multiple, factor * family.patch if factor else family.multiple),
        scheduler=scheduler_class(index, scheduler),
        tokenizer=folder / reader.folder if folder else None,
        family=family,
        reader=reader,
        scheduler_config=scheduler,
        positions=encoder.get("max_position_embeddings"),
    )


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
    "sample_size": is_latent_side,
    "temperal_downsample": lambda value: isinstance(value, list) and len(value) < 100,
    "time_cond_proj_dim": is_count,
    "vocab_size": is_count,
}
"""What a plan reads of configs, each with what it must be; a model's folder is a stranger's."""


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


def folder_identity(
    folder: Path,
    index: Mapping[str, Any],
    known: dict[str, Any],
    elsewhere: frozenset[str] = frozenset(),
) -> str:
    """sha256 over the names and hashes of the files that the pipeline loads.

    Args:
        elsewhere: components whose weights are not taken from the folder.
    """
    total = hashlib.sha256()
    try:
        for file in sorted([folder / "model_index.json", *component_files(folder, index)]):
            if file.suffix == ".safetensors" and file.parent.name in elsewhere:
                continue
            line = f"{file.relative_to(folder).as_posix()}\0{file_hash(file, known)}\n"
            total.update(line.encode())
    except OSError as error:
        what = f"{error.filename} can't be read ({error.strerror}); download the model again"
        raise ConfigError([Mistake("model.path", what)]) from None
    return f"sha256:{total.hexdigest()}"


def component_files(folder: Path, index: Mapping[str, Any]) -> Iterator[Path]:
    """Configs, vocabularies and weights of the components that the index names."""
    for name, value in index.items():
        if not isinstance(value, list):
            continue
        if not re.fullmatch(r"\w+", name):
            where = str(folder / "model_index.json")
            raise ConfigError([Mistake(where, f"{shown(name)} is no name of a component")])
        if (folder / name).is_dir():
            yield from (
                file
                for file in (folder / name).iterdir()
                if file.suffix in IDENTITY_SUFFIXES and not file.is_dir()
            )


def file_hash(file: Path, known: dict[str, Any]) -> str:
    """A file's sha256, from memory where nothing suggests that the file is another.

    Raises:
        OSError: it can't be read, is no regular file, or is being written.
    """
    key = os.path.realpath(file)
    with opened_by_name(file) as stream:
        before = os.fstat(stream.fileno())
        stamp = stamp_of(before)
        if wrong := size_mistake(file, stream, before):
            raise OSError(errno.EFBIG, wrong, str(file))
        if before.st_size < REMEMBERED_BYTES:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        seen = [*stamp, sampled(stream, before.st_size)]
        entry = known.get(key)
        if isinstance(entry, list) and entry[:-1] == seen and isinstance(entry[-1], str):
            return entry[-1]
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if stamp_of(os.fstat(stream.fileno())) != stamp:
            raise OSError(errno.EBUSY, "it is being written", str(file))
    known[key] = [*seen, digest]
    return digest


@contextmanager
def opened_by_name(file: Path) -> Iterator[BufferedReader]:
    """A regular file, or one that a link leads to; an OSError names it as it is called here."""
    try:
        with opened_regular(Path(os.path.realpath(file))) as stream:
            yield stream
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None


def size_mistake(file: Path, stream: BufferedReader, status: os.stat_result) -> str | None:
    """Why a file is far larger than one of its kind can be, so that hashing it takes for ever."""
    if file.suffix != ".safetensors" and status.st_size > VOCABULARY_BYTES:
        return f"has {status.st_size:,} bytes, more than any such file"
    few = status.st_size // 8
    if status.st_size > SPARSE_BYTES and status.st_blocks * 512 < few:
        # Some systems tell no blocks; then they tell no holes either.
        hole = os.lseek(stream.fileno(), 0, os.SEEK_HOLE)
        os.lseek(stream.fileno(), 0, os.SEEK_SET)
        if hole < few:
            return f"has {status.st_size:,} bytes, most of which were never written"
    return None


def stamp_of(status: os.stat_result) -> list[int]:
    """Numbers that differ between two contents of a file: size, time of change as its owner gives
    it, as the system keeps it, and the place on the disk.

    Size and the first time alone are not enough: layers of containers and package managers give
    all files one time, and a copy can keep it.
    """
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def sampled(stream: BufferedReader, size: int) -> str:
    """The sha256 of a file's beginning, with the header of safetensors, and of some blocks of it.

    An image of a disk may give every file one time and the same place, so that the stamps agree.
    """
    total = hashlib.sha256(stream.read(HEADER_BYTES))
    for place in range(SAMPLES):
        stream.seek(size * place // SAMPLES)
        total.update(stream.read(BLOCK_BYTES))
    return total.hexdigest()


def remembered(hashes: Path) -> dict[str, Any]:
    """The hashes of big weight files; a memory that can't be read only costs time."""
    return {file: entry for file, entry in read_memory(hashes).items() if is_entry(entry)}


def is_entry(entry: object) -> bool:
    """Whether this is what `file_hash` remembers of a file: numbers and sha256s."""
    return (
        isinstance(entry, list)
        and bool(entry)
        and all(type(part) is int or is_sha256(part) for part in entry)
        and is_sha256(entry[-1])
    )


def is_sha256(value: object) -> bool:
    """Whether this is a sha256 as it is written."""
    return isinstance(value, str) and SHA256.fullmatch(value) is not None


def remember(hashes: Path, known: Mapping[str, Any]) -> None:
    """Keep the hashes; a place that can't be written only costs time at the next start."""
    if known != remembered(hashes):
        with suppress(OSError, DiskFull):
            make_folder(hashes.parent)
            make_way(hashes, unsaid)
            write_whole(hashes, json.dumps(known, indent=1, sort_keys=True).encode())


def resolve_commit(repository: str, revision: str) -> str:
    """The commit a revision stands for: itself, else by the local cache, else by the hub."""
    if COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, constants

    store = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    remembered = store / "refs" / revision
    if remembered.is_file():
        return remembered.read_text(encoding="utf-8").strip()
    try:
        return str(HfApi().model_info(repository, revision=revision, timeout=5).sha)
    except Exception as error:  # the hub's client has no common base for being unreachable
        what = (
            f"the hub can't say what {repository} at {revision!r} is ({type(error).__name__}); "
            f"pin model.revision to a commit, download it with `hf download {repository}`, give a "
            "folder with model=local model.path=…, or run with model=storybook"
        )
        raise ConfigError([Mistake("model.revision", what)]) from None


def cached_folder(repository: str, commit: str) -> Path | None:
    """The snapshot of a hub model on this machine, if there is one with its index."""
    from huggingface_hub import constants

    store = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    folder = store / "snapshots" / commit
    return folder if (folder / "model_index.json").is_file() else None
