"""LPIPS: how different two pictures look, by the features of a trained network (Zhang et al., "The
Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018).

Its trunk is AlexNet's convolutions (Krizhevsky 2014), as torchvision has them, and each layer's
features are weighed by the heads of the lpips package. The weights are a person's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from render.errors import ConfigError, Mistake
from render.measurement.reading import Pixels
from render.models.lpips_weights import HEAD, KEY, LAYERS, TRUNK

SIDE = 64  # pixels of what is looked at, as in the paper's trials
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
LEAST = 1e-10  # of the length that features are divided by


class Lpips:
    """The measure. The LPIPS of two pictures is the squared distance of their features."""

    def __init__(self, file: Path) -> None:
        """Read the weights of a file that was found right (models/lpips_weights.py).

        Raises:
            ConfigError: they are not finite, or a head is negative.
        """
        weights: Mapping[str, Tensor] = load_file(file)
        for name, each in weights.items():
            if not torch.isfinite(each).all() or (name.startswith("lin") and (each < 0).any()):
                what = f"{file}: {name} is not finite, or negative; download it again"
                raise ConfigError([Mistake(KEY, what)])
        self.layers: list[tuple[bool, nn.Conv2d, Tensor]] = []
        for layer in LAYERS:
            convolution = nn.Conv2d(
                layer.before, layer.channels, layer.side, layer.stride, layer.padding
            )
            with torch.no_grad():
                convolution.weight.copy_(weights[f"{TRUNK}{layer.place}.weight"])
                convolution.bias.copy_(weights[f"{TRUNK}{layer.place}.bias"])  # type: ignore[union-attr]
            head = weights[HEAD.format(len(self.layers))].flatten().float()
            self.layers.append((layer.pooled, convolution.requires_grad_(False), head.clamp(min=0)))

    def features(self, pixels: Pixels) -> NDArray[np.float16]:
        """A picture's features, (K,).

        Raises:
            ConfigError: they are not finite.
        """
        with torch.inference_mode():
            planes = scaled(smaller(pixels))
            found = []
            for pooled, convolution, head in self.layers:
                planes = functional.max_pool2d(planes, 3, 2) if pooled else planes
                planes = functional.relu(convolution(planes))
                length = planes.square().sum(1, keepdim=True).sqrt()
                weight = (head / (planes.shape[-1] * planes.shape[-2])).sqrt()
                found.append((planes / (length + LEAST) * weight[:, None, None]).flatten())
            joined = torch.cat(found).half()
            if not torch.isfinite(joined).all():
                what = "the weights give features that are not finite; give another file"
                raise ConfigError([Mistake(KEY, what)])
            return joined.numpy()


def smaller(pixels: Pixels) -> Pixels:
    """A picture of 64 × 64 pixels, by the means of areas. Pictures of all sizes can be compared."""
    return np.array(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))


def scaled(pixels: Pixels) -> Tensor:
    """A picture (H, W, 3) as the network takes it, (1, 3, H, W)."""
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    shift, scale = (torch.tensor(each).view(1, 3, 1, 1) for each in (SHIFT, SCALE))
    return (planes - shift) / scale
