"""Pictures to start from or to follow: read as data, known by their content and not their name.

A picture is turned upright (EXIF), shown in sRGB, laid on white where it is transparent, and fitted
to the frame by covering it: scaled until both sides reach, the rest cut off evenly.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from render.config.schema import TimelineConfig
from render.errors import ConfigError, Mistake
from render.files.atomic import read_regular
from render.models.colour_profiles import UnusableProfile, in_srgb

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # none of them runs another program
DEEP = ("I", "F")  # modes of 16 and 32 bits, which Pillow would cut off at white
MAX_BYTES = 1 << 28
MOST_PIXELS = 1 << 26  # 8192 × 8192
ROWS = 512  # of a picture that are laid on white at a time
CONVERTED = b"\0in sRGB"
RESCALED = b"\0transparent"
DEPTH = 24
"""Where a PNG says how many bits a channel has."""


class UnusableImage(Exception):
    """The reason why a file can't serve as a picture."""


def read_image(
    path: Path, remark: Callable[[str], None] = lambda line: None
) -> tuple[str, Image.Image]:
    """The digest of a file, and its (first) picture upright and in RGB.

    The digest is the sha256 of its bytes; where a colour profile changed pixels, or a transparent
    colour was rescaled, that of its bytes and a mark, since earlier versions did neither.

    Args:
        remark: gets a line if the file's colours can't be followed, so are taken as sRGB.

    Raises:
        UnusableImage: it is missing, can't be read, is no picture or far too large.
    """
    try:
        content = read_regular(path.expanduser().resolve(), MAX_BYTES)
    except (OSError, ValueError, RuntimeError) as error:
        raise UnusableImage(f"can't be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content), formats=FORMATS)
            rescaled = rescale_transparent(opened, content)
            turned = upright(opened)
            coloured, changed = followed_colours(path, turned, content, remark)
            picture = on_white(coloured)
    except UnusableImage:
        raise
    except UnidentifiedImageError:
        raise UnusableImage(f"is no picture; known are {', '.join(FORMATS)}") from None
    except Exception as error:  # broken files make Pillow raise almost anything
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnusableImage(f"is no picture that can be read: {said}") from None
    marks = CONVERTED * changed + RESCALED * rescaled
    return hashlib.sha256(content + marks).hexdigest(), picture


def rescale_transparent(picture: Image.Image, content: bytes) -> bool:
    """Bring a PNG's one transparent colour to 8 bits a channel, as its pixels are read; Pillow
    leaves it at the depth of the file. Whether that changed it."""
    if picture.format != "PNG" or (depth := content[DEPTH]) == 8:
        return False
    written = picture.info.get("transparency")
    if picture.mode == "L" and isinstance(written, int):
        picture.info["transparency"] = written * 255 // (2**depth - 1)
    elif picture.mode == "RGB" and isinstance(written, tuple):
        picture.info["transparency"] = tuple(value >> 8 for value in written)
    return bool(picture.info.get("transparency") != written)


def followed_colours(
    path: Path, picture: Image.Image, content: bytes, remark: Callable[[str], None]
) -> tuple[Image.Image, bool]:
    """The picture in sRGB and whether that changed it, or as it is with a remark."""
    try:
        return in_srgb(picture, content)
    except UnusableProfile as error:
        remark(f"{path} has {error}; its colours are taken as sRGB: save it in sRGB to be sure")
        return picture, False


def upright(picture: Image.Image) -> Image.Image:
    """The picture as its EXIF data says it is held."""
    if picture.mode.startswith(DEEP):
        raise UnusableImage(f"has more than 8 bits a pixel ({picture.mode}); save it with 8")
    if picture.width * picture.height > MOST_PIXELS:
        count = f"{picture.width} × {picture.height} pixels"
        raise UnusableImage(f"has {count}, more than {MOST_PIXELS:,}; save it smaller")
    ImageOps.exif_transpose(picture, in_place=True)  # a copy would take as much memory again
    return picture


def on_white(picture: Image.Image) -> Image.Image:
    """The picture in RGB, on white where it is transparent."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    whole = Image.new("RGB", picture.size)
    for top in range(0, picture.height, ROWS):  # since every step takes memory for a copy
        rows = picture.crop((0, top, picture.width, min(top + ROWS, picture.height)))
        layer = rows.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        whole.paste(Image.alpha_composite(white, layer).convert("RGB"), (0, top))
    return whole


def fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture covering width x height pixels, cut to its middle."""
    return ImageOps.fit(picture, (width, height), method=Image.Resampling.LANCZOS)


def known_picture(images: Mapping[str, Path], digest: str, width: int, height: int) -> Image.Image:
    """A picture of the plan at the frame's size.

    Args:
        images: where each picture lies, by its digest.

    Raises:
        ConfigError: its file is not what it was when the film was planned.
    """
    path = images[digest]
    try:
        found, picture = read_image(path)
    except UnusableImage as error:
        raise ConfigError([Mistake(str(path), str(error))]) from None
    if found != digest:
        what = "was changed while the film rendered; the same command plans it anew"
        raise ConfigError([Mistake(str(path), what)])
    return fitted(picture, width, height)


def start_images(
    written: TimelineConfig,
    locate: Callable[[str], str],
    remark: Callable[[str], None] = lambda line: None,
) -> dict[Path, str]:
    """The digest of every picture that keyframes name. Each is read once, and whole.

    Args:
        remark: gets a line for each whose colours can't be followed.

    Raises:
        ConfigError: pictures that can't be used, a line for each keyframe.
    """
    found: dict[Path, str] = {}
    wrong: dict[Path, str] = {}
    mistakes = []
    for key, keyframe in written.keyframes.items():
        path = keyframe.image
        if path is None:
            continue
        if path not in found and path not in wrong:
            try:
                found[path] = read_image(path, remark)[0]
            except UnusableImage as error:
                wrong[path] = str(error)
        if path in wrong:
            where = locate(f"timeline.keyframes.{key}.image")
            mistakes.append(Mistake(where, f"{path} {wrong[path]}"))
    if mistakes:
        raise ConfigError(mistakes)
    return found
