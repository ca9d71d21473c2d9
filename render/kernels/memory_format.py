"""The layout of a network's weights in memory, and float32 products on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from render.kernels.patches import Patches


def put_channels_last(net: Any, patches: Patches) -> None:
    """Lay a network of pictures out with the channels last, as CPUs and compiled networks compute
    it fastest; one of videos has no such layout."""
    if all(weight.ndim < 5 for weight in net.parameters()):
        net.to(memory_format=torch.channels_last)
        patches.add(lambda: net.to(memory_format=torch.contiguous_format))


@contextmanager
def multiplied_as_declared(dtype: str) -> Iterator[None]:
    """Let a GPU multiply float32 inside of the block as float32 where that is the film's dtype, and
    not as TF32, torch's default for convolutions, which has the digits of float16."""
    with Patches() as patches:
        for backend in (torch.backends.cudnn, torch.backends.cuda.matmul):
            patches.switch_attribute(backend, "allow_tf32", dtype != "float32")
        yield
