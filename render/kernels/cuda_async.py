"""What lets the host prepare a GPU's next frames while it is still at the last ones.

A copy from usual memory to a GPU, or a number read from it, waits for all that it was given. Stock
pipelines do both when a call begins; with U-Nets, whose calls are short, the GPU would be idle
meanwhile.
"""

from __future__ import annotations

from functools import cache, lru_cache, wraps
from typing import Any

import torch


def run_ahead(pipeline: Any, device: torch.device) -> None:
    """Patch a U-Net's pipeline on the instance, so that a call of it waits for nothing.

    The time steps stay in main memory, where a scheduler looks up what it computes with; the
    denoiser is given each as `instant_on` has it. What Stable Diffusion XL tells of sizes goes to
    the GPU once.
    """
    keep_steps_here(pipeline.scheduler)
    stock_sizes = getattr(pipeline, "_get_add_time_ids", None)
    if stock_sizes is not None:
        pipeline._get_add_time_ids = cache(
            lambda *args, **named: stock_sizes(*args, **named).to(device)
        )


def keep_steps_here(scheduler: Any) -> None:
    """Patch a scheduler on the instance, so that its time steps stay in main memory."""
    stock_steps = scheduler.set_timesteps

    @wraps(stock_steps)  # pipelines look at what it takes
    def set_timesteps(*args: Any, **named: Any) -> None:
        stock_steps(*args, **(named | {"device": "cpu"}))

    scheduler.set_timesteps = set_timesteps


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
