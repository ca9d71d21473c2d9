"""Training of the decoder on what the denoiser makes: crisp pictures from latents nearly right.

An autoencoder's decoder only ever saw latents of painted pictures. A denoiser's are a little off,
and the decoder draws each fault as a smear. Here latents of painted pictures are noised, denoised
again in a few steps, and decoded; the decoder learns to draw the painted picture. Half of the
pictures stay as encoded, so that pictures that are encoded are decoded as before.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.storybook.autoencoder import finish_autoencoder, reconstruction_loss
from training.storybook.dataset import Encoding
from training.storybook.denoiser import finish_denoiser, noise_schedule
from training.storybook.examples import UNSEEN_SEED, example
from training.storybook.figures import psnr, sharpness
from training.storybook.learning import Every, Learning
from training.storybook.models import DENOISER_WIDTHS, FACTOR, Net
from training.storybook.painter import paint
from training.storybook.parallel import as_pictures, spawn, train_device
from training.storybook.tokenizer import encode_texts, load_tokenizer
from training.storybook.training import Progress

CHECKPOINT = "decoder.safetensors"
EVERY = Every(report=25, save=100, judge=400)  # steps
JUDGED = 12  # pictures
JUDGED_FROM = 250  # the timestep from which judged latents are denoised
FIRST_SEED = 2_900_000


@dataclass(frozen=True)
class DecoderTraining:
    """How long and how; a sample is a picture, or a quarter of one."""

    samples: int = 24_000
    batch: int = 6  # pictures that are painted, noised and denoised together, a process and step
    peak_rate: float = 1.5e-3
    whole_after: float = 0.6  # share of the samples
    highest: int = 320  # timestep
    steps: int = 4  # of denoising, at most
    clean: float = 0.4  # share of the pictures that stay as encoded
    average_decay: float = 0.998
    widths: tuple[int, ...] = DENOISER_WIDTHS  # of the denoiser that is there
    encoding: Encoding = field(default_factory=Encoding)  # as the latents were made

    def rate(self, progress: Progress) -> float:
        """A warm-up, and a cosine down to nearly nothing."""
        warm = min(1.0, (progress.step + 1) / 50)
        return self.peak_rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * progress.share)))


@dataclass(frozen=True)
class Rebuilder:
    """Makes latents of painted pictures as the denoiser would have made them."""

    encoder: Net
    text_encoder: Net
    denoiser: Net
    folder: Path

    @torch.no_grad()
    def examples(self, first: int, count: int, seed: int = FIRST_SEED) -> tuple[Tensor, ...]:
        """Pictures (B, 3, H, W) in -1..1, their latents and their embeddings (B, 40, 128)."""
        found = [example(first + i, seed) for i in range(count)]
        device = next(self.denoiser.parameters()).device
        pixels = torch.from_numpy(np.stack([paint(each.scene) for each in found]))
        pictures = as_pictures(pixels).to(device)
        latents = self.encoder.encode(pictures).latent_dist.mean
        texts = [text for e in found for text in (e.start_captions[0], e.end_captions[0])]
        tokens = encode_texts(load_tokenizer(self.folder / "tokenizer"), texts).to(device)
        hidden = self.text_encoder(tokens).last_hidden_state.unflatten(0, (-1, 2))
        t = torch.tensor([each.t for each in found], device=device).view(-1, 1, 1)
        return pictures, latents, torch.lerp(hidden[:, 0], hidden[:, 1], t)

    @torch.no_grad()
    def rebuilt(self, latents: Tensor, embeddings: Tensor, start: int, steps: int) -> Tensor:
        """Latents noised to the timestep `start` and denoised in `steps` of DDIM."""
        alpha_bar = noise_schedule().to(latents.device)
        times = [round(start * (1 - i / steps)) for i in range(steps)]
        signal, sigma = alpha_bar[start].sqrt(), (1 - alpha_bar[start]).sqrt()
        noisy = signal * latents + sigma * torch.randn_like(latents)
        for here, there in zip(times, [*times[1:], -1], strict=True):
            signal, sigma = alpha_bar[here].sqrt(), (1 - alpha_bar[here]).sqrt()
            at = torch.full((len(latents),), here, device=latents.device)
            v = self.denoiser(noisy, at, embeddings).sample
            clean, noise = signal * noisy - sigma * v, sigma * noisy + signal * v
            noisy = clean
            if there >= 0:
                noisy = alpha_bar[there].sqrt() * clean + (1 - alpha_bar[there]).sqrt() * noise
        return torch.as_tensor(noisy)


def train_decoder(folder: Path, training: DecoderTraining, processes: int | None = None) -> None:
    """Train on the finished nets of `folder` into `folder/decoder.safetensors`, or go on."""
    spawn(_train, folder, training, processes=processes)


def _train(folder: Path, training: DecoderTraining) -> None:
    device = train_device()
    encoding = training.encoding
    net = finish_autoencoder(folder, encoding.widths, encoding.whitened_over).to(device)
    text_encoder, denoiser = finish_denoiser(folder, training.widths)
    torch.nn.ModuleList([text_encoder, denoiser]).to(device)
    for part in (net.encoder, net.quant_conv, text_encoder, denoiser):
        part.requires_grad_(False)
    rebuilder = Rebuilder(net, text_encoder, denoiser, folder)
    progress = Progress(training.samples)
    learning = Learning(
        folder / CHECKPOINT, net, progress, training.peak_rate, training.average_decay, EVERY
    )
    while progress.share < 1:
        first = learning.first * training.batch
        pictures, latents, embeddings = rebuilder.examples(first, training.batch)
        made = _disturbed(rebuilder, latents, embeddings, training, learning.rng)
        if progress.share < training.whole_after:
            pictures, made = _crops(pictures, made, learning.rng)
        else:  # a whole picture costs as much as four quarters
            chosen = learning.rng.permutation(len(made))[: max(1, len(made) // 3)]
            pictures, made = pictures[chosen], made[chosen]
        loss = reconstruction_loss(net.decode(made).sample.float(), pictures)
        learning.step(loss, training.rate(progress), training.batch, loss=loss)
        learning.keep(lambda: judge(net, rebuilder))


def _disturbed(
    rebuilder: Rebuilder,
    latents: Tensor,
    embeddings: Tensor,
    training: DecoderTraining,
    rng: np.random.Generator,
) -> Tensor:
    """The latents with a share of them noised and denoised, all from one timestep."""
    kept = round(training.clean * len(latents))
    start = int(rng.integers(20, training.highest))
    steps = int(rng.integers(1, training.steps + 1))
    made = rebuilder.rebuilt(latents[kept:], embeddings[kept:], start, steps)
    return torch.cat([latents[:kept], made])


def _crops(pictures: Tensor, latents: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A quarter of each picture, and of its latents."""
    side = latents.shape[-1] // 2
    corners = rng.integers(0, side + 1, (len(latents), 2))
    parts = [
        (
            picture[:, FACTOR * y : FACTOR * (y + side), FACTOR * x : FACTOR * (x + side)],
            latent[:, y : y + side, x : x + side],
        )
        for picture, latent, (y, x) in zip(pictures, latents, corners, strict=True)
    ]
    return torch.stack([a for a, _ in parts]), torch.stack([b for _, b in parts])


