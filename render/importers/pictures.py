"""Pictures by other tools that say how they were made: PNG, and JPEG and WebP by their Exif data.

Pillow reads the texts; no pixel is decoded.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

from PIL import Image

from render.importers import a1111, comfyui
from render.importers.imported import Imported, Importer
from render.importers.source import Source

KINDS = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WEBP"}
"""Pillow's names of formats by the first bytes of their files."""
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
UNICODE = b"UNICODE\0"
OUR_MARK = "render:"
"""Texts of our own pictures begin with it."""
OUR_COMMENT = '{"plan":'
PROMPT = "prompt:"
"""ComfyUI's graph in the Exif data of a WebP begins with it."""


def recognises(source: Source) -> bool:
    """Whether the file is a picture of a kind that can say how it was made."""
    return kind_of(source) is not None


def kind_of(source: Source) -> str | None:
    """Pillow's name of the file's format."""
    kind = next((kind for mark, kind in KINDS.items() if source.content.startswith(mark)), None)
    return None if kind == "WEBP" and source.content[8:12] != b"WEBP" else kind


def read(source: Source) -> Imported:
    """A film of one keyframe.

    Raises:
        ConfigError: the picture is broken, was made by render, or does not say how it was made.
    """
    texts = texts_of(source)
    if any(key.startswith(OUR_MARK) for key in texts) or OUR_COMMENT in texts.get("Comment", ""):
        raise source.refusal(f"was made by render itself; render from {source.path} makes it again")
    parameters = texts.get("parameters", "")
    if a1111.is_a1111(parameters):
        return with_prompt(source, a1111.picture_of(parameters).film())
    graph = comfyui.graph_of(texts.get("prompt", ""))
    picture = comfyui.picture_of(graph) if graph else None
    if picture is None:
        known = "neither the settings of A1111 or Forge nor the graph of ComfyUI"
        raise source.refusal(f"does not say how it was made: there are {known} in it")
    return with_prompt(source, picture.film())


def with_prompt(source: Source, film: Imported) -> Imported:
    """A film whose keyframe has a prompt.

    Raises:
        ConfigError: it has none.
    """
    if not film.keyframes[0]["prompt"]:
        raise source.refusal("says how it was made, but its prompt is empty or can't be found")
    return film


def texts_of(source: Source) -> dict[str, str]:
    """The texts of a picture by their names.

    Raises:
        ConfigError: it can't be read.
    """
    kind = kind_of(source) or "PNG"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures that are large, and are not decoded
            with Image.open(io.BytesIO(source.content), formats=[kind]) as image:
                if kind == "PNG":
                    info = {str(key): value for key, value in image.info.items()}
                    return {key: value for key, value in info.items() if isinstance(value, str)}
                return exif_texts(image.getexif())
    except Exception as error:  # data of any shape: Pillow raises many kinds
        raise source.refusal(f"can't be read as a picture: {error}") from None


def exif_texts(exif: Any) -> dict[str, str]:
    """The comment of A1111, or of render, and the graph of ComfyUI."""
    values = [value for value in exif.values() if isinstance(value, str)]
    graph = next((one for one in values if one.lower().startswith(PROMPT)), "")
    raw = exif.get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
    comment = letters(raw) if isinstance(raw, bytes) else str(raw)
    return {"parameters": comment, "Comment": comment, "prompt": graph[len(PROMPT) :]}


def letters(raw: bytes) -> str:
    """A comment of Exif. The order of UTF-16's bytes is the one that makes more plain letters."""
    if not raw.startswith(UNICODE):
        return raw[len(UNICODE) :].decode("utf-8", "replace").strip("\0")
    coded = raw.removeprefix(UNICODE)
    is_big = coded[0::2].count(0) >= coded[1::2].count(0)
    return coded.decode("utf-16-be" if is_big else "utf-16-le", "replace")


PICTURES = Importer("a picture of A1111, Forge or ComfyUI", recognises, read)
