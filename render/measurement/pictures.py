"""Pictures of any tool, read for measurement: files in a folder, or the frames of a moving picture.

They may come from anyone, so what is far too large is refused by its header, and broken files are
one line each.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
from PIL import Image, ImageSequence

from render.errors import ConfigError, Mistake
from render.files.atomic import read_regular
from render.measurement.reading import Pixels, Reading, read_pixels

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MOVING = (".gif", ".webp", ".png", ".apng")
MOST_FRAMES = 50_000  # whose small copies take 600 MB
MOST_BYTES = 1 << 28
MOST_PIXELS = 1 << 26  # 8192 × 8192
DEEP = 257  # times an 8-bit value is a 16-bit one
USUAL_S = 0.1  # that a moving picture's frame stands if its file does not say
OPENING = Lock()  # filters of warnings are the process's

Item = TypeVar("Item")
ReadPixels = Callable[[Pixels], Reading]


def unusable(path: Path, what: str) -> ConfigError:
    """The error for an input that can't be measured."""
    return ConfigError([Mistake("input", f"{path} {what}")])


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, in natural order: 2 comes before 10. Where there are several kinds
    of files, those of the kind that most are of.

    Raises:
        ConfigError: the folder can't be read, or has too many.
    """
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    except OSError as error:
        raise unusable(folder, f"can't be read: {error.strerror}") from None
    kinds = Counter(path.suffix.lower() for path in found if not path.name.startswith("."))
    if not kinds:
        return []
    usual = kinds.most_common(1)[0][0]
    chosen = [p for p in found if p.suffix.lower() == usual and not p.name.startswith(".")]
    check_count(folder, len(chosen))
    return sorted(chosen, key=natural)


def check_count(path: Path, count: int) -> None:
    """Refuse more frames than the memory is meant for."""
    if count > MOST_FRAMES:
        raise unusable(path, f"has more than {MOST_FRAMES:,} frames; measure it in parts")


def natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A key by which names with numbers are in the order of these numbers."""
    parts = re.split(r"(\d+)", path.name)
    key = [(int(p), "") if p.isdecimal() and len(p) < 30 else (-1, p.casefold()) for p in parts]
    return key, path.name


def read_files(
    paths: Iterable[Path], at_once: int, read: ReadPixels = read_pixels
) -> Iterator[Reading]:
    """The readings of picture files, in order.

    Args:
        read: makes the reading of a picture's pixels.

    Raises:
        ConfigError: one can't be read.
    """
    return in_order(paths, lambda path: read_file(path, read), at_once)


def in_order(
    items: Iterable[Item], read: Callable[[Item], Reading], at_once: int
) -> Iterator[Reading]:
    """The readings of items, in order, so many at once; few wait, however many there are."""
    waiting: deque[Callable[[], Reading]] = deque()
    with ThreadPool(at_once) as pool:
        for item in items:
            waiting.append(pool.apply_async(read, (item,)).get)
            if len(waiting) > 2 * at_once:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


def read_file(path: Path, read: ReadPixels = read_pixels) -> Reading:
    """The reading of one picture file."""
    with opened(path) as picture:
        try:
            return read(rgb(picture))
        except ConfigError:
            raise
        except Exception as error:  # broken files make Pillow raise almost anything
            raise unusable(path, broken(error)) from None


def opened(path: Path) -> Image.Image:
    """A picture of which the header has been read, and nothing else.

    Raises:
        ConfigError: it is missing, no picture, or far too large.
    """
    try:
        content = io.BytesIO(read_regular(Path(os.path.realpath(path)), MOST_BYTES))
        with OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(content, formats=FORMATS)
    except OSError as error:
        why = f"can't be read: {error.strerror}" if error.errno else "is no picture"
        raise unusable(path, why) from None
    except Exception as error:
        raise unusable(path, broken(error)) from None
    if picture.width * picture.height > MOST_PIXELS:
        size = f"{picture.width} × {picture.height} pixels"
        raise unusable(path, f"has {size}, more than {MOST_PIXELS:,}; make it smaller")
    return picture


def broken(error: Exception) -> str:
    """The end of a line about a picture that can't be decoded."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return f"is no picture that can be read: {said[:200]}"


def rgb(picture: Image.Image) -> Pixels:
    """The pixels of a picture, uint8 (H, W, 3); of one of 16 bits the upper 8."""
    if picture.mode.startswith("I"):
        grey = (np.asarray(picture).clip(0, 65535) // DEEP).astype(np.uint8)
        return np.repeat(grey[..., None], 3, 2)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def is_moving(path: Path) -> bool:
    """Whether a file is a moving picture of more than one frame, which Pillow reads."""
    if path.suffix.lower() not in MOVING:
        return False
    with opened(path) as picture:
        return getattr(picture, "n_frames", 1) > 1


def moving_frames(path: Path) -> Iterator[tuple[float, Pixels]]:
    """When each frame of a moving picture is shown, in seconds, and its pixels.

    Raises:
        ConfigError: it can't be read, or has too many frames.
    """
    time_s = 0.0
    with opened(path) as picture:
        check_count(path, getattr(picture, "n_frames", 1))
        try:
            for frame in ImageSequence.Iterator(picture):
                yield time_s, rgb(frame)
                time_s += float(frame.info.get("duration") or 1000 * USUAL_S) / 1000
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise unusable(path, broken(error)) from None
