"""Training of the denoiser and its text encoder, jointly, on cached latents.

v-prediction (Salimans and Ho 2022) with stratified timesteps. The loss on v is weighted so that the
loss on x0 weighs min(snr + 1, 5): unlike min-SNR (Hang et al. 2023) the noisiest steps, where the
prompt decides the picture, keep their voice. A share of the captions is dropped for guidance (Ho
and Salimans 2022).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from training.storybook.dataset import read_scenes, training_part
from training.storybook.models import (
    DENOISER_WIDTHS,
    NOISE_SCHEDULE,
    TEXT_WIDTH,
    Net,
    make_denoiser,
    make_text_encoder,
)
from training.storybook.parallel import (
    average_gradients,
    mixed_precision,
    quick_attention,
    rank,
    spawn,
    train_device,
    world_size,
)
from training.storybook.scene import ATTRIBUTES, UNKNOWN, classes_of
from training.storybook.tokenizer import encode_texts, load_tokenizer
from training.storybook.training import (
    Average,
    Progress,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
)

TIMESTEPS = 1000
REPORT_EVERY = 50  # steps
SAVE_EVERY = 200


@dataclass(frozen=True)
class DenoiserTraining:
    """How long and how the denoiser is trained; a sample is one noised latent picture."""

    samples: int = 100_000
    batch: int = 16  # a process and step
    peak_rate: float = 1e-3
    dropout: float = 0.1  # share of captions replaced by the empty one
    weight_limit: float = 5.0
    reading_weight: float = 0.2
    average_decay: float = 0.998
    widths: tuple[int, ...] = DENOISER_WIDTHS


class Denoiser(nn.Module):
    """Text encoder and UNet as one net, with a reader that keeps the text encoder honest.

    The reader must read the scene's attributes from the mean hidden state of a caption's end. It is
    thrown away after the training; it makes the text encoder learn words long before the pictures'
    loss alone would.
    """

    def __init__(self, text_encoder: CLIPTextModel, unet: Net) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet
        self.reader = nn.Linear(TEXT_WIDTH, sum(len(c) for c in ATTRIBUTES.values()))

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """v of latents (B, 4, H, W), and attribute logits (B, classes) of token ids (B, 40)."""
        hidden = self.text_encoder(tokens).last_hidden_state  # (B, 40, 128)
        ends = (tokens == tokens[:, -1:]).unsqueeze(-1)  # the end token is the padding
        end_state = (hidden * ends).sum(1) / ends.sum(1)
        return self.unet(noisy, timesteps, hidden).sample, self.reader(end_state)


def reading_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy of attribute logits (B, classes) against class numbers (B, 5)."""
    parts = logits.float().split([len(choices) for choices in ATTRIBUTES.values()], 1)
    losses = [
        functional.cross_entropy(part, truth, ignore_index=UNKNOWN, reduction="sum")
        for part, truth in zip(parts, classes.unbind(1), strict=True)
    ]
    return torch.stack(losses).sum() / len(logits)


