"""Colours of pictures as a browser shows them: an embedded profile is followed, into sRGB.

Without a profile a picture is taken as sRGB, and so is one whose profile means sRGB to a rounding:
its pixels stay as they are, bit for bit.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageChops, ImageCms

MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode of a profile's colours."""
ROUNDING = 2  # of 255: profiles that differ no more mean the same
GAMMA = 1 / 2.2  # of sRGB, as a PNG without a profile says it
GAMMA_SLACK = 0.005
PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""sRGB's white, red, green and blue, as a PNG without a profile says them."""
PRIMARIES_SLACK = 0.003
CODED = (1, 13)  # sRGB's primaries and transfer function in a cICP chunk
HDR = {16, 18}
"""Transfer functions of HDR pictures, PQ and HLG, in a cICP chunk."""
PNG = b"\x89PNG"
STEPS = range(0, 256, 51)


class UnusableProfile(Exception):
    """The reason why the colours of a picture can't be converted."""


def in_srgb(picture: Image.Image, content: bytes) -> tuple[Image.Image, bool]:
    """The picture with the colours of sRGB, and whether any changed.

    Args:
        picture: as it was read; what its file says of colours is in its `info`.
        content: the file's bytes.

    Raises:
        UnusableProfile: the file says what its colours are, and they can't be converted.
    """
    written = picture.info.get("icc_profile")
    coded = coded_colours(content)
    if coded and coded[1] in HDR:  # a browser follows it even beside a profile
        raise UnusableProfile(f"the HDR colours {coded[0]}/{coded[1]} of a cICP chunk")
    if not written:
        check_undescribed(picture, content)
        return picture, False
    profile, mode = opened(written)
    fits = {"L": ("L", "LA", "1"), "CMYK": ("CMYK",)}.get(mode, ("RGB", "RGBA", "P", "PA"))
    if picture.mode not in fits:
        raise UnusableProfile(f"a profile for {mode} in a picture in {picture.mode}")
    try:
        change = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "RGB" and means_the_same(change):
            return picture, False
        return converted(picture, mode, change), True
    except ImageCms.PyCMSError:
        raise UnusableProfile("a broken colour profile") from None


def opened(written: bytes) -> tuple[Any, str]:
    """A profile, and Pillow's mode of the colours that it describes."""
    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(written))
        space = profile.profile.xcolor_space.strip()
    except (ImageCms.PyCMSError, OSError, ValueError):
        raise UnusableProfile("a broken colour profile") from None
    if space not in MODES:
        raise UnusableProfile(f"a profile for {space}, not RGB, grey or CMYK")
    return profile, MODES[space]


def converted(picture: Image.Image, mode: str, change: Any) -> Image.Image:
    """The picture in RGB by a change of its colours; what is transparent stays so."""
    layer = picture.convert("RGBA") if picture.has_transparency_data else None
    shown = ImageCms.applyTransform(picture.convert(mode), change)
    if shown is None or layer is None:
        return shown or picture
    shown.putalpha(layer.getchannel("A"))
    return shown


def means_the_same(change: Any) -> bool:
    """Whether a change of RGB leaves all colours as they are, to a rounding."""
    colours = bytes(value for r in STEPS for g in STEPS for b in STEPS for value in (r, g, b))
    before = Image.frombytes("RGB", (len(colours) // 3, 1), colours)
    after = ImageCms.applyTransform(before, change)
    extremes: Any = ImageChops.difference(before, after or before).getextrema()
    return all(most <= ROUNDING for _, most in extremes)


def coded_colours(content: bytes) -> tuple[int, int] | None:
    """The primaries and the transfer function of a PNG's cICP chunk, by their numbers."""
    if not content.startswith(PNG):
        return None
    coded = content.partition(b"IDAT")[0].partition(b"cICP")[2][:2]
    return (coded[0], coded[1]) if len(coded) == 2 else None


def check_undescribed(picture: Image.Image, content: bytes) -> None:
    """Refuse colours that are said in other ways than by a profile, and are not sRGB's."""
    if picture.mode == "CMYK":
        raise UnusableProfile("inks (CMYK) without a colour profile")
    if not content.startswith(PNG):
        return
    coded = coded_colours(content)
    if coded and coded != CODED:
        raise UnusableProfile(f"the colours {coded[0]}/{coded[1]} of a cICP chunk")
    if coded or "srgb" in picture.info:
        return
    gamma, primaries = picture.info.get("gamma"), picture.info.get("chromaticity")
    if gamma and abs(gamma - GAMMA) > GAMMA_SLACK:
        raise UnusableProfile(f"a gamma of {gamma:g} in place of sRGB's")
    if primaries and any(
        abs(its - ours) > PRIMARIES_SLACK for its, ours in zip(primaries, PRIMARIES, strict=False)
    ):
        raise UnusableProfile("primaries of its own in place of sRGB's")
