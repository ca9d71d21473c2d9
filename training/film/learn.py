"""Training of the network, and its weights as they are shipped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from render.engines.film import FilmNetwork, Predictor
from render.engines.film_shape import COLOURS, FilmShape
from training.film.judged import judged_triplets, report
from training.film.triplets import Shots, Triplet, changing, filmed, panned
from training.storybook.learning import Every, Learning
from training.storybook.parallel import rank, spawn
from training.storybook.training import Progress

CHECKPOINT = "film.checkpoint.safetensors"
EVERY = Every(report=25, save=100, judge=500)  # steps
SHAPE = FilmShape(
    filters=12,
    depth=4,
    flow_filters=(12, 16, 24, 32),
    flow_convolutions=(2, 2, 2, 3),
    specialized=2,
    placed=True,
)
MOVED_WEIGHT = 0.1  # of the loss of the moved pictures beside that of the fused one
LEAST_ERROR = 0.002  # of a dissolve, in parts of white: smaller ones count as this
EDGES_WEIGHT = 0.5


@dataclass(frozen=True)
class FilmTraining:
    """How long and how; a sample is a crop of a triplet."""

    samples: int = 36_000
    triplets: int = 2  # new ones for a process and step
    crops: int = 4  # of each
    side: int = 80  # pixels of a crop
    peak_rate: float = 1.5e-3
    average_decay: float = 0.998
    changing: float = 0.15  # share of the triplets that are painted morphs
    filmed: float = 0.6  # share that are of films; the others are moved by a camera
    shape: FilmShape = SHAPE

    def rate(self, progress: Progress) -> float:
        """A warm-up, a constant rate for half of the time, and a cosine down to nearly nothing."""
        warm = min(1.0, (progress.step + 1) / 50)
        late = max(0.0, 2 * progress.share - 1)
        return self.peak_rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * late)))


def train_film(
    folder: Path,
    training: FilmTraining,
    films: Sequence[Shots] = (),
    processes: int | None = None,
) -> None:
    """Train into a checkpoint in `folder`, or go on."""
    spawn(_train, folder, training, films, processes=processes)


def _train(folder: Path, training: FilmTraining, films: Sequence[Shots]) -> None:
    torch.manual_seed(0)
    net = begun(FilmNetwork(training.shape))
    progress = Progress(training.samples)
    learning = Learning(
        folder / CHECKPOINT, net, progress, training.peak_rate, training.average_decay, EVERY
    )
    judged = judged_triplets(folder) if rank() == 0 else []
    while progress.share < 1:
        crops = crops_of(learning.first, training, films, learning.rng)
        loss, fused = losses(net, *batch(crops))
        learning.step(loss, training.rate(progress), len(crops), loss=loss, fused=fused)
        learning.keep(lambda: report(net, judged))


@torch.no_grad()
def begun(net: FilmNetwork) -> FilmNetwork:
    """The network as its training begins: without flow, and with nothing to add to the blend of the
    two pictures, so it is as good as a dissolve from the first step on."""
    predictors = [module for module in net.modules() if isinstance(module, Predictor)]
    lasts = [[*predictor.modules()][-1] for predictor in predictors]  # convolutions
    for layer in (*lasts, net.fuse.output_conv):
        for parameter in layer.parameters():
            parameter.zero_()
    return net


def crops_of(
    first: int, training: FilmTraining, films: Sequence[Shots], rng: np.random.Generator
) -> list[Triplet]:
    """The crops of a step."""
    found: list[Triplet] = []
    for number in range(first * training.triplets, (first + 1) * training.triplets):
        kind = rng.random()
        if films and kind < training.filmed:
            triplet = filmed(films, number)
        elif kind < training.filmed + training.changing:
            triplet = changing(number)
        else:
            triplet = panned(number)
        found += [triplet.crop(rng, training.side) for _ in range(training.crops)]
    return found


def batch(triplets: Sequence[Triplet]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Befores, middles and afters (B, 3, H, W) from 0 to 1, and places (B,)."""
    before, middle, after = (
        torch.from_numpy(np.stack([getattr(each, name) for each in triplets]))
        .permute(0, 3, 1, 2)
        .float()
        .div(255)
        for name in ("before", "middle", "after")
    )
    return before, middle, after, torch.tensor([each.place for each in triplets])


def losses(
    net: FilmNetwork, before: Tensor, middle: Tensor, after: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """The whole loss, and the fused picture's part: L1 of pixels and of edges, of each triplet
    in parts of a dissolve's, so that triplets in which little changes count as much as others.
    Beside it the moved pictures are compared at every size, which is what teaches the flow."""
    followed = net.followed(before, after)
    share = places[:, None, None, None]
    usual = apart(before + share * (after - before), middle) + LEAST_ERROR  # (B,)
    fused = (apart(net.made(followed, places), middle) / usual).mean()
    moved = fused.new_zeros(())
    target = middle
    for level, planes in enumerate(net.aligned(followed, places)):
        target = functional.avg_pool2d(target, 2) if level else target
        width = net.shape.features(level) + COLOURS
        first, last = planes[:, :COLOURS], planes[:, width : width + COLOURS]
        errors = (first - target).abs(), (last - target).abs()
        both = torch.minimum(*errors) + 0.2 * sum(errors)
        moved = moved + (both.mean(dim=(1, 2, 3)) / usual).mean()
    return fused + MOVED_WEIGHT * moved, fused


def apart(made: Tensor, wanted: Tensor) -> Tensor:
    """The mean difference of pixels, and of neighbouring pixels' differences, of each picture."""
    error, inside = made - wanted, (1, 2, 3)
    down, across = (error.diff(dim=each).abs().mean(dim=inside) for each in (-2, -1))
    result: Tensor = error.abs().mean(dim=inside) + EDGES_WEIGHT * (down + across)
    return result


def averaged(folder: Path, shape: FilmShape) -> FilmNetwork:
    """The network with the averaged weights of a checkpoint."""
    tensors, net = load_file(folder / CHECKPOINT), FilmNetwork(shape)
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.copy_(tensors[f"mean.{i}"])
    return net.eval().requires_grad_(False)


def write_film(folder: Path, target: Path, shape: FilmShape) -> None:
    """The averaged weights in float16."""
    tensors = averaged(folder, shape).state_dict()
    save_file({name: each.half().contiguous() for name, each in tensors.items()}, target)