@torch.no_grad()
def judge(net: Net, rebuilder: Rebuilder) -> str:
    """PSNR and sharpness of unseen pictures as encoded, and as rebuilt by the denoiser."""
    state = torch.get_rng_state()
    torch.manual_seed(1)
    pictures, latents, embeddings = rebuilder.examples(0, JUDGED, UNSEEN_SEED)
    rebuilt = rebuilder.rebuilt(latents, embeddings, JUDGED_FROM, 4)
    torch.set_rng_state(state)
    painted, figures = pixels_of(pictures), []
    for name, made in (("encoded", latents), ("rebuilt", rebuilt)):
        drawn = np.concatenate([pixels_of(net.decode(part).sample) for part in made.split(4)])
        kept = sharpness(drawn) / sharpness(painted)
        figures.append(f"{name} {psnr(drawn, painted):.2f} dB, sharpness {kept:.3f}")
    return "; ".join(figures)


def pixels_of(pictures: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Pictures (B, 3, H, W) in -1..1 as bytes (B, H, W, 3)."""
    made = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte()
    return np.asarray(made.permute(0, 2, 3, 1).cpu().numpy(), np.uint8)


def finish_decoder(folder: Path, net: Net) -> Net:
    """The finished autoencoder with the decoder of this training, if there is one."""
    if (folder / CHECKPOINT).exists():
        tensors = load_file(folder / CHECKPOINT)
        with torch.no_grad():
            for i, parameter in enumerate(net.parameters()):
                parameter.copy_(tensors[f"mean.{i}"])
    return net
