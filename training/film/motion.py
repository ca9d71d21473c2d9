"""Motion for training: a picture under a moving camera, and a cut-out of another before it."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.storybook.examples import Pixels

FARTHEST = 0.09  # of the picture's side that it moves
MOST_ZOOM, MOST_TURN = 0.08, 0.08  # a part, radians
LARGEST_THING = 0.35  # of the picture's side


def moving(
    ground: Pixels, thing: Pixels, places: Sequence[float], rng: np.random.Generator
) -> list[Pixels]:
    """The pictures at places on the way of a camera and of a thing, each as large as `ground`."""
    camera, way = Way(rng, FARTHEST), Way(rng, 1.5 * FARTHEST)
    shown = rng.random() < 0.7
    outline = blob(ground.shape[0], rng)
    pictures = []
    for place in places:
        made = seen(planes(ground), camera.at(place))
        if shown:
            cover = seen(outline, way.at(place))
            made = made + cover * (seen(planes(thing), way.at(place)) - made)
        pixels = made[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8)
        pictures.append(pixels.numpy())
    return pictures


class Way:
    """How far a picture is moved, turned and enlarged from one moment to the other."""

    def __init__(self, rng: np.random.Generator, farthest: float) -> None:
        reach = farthest * math.sqrt(rng.random())
        angle = rng.uniform(0, 2 * math.pi)
        self.shift = 2 * reach * np.array([math.cos(angle), math.sin(angle)])
        self.turn = rng.uniform(-MOST_TURN, MOST_TURN) * (rng.random() < 0.5)
        self.zoom = rng.uniform(-MOST_ZOOM, MOST_ZOOM) * (rng.random() < 0.5)

    def at(self, place: float) -> Tensor:
        """The map from a moment's places to the picture's, (1, 2, 3), as `affine_grid` takes it.
        The way lies evenly around the picture as it was painted."""
        share = place - 0.5
        size, angle = math.exp(self.zoom * share), self.turn * share
        cos, sin = size * math.cos(angle), size * math.sin(angle)
        x, y = self.shift * share
        return torch.tensor([[[cos, -sin, x], [sin, cos, y]]], dtype=torch.float32)


def seen(picture: Tensor, where: Tensor) -> Tensor:
    """A picture (1, C, H, W) where a map says; beyond its edge mirrored."""
    grid = functional.affine_grid(where, list(picture.shape), align_corners=False)
    return functional.grid_sample(picture, grid, padding_mode="reflection", align_corners=False)


def planes(pixels: Pixels) -> Tensor:
    """Bytes (H, W, 3) as (1, 3, H, W), from 0 to 255."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()


def blob(side: int, rng: np.random.Generator) -> Tensor:
    """A random outline with a soft edge of a pixel, (1, 1, side, side): 1 inside, 0 outside."""
    angles = np.linspace(-1, 1, side)
    x, y = np.meshgrid(angles, angles)
    x, y = x - rng.uniform(-0.6, 0.6), y - rng.uniform(-0.6, 0.6)
    turned = np.arctan2(y, x)
    radius = np.full_like(x, LARGEST_THING * rng.uniform(0.3, 1))
    for waves in (2, 3, 5):
        radius = radius * (1 + rng.uniform(0, 0.25) * np.sin(waves * turned + rng.uniform(0, 7)))
    inside = ((radius - np.hypot(x, y)) * side / 2 + 0.5).clip(0, 1)
    return torch.from_numpy(inside.astype(np.float32))[None, None]
