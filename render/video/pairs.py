"""A picture of pairs of frames: the one film's above the other's."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, PngImagePlugin

from render.errors import unread_frame
from render.files.atomic import write_whole
from render.files.ownership import PAIRS_MARK, make_way, unsaid
from render.text import shortened
from render.video.lettering import letters_for, line_height

WIDTH = 192  # of a thumbnail, in pixels
MARGIN, GAP = 16, 8
BACKGROUND, INK = (22, 23, 26), (234, 234, 230)


def draw_pairs(
    pairs: Sequence[tuple[float, Path, Path]], target: Path, names: tuple[str, str]
) -> Path:
    """Write a picture of pairs of frames beside each other.

    Args:
        pairs: time in seconds, and the two frames' files; one or more.
        names: of the two films.

    Raises:
        EncodeError: a frame can't be read.
        DiskFull: no room for the picture.
    """
    thumbnails = [(time_s, thumbnail(one), thumbnail(other)) for time_s, one, other in pairs]
    high = max(picture.height for _, *both in thumbnails for picture in both)
    titles = [shortened(name, 60) for name in names]
    letters = letters_for(titles)
    line = line_height(letters.small)
    width = 2 * MARGIN + len(pairs) * (WIDTH + GAP) - GAP
    page = Image.new("RGB", (width, 2 * MARGIN + 3 * line + 2 * (high + GAP)), BACKGROUND)
    draw = ImageDraw.Draw(page)
    tops = (MARGIN + line, MARGIN + 2 * line + high + GAP)
    for title, top in zip(titles, tops, strict=True):
        draw.text((MARGIN, top - line), letters.spell(title), INK, letters.small)
    for place, (time_s, *both) in enumerate(thumbnails):
        left = MARGIN + place * (WIDTH + GAP)
        for picture, top in zip(both, tops, strict=True):
            page.paste(picture, (left, top))
        draw.text((left, tops[1] + high + GAP // 2), f"{time_s:.2f} s", INK, letters.small)
    proof = PngImagePlugin.PngInfo()
    proof.add_text(PAIRS_MARK, "")
    encoded = io.BytesIO()
    page.save(encoded, "PNG", pnginfo=proof)
    make_way(target, unsaid)
    write_whole(target, encoded.getvalue())
    return target


def thumbnail(file: Path) -> Image.Image:
    """A frame in the width of a thumbnail."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            size = (WIDTH, max(1, round(image.height * WIDTH / image.width)))
            return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unread_frame(file, error) from error
