"""Things that may stand under a file's name and are no frame: bombs, pipes, devices, folders."""

import io
import os
import socket
import zlib
from pathlib import Path

from pictures import chunk
from PIL import Image, PngImagePlugin

SIDE = 64  # pixels of a frame in these tests


def picture(colour=(1, 2, 3), digest: str | None = None, extra: bytes = b"") -> bytes:
    """A picture of a frame's size, with more chunks behind its header."""
    stream, proofs = io.BytesIO(), PngImagePlugin.PngInfo()
    if digest:
        proofs.add_text("render:digest", digest)
    Image.new("RGB", (SIDE, SIDE), colour).save(stream, "PNG", pnginfo=proofs)
    content = stream.getvalue()
    return content[:33] + extra + content[33:]


ZEROS = zlib.compress(b"0" * 40_000_000, 1)
ZIP_TEXT = chunk(b"zTXt", b"note\0\0" + ZEROS)
ZIP_UNICODE = chunk(b"iTXt", b"note\0\1\0\0\0" + ZEROS)
ZIP_PROFILE = chunk(b"iCCP", b"note\0\0" + ZEROS)
MANY_TEXTS = chunk(b"zTXt", b"n\0\0" + zlib.compress(b"0" * 1_000_000, 9)) * 200


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    """Through the folder's descriptor: a socket's name may only be short."""
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def link_to(target: str):
    return lambda path: path.symlink_to(target)


def holding(content: bytes):
    return lambda path: path.write_bytes(content)


def large(path: Path) -> None:
    """50 GB without a block on the disk."""
    with path.open("wb") as stream:
        stream.truncate(50_000_000_000)


def folder_with_a_file(path: Path) -> None:
    path.mkdir()
    (path / "mine.txt").write_text("mine")
