"""Convolutions of 3 x 3 weights on a CPU with a half or a quarter of the products.

Winograd's minimal filtering: F(2 x 2, 3 x 3) makes 4 pixels with 16 products a channel instead of
36, F(4 x 4, 3 x 3) makes 16 with 36 instead of 144 (Lavin and Gray 2016, arXiv:1509.09308). A
convolution after a doubling (fused_upsampling.py) has 9 products for 4 pixels instead of 16
likewise: of three neighbours it multiplies the middle one and how far the others are from it. The
products are plain matrix products, so it gains wherever these are fast. In float32 the error is
that of another order of summation; 16 bits take F(4 x 2, 3 x 3), whose sums grow less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import chain
from math import prod
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.upsampling import Upsample2D
from torch import nn
from torch.nn.functional import pad

from render.kernels.fused_upsampling import Doubling, keeps_size
from render.kernels.patches import Patches

TILES = 512  # of a product: what they grow into stays in the caches
CHANNELS = 256  # fewer are not worth the two changes of basis
PIXELS = 16 * 16  # of a picture that the larger tiles gain by; fewer wait for the weights

Sides = tuple[int, int]
Layer = nn.Conv2d | Doubling
Matrix = tuple[tuple[float, ...], ...]
Terms = tuple[tuple[int, float], ...]
"""A sum of neighbours: which ones, and times how much; the first one times 1."""


@dataclass(frozen=True)
class Tiling:
    """A way to convolve along one direction.

    Attributes:
        step: pixels from a tile to the next.
        made: pixels that a tile makes.
        inside: what is multiplied, as sums of the tile's neighbours (the paper's B^T).
        weights: what it is multiplied by, (points, 3 or 4) sums of the layer's weights (G).
        outside: pixels of the products, (made, points) (A^T).
    """

    step: int
    made: int
    inside: tuple[Terms, ...]
    weights: Matrix
    outside: Matrix

    @property
    def given(self) -> int:
        """Pixels that a tile sees."""
        return 1 + max(place for terms in self.inside for place, _ in terms)

    def tiles(self, side: int) -> int:
        """Tiles in so many pixels."""
        return -(-side // self.step)

    def margin(self, side: int) -> tuple[int, int]:
        """Pixels that the first and the last tile see before and after so many."""
        return 1, (self.tiles(side) - 1) * self.step + self.given - 1 - side


def minimal_filtering(made: int, *points: Fraction) -> Tiling:
    """F(made, 3) by Cook and Toom's construction: polynomials are multiplied by their values at
    these points and at infinity."""
    inside, weights = [], []
    for point in (*points, None):
        others = [other for other in points if other != point]
        sum_ = product_of(others)  # is 0 at all points but this one
        first = next(factor for factor in sum_ if factor)
        value = [Fraction(0), Fraction(0), Fraction(1)]  # at infinity
        if point is not None:
            scale = prod(point - other for other in others)
            value = [point**power / scale for power in range(3)]
        inside.append(tuple((k, float(factor / first)) for k, factor in enumerate(sum_) if factor))
        weights.append(tuple(float(first * power) for power in value))
    outside = (
        (*(float(point**power) for point in points), float(power == made - 1))
        for power in range(made)
    )
    return Tiling(made, made, tuple(inside), tuple(weights), tuple(outside))


def product_of(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial that has these roots, the constant's first."""
    found = [Fraction(1)]
    for root in roots:
        raised, same = [Fraction(0), *found], [*found, Fraction(0)]
        found = [one - root * other for one, other in zip(raised, same, strict=True)]
    return found


SMALL = minimal_filtering(2, Fraction(0), Fraction(1), Fraction(-1))
# The sums of larger tiles grow least with such points (Barabasz et al. 2018, arXiv:1803.10986).
LARGE = minimal_filtering(
    4, Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)
)
# Of neighbours a, b, c of the small picture a - b, b, c - b, times w0, w0 + w1 + w2, w2 of the
# weights. The merged layer has w2, w1 + w2, w0 + w1, w0.
DOUBLING = Tiling(
    1,
    2,
    (((0, 1.0), (1, -1.0)), ((1, 1.0),), ((2, 1.0), (1, -1.0))),
    ((0.0, 0.0, 0.0, 1.0), (0.5, 0.5, 0.5, 0.5), (1.0, 0.0, 0.0, 0.0)),
    ((1.0, 1.0, 0.0), (0.0, 1.0, 1.0)),
)


