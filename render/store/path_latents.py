"""The nodes of smooth paths in the store: their latents, from which every frame on a path is made.

A file holds the latents of one path, in float32, under the path's identity. Like a frame's, its
name and the mark inside it have to agree, and what is damaged counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from render.files.atomic import (
    is_regular,
    is_there,
    make_folder,
    read_regular,
    room_for,
    write_whole,
)
from render.files.ownership import FRAME_MARK, is_ours, make_way
from render.files.received_json import parsed

SUFFIX = ".latents"
HEADER_BYTES = 1 << 12
MOST_AXES = 8
LARGEST = 1e6  # of a number; those of latents are around 1

Numbers = np.ndarray[Any, np.dtype[np.float32]]


def latents_path(store: Path, digest: str) -> Path:
    """.store/ab/abcd….latents"""
    return store.joinpath(digest[:2], f"{digest}{SUFFIX}")


def keep(store: Path, digest: str, latents: Numbers, say: Callable[[str], None]) -> None:
    """Write the latents of a path's nodes, whole or not at all.

    Args:
        latents: float32, (nodes, …).
        say: is called with a line if something that is not render's stood there.

    Raises:
        DiskFull: no room for them.
    """
    target = latents_path(store, digest)
    content = encoded(digest, latents)
    with room_for(target, len(content)):
        make_folder(target.parent)
    make_way(target, say)
    write_whole(target, content)


def encoded(digest: str, latents: Numbers) -> bytes:
    """A line of JSON, then the numbers, little-endian."""
    numbers = np.ascontiguousarray(latents, "<f4").tobytes()
    head = {FRAME_MARK: digest, "shape": latents.shape, "sha256": sha256(numbers)}
    return json.dumps(head).encode() + b"\n" + numbers


def stored(store: Path, digest: str, nodes: int, each: int) -> Numbers | None:
    """The latents (nodes, …) of a path; None if they are not there, damaged, or of another size.

    Args:
        each: numbers of a node.

    Raises:
        OSError: they can't be read.
    """
    path, expected = latents_path(store, digest), 4 * nodes * each
    most = expected + HEADER_BYTES
    if not is_there(path) or not is_regular(path) or path.stat().st_size > most:
        return None
    head, _, numbers = read_regular(path, most).partition(b"\n")
    shape = shape_in(head, digest, sha256(numbers))
    if shape[:1] != [nodes] or not 4 * math.prod(shape) == expected == len(numbers):
        return None
    latents: Numbers = np.frombuffer(numbers, "<f4").reshape(shape)
    # NaN is never less than anything.
    return latents if (np.abs(latents) < LARGEST).all() else None


def discard(store: Path, digest: str) -> Path | None:
    """Remove the latents of a path, so that they are denoised again; returns where they were, if
    they were there."""
    path = latents_path(store, digest)
    if not is_there(path) or not is_ours(path):
        return None
    path.unlink()
    return path


def shape_in(head: bytes, digest: str, of_numbers: str) -> list[int]:
    """The shape that a file's first line gives; [] if it is not the line of these numbers."""
    try:
        said = parsed(head) if len(head) <= HEADER_BYTES else None
    except ValueError:
        return []
    shape = said.get("shape") if isinstance(said, dict) else None
    if said != {FRAME_MARK: digest, "shape": shape, "sha256": of_numbers}:
        return []
    if not isinstance(shape, list) or not 2 <= len(shape) <= MOST_AXES:
        return []
    return shape if all(type(side) is int and side > 0 for side in shape) else []


def sha256(content: bytes) -> str:
    """The checksum of a file's numbers."""
    return hashlib.sha256(content).hexdigest()
