"""FILM, a network for the pictures between two (Reda et al., "FILM: Frame Interpolation for Large
Motion", ECCV 2022).

Both pictures are halved again and again. Features are taken at each size by the same convolutions,
and joined over several sizes, so that they mean the same at each. From the coarsest size to the
finest, the flow between the two is found, each time what is still missing of it. Pictures and
features of both are moved to the place between along a share of the flow, and a decoder fuses them.

Ours knows the place (`FilmShape.placed`), and adds to the blend of the two moved pictures, so that
any place is made at once. The paper's knows the half-way alone: other places come by halves.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from render.engines.film_shape import COLOURS, FLOW, FilmShape

SLOPE = 0.2  # of what is below zero
MOST_LEVELS = 7  # sizes
LEAST_SIDE = 8  # pixels of the coarsest size
REACH = 8  # pixels within which something that changes counts
CHANGED = 6 / 255  # the difference from which on a place counts as a whole

Pyramid = list[Tensor]
"""Planes of each size, (B, C, H, W), from the finest on."""


class Convolution(nn.Sequential):
    """A convolution that keeps the size, and what is below zero made smaller."""

    def __init__(self, before: int, channels: int, side: int, bent: bool = True) -> None:
        super().__init__(nn.Conv2d(before, channels, side, padding=side // 2 if side % 2 else 0))
        self.even, self.bent = side % 2 == 0, bent

    def forward(self, planes: Tensor) -> Tensor:
        made: Tensor = self[0](functional.pad(planes, (0, 1, 0, 1)) if self.even else planes)
        return functional.leaky_relu(made, SLOPE) if self.bent else made


class Sublevels(nn.Module):
    """Features that begin at one size of a picture, at it and at coarser ones."""

    def __init__(self, shape: FilmShape) -> None:
        super().__init__()
        widths = [COLOURS, *(shape.filters << level for level in range(shape.depth))]
        self.convs = nn.ModuleList(
            nn.Sequential(Convolution(before, after, 3), Convolution(after, after, 3))
            for before, after in pairwise(widths)
        )

    def forward(self, picture: Tensor, sizes: int) -> Pyramid:
        found: Pyramid = []
        for layers in [*self.convs][:sizes]:
            picture = layers(functional.avg_pool2d(picture, 2) if found else picture)
            found.append(picture)
        return found


class Features(nn.Module):
    """Features of a picture at each of its sizes."""

    def __init__(self, shape: FilmShape) -> None:
        super().__init__()
        self.shape, self.extract_sublevels = shape, Sublevels(shape)

    def forward(self, pictures: Pyramid) -> Pyramid:
        taken = [
            self.extract_sublevels(picture, len(pictures) - i) for i, picture in enumerate(pictures)
        ]
        return [
            torch.cat([taken[i - j][j] for j in range(min(i + 1, self.shape.depth))], 1)
            for i in range(len(pictures))
        ]


class Predictor(nn.Module):
    """The flow from one picture to another at one size, as far as it is not yet made up for."""

    def __init__(self, before: int, channels: int, many: int) -> None:
        super().__init__()
        widths = [before, *[channels] * many]
        layers = [Convolution(first, last, 3) for first, last in pairwise(widths)]
        layers += [Convolution(widths[-1], channels // 2, 1)]
        layers += [Convolution(channels // 2, FLOW, 1, bent=False)]
        self._convs = nn.ModuleList(layers)

    def forward(self, here: Tensor, there: Tensor) -> Tensor:
        made = torch.cat([here, there], 1)
        for layer in self._convs:
            made = layer(made)
        return made


class Flows(nn.Module):
    """The flow from one picture to another, from coarse to fine."""

    def __init__(self, shape: FilmShape) -> None:
        super().__init__()
        every = [
            Predictor(2 * shape.features(level), channels, many)
            for level, (channels, many) in enumerate(
                zip(shape.flow_filters, shape.flow_convolutions, strict=True)
            )
        ]
        self._predictor = every[-1]
        self._predictors = nn.ModuleList(every[-2::-1])

    def forward(self, here: Pyramid, there: Pyramid) -> Pyramid:
        found: Pyramid = []
        for level in reversed(range(len(here))):
            finer = len(self._predictors) - 1 - level
            predictor = self._predictors[finer] if finer >= 0 else self._predictor
            if not found:
                found = [predictor(here[level], there[level])]
                continue
            flow = resized(2 * found[0], here[level])
            found.insert(0, flow + predictor(here[level], moved(there[level], flow)))
        return found


class Fusion(nn.Module):
    """A picture from both, which were moved to its place, with their features."""

    def __init__(self, shape: FilmShape) -> None:
        super().__init__()
        self.convs, above = nn.ModuleList(), shape.aligned(shape.depth)
        for level in reversed(range(shape.depth)):
            channels = shape.fused(level)
            self.convs.append(
                nn.ModuleList(
                    [
                        Convolution(above, channels, 2, bent=False),
                        Convolution(shape.aligned(level) + channels, channels, 3),
                        Convolution(channels, channels, 3),
                    ]
                )
            )
            above = channels
        self.output_conv = nn.Conv2d(above, COLOURS, 1)

    def forward(self, aligned: Pyramid) -> Tensor:
        made = aligned[-1]
        for layers, planes in zip(self.convs, reversed(aligned[:-1]), strict=True):
            nearest = functional.interpolate(made, size=planes.shape[-2:], mode="nearest")
            narrow, join, finish = layers.children()
            made = finish(join(torch.cat([planes, narrow(nearest)], 1)))
        picture: Tensor = self.output_conv(made)
        return picture


class FilmNetwork(nn.Module):
    """The network."""

    def __init__(self, shape: FilmShape) -> None:
        super().__init__()
        self.shape = shape
        self.extract, self.predict_flow = Features(shape), Flows(shape)
        self.fuse = Fusion(shape)

    def forward(self, before: Tensor, after: Tensor, places: Tensor) -> Tensor:
        """The pictures at places between two.

        Args:
            before, after: RGB from 0 to 1 in sRGB's codes, (B, 3, H, W); sides are multiples of
                `multiple` of them.
            places: from 0 to 1, (B,).

        Returns:
            (B, 3, H, W), from about 0 to 1.
        """
        return self.made(self.followed(before, after), places)

    def levels(self, height: int, width: int) -> int:
        """In how many sizes pictures are looked at."""
        small = (min(height, width) // LEAST_SIDE).bit_length()
        return max(self.shape.depth + 1, min(MOST_LEVELS, small))

    def multiple(self, height: int, width: int) -> int:
        """A number of pixels of which the sides of pictures have to be multiples."""
        return 1 << (self.levels(height, width) - 1)

    def followed(self, before: Tensor, after: Tensor) -> tuple[Pyramid, Pyramid, Pyramid, Pyramid]:
        """All that does not depend on the place: both pictures with their features at each size
        that is fused, the flow from the second to the first, and that from the first to the
        second."""
        levels = self.levels(*before.shape[-2:])
        pictures = [halved(picture, levels) for picture in (before, after)]
        features = [self.extract(each) for each in pictures]
        forward = self.predict_flow(features[0], features[1])
        backward = self.predict_flow(features[1], features[0])
        fused = self.shape.depth + 1
        first, last = (
            [torch.cat(planes, 1) for planes in zip(each, found, strict=True)][:fused]
            for each, found in zip(pictures, features, strict=True)
        )
        return first, last, backward[:fused], forward[:fused]

    def made(self, followed: tuple[Pyramid, Pyramid, Pyramid, Pyramid], places: Tensor) -> Tensor:
        """The pictures at places, of what `followed` gives."""
        aligned = self.aligned(followed, places)
        picture: Tensor = self.fuse(aligned)
        if not self.shape.placed:
            return picture
        share = places[:, None, None, None]
        width = (aligned[0].shape[1] - 2 * FLOW - 1) // 2
        first, last = aligned[0][:, :COLOURS], aligned[0][:, width : width + COLOURS]
        picture = picture + (1 - share) * first + share * last
        before, after = followed[0][0][:, :COLOURS], followed[1][0][:, :COLOURS]
        dissolve = (1 - share) * before + share * after
        return dissolve + changing(before, after) * (picture - dissolve)

    def aligned(
        self, followed: tuple[Pyramid, Pyramid, Pyramid, Pyramid], places: Tensor
    ) -> Pyramid:
        """The planes that the fusion is given at each size: the first and the last, moved, and
        their flows."""
        share = places[:, None, None, None]
        found: Pyramid = []
        for first, last, backward, forward in zip(*followed, strict=True):
            to_first, to_last = share * backward, (1 - share) * forward
            planes = [moved(first, to_first), moved(last, to_last), to_first, to_last]
            if self.shape.placed:
                planes.append(share.expand(-1, 1, *first.shape[-2:]))
            found.append(torch.cat(planes, 1))
        return found


def changing(before: Tensor, after: Tensor) -> Tensor:
    """Where something changes near by, (B, 1, H, W) from 0 to 1. Elsewhere a dissolve is exact."""
    differs = (before - after).abs().amax(1, keepdim=True)
    near = functional.max_pool2d(differs, 2 * REACH + 1, 1, REACH)
    soft = functional.avg_pool2d(near, REACH + 1, 1, REACH // 2, count_include_pad=False)
    return (soft / CHANGED).clamp(0, 1)


def halved(picture: Tensor, levels: int) -> Pyramid:
    """A picture at its own size, half of it, and so on."""
    found = [picture]
    for _ in range(levels - 1):
        found.append(functional.avg_pool2d(found[-1], 2))
    return found


def moved(planes: Tensor, flow: Tensor) -> Tensor:
    """Planes (B, C, H, W), each pixel taken from as far away as the flow (B, 2, H, W) says, in
    pixels to the right and down; beyond the edge the nearest pixel."""
    height, width = planes.shape[-2:]
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device)
    across = (2 * (columns + flow[:, 0]) + 1) / width - 1
    down = (2 * (rows[:, None] + flow[:, 1]) + 1) / height - 1
    places = torch.stack([across, down], -1)
    taken: Tensor = functional.grid_sample(
        planes, places, padding_mode="border", align_corners=False
    )
    return taken


def resized(flow: Tensor, like: Tensor) -> Tensor:
    """A flow at the size of other planes; its values stay."""
    larger: Tensor = functional.interpolate(flow, size=like.shape[-2:], mode="bilinear")
    return larger
