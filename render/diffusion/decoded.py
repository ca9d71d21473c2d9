"""Decoded pictures on their way to main memory, and a device's several ways to be out of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from render.diffusion.pending_images import Arriving
from render.errors import NOT_FINITE, OutOfMemory
from render.models.hub_errors import first_line

SAYINGS = ("out of memory", "can't allocate memory")


def rounded(pictures: torch.Tensor, why: Callable[[], str] = lambda: NOT_FINITE) -> Arriving:
    """Pictures (B, 3, H, W) in 0..1 as uint8 pictures (H, W, 3), rounded as diffusers does.

    That is done on their device, so that a quarter of the bytes leaves a GPU, and nothing here
    waits for them.

    Args:
        why: the cause where some are not finite.
    """
    finite = to_main_memory(torch.isfinite(pictures).flatten(1).all(1))
    levels = pictures.float().mul(255).round().to(torch.uint8)
    shown = to_main_memory(levels.permute(0, 2, 3, 1).contiguous())
    event = None
    if pictures.is_cuda:
        event = torch.cuda.Event(blocking=True)  # whoever waits for it leaves the cores alone
        event.record()
    return Arriving(list(shown.numpy()), finite.numpy(), event, why)


def to_main_memory(tensor: torch.Tensor) -> torch.Tensor:
    """The same there; from a GPU into pinned memory, where it arrives later."""
    if not tensor.is_cuda:
        return tensor.cpu()
    there = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return there.copy_(tensor, non_blocking=True)


@contextmanager
def out_of_memory() -> Iterator[None]:
    """Turn torch's several ways of saying so into OutOfMemory; other errors pass.

    Raises:
        OutOfMemory: with the first line of torch's error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = first_line(error)
        spoken = any(words in said.lower() for words in SAYINGS)
        if spoken or isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise OutOfMemory(f"out of memory: {said[:200]}") from error
        raise
