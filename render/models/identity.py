"""The identity of a folder of weights, without torch.

It is the hash of its files; big weight files are hashed once and remembered by size, times, place
on the disk and a sample of their content.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from render.config.values import shown
from render.errors import ConfigError, DiskFull, Mistake
from render.files.atomic import BLOCK_BYTES, make_folder, opened_regular, write_whole
from render.files.lock import adding_to
from render.files.ownership import make_way, unsaid
from render.files.received_json import read_memory
from render.files.untrusted import VOCABULARY_BYTES

IDENTITY_SUFFIXES = {".jinja", ".json", ".model", ".safetensors", ".txt"}
SHA256 = re.compile(r"[0-9a-f]{64}")
REMEMBERED_BYTES = 1 << 20  # smaller files are read faster than remembered
SPARSE_BYTES = 1 << 30  # a larger file that hardly takes room on the disk holds no weights
HEADER_BYTES = 1 << 16  # of a big file, read whenever it is looked at …
SAMPLES = 64  # … with so many blocks all over it


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
        if wrong := size_flaw(file, stream, before):
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


def size_flaw(file: Path, stream: BufferedReader, status: os.stat_result) -> str | None:
    """Why a file is far larger than one of its kind can be, so that hashing it takes for ever."""
    if file.suffix != ".safetensors" and status.st_size > VOCABULARY_BYTES:
        return f"has {status.st_size:,} bytes, more than any such file"
    few = status.st_size // 8
    if status.st_size > SPARSE_BYTES and status.st_blocks * 512 < few:
        # Some systems report no blocks, and then no holes either.
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
            with adding_to(hashes):
                together = {**remembered(hashes), **known}
                make_way(hashes, unsaid)
                write_whole(hashes, json.dumps(together, indent=1, sort_keys=True).encode())
