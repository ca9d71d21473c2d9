"""Enlarging: pictures through an upscaler, in tiles, so that large ones fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from render.engines.compact_shape import compact_shape
from render.engines.upscalers import KEY
from render.errors import EncodeError
from render.models.single_file import shapes_in
from render.plan.finish import Upscaler
from render.video.linear_light import RgbPicture

if TYPE_CHECKING:
    from torch import Tensor

Enlarge = Callable[[RgbPicture], RgbPicture]
"""A picture (h, w, 3) to the same picture (f·h, f·w, 3), uint8, sRGB."""
UpscalingNetwork = Callable[[Any], Any]
"""RGB from 0 to 1, (1, 3, h, w), to (1, 3, f·h, f·w)."""

TILE = 256  # pixels of a tile's side, without what it sees beyond
MARGIN = 32  # pixels that a network of unknown reach sees beyond a tile's sides

Span = tuple[int, int]


def opened(upscaler: Upscaler, device: str) -> Enlarge:
    """The upscaler, loaded on a device.

    Raises:
        ConfigError, OSError, RuntimeError: its file can't be read any more.
    """
    if upscaler.file is None:
        return partial(by_lanczos, upscaler.whole)
    if shape := compact_shape(shapes_in(upscaler.file, KEY)):
        from render.engines import compact

        network, reach = compact.opened(upscaler.file, shape, device), shape.convolutions
        return partial(enlarged, network, upscaler, device, reach)
    from render.engines.by_spandrel import read

    found = read(upscaler.file, device)
    tiles = getattr(found.tiling, "name", "SUPPORTED") == "SUPPORTED"
    return partial(enlarged, found, upscaler, device, MARGIN if tiles else None)


def by_lanczos(factor: int, pixels: RgbPicture) -> RgbPicture:
    """A picture made larger without any network."""
    height, width = pixels.shape[:2]
    size = (factor * width, factor * height)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def enlarged(
    network: UpscalingNetwork,
    upscaler: Upscaler,
    device: str,
    margin: int | None,
    pixels: RgbPicture,
) -> RgbPicture:
    """A picture through the network, as often as the upscaler says.

    Args:
        margin: pixels that the network sees beyond a tile; None: it takes whole pictures.
    """
    import torch

    picture = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.inference_mode():
        for _ in range(upscaler.times):
            picture = in_tiles(network, picture, upscaler.factor, device, margin)
    if not torch.isfinite(picture).all():
        raise EncodeError(f"{upscaler.file} gives pictures that are not finite; give another file")
    made: RgbPicture = picture[0].permute(1, 2, 0).mul(255).round().to(torch.uint8).numpy()
    return made


def in_tiles(
    network: UpscalingNetwork, picture: Tensor, factor: int, device: str, margin: int | None
) -> Tensor:
    """A picture (1, 3, h, w) through the network, on the CPU again, from 0 to 1.

    A tile is computed with all that the network sees beyond it, so that no seam shows; at the
    picture's own edge nothing lies beyond, as in the whole picture.
    """
    import torch

    height, width = picture.shape[-2:]
    made = torch.empty(1, 3, factor * height, factor * width)
    for (top, bottom), (above, below) in spans(height, margin):
        for (left, right), (before, behind) in spans(width, margin):
            tile = network(picture[..., above:below, before:behind].to(device)).clamp(0, 1).cpu()
            rows = slice(factor * (top - above), factor * (bottom - above))
            columns = slice(factor * (left - before), factor * (right - before))
            if tile.shape != (1, 3, factor * (below - above), factor * (behind - before)):
                what = f"the upscaler gives pictures of another size, not {factor} times as large"
                raise EncodeError(f"{what}; remove upscalers.json from the store, and try again")
            inner = tile[..., rows, columns]
            made[..., factor * top : factor * bottom, factor * left : factor * right] = inner
    return made


def spans(length: int, margin: int | None) -> Iterator[tuple[Span, Span]]:
    """The tiles along a side: the pixels of each, and those that are computed for it."""
    step = length if margin is None else TILE
    for first in range(0, length, step):
        last = min(first + step, length)
        beyond = margin or 0
        yield (first, last), (max(0, first - beyond), min(length, last + beyond))
