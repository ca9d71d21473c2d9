"""How many frames are rendered at a time: by the kind of device, and on a GPU by its memory.

A frame's last bits depend on the rows of a call, so the number must be the same in every run on
such a device: it comes from the GPU's whole memory and what the model was measured to need, and not
from what happens to be free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from render.diffusion.call_layout import RowsPerCall
from render.models.family import Family
from render.plan.blends import BLENDS

FRAMES = {"cpu": 4, "mps": 4, "cuda": 8}
MOST_FRAMES = 64  # beyond that a GPU gains nothing, and a stop loses more
LATENTS_ON_GPU = 8 * 64 * 64  # likewise: twice as many gain 3 % on an H200, and fill up for more
LATENTS_ON_CPU = 64 * 64  # latent pixels of a batch: a slow model commits frame by frame
USED = 0.8  # of a GPU's memory; the rest is for decoding, the allocator's gaps and other programs


def frames_at_once(kind: str, noise_shape: Sequence[int]) -> int:
    """Frames a batch where memory does not decide: by the device's kind and the frame's size."""
    if kind != "cpu":
        return FRAMES[kind]
    return max(1, min(FRAMES[kind], LATENTS_ON_CPU // (noise_shape[-1] * noise_shape[-2])))


def rows_per_call(
    kind: str,
    noise_shape: Sequence[int],
    batch: int,
    family: Family,
    blend: str,
    alone: bool = False,
) -> RowsPerCall:
    """Rows of every call of the denoiser, on a CPU whatever the batch.

    There, small latents gain from more rows a call than one frame has (a third of the time on
    storybook), and one frame that is left alone pays for rows that only fill its calls; large
    ones gain nothing, so that a frame's rows are a call of their own (None). Where a row comes out
    otherwise in its last bits by its place in the call, a row is a call.

    Args:
        kind: of device.
        noise_shape: (1, C, h, w) of a frame.
        batch: frames that are rendered together.
        alone: whether a row is a call on every device.
    """
    frames = frames_at_once(kind, noise_shape) if kind == "cpu" else batch
    guided = BLENDS[blend].usual_rows
    unguided = guided - 1
    if alone:
        return RowsPerCall(1, 1, frames)
    if kind != "cpu":
        return RowsPerCall(guided * batch, unguided * batch, frames)
    if not family.rows_share_calls:
        return RowsPerCall(1, 1, frames)
    if frames == 1:
        return RowsPerCall(None, None, frames)
    return RowsPerCall(guided * frames, unguided * frames, frames)


def frames_that_fit(
    total: int, weights: int, one: int, two: int, rows_per_frame: int, latents: int
) -> int:
    """Frames a batch on a GPU: a power of two.

    Args:
        total: bytes of the GPU.
        weights: bytes of what is loaded.
        one: bytes that a call of the denoiser needs on top for one row, and `two` for two.
        rows_per_frame: of the usual frame.
        latents: pixels of a frame's.
    """
    a_row = max(two - one, one // 2, 1)
    rows = (USED * total - weights - one) / a_row + 1
    frames = min(int(rows // rows_per_frame), LATENTS_ON_GPU // latents, MOST_FRAMES)
    return 1 << frames.bit_length() - 1 if frames > 1 else 1


def frames_for_gpu(
    device: torch.device,
    calls: Sequence[Callable[[], object]],
    rows_per_frame: int,
    noise_shape: Sequence[int],
) -> int:
    """Frames a batch on this GPU, by what two calls of the denoiser need.

    Args:
        calls: one with one row, and one with two.
        noise_shape: (1, C, h, w) of a frame.
    """
    total = torch.cuda.get_device_properties(device).total_memory
    weights = torch.cuda.memory_allocated(device)
    one, two = (peak_of(call, device) for call in calls)
    latents = noise_shape[-1] * noise_shape[-2]
    return frames_that_fit(total, weights, one, two, rows_per_frame, latents)


def peak_of(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that a call needs on top of what is there."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before
