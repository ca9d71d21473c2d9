"""The texts that a film's file, or a frame's, carries; it may come from anyone."""

from __future__ import annotations

import io
import re
from pathlib import Path

from PIL import Image

from render.errors import EncodeError
from render.files.atomic import opened_regular
from render.video.decode import UnreadableVideo, opened_video, source
from render.video.ffmpeg import running
from render.video.tags import EXIF_IFD, MOST_BYTES, UNICODE, USER_COMMENT

PICTURES = {b"GIF8": "GIF", b"\x89PNG": "PNG", b"RIFF": "WEBP"}
MOST_PICTURE_BYTES = 1 << 30
MOST_TAG_FILE_BYTES = 3 * MOST_BYTES  # with a backslash before many of its letters
PATIENCE_S = 20.0


class NoRecipe(Exception):
    """The reason why a file has no recipe."""


def texts_of(file: Path) -> dict[str, str]:
    """The texts that a file carries, by their names; `Comment` is that of a film.

    Raises:
        NoRecipe: it can't be read, or is neither a video nor a picture.
    """
    try:
        with opened_regular(file) as stream:
            head = stream.read(12)
            kind = next((kind for mark, kind in PICTURES.items() if head.startswith(mark)), None)
            if kind and not (kind == "WEBP" and head[8:] != b"WEBP"):
                stream.seek(0)
                return texts_of_picture(stream.read(MOST_PICTURE_BYTES), kind)
    except OSError as error:
        raise NoRecipe(f"can't be read: {error.strerror or error}") from error
    return texts_of_video(file)


def texts_of_picture(content: bytes, kind: str) -> dict[str, str]:
    """The texts of a PNG, and the comment of a GIF or a WebP."""
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            if kind == "WEBP":
                comment = image.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
                found = comment.removeprefix(UNICODE).decode("utf-16-le", "replace")
                return {"Comment": found}
            info = {str(key): value for key, value in image.info.items()}
    except Exception as error:  # the file is data of any shape: Pillow raises many kinds
        raise NoRecipe(f"can't be read as a picture: {error}") from error
    if kind == "GIF":
        return {"Comment": bytes(info.get("comment", b"")).decode("utf-8", "replace")}
    return {key: value for key, value in info.items() if isinstance(value, str)}


def texts_of_video(file: Path) -> dict[str, str]:
    """The comment of a video, by ffmpeg, which opens this file alone."""
    try:
        with opened_video(file) as descriptor:
            command = [*source(descriptor), "-f", "ffmetadata", "pipe:1"]
            with running(command, None, PATIENCE_S, keep=(descriptor,)) as child:
                content = child.give(MOST_TAG_FILE_BYTES)
                code = child.finish()
    except (UnreadableVideo, EncodeError) as error:
        raise NoRecipe(str(error)) from error
    if code != 0:
        raise NoRecipe("is neither a video nor a picture that can be read")
    text = content.decode("utf-8", "replace")
    found = re.search(r"^comment=((?:[^\\\n]|\\[\s\S])*)", text, re.MULTILINE | re.IGNORECASE)
    return {"Comment": re.sub(r"\\([\s\S])", r"\1", found[1])} if found else {}
