"""Training of the upscaler that makes the model's pictures twice as large.

It sees what the model really draws, latents that were denoised and decoded, beside the same scene
painted at twice the size, so it mends as it enlarges. The network is Real-ESRGAN's Compact, small.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from render.engines.compact import Compact
from render.engines.compact_shape import CompactShape
from training.storybook.autoencoder import finish_autoencoder, reconstruction_loss
from training.storybook.dataset import Encoding
from training.storybook.decoder import Rebuilder, finish_decoder, pixels_of
from training.storybook.denoiser import finish_denoiser
from training.storybook.examples import UNSEEN_SEED, example
from training.storybook.figures import psnr, sharpness
from training.storybook.learning import Every, Learning
from training.storybook.models import DENOISER_WIDTHS, SIZE
from training.storybook.painter import paint
from training.storybook.parallel import as_pictures, spawn, train_device
from training.storybook.training import Progress

CHECKPOINT = "upscaler.checkpoint.safetensors"
WEIGHTS = "upscaler.safetensors"
EVERY = Every(report=25, save=100, judge=500)  # steps
JUDGED = 8  # pictures
FIRST_SEED = 2_950_000
SHAPE = CompactShape(factor=2, features=24, convolutions=8)


@dataclass(frozen=True)
class UpscalerTraining:
    """How long and how; a sample is a picture, of which some crops are learnt."""

    samples: int = 4_000
    batch: int = 2  # pictures a process and step
    crops: int = 8  # of each
    side: int = 64  # pixels of a crop
    peak_rate: float = 2e-3
    highest: int = 320  # timestep from which latents are denoised
    steps: int = 4
    clean: float = 0.3  # share of the batches that stay as encoded
    average_decay: float = 0.998
    shape: CompactShape = SHAPE
    widths: tuple[int, ...] = DENOISER_WIDTHS  # of the denoiser that is there
    encoding: Encoding = field(default_factory=Encoding)  # as the latents were made

    def rate(self, progress: Progress) -> float:
        """A warm-up, and a cosine down to nearly nothing."""
        warm = min(1.0, (progress.step + 1) / 50)
        return self.peak_rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * progress.share)))


def train_upscaler(folder: Path, training: UpscalerTraining, processes: int | None = None) -> None:
    """Train on the finished model of `folder` into its upscaler's checkpoint, or go on."""
    spawn(_train, folder, training, processes=processes)


def _train(folder: Path, training: UpscalerTraining) -> None:
    device = train_device()
    encoding = training.encoding
    autoencoder = finish_autoencoder(folder, encoding.widths, encoding.whitened_over)
    text_encoder, denoiser = finish_denoiser(folder, training.widths)
    finish_decoder(folder, autoencoder)
    torch.nn.ModuleList([autoencoder, text_encoder, denoiser]).to(device).requires_grad_(False)
    rebuilder = Rebuilder(autoencoder, text_encoder, denoiser, folder)
    torch.manual_seed(0)
    net = Compact(training.shape).to(device)
    progress = Progress(training.samples)
    learning = Learning(
        folder / CHECKPOINT, net, progress, training.peak_rate, training.average_decay, EVERY
    )
    while progress.share < 1:
        whole = pairs(rebuilder, learning.first * training.batch, training, learning.rng)
        seen, painted = _crops(*whole, training, learning.rng)
        loss = reconstruction_loss(2 * net(seen) - 1, painted)
        learning.step(loss, training.rate(progress), training.batch, loss=loss)
        learning.keep(lambda: judge(net, rebuilder))


@torch.no_grad()
def pairs(
    rebuilder: Rebuilder, first: int, training: UpscalerTraining, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures as the model draws them, (B, 3, 256, 256) in 0..1, and the same scenes painted at
    twice the size, (B, 3, 512, 512) in -1..1."""
    _, latents, embeddings = rebuilder.examples(first, training.batch, FIRST_SEED)
    if rng.random() >= training.clean:
        start, steps = int(rng.integers(20, training.highest)), int(rng.integers(1, training.steps))
        latents = rebuilder.rebuilt(latents, embeddings, start, steps + 1)
    return drawn(rebuilder, latents), large(first, training.batch, FIRST_SEED).to(latents.device)


@torch.no_grad()
def drawn(rebuilder: Rebuilder, latents: Tensor) -> Tensor:
    """Latents as pictures that are stored, (B, 3, H, W) in 0..1."""
    made = rebuilder.encoder.decode(latents).sample.clamp(-1, 1)
    return torch.as_tensor(((made + 1) * 127.5).round() / 255)


def large(first: int, count: int, seed: int) -> Tensor:
    """Examples painted at twice the model's size, (B, 3, 512, 512) in -1..1."""
    scenes = [example(first + i, seed).scene for i in range(count)]
    return as_pictures(torch.from_numpy(np.stack([paint(each, 2 * SIZE) for each in scenes])))


def _crops(
    seen: Tensor, painted: Tensor, training: UpscalerTraining, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    side, parts = training.side, []
    for small, big in zip(seen, painted, strict=True):
        for y, x in rng.integers(0, small.shape[-1] - side + 1, (training.crops, 2)):
            crop = big[:, 2 * y : 2 * (y + side), 2 * x : 2 * (x + side)]
            parts.append((small[:, y : y + side, x : x + side], crop))
    return torch.stack([a for a, _ in parts]), torch.stack([b for _, b in parts])


@torch.no_grad()
def judge(net: Compact, rebuilder: Rebuilder) -> str:
    """PSNR and sharpness of unseen pictures at twice the size, beside Lanczos' ones."""
    _, latents, _ = rebuilder.examples(0, JUDGED, UNSEEN_SEED)
    small = drawn(rebuilder, latents)
    painted = pixels_of(large(0, JUDGED, UNSEEN_SEED))
    ours = np.concatenate([pixels_of(2 * net(part) - 1) for part in small.split(2)])
    usual = torch.nn.functional.interpolate(small, scale_factor=2, mode="bicubic")
    figures = []
    for name, made in (("ours", ours), ("bicubic", pixels_of(2 * usual - 1))):
        kept = sharpness(made) / sharpness(painted)
        figures.append(f"{name} {psnr(made, painted):.2f} dB, sharpness {kept:.3f}")
    return "; ".join(figures)


def write_upscaler(folder: Path, target: Path, shape: CompactShape) -> None:
    """The averaged weights in float16, under Real-ESRGAN's names, if they are trained."""
    if not (folder / CHECKPOINT).exists():
        return
    tensors, net = load_file(folder / CHECKPOINT), Compact(shape)
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.copy_(tensors[f"mean.{i}"])
    save_file({name: each.half().contiguous() for name, each in net.state_dict().items()}, target)
