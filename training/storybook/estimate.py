"""The time that a making takes on this machine, from a few measured steps of each stage."""

import time
from collections.abc import Callable

import numpy as np
import torch

from training.storybook import autoencoder, denoiser
from training.storybook.autoencoder import CROP
from training.storybook.captions import PROMPTS
from training.storybook.dataset import Batch
from training.storybook.denoiser import Denoiser
from training.storybook.examples import example
from training.storybook.make import Making
from training.storybook.models import (
    CHANNELS,
    FACTOR,
    SIZE,
    make_autoencoder,
    make_denoiser,
    make_text_encoder,
)
from training.storybook.painter import paint
from training.storybook.parallel import train_device
from training.storybook.scene import ATTRIBUTES
from training.storybook.tokenizer import MAX_LENGTH, learn_tokenizer

MEASURED_STEPS = 3
DECODED = 3.5  # crops of the autoencoder's training that a picture of the last stages costs
REST = 1.15  # the probe, judging and saving


def estimate_minutes(making: Making, processes: int) -> float:
    """Minutes that everything takes from nothing."""
    threads = torch.get_num_threads()
    device = train_device()
    if device.type == "cpu":
        torch.set_num_threads(1)
    painting = seconds(lambda: paint(example(0).scene))
    crop, encoded = autoencoder_seconds(making, device)
    total = making.encoding.examples * (painting + encoded)
    total += making.autoencoder.samples * crop
    total += making.autoencoder.samples / making.autoencoder.batch * painting
    total += making.denoiser.samples * denoiser_seconds(making, device)
    total += making.decoder.samples * (painting + encoded + DECODED * crop)
    total += making.upscaler.samples * (5 * painting + encoded + DECODED * crop)
    torch.set_num_threads(threads)
    return total * REST / processes / 60


def autoencoder_seconds(making: Making, device: torch.device) -> tuple[float, float]:
    """Seconds of a sample of the autoencoder's training, and of encoding a picture."""
    training = making.autoencoder
    net = make_autoencoder(training.widths).to(device)
    crops = torch.rand(training.batch, 3, CROP, CROP, device=device)
    picture = torch.rand(1, 3, SIZE, SIZE, device=device)

    def step() -> None:
        loss, _ = autoencoder.training_loss(net, crops, training.kl_weight)
        loss.backward()

    @torch.no_grad()
    def encode() -> None:
        net.encode(picture)

    return seconds(step) / training.batch, seconds(encode)


def denoiser_seconds(making: Making, device: torch.device) -> float:
    """Seconds of a sample of the denoiser's training."""
    training = making.denoiser
    tokenizer = learn_tokenizer(PROMPTS)
    net = Denoiser(make_text_encoder(tokenizer), make_denoiser(training.widths)).to(device)
    count, side = training.batch, SIZE // FACTOR
    batch = Batch(
        torch.randn(count, CHANNELS, side, side, device=device),
        torch.zeros(count, 2, MAX_LENGTH, dtype=torch.long, device=device),
        torch.zeros(count, 2, len(ATTRIBUTES), dtype=torch.long, device=device),
        torch.rand(count, device=device),
    )
    timesteps = denoiser.stratified_timesteps(np.random.default_rng(0), count).to(device)

    def step() -> None:
        loss, reading = denoiser.training_loss(net, batch, timesteps, training.weight_limit)
        (loss + reading).backward()

    return seconds(step) / count


def seconds(work: Callable[[], object]) -> float:
    """The fastest of a few runs."""
    times = []
    for _ in range(MEASURED_STEPS):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