@cache
def both_ways(down: Matrix, across: Matrix, dtype: torch.dtype) -> torch.Tensor:
    """The matrix for both directions at once (the Kronecker product)."""
    one, other = (torch.tensor(matrix, dtype=torch.float64) for matrix in (down, across))
    return torch.kron(one, other).to(dtype)


def use_tiles(
    networks: Sequence[Any], vae: Any, latents: Sequence[int], room: int, patches: Patches
) -> None:
    """Let the layers that gain by it convolve in tiles, those of the largest pictures first.

    Args:
        networks: a U-Net and its ControlNet, those of them that there are and that nothing changes.
        latents: shape (…, h, w).
        room: bytes by which the weights may grow.
    """
    sides = (latents[-2], latents[-1])
    found = [*chain.from_iterable(of_unet(net, sides) for net in networks), *of_decoder(vae, sides)]
    for layers, (height, width) in sorted(found, key=lambda each: -each[1][0] * each[1][1]):
        for parent, name, conv in convolutions(layers):
            tiling = tiling_for(conv, height, width)
            grows = growth(conv, tiling) if tiling else 0
            if tiling and grows <= room:
                room -= grows
                patches.exchange(parent, name, TiledConv2d(conv, tiling))


def growth(conv: Layer, tiling: tuple[Tiling, Tiling]) -> int:
    """Bytes by which a layer's weights grow."""
    points, before = prod(len(way.inside) for way in tiling), prod(conv.kernel_size)
    return conv.weight.nbytes * (points - before) // before


def has_tiles(vae: Any) -> bool:
    """Whether the decoder has layers that may convolve in tiles."""
    return any(
        tiling_for(conv, *sides)
        for layers, sides in of_decoder(vae, (1, 1))
        for *_, conv in convolutions(layers)
    )


