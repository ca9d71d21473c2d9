"""Files of strangers, read as data: regular ones only, and never more than is usual of their kind.

A model's folder may come from anywhere. A pipe in it would wait for ever, a device never end, and a
sparse file of gigabytes fill the memory.
"""

from __future__ import annotations

import codecs
import json
import os
from pathlib import Path
from typing import Any

from render.files.atomic import read_regular

SMALL_BYTES = 1 << 24  # of a config; the longest list of shards has 200 KB
VOCABULARY_BYTES = 1 << 26  # of a vocabulary; the largest, of 260,000 tokens, has 35 MB

POINTER = b"version https://git-lfs"  # a clone without Git LFS has such notes in place of files
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableFile(Exception):
    """A file that can't be read as what it should be; `path` is which, the text is why."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(why)


def read_whole(path: Path, most: int = VOCABULARY_BYTES) -> bytes:
    """All bytes of a regular file, or of one that a link leads to, as in the hub's cache.

    Raises:
        UnreadableFile: it is not there, is something else, or has more bytes.
    """
    try:
        return read_regular(Path(os.path.realpath(path)), most)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(path, f"can't be read ({why})") from None


def read_object(path: Path, most: int = SMALL_BYTES) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UnreadableFile: it can't be read, or is none.
    """
    content = read_whole(path, most)
    if content.startswith(POINTER):
        why = "is only Git LFS's pointer to the file; run `git lfs pull`, or download it again"
        raise UnreadableFile(path, why)
    if content.startswith(MARKS):  # libraries read these files as UTF-8 without one
        raise UnreadableFile(path, "begins with a byte order mark; save it as UTF-8 without one")
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(path, f"can't be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise UnreadableFile(path, "is no JSON object")
    return value
