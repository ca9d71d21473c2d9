"""Finished pictures in the store: in between, or made larger. Their files are like those of frames,
with a mark of their own, so that none is ever taken for a frame."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from render.files.atomic import is_there, make_folder, room_for, sync_folder, write_whole
from render.files.ownership import FINISHED_MARK, is_ours, make_way, read_head
from render.plan.finish import ShownPicture
from render.store.frame_png import MADE_BY_KEY, inspect
from render.store.store import frame_path, is_stored, link, stored_path

MADE_OF_KEY = "render:made-of"


def is_whole(store: Path, digest: str, size: tuple[int, int]) -> bool:
    """Whether the store has a finished picture, with right checksums.

    Args:
        size: width and height in pixels.
    """
    found = inspect(stored_path(store, digest), size, decode=False)
    return found is not None and found.flaw is None and found.finished == digest


def encoded(picture: ShownPicture, how: str, pixels: np.ndarray[Any, Any]) -> bytes:
    """A finished picture as a PNG file with its digest and what it was made of.

    Args:
        how: the ways in which it was made.
        pixels: uint8, (height, width, 3), RGB.
    """
    proofs = PngImagePlugin.PngInfo()
    proofs.add_text(FINISHED_MARK, picture.digest)
    proofs.add_itxt(MADE_BY_KEY, how)
    proofs.add_itxt(MADE_OF_KEY, json.dumps({"of": picture.of, "place": str(picture.place)}))
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG", pnginfo=proofs, compress_level=4)
    return png.getvalue()


def commit(store: Path, digest: str, png: bytes, say: Callable[[str], None]) -> None:
    """Write a finished picture under its digest, whole or not at all.

    Args:
        say: is called with a line for a file that was set aside because it is not ours.

    Raises:
        DiskFull: no room for it.
    """
    target = stored_path(store, digest)
    with room_for(target, len(png)):
        make_folder(target.parent)
    make_way(target, say)
    write_whole(target, png)


def show(
    store: Path, pictures: Sequence[ShownPicture], folder: Path, say: Callable[[str], None]
) -> None:
    """Link the pictures of a film into a folder, in order, and remove what stood behind its end."""
    make_folder(folder)
    for index, picture in enumerate(pictures):
        target = frame_path(folder, index)
        make_way(target, say)
        link(stored_path(store, picture.digest), target)
    drop_beyond(store, folder, len(pictures))
    sync_folder(folder)


def drop_beyond(store: Path, folder: Path, count: int) -> None:
    """Remove the pictures behind a film's end that the store has, too."""
    for path in shown_in(folder):
        index = path.stem.removeprefix("frame_")
        if index.isdecimal() and int(index) >= count and has(store, path):
            path.unlink()


def clear(store: Path, folder: Path) -> None:
    """Remove the folder of a film that shows its frames as they are now. What the store does not
    have, or is not ours, stays."""
    drop_beyond(store, folder, 0)
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def shown_in(folder: Path) -> Iterator[Path]:
    """The pictures that a folder shows."""
    if folder.is_dir() and not folder.is_symlink():
        yield from sorted(folder.glob("frame_*.png"))


def has(store: Path, shown: Path) -> bool:
    """Whether a shown picture is ours, and the store has it: a finished one may be made again, so
    it need not be there."""
    if not is_there(shown) or not is_ours(shown):
        return False
    return is_stored(store, shown) or is_finished(shown)


def is_finished(path: Path) -> bool:
    """Whether one of render's files carries the mark of a finished picture."""
    return FINISHED_MARK.encode() in read_head(path)
