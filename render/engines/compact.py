"""Compact, the small upscaling network of Real-ESRGAN (SRVGGNetCompact; Wang et al. 2021).

Convolutions of 3 × 3 with PReLUs between, all at the small size; the last one's channels become the
pixels of the large picture, which is added to the small one with its pixels repeated. The weights
have Real-ESRGAN's names (`body.0.weight` …).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from render.engines.compact_shape import CompactShape


class Compact(nn.Module):
    """The network. It takes RGB from 0 to 1, (1, 3, h, w), and gives (1, 3, f·h, f·w)."""

    def __init__(self, shape: CompactShape) -> None:
        super().__init__()
        self.factor = shape.factor
        sides = [3, *[shape.features] * (shape.convolutions - 1), 3 * shape.factor**2]
        layers: list[nn.Module] = []
        for before, after in pairwise(sides):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.PReLU(after)]
        self.body = nn.ModuleList(layers[:-1])

    def forward(self, small: Tensor) -> Tensor:
        made = small
        for layer in self.body:
            made = layer(made)
        repeated = small.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)
        return nn.functional.pixel_shuffle(made, self.factor) + repeated


def opened(file: Path, shape: CompactShape, device: str) -> Compact:
    """The network of a file with these shapes, in float32 on a device."""
    network = Compact(shape)
    network.load_state_dict({name: each.float() for name, each in load_file(file).items()})
    return network.to(torch.device(device)).eval().requires_grad_(False)
