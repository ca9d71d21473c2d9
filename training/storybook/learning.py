"""A net that learns: the step that all trainings share, and what is reported, judged and kept."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.storybook.muon import Muon
from training.storybook.parallel import average_gradients, rank, world_size
from training.storybook.training import Average, Progress, load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Every:
    """After how many steps something is done again."""

    report: int
    save: int
    judge: int


class Learning:
    """A net with its optimizer, averaged weights and progress, as its checkpoint has them.

    Attributes:
        rng: random numbers of this process, others after each start.
    """

    def __init__(
        self,
        checkpoint: Path,
        net: nn.Module,
        progress: Progress,
        peak_rate: float,
        average_decay: float,
        every: Every,
    ) -> None:
        """Go on where `checkpoint` ends, if it is there."""
        self.checkpoint, self.net, self.progress, self.every = checkpoint, net, progress, every
        self.name = checkpoint.name.partition(".")[0]
        self.optimizer = Muon(net, peak_rate)
        self.average = Average(net, average_decay)
        load_checkpoint(checkpoint, net, self.average, self.optimizer, progress)
        self.rng = np.random.default_rng([progress.step, rank()])
        torch.manual_seed(progress.step * 64 + rank())
        self.figures: list[dict[str, float]] = []

    @property
    def first(self) -> int:
        """The number of this step among those of all processes."""
        return self.progress.step * world_size() + rank()

    def step(self, loss: Tensor, rate: float, samples: int, /, **figures: Tensor) -> None:
        """Learn from a loss.

        Args:
            samples: that this process has seen for it.
            figures: what is reported, as means since the last report.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss.backward()
        average_gradients(self.net.parameters())
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.progress.advance(samples * world_size())
        self.average.update(self.progress.step)
        self.figures.append({name: value.item() for name, value in figures.items()})

    def keep(self, judge: Callable[[], str]) -> None:
        """Report, judge the averaged weights and save, each now and then; the main process only."""
        if rank() != 0:
            return
        step, ended = self.progress.step, self.progress.share == 1
        if step % self.every.report == 0:
            names = self.figures[0]
            means = {n: float(np.mean([each[n] for each in self.figures])) for n in names}
            self.progress.report(self.name, **means)
            self.figures.clear()
        if step % self.every.judge == 0 or ended:
            self.average.swap()
            print(f"judged: {judge()}", flush=True)
            self.average.swap()
        if step % self.every.save == 0 or ended:
            save_checkpoint(self.checkpoint, self.net, self.average, self.optimizer, self.progress)
