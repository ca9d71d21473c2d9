"""Let the host prepare a GPU's next frames while the GPU is still at the last ones.

A copy from usual memory to a GPU, or a number read from it, waits for all that it was given. Stock
pipelines do both when a call begins; with U-Nets, whose calls are short, the GPU would be idle
meanwhile.
"""

from __future__ import annotations

from functools import cache, lru_cache, wraps
from typing import Any

import torch

from render.kernels.patches import Patches


def keep_sizes_there(pipeline: Any, device: torch.device, patches: Patches) -> None:
    """Send the numbers that Stable Diffusion XL takes for the picture's sizes to the GPU once."""
    stock_sizes = getattr(pipeline, "_get_add_time_ids", None)
    if stock_sizes is not None:
        once = cache(lambda *args, **named: stock_sizes(*args, **named).to(device))
        patches.replace(pipeline, "_get_add_time_ids", once)


def keep_steps_here(scheduler: Any, patches: Patches) -> None:
    """Let a scheduler's time steps stay in main memory, where it looks up what it computes with;
    the denoiser is given each as `instant_on` has it."""
    stock_steps = scheduler.set_timesteps

    @wraps(stock_steps)  # pipelines look at what it takes
    def set_timesteps(*args: Any, **named: Any) -> None:
        stock_steps(*args, **(named | {"device": "cpu"}))

    patches.replace(scheduler, "set_timesteps", set_timesteps)


@lru_cache(maxsize=256)
def on_device(device: torch.device, dtype: torch.dtype, value: float) -> torch.Tensor:
    """A number there."""
    return torch.tensor(value, dtype=dtype, device=device)


def instant_on(device: torch.device, timestep: Any) -> Any:
    """A time step, which may be in main memory, there."""
    if isinstance(timestep, torch.Tensor) and timestep.ndim == 0 and timestep.device != device:
        return on_device(device, timestep.dtype, timestep.item())
    return timestep


def sent(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of main memory there, without waiting."""
    if device.type != "cuda":
        return tensor.to(device, dtype)
    return tensor.to(dtype).pin_memory().to(device, non_blocking=True)
