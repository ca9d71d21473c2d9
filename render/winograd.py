"""Convolutions of 3 x 3 weights on a CPU with a half or a quarter of the products.

Winograd's minimal filtering: F(2 x 2, 3 x 3) makes 4 pixels with 16 products a channel instead of
36, F(4 x 4, 3 x 3) makes 16 with 36 instead of 144 (Lavin and Gray 2016, arXiv:1509.09308). All of
it is matrix products, so it gains wherever these are fast. In float32 the error is that of another
order of summation; 16 bits take the smaller tiles, whose sums grow less. A row of Stable Diffusion
1.5 takes an eighth to a fifth less time, a decoding a quarter to a third, for weights of 1.8 to 4
times the size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn.functional import pad

from render.upsampling import keeps_size

TILES = 256  # of a product: what they grow into stays in the caches
CHANNELS = 256  # fewer are not worth the two changes of basis
PIXELS = 32 * 32  # of a picture that the larger tiles gain by; fewer wait for the weights

Sides = tuple[int, int]

# Of F(2, 3) and F(4, 3): what a tile of inputs, of weights and of products is multiplied by, in
# each direction (the paper's B^T, G and A^T).
MATRICES = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [
            [1, 1, 1, 1, 1, 0],
            [0, 1, -1, 2, -2, 0],
            [0, 1, 1, 4, 4, 0],
            [0, 1, -1, 8, -8, 1],
        ],
    ),
}


@cache
def both_ways(tile: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """The three matrices for tiles of both directions at once (Kronecker products)."""
    one = [torch.tensor(rows, dtype=torch.float64) for rows in MATRICES[tile]]
    return tuple(torch.kron(matrix, matrix).to(dtype) for matrix in one)


def use_tiles(networks: Sequence[Any], vae: Any, latents: Sequence[int], room: int) -> None:
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
            tile = tile_for(conv, height, width)
            grows = conv.weight.nbytes * ((tile + 2) ** 2 - 9) // 9 if tile else 0
            if tile and grows <= room:
                room -= grows
                setattr(parent, name, WinogradConv2d(conv, tile))


def has_tiles(vae: Any) -> bool:
    """Whether the decoder has layers that may convolve in tiles."""
    return any(
        tile_for(conv, *sides)
        for layers, sides in of_decoder(vae, (1, 1))
        for *_, conv in convolutions(layers)
    )


def of_unet(unet: Any, sides: Sides) -> Iterator[tuple[nn.Module, Sides]]:
    """The residual layers of the blocks of a U-Net or a ControlNet, and the sides of the pictures
    that they see."""
    for block in unet.down_blocks:
        yield block.resnets, sides
        if block.downsamplers is not None:
            sides = (-(-sides[0] // 2), -(-sides[1] // 2))
    if unet.mid_block is not None:
        yield unet.mid_block.resnets, sides
    for block in getattr(unet, "up_blocks", ()):  # a ControlNet has none
        yield block.resnets, sides
        if block.upsamplers is not None:
            sides = (2 * sides[0], 2 * sides[1])


def of_decoder(vae: Any, sides: Sides) -> Iterator[tuple[nn.Module, Sides]]:
    """The same of the usual autoencoder's decoder."""
    if isinstance(vae, AutoencoderKL):
        yield vae.decoder.mid_block, sides
        for block in vae.decoder.up_blocks:
            yield block.resnets, sides
            if block.upsamplers is not None:
                sides = (2 * sides[0], 2 * sides[1])


def convolutions(layers: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Conv2d]]:
    """The plain convolutions in a network, with their parents and their names there."""
    for parent in list(layers.modules()):
        for name, layer in list(parent.named_children()):
            if keeps_size(layer):
                yield parent, name, layer


class WinogradConv2d(nn.Module):
    """A convolution of 3 x 3 weights, stride 1 and padding 1, in tiles.

    Args:
        conv: whose weights it takes.
        tile: pixels a side that a tile makes, 2 or 4.
    """

    def __init__(self, conv: nn.Conv2d, tile: int) -> None:
        super().__init__()
        self.tile = tile
        weights = conv.weight.detach().float()
        points = both_ways(tile, torch.float32)[1] @ weights.reshape(-1, 9).t()
        points = points.view(-1, *weights.shape[:2]).to(conv.weight.dtype)
        self.weight = nn.Parameter(points, requires_grad=False)  # ((tile + 2)^2, out, in)
        self.bias = conv.bias

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(B, in, H, W) to (B, out, H, W), channels last."""
        count, _, height, width = picture.shape
        size, channels = self.tile, self.weight.shape[1]
        down, across = -(-height // size), -(-width // size)
        margin = (0, 0, 1, across * size - width + 1, 1, down * size - height + 1)
        tiles = (
            pad(picture.permute(0, 2, 3, 1), margin)
            .unfold(1, size + 2, size)
            .unfold(2, size + 2, size)
        )  # (B, down, across, in, size + 2, size + 2)
        out = picture.new_empty(count, down, size, across, size, channels)
        for some in strips(count, down, across):
            self.convolve(tiles[some], out[some])
        whole = out.view(count, down * size, across * size, channels)
        return whole[:, :height, :width].permute(0, 3, 1, 2)

    def convolve(self, tiles: torch.Tensor, out: torch.Tensor) -> None:
        """Tiles (b, d, a, in, t, t) to pixels (b, d, size, a, size, out)."""
        inside, _, outside = both_ways(self.tile, tiles.dtype)
        points, wide, channels = self.weight.shape
        given = tiles.permute(4, 5, 0, 1, 2, 3).reshape(points, -1)
        products = torch.bmm((inside @ given).view(points, -1, channels), self.weight.mT)
        made = (outside @ products.view(points, -1)).view(
            self.tile, self.tile, *tiles.shape[:3], wide
        )
        made = made.permute(2, 3, 0, 4, 1, 5)
        if self.bias is None:
            out.copy_(made)
        else:
            torch.add(made, self.bias, out=out)


def strips(count: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Pictures and rows of tiles that are convolved together."""
    pictures = max(1, TILES // (down * across))
    rows = max(1, TILES // across)
    for first in range(0, count, pictures):
        for row in range(0, down, rows):
            yield slice(first, first + pictures), slice(row, row + rows)


def tile_for(conv: nn.Conv2d, height: int, width: int) -> int | None:
    """The tile that convolves pictures of that size fastest; None: the layer stays."""
    if 2 / (1 / conv.in_channels + 1 / conv.out_channels) < CHANNELS:
        return None
    return 4 if conv.weight.dtype == torch.float32 and height * width >= PIXELS else 2
