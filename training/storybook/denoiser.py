"""Training of the denoiser and its text encoder, jointly, on cached latents.

v-prediction (Salimans and Ho 2022) with stratified timesteps. The loss on v is weighted so that the
loss on x0 weighs min(snr + 1, 5): unlike min-SNR (Hang et al. 2023) the noisiest steps, where the
prompt decides the picture, keep their voice. A share of the captions is dropped for guidance (Ho
and Salimans 2022). The conditioning lies between two captions: an example's picture is at `t`
between its ends, and so is the embedding it is given.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel

from training.storybook.dataset import Batch, read_shards
from training.storybook.learning import Every, Learning
from training.storybook.models import (
    DENOISER_WIDTHS,
    NOISE_SCHEDULE,
    TEXT_WIDTH,
    Net,
    make_denoiser,
    make_text_encoder,
)
from training.storybook.parallel import (
    mixed_precision,
    quick_attention,
    spawn,
    train_device,
)
from training.storybook.scene import ATTRIBUTES, UNKNOWN
from training.storybook.tokenizer import encode_texts, load_tokenizer
from training.storybook.training import Progress

TIMESTEPS = 1000
EVERY = Every(report=50, save=200, judge=1000)  # steps
CHECKPOINT = "denoiser.safetensors"


@dataclass(frozen=True)
class DenoiserTraining:
    """How long and how the denoiser is trained; a sample is one noised latent picture."""

    samples: int = 160_000
    batch: int = 24  # a process and step
    peak_rate: float = 3e-3
    constant: float = 0.5  # share of the samples before the rate begins to fall
    dropout: float = 0.1  # share of captions replaced by the empty one
    weight_limit: float = 5.0
    reading_weight: float = 0.2
    average_decay: float = 0.999
    widths: tuple[int, ...] = DENOISER_WIDTHS

    def rate(self, progress: Progress) -> float:
        """A warm-up, a constant rate and a cosine down to nearly nothing."""
        falling = max(0.0, (progress.share - self.constant) / (1 - self.constant))
        warm = min(1.0, (progress.step + 1) / 150)
        return self.peak_rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * falling)))


class Denoiser(nn.Module):
    """Text encoder and UNet as one net, with a reader that keeps the text encoder honest.

    The reader must read the attributes from the mean hidden state of a caption's end. It is thrown
    away after the training; it makes the text encoder learn words long before the pictures' loss
    alone would.
    """

    def __init__(self, text_encoder: CLIPTextModel, unet: Net) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet
        self.reader = nn.Linear(TEXT_WIDTH, sum(len(c) for c in ATTRIBUTES.values()))

    def forward(
        self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor]:
        """v of latents (B, 8, H, W) between two captions (B, 2, 40), and what each of them says.

        The second result are attribute logits (B, 2, classes).
        """
        both = tokens.flatten(0, 1)  # (2 B, 40)
        hidden = self.text_encoder(both).last_hidden_state  # (2 B, 40, 128)
        ends = (both == both[:, -1:]).unsqueeze(-1)  # the end token is the padding
        end_states = ((hidden * ends).sum(1) / ends.sum(1)).unflatten(0, (-1, 2))
        start, end = hidden.unflatten(0, (-1, 2)).unbind(1)
        between = torch.lerp(start, end, t.to(start.dtype).view(-1, 1, 1))  # (1 − t) A + t B
        return self.unet(noisy, timesteps, between).sample, self.reader(end_states)


def reading_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy of logits (B, 2, classes) against class numbers (B, 2, attributes)."""
    rows, truths = logits.flatten(0, 1).float(), classes.flatten(0, 1)
    parts = rows.split([len(choices) for choices in ATTRIBUTES.values()], 1)
    losses = [
        functional.cross_entropy(part, truth, ignore_index=UNKNOWN, reduction="sum")
        for part, truth in zip(parts, truths.unbind(1), strict=True)
    ]
    return torch.stack(losses).sum() / len(rows)


def noise_schedule() -> Tensor:
    """The share of signal power (alpha bar) at each timestep, (1000,)."""
    scheduler: Any = DDPMScheduler(**NOISE_SCHEDULE)
    alphas: Tensor = scheduler.alphas_cumprod
    return alphas


