"""The making of storybook from nothing: each stage goes on where it was stopped."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from training.storybook.autoencoder import (
    AutoencoderTraining,
    finish_autoencoder,
    train_autoencoder,
)
from training.storybook.captions import words
from training.storybook.dataset import Encoding, encode_dataset
from training.storybook.decoder import DecoderTraining, finish_decoder, train_decoder
from training.storybook.denoiser import DenoiserTraining, finish_denoiser, train_denoiser
from training.storybook.models import save_folder
from training.storybook.parallel import process_count, train_device
from training.storybook.probe import CHECKPOINT as PROBE
from training.storybook.probe import train_probe
from training.storybook.tokenizer import load_tokenizer
from training.storybook.upscaler import (
    WEIGHTS,
    UpscalerTraining,
    train_upscaler,
    write_upscaler,
)

STAGES = ("autoencoder", "data", "denoiser", "decoder", "upscaler", "probe", "weights")


@dataclass(frozen=True)
class Making:
    """Everything that decides the model besides the code."""

    encoding: Encoding = field(default_factory=Encoding)
    autoencoder: AutoencoderTraining = field(default_factory=AutoencoderTraining)
    denoiser: DenoiserTraining = field(default_factory=DenoiserTraining)
    decoder: DecoderTraining = field(default_factory=DecoderTraining)
    upscaler: UpscalerTraining = field(default_factory=UpscalerTraining)
    processes: int | None = None  # as many as the machine has cores


def make_storybook(folder: Path, making: Making, stages: tuple[str, ...] = STAGES) -> None:
    """Go through `stages` in `folder`; what is finished is not done again."""
    from training.storybook.estimate import estimate_minutes

    folder.mkdir(parents=True, exist_ok=True)
    processes = making.processes or process_count()
    print(f"storybook on {processes} × {train_device()}, in {folder}", flush=True)
    minutes = f"{estimate_minutes(making, processes):.0f} minutes"
    print(f"about {minutes} from nothing; stops and resumes anywhere", flush=True)
    if "autoencoder" in stages:
        train_autoencoder(folder, making.autoencoder, making.processes)
    if "data" in stages:
        encode_dataset(folder, making.encoding, making.processes)
    if "denoiser" in stages:
        train_denoiser(folder, making.denoiser, making.processes)
    if "decoder" in stages:
        train_decoder(folder, decoding(making), making.processes)
    if "upscaler" in stages:
        train_upscaler(folder, upscaling(making), making.processes)
    if "probe" in stages and not (folder / PROBE).exists():
        train_probe(folder)
    if "weights" in stages:
        assemble(folder, making)


def decoding(making: Making) -> DecoderTraining:
    """The decoder's training, on the nets that this making has made."""
    return replace(making.decoder, widths=making.denoiser.widths, encoding=making.encoding)


def upscaling(making: Making) -> UpscalerTraining:
    """The upscaler's training, likewise."""
    return replace(making.upscaler, widths=making.denoiser.widths, encoding=making.encoding)


def assemble(folder: Path, making: Making) -> None:
    """Write the diffusers folder `folder/weights` from the checkpoints."""
    text_encoder, unet = finish_denoiser(folder, making.denoiser.widths)
    encoding = making.encoding  # as the latents were made
    autoencoder = finish_autoencoder(folder, encoding.widths, encoding.whitened_over)
    finish_decoder(folder, autoencoder)
    weights = folder / "weights"
    save_folder(weights, load_tokenizer(folder / "tokenizer"), text_encoder, unet, autoencoder)
    write_upscaler(folder, weights / WEIGHTS, making.upscaler.shape)
    (weights / "words.txt").write_text("\n".join(words()) + "\n", encoding="utf-8")
    print(f"the model is in {weights}; copy it to render/storybook/weights to use it")
