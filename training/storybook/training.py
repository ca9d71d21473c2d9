"""The parts that both trainings share: progress, learning rate, averaged weights, checkpoints."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.storybook.parallel import rank


@dataclass
class Progress:
    """How far a training is, in samples over all processes, and how fast it goes."""

    total: int
    seen: int = 0
    step: int = 0
    seconds: float = 0.0  # of all sessions together
    _mark: float = field(default_factory=time.monotonic)
    _first: int = -1

    @property
    def share(self) -> float:
        return min(1.0, self.seen / self.total)

    def advance(self, samples: int) -> None:
        if self._first < 0:
            self._first = self.seen
            self._started = time.monotonic()
        now = time.monotonic()
        self.seconds, self._mark = self.seconds + now - self._mark, now
        self.seen, self.step = self.seen + samples, self.step + 1

    def report(self, name: str, **figures: float) -> None:
        """One line: share, speed, time left, figures."""
        speed = (self.seen - self._first) / max(1e-9, time.monotonic() - self._started)
        left = (self.total - self.seen) / max(speed, 1e-9) / 60
        words = " ".join(f"{key} {value:.4f}" for key, value in figures.items())
        print(
            f"{name} {self.share:4.0%} step {self.step} samples {self.seen} "
            f"({speed:.0f}/s, {left:.0f} min left) {words}",
            flush=True,
        )


class Average:
    """Exponential moving average of a net's parameters; young averages forget faster."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.parameters = list(net.parameters())
        self.mean = [p.detach().clone() for p in self.parameters]
        self.decay = decay

    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, [p.data for p in self.parameters], 1 - decay)

    def swap(self) -> None:
        """Exchange the net's weights with their mean; call it twice to go there and back."""
        for p, mean in zip(self.parameters, self.mean, strict=True):
            kept = p.data.clone()
            p.data.copy_(mean)
            mean.copy_(kept)


def save_checkpoint(
    path: Path,
    net: nn.Module,
    average: Average,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write weights, mean, moments and progress; the main process only."""
    if rank() != 0:
        return
    tensors: dict[str, Tensor] = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors |= {f"mean.{i}": mean for i, mean in enumerate(average.mean)}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    meta = {"seen": progress.seen, "step": progress.step, "seconds": progress.seconds}
    partial = path.with_suffix(".partial")
    save_file(_contiguous(tensors), partial, {"progress": json.dumps(meta)})
    partial.replace(path)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def load_checkpoint(
    path: Path,
    net: nn.Module,
    average: Average,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> bool:
    """Continue from `path` if it exists; true if it did."""
    if not path.exists():
        return False
    tensors = load_file(path)
    net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    for i, mean in enumerate(average.mean):
        mean.copy_(tensors[f"mean.{i}"])
    state = optimizer.state_dict()
    kept: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, moment = name.split(".")
            kept.setdefault(int(number), {})[moment] = tensor
    state["state"] = kept
    optimizer.load_state_dict(state)
    _read_progress(path, progress)
    return True


def _read_progress(path: Path, progress: Progress) -> None:
    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["progress"])
    progress.seen, progress.step, progress.seconds = meta["seen"], meta["step"], meta["seconds"]
