"""Training of the denoiser and its text encoder, jointly, on cached latents.

v-prediction (Salimans and Ho 2022) with stratified timesteps. The loss on v is weighted so that the
loss on x0 weighs min(snr + 1, 5): unlike min-SNR (Hang et al. 2023) the noisiest steps, where the
prompt decides the picture, keep their voice. A share of the captions is dropped for guidance (Ho
and Salimans 2022).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from render.storybook.dataset import HELD_OUT
from render.storybook.models import (
    DENOISER_WIDTHS,
    NOISE_SCHEDULE,
    make_denoiser,
    make_text_encoder,
)
from render.storybook.parallel import (
    average_gradients,
    mixed_precision,
    rank,
    spawn,
    train_device,
    world_size,
)
from render.storybook.tokenizer import encode_texts, load_tokenizer
from render.storybook.training import (
    Average,
    Progress,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
)

TIMESTEPS = 1000
REPORT_EVERY = 100  # steps
SAVE_EVERY = 400


@dataclass(frozen=True)
class DenoiserTraining:
    """How long and how the denoiser is trained; a sample is one noised latent picture."""

    samples: int = 240_000
    batch: int = 16  # a process and step
    peak_rate: float = 1e-3
    dropout: float = 0.1  # share of captions replaced by the empty one
    weight_limit: float = 5.0
    average_decay: float = 0.998
    widths: tuple[int, ...] = DENOISER_WIDTHS


class Denoiser(nn.Module):
    """Text encoder and UNet as one net: v from noisy latents (B, 4, H, W), timesteps, token ids."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        hidden = self.text_encoder(tokens).last_hidden_state  # (B, 40, 128)
        v: Tensor = self.unet(noisy, timesteps, hidden).sample
        return v


@dataclass(frozen=True)
class Examples:
    """Cached latents and captions; `latents` (N, 2, 4, H, W), `tokens` (N, captions, 40)."""

    latents: NDArray[np.float16]
    tokens: NDArray[np.int16]
    empty: Tensor  # (40,), the tokens of no caption

    def draw(self, rng: np.random.Generator, count: int, dropout: float) -> tuple[Tensor, Tensor]:
        """Latents (count, 4, H, W) drawn from their posteriors, and token ids (count, 40)."""
        chosen = rng.integers(0, len(self.latents), count)
        mean, deviation = torch.from_numpy(self.latents[chosen]).float().unbind(1)
        wording = rng.integers(0, self.tokens.shape[1], count)
        tokens = torch.from_numpy(self.tokens[chosen, wording].astype(np.int64))
        tokens[torch.from_numpy(rng.random(count) < dropout)] = self.empty
        return mean + deviation * torch.randn_like(mean), tokens


def read_examples(folder: Path, tokenizer: CLIPTokenizer) -> Examples:
    """The training part of the data in `folder`."""
    latents = np.load(folder / "latents.npy", mmap_mode="r")[:-HELD_OUT]
    tokens = np.load(folder / "tokens.npy")[:-HELD_OUT]
    return Examples(latents, tokens, encode_texts(tokenizer, [""])[0])


def noise_schedule() -> Tensor:
    """The share of signal power (alpha bar) at each timestep, (1000,)."""
    alphas: Tensor = DDPMScheduler(**NOISE_SCHEDULE).alphas_cumprod
    return alphas


def stratified_timesteps(rng: np.random.Generator, count: int) -> Tensor:
    """One random timestep from each of `count` equal parts of the schedule."""
    spots = (np.arange(count) + rng.random(count)) / count * TIMESTEPS
    return torch.from_numpy(spots.astype(np.int64).clip(max=TIMESTEPS - 1))


def training_loss(
    net: nn.Module, latents: Tensor, tokens: Tensor, timesteps: Tensor, limit: float
) -> Tensor:
    """The weighted v loss of latents (B, 4, H, W) at `timesteps` (B,)."""
    alpha_bar = noise_schedule().to(latents.device)[timesteps].view(-1, 1, 1, 1)
    signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    noise = torch.randn_like(latents)
    with mixed_precision(latents.device):
        v = net(signal * latents + sigma * noise, timesteps, tokens)
    error = (v.float() - (signal * noise - sigma * latents)).square().mean((1, 2, 3))  # (B,)
    inverse = (1 / (1 - alpha_bar)).flatten()  # snr + 1
    return (error * inverse.clamp(max=limit) / inverse).mean()


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
    losses: list[float] = []
    while progress.share < 1:
        latents, tokens = examples.draw(rng, training.batch, training.dropout)
        timesteps = stratified_timesteps(rng, training.batch)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, training.peak_rate)
        batch = (latents.to(device), tokens.to(device), timesteps.to(device))
        loss = training_loss(net, *batch, training.weight_limit)
        loss.backward()
        average_gradients(net.parameters())
        optimizer.step()
        optimizer.zero_grad()
        progress.advance(training.batch * world_size())
        average.update(progress.step)
        losses.append(loss.item())
        if progress.step % REPORT_EVERY == 0 and rank() == 0:
            progress.report("denoiser", loss=float(np.mean(losses)))
            losses.clear()
        if progress.step % SAVE_EVERY == 0 or progress.share == 1:
            save_checkpoint(checkpoint, net, average, optimizer, progress)


@torch.no_grad()
def finish_denoiser(
    folder: Path, widths: tuple[int, ...] = DENOISER_WIDTHS
) -> tuple[CLIPTextModel, UNet2DConditionModel]:
    """Text encoder and UNet from `folder/denoiser.safetensors`, with averaged weights."""
    net = Denoiser(make_text_encoder(load_tokenizer(folder / "tokenizer")), make_denoiser(widths))
    tensors = load_file(folder / "denoiser.safetensors")
    for i, parameter in enumerate(net.parameters()):
        parameter.copy_(tensors[f"mean.{i}"])
    return net.text_encoder, net.unet