@dataclass(frozen=True)
class Examples:
    """Cached latents and captions; `latents` (N, 2, 4, H, W), `tokens` (N, captions, 40)."""

    latents: NDArray[np.float16]
    tokens: NDArray[np.int16]
    classes: NDArray[np.int64]  # (N, 5), of each attribute
    empty: Tensor  # (40,), the tokens of no caption

    def draw(
        self, rng: np.random.Generator, count: int, dropout: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (count, 4, H, W) from their posteriors, token ids (count, 40), classes."""
        chosen = rng.integers(0, len(self.latents), count)
        mean, deviation = torch.from_numpy(self.latents[chosen]).float().unbind(1)
        wording = rng.integers(0, self.tokens.shape[1], count)
        tokens = torch.from_numpy(self.tokens[chosen, wording].astype(np.int64))
        classes = torch.from_numpy(self.classes[chosen])
        dropped = torch.from_numpy(rng.random(count) < dropout)
        tokens[dropped], classes[dropped] = self.empty, UNKNOWN
        return mean + deviation * torch.randn_like(mean), tokens, classes


def read_examples(folder: Path, tokenizer: CLIPTokenizer) -> Examples:
    """The training part of the data in `folder`."""
    latents = training_part(np.load(folder / "latents.npy", mmap_mode="r"))
    tokens = training_part(np.load(folder / "tokens.npy"))
    classes = np.array([classes_of(scene) for scene in read_scenes(folder)])[: len(tokens)]
    return Examples(latents, tokens, classes, encode_texts(tokenizer, [""])[0])


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
    net: nn.Module, batch: tuple[Tensor, Tensor, Tensor], timesteps: Tensor, limit: float
) -> tuple[Tensor, Tensor]:
    """The weighted v loss of latents, token ids, classes at `timesteps` (B,), and the reader's."""
    latents, tokens, classes = batch
    alpha_bar = noise_schedule().to(latents.device)[timesteps].view(-1, 1, 1, 1)
    signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    noise = torch.randn_like(latents)
    with mixed_precision(latents.device), quick_attention(latents.device):
        v, logits = net(signal * latents + sigma * noise, timesteps, tokens)
    error = (v.float() - (signal * noise - sigma * latents)).square().mean((1, 2, 3))  # (B,)
    inverse = (1 / (1 - alpha_bar)).flatten()  # snr + 1
    return (error * inverse.clamp(max=limit) / inverse).mean(), reading_loss(logits, classes)


def train_denoiser(folder: Path, training: DenoiserTraining) -> None:
    """Train on `folder/data` into `folder/denoiser.safetensors`; continues if it is there."""
    spawn(_train, folder, training)


def _train(folder: Path, training: DenoiserTraining) -> None:
    device = train_device()
    tokenizer = load_tokenizer(folder / "tokenizer")
    examples = read_examples(folder / "data", tokenizer)
    torch.manual_seed(0)
    net = Denoiser(make_text_encoder(tokenizer), make_denoiser(training.widths)).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
    average, progress = Average(net, training.average_decay), Progress(training.samples)
    checkpoint = folder / "denoiser.safetensors"
    load_checkpoint(checkpoint, net, average, optimizer, progress)
    rng = np.random.default_rng([progress.step, rank()])
    torch.manual_seed(progress.step * 64 + rank())
    losses: list[tuple[float, float]] = []
    while progress.share < 1:
        drawn = examples.draw(rng, training.batch, training.dropout)
        timesteps = stratified_timesteps(rng, training.batch).to(device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, training.peak_rate)
        latents, tokens, classes = (part.to(device) for part in drawn)
        batch = (latents, tokens, classes)
        loss, reading = training_loss(net, batch, timesteps, training.weight_limit)
        (loss + training.reading_weight * reading).backward()
        average_gradients(net.parameters())
        optimizer.step()
        optimizer.zero_grad()
        progress.advance(training.batch * world_size())
        average.update(progress.step)
        losses.append((loss.item(), reading.item()))
        if progress.step % REPORT_EVERY == 0 and rank() == 0:
            mean, read = np.mean(losses, 0)
            progress.report("denoiser", reading=read, loss=mean)
            losses.clear()
        if progress.step % SAVE_EVERY == 0 or progress.share == 1:
            save_checkpoint(checkpoint, net, average, optimizer, progress)


@torch.no_grad()
def finish_denoiser(
    folder: Path, widths: tuple[int, ...] = DENOISER_WIDTHS
) -> tuple[CLIPTextModel, Net]:
    """Text encoder and UNet from `folder/denoiser.safetensors`, with averaged weights."""
    net = Denoiser(make_text_encoder(load_tokenizer(folder / "tokenizer")), make_denoiser(widths))
    tensors = load_file(folder / "denoiser.safetensors")
    for i, parameter in enumerate(net.parameters()):
        parameter.copy_(tensors[f"mean.{i}"])
    return net.text_encoder, net.unet