def stratified_timesteps(rng: np.random.Generator, count: int) -> Tensor:
    """One random timestep from each of `count` equal parts of the schedule."""
    spots = (np.arange(count) + rng.random(count)) / count * TIMESTEPS
    return torch.from_numpy(spots.astype(np.int64).clip(max=TIMESTEPS - 1))


def training_loss(
    net: nn.Module, batch: Batch, timesteps: Tensor, limit: float
) -> tuple[Tensor, Tensor]:
    """The weighted v loss of a batch at `timesteps` (B,), and the reader's."""
    latents = batch.latents
    alpha_bar = noise_schedule().to(latents.device)[timesteps].view(-1, 1, 1, 1)
    signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    noise = torch.randn_like(latents)
    with mixed_precision(latents.device), quick_attention(latents.device):
        v, logits = net(signal * latents + sigma * noise, timesteps, batch.tokens, batch.t)
    error = (v.float() - (signal * noise - sigma * latents)).square().mean((1, 2, 3))  # (B,)
    inverse = (1 / (1 - alpha_bar)).flatten()  # snr + 1
    weighted = (error * inverse.clamp(max=limit) / inverse).mean()
    return weighted, reading_loss(logits, batch.classes)


def drop_captions(batch: Batch, empty: Tensor, dropped: Tensor) -> Batch:
    """The batch with both captions of the `dropped` (B,) examples replaced by no words."""
    tokens, classes = batch.tokens.clone(), batch.classes.clone()
    tokens[dropped], classes[dropped] = empty, UNKNOWN
    return Batch(batch.latents, tokens, classes, batch.t)


def train_denoiser(folder: Path, training: DenoiserTraining, processes: int | None = None) -> None:
    """Train on `folder/data` into `folder/denoiser.safetensors`; continues if it is there."""
    spawn(_train, folder, training, processes=processes)


def _train(folder: Path, training: DenoiserTraining) -> None:
    device = train_device()
    tokenizer = load_tokenizer(folder / "tokenizer")
    shards, held_out = read_shards(folder), read_shards(folder, held_out=True)
    empty = encode_texts(tokenizer, [""])[0]
    torch.manual_seed(0)
    net = Denoiser(make_text_encoder(tokenizer), make_denoiser(training.widths)).to(device)
    progress = Progress(training.samples)
    learning = Learning(
        folder / CHECKPOINT, net, progress, training.peak_rate, training.average_decay, EVERY
    )
    unseen = held_out.draw(np.random.default_rng(0), 64)
    while progress.share < 1:
        drawn = shards.draw(learning.rng, training.batch)
        dropped = torch.from_numpy(learning.rng.random(training.batch) < training.dropout)
        batch = to_device(drop_captions(drawn, empty, dropped), device)
        timesteps = stratified_timesteps(learning.rng, training.batch).to(device)
        loss, reading = training_loss(net, batch, timesteps, training.weight_limit)
        whole = loss + training.reading_weight * reading
        rate = training.rate(progress)
        learning.step(whole, rate, training.batch, loss=loss, reading=reading)
        learning.keep(lambda: f"held-out loss {judge(net, unseen, device):.4f}")


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on a device."""
    return Batch(
        *(part.to(device) for part in (batch.latents, batch.tokens, batch.classes, batch.t))
    )


@torch.no_grad()
def judge(net: nn.Module, batch: Batch, device: torch.device) -> float:
    """The v loss on a batch, with the same noise each time."""
    state = torch.get_rng_state()
    torch.manual_seed(1)
    timesteps = stratified_timesteps(np.random.default_rng(0), len(batch.t)).to(device)
    loss, _ = training_loss(net, to_device(batch, device), timesteps, 5.0)
    torch.set_rng_state(state)
    return loss.item()


def finish_denoiser(
    folder: Path, widths: tuple[int, ...] = DENOISER_WIDTHS
) -> tuple[CLIPTextModel, Net]:
    """Text encoder and UNet from `folder/denoiser.safetensors`, with averaged weights."""
    tokenizer = load_tokenizer(folder / "tokenizer")
    net = Denoiser(make_text_encoder(tokenizer), make_denoiser(widths))
    tensors = load_file(folder / CHECKPOINT)
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.copy_(tensors[f"mean.{i}"])
    return net.text_encoder.eval(), net.unet.eval()
