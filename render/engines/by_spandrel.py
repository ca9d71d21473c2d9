"""Upscalers that spandrel reads: it finds the architecture by the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from render.engines.upscalers import LARGEST_FACTOR


def read(file: Path, device: str) -> Any:
    """spandrel's description of a network for pictures, in float32 on a device.

    Raises:
        ValueError: it is no upscaler of colour pictures, or of a format that spandrel does not
            know.
        RuntimeError: the weights do not fit.
    """
    from spandrel import ImageModelDescriptor, ModelLoader

    found = ModelLoader(torch.device(device)).load_from_file(file)
    if not isinstance(found, ImageModelDescriptor):
        raise ValueError("it takes more than a picture")
    if (found.input_channels, found.output_channels) != (3, 3):
        raise ValueError("it is not for colour pictures")
    if not 2 <= found.scale <= LARGEST_FACTOR:
        raise ValueError(f"it makes pictures {found.scale} times as large")
    network = found.float().eval()
    network.model.requires_grad_(False)
    return network