def of_unet(unet: Any, sides: Sides) -> Iterator[tuple[nn.Module, Sides]]:
    """The layers of a U-Net or a ControlNet that may be convolutions in tiles, and the sides of the
    pictures that they see."""
    for block in unet.down_blocks:
        yield block.resnets, sides
        if block.downsamplers is not None:
            sides = (-(-sides[0] // 2), -(-sides[1] // 2))
    if unet.mid_block is not None:
        yield unet.mid_block.resnets, sides
    yield from upwards(getattr(unet, "up_blocks", ()), sides)  # a ControlNet has none


def of_decoder(vae: Any, sides: Sides) -> Iterator[tuple[nn.Module, Sides]]:
    """The same of the usual autoencoder's decoder."""
    if isinstance(vae, AutoencoderKL):
        yield vae.decoder.mid_block, sides
        yield from upwards(vae.decoder.up_blocks, sides)


def upwards(blocks: Iterable[Any], sides: Sides) -> Iterator[tuple[nn.Module, Sides]]:
    """The same of the blocks that lead up."""
    for block in blocks:
        yield block.resnets, sides
        if block.upsamplers is not None:
            yield block.upsamplers, sides
            sides = (2 * sides[0], 2 * sides[1])


def convolutions(layers: nn.Module) -> Iterator[tuple[nn.Module, str, Layer]]:
    """The plain convolutions in a network, some after a doubling, with their parents and their
    names there."""
    for parent in list(layers.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, Doubling) or (keeps_size(layer) and not doubles(parent)):
                yield parent, name, layer


def doubles(parent: nn.Module) -> bool:
    """Whether what a layer is part of doubles a picture before it convolves."""
    return type(parent) is Upsample2D


class TiledConv2d(nn.Module):
    """A convolution of 3 x 3 weights, stride 1 and padding 1, or one after a doubling, in tiles.

    Args:
        conv: whose weights it takes.
        tiling: how it convolves down and across.
    """

    def __init__(self, conv: Layer, tiling: tuple[Tiling, Tiling]) -> None:
        super().__init__()
        self.down, self.across = tiling
        weights = conv.weight.detach().float()
        if isinstance(conv, Doubling):
            weights = weights.transpose(0, 1)
        basis = both_ways(self.down.weights, self.across.weights, torch.float32)
        points = (basis @ weights.flatten(2).flatten(0, 1).t()).view(-1, *weights.shape[:2])
        points = points.to(conv.weight.dtype)  # (points, out, in)
        self.weight = nn.Parameter(points, requires_grad=False)
        self.bias = conv.bias

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(B, in, H, W) to (B, out, H, W), or to twice the sides, channels last."""
        count, _, height, width = picture.shape
        down, across = self.down.tiles(height), self.across.tiles(width)
        margins = (*self.across.margin(width), *self.down.margin(height))
        padded = pad(picture.permute(0, 2, 3, 1), (0, 0, *margins))
        wide = self.weight.shape[1]
        out = picture.new_empty(count, down, self.down.made, across, self.across.made, wide)
        for pictures, rows in strips(count, down, across):
            first, last = (row * self.down.step for row in (rows.start, rows.stop - 1))
            self.convolve(padded[pictures, first : last + self.down.given], out[pictures, rows])
        whole = out.view(count, down * self.down.made, across * self.across.made, wide)
        scale = self.down.made // self.down.step
        return whole[:, : height * scale, : width * scale].permute(0, 3, 1, 2)

    def convolve(self, seen: torch.Tensor, out: torch.Tensor) -> None:
        """Rows of a picture (b, rows, columns, in) to the pixels (b, d, made, a, made, out) of
        their tiles."""
        count, down, _, across, _, wide = out.shape
        high, long, channels = len(self.down.inside), len(self.across.inside), seen.shape[3]
        rows = seen.new_empty(high, count, down, *seen.shape[2:], dtype=torch.float32)
        sums(seen.float(), 1, self.down, rows.unbind(0))  # 16 bits are rounded to once
        tiles = seen.new_empty(high, long, count, down, across, channels)
        sums(rows, 3, self.across, tiles.unbind(1))
        products = torch.bmm(tiles.view(high * long, -1, channels), self.weight.mT)
        outside = both_ways(self.down.outside, self.across.outside, seen.dtype)
        pixels = (outside @ products.view(high * long, -1)).view(
            self.down.made, self.across.made, count, down, across, wide
        )
        pixels = pixels.permute(2, 3, 0, 4, 1, 5)
        if self.bias is None:
            out.copy_(pixels)
        else:
            torch.add(pixels, self.bias, out=out)


def sums(picture: torch.Tensor, axis: int, tiling: Tiling, out: Sequence[torch.Tensor]) -> None:
    """The factors of the tiles along an axis: the sums of their neighbours, one into each `out`."""
    neighbours = picture.unfold(axis, tiling.given, tiling.step).unbind(-1)
    for ((first, _), *others), into in zip(tiling.inside, out, strict=True):
        if not others:
            into.copy_(neighbours[first])
            continue
        (second, times), *more = others
        torch.add(neighbours[first], neighbours[second], alpha=times, out=into)
        for place, factor in more:
            into.add_(neighbours[place], alpha=factor)


def strips(count: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Pictures and rows of tiles that are convolved together."""
    pictures = max(1, TILES // (down * across))
    rows = max(1, TILES // across)
    for first in range(0, count, pictures):
        for row in range(0, down, rows):
            yield slice(first, first + pictures), slice(row, row + rows)


def tiling_for(conv: Layer, height: int, width: int) -> tuple[Tiling, Tiling] | None:
    """The tiles, down and across, that convolve pictures of that size fastest; None: the layer
    stays."""
    channels = 2 / (1 / conv.in_channels + 1 / conv.out_channels)
    if isinstance(conv, Doubling):
        return (DOUBLING, DOUBLING) if channels > CHANNELS else None
    if channels < CHANNELS:
        return None
    if height * width < PIXELS:
        return SMALL, SMALL
    return LARGE, LARGE if conv.weight.dtype == torch.float32 else SMALL
