"""Training on what a machine has: one CUDA device, or every CPU core with a process of one thread.

Threads of one process slow each other down beside other work, processes with one averaging of
gradients a step do not (measured: 3 to 10 times).
"""

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn as spawn_processes
from torch.nn.attention import SDPBackend, sdpa_kernel

CHILD_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "0",  # a waiting thread sleeps and leaves its core to others
    "MALLOC_MMAP_MAX_": "0",  # freed tensors stay with the process: fewer page faults
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
}


def train_device() -> torch.device:
    """CUDA if it is there, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def process_count() -> int:
    """Processes for a training: one for a GPU, else one for each core."""
    return 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0))


def spawn(work: Callable[..., None], *arguments: object, processes: int | None = None) -> None:
    """Run `work(*arguments)` in as many processes as help, or are given, joined in a gloo group."""
    count = processes or process_count()
    if count == 1:
        work(*arguments)
        return
    os.environ.update(CHILD_ENVIRONMENT)
    spawn_processes(_join, (count, _free_port(), work, arguments), nprocs=count)


def _join(
    rank: int, count: int, port: int, work: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=count)
    work(*arguments)
    dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rank() -> int:
    """This process's number; 0 saves and reports."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average_gradients(parameters: Iterable[nn.Parameter], limit: float = 1.0) -> None:
    """Average the gradients over the processes and clip their common norm to `limit`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    if dist.is_initialized():
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
    flat *= (limit / (flat.norm() + 1e-6)).clamp(max=1.0)
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where it is safe and quick; weights and losses stay float32.

    A CPU without instructions for it works in float32, which is three times as fast there.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=quick_bfloat16(device))


def quick_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 are quicker than those of float32."""
    if device.type != "cpu":
        return True
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def quick_attention(device: torch.device) -> AbstractContextManager[object]:
    """Attention by plain products on the CPU, where the fused one's gradient is slow.

    Measured on this project's denoiser: a training step in 1.4 s instead of 1.8 s.
    """
    if device.type == "cpu":
        quick: AbstractContextManager[object] = sdpa_kernel(SDPBackend.MATH)
        return quick
    return nullcontext()


def as_pictures(pixels: Tensor) -> Tensor:
    """Bytes (B, H, W, 3) to floats (B, 3, H, W) in -1..1."""
    return pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1)
