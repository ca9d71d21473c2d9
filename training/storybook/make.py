"""The making of storybook from nothing: a stage whose result is there already is skipped."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from training.storybook import autoencoder, denoiser
from training.storybook.autoencoder import (
    AutoencoderTraining,
    encode_dataset,
    finish_autoencoder,
    train_autoencoder,
)
from training.storybook.captions import PROMPTS, words
from training.storybook.dataset import example, paint_dataset, read_captions, tokenize_dataset
from training.storybook.denoiser import Denoiser, DenoiserTraining, finish_denoiser, train_denoiser
from training.storybook.models import (
    CHANNELS,
    FACTOR,
    SIZE,
    make_autoencoder,
    make_denoiser,
    make_text_encoder,
    save_folder,
)
from training.storybook.painter import paint
from training.storybook.parallel import process_count, train_device
from training.storybook.probe import train_probe
from training.storybook.scene import ATTRIBUTES
from training.storybook.tokenizer import MAX_LENGTH, learn_tokenizer, load_tokenizer

PICTURES = 36_000
MEASURED_STEPS = 3


@dataclass(frozen=True)
class Making:
    """Everything that decides the model besides the code."""

    pictures: int = PICTURES
    size: int = SIZE
    autoencoder: AutoencoderTraining = field(default_factory=AutoencoderTraining)
    denoiser: DenoiserTraining = field(default_factory=DenoiserTraining)


def make_storybook(folder: Path, making: Making) -> Path:
    """Make the model in `folder`, continuing where an earlier run stopped; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"storybook on {process_count()} × {train_device()}, in {folder}", flush=True)
    minutes = f"{estimate_minutes(making):.0f} minutes"
    print(f"about {minutes} from nothing; stops and resumes anywhere", flush=True)
    paint_dataset(folder / "data", making.pictures, making.size, process_count())
    make_tokens(folder)
    train_autoencoder(folder, making.autoencoder)
    encode_dataset(folder, making.autoencoder.widths)
    train_denoiser(folder, making.denoiser)
    if not (folder / "probe.safetensors").exists():
        train_probe(folder)
    assemble(folder, making)
    print(f"the model is in {folder / 'weights'}; copy it to render/storybook/weights to use it")
    return folder / "weights"


def make_tokens(folder: Path) -> None:
    """Learn the tokenizer from the captions and write their tokens."""
    if (folder / "data" / "tokens.npy").exists():
        return
    texts = [text for row in read_captions(folder / "data") for text in row]
    learn_tokenizer(texts + list(PROMPTS)).save_pretrained(folder / "tokenizer")
    tokenize_dataset(folder / "data", load_tokenizer(folder / "tokenizer"))


def assemble(folder: Path, making: Making) -> None:
    """Write the diffusers folder `folder/weights` from the two checkpoints."""
    text_encoder, unet = finish_denoiser(folder, making.denoiser.widths)
    vae = finish_autoencoder(folder, making.autoencoder.widths)
    save_folder(folder / "weights", load_tokenizer(folder / "tokenizer"), text_encoder, unet, vae)
    (folder / "weights" / "words.txt").write_text("\n".join(words()) + "\n", encoding="utf-8")


def estimate_minutes(making: Making) -> float:
    """Minutes that everything takes here, from a few measured steps of each stage."""
    device, processes = train_device(), process_count()
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    painting = _seconds(lambda: paint(example(0)[0], making.size)) * making.pictures
    crops = making.autoencoder.samples / making.autoencoder.batch
    draws = making.denoiser.samples / making.denoiser.batch
    trainings = _autoencoder_step(making, device) * crops + _denoiser_step(making, device) * draws
    torch.set_num_threads(threads)
    return (painting + trainings) * 1.1 / processes / 60  # a tenth for encoding and the probe


def _autoencoder_step(making: Making, device: torch.device) -> float:
    training = making.autoencoder
    net = make_autoencoder(training.widths).to(device)
    crops = torch.rand(training.batch, 3, making.size // 2, making.size // 2, device=device)

    def step() -> None:
        loss, _ = autoencoder.training_loss(net, crops, training.kl_weight)
        loss.backward()

    return _seconds(step)


def _denoiser_step(making: Making, device: torch.device) -> float:
    training = making.denoiser
    tokenizer = learn_tokenizer(PROMPTS)
    net = Denoiser(make_text_encoder(tokenizer), make_denoiser(training.widths)).to(device)
    side = making.size // FACTOR
    latents = torch.randn(training.batch, CHANNELS, side, side, device=device)
    tokens = torch.zeros(training.batch, MAX_LENGTH, dtype=torch.long, device=device)
    classes = torch.zeros(training.batch, len(ATTRIBUTES), dtype=torch.long, device=device)
    timesteps = denoiser.stratified_timesteps(np.random.default_rng(0), training.batch).to(device)
    batch = (latents, tokens, classes)

    def step() -> None:
        loss, reading = denoiser.training_loss(net, batch, timesteps, training.weight_limit)
        (loss + reading).backward()

    return _seconds(step)


def _seconds(work: Callable[[], object]) -> float:
    """The fastest of a few runs."""
    times = []
    for _ in range(MEASURED_STEPS):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
