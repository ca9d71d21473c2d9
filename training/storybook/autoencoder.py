"""Training of the autoencoder, and its whitening.

Loss: L1 of the picture, of its gradients and of its 4 × 4 means, the squared error (on which the
reconstruction's PSNR rests), with a light KL term (Rombach et al. 2022 without the perceptual net,
which cannot be had offline). Crops of half the side first, whole pictures for the last 40 % of the
samples.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from training.storybook.dataset import read_pictures, training_part
from training.storybook.models import AUTOENCODER_WIDTHS, CHANNELS, FACTOR, Net, make_autoencoder
from training.storybook.parallel import (
    as_pictures,
    average_gradients,
    mixed_precision,
    rank,
    spawn,
    train_device,
    world_size,
)
from training.storybook.training import (
    Average,
    Progress,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
)

REPORT_EVERY = 50  # steps
SAVE_EVERY = 250
ENCODE_BATCH = 32
SQUARED_WEIGHT = 4.0  # at an error of 1/8 of the range it pulls as hard as the L1 term


@dataclass(frozen=True)
class AutoencoderTraining:
    """How long and how the autoencoder is trained; a sample is a crop or half a dozen of them."""

    samples: int = 103_000  # crops of half the side; a whole picture counts as four
    batch: int = 16  # crops a process and step
    peak_rate: float = 1.5e-3
    kl_weight: float = 3e-4
    whole_after: float = 0.6  # share of the samples
    widths: tuple[int, ...] = AUTOENCODER_WIDTHS


def reconstruction_loss(made: Tensor, picture: Tensor) -> Tensor:
    """L1 of pixels, gradients and 4 × 4 means, and squared error, of pictures (B, 3, H, W)."""
    across = (made.diff(dim=-1) - picture.diff(dim=-1)).abs().mean()
    down = (made.diff(dim=-2) - picture.diff(dim=-2)).abs().mean()
    means = (functional.avg_pool2d(made, 4) - functional.avg_pool2d(picture, 4)).abs().mean()
    error = made - picture
    return error.abs().mean() + across + down + means + SQUARED_WEIGHT * error.square().mean()


def training_loss(net: Net, pictures: Tensor, kl_weight: float) -> tuple[Tensor, Tensor]:
    """The loss of pictures (B, 3, H, W) in -1..1, and its reconstruction part."""
    with mixed_precision(pictures.device):
        posterior = net.encode(pictures).latent_dist
        latents = posterior.mean + posterior.std * torch.randn_like(posterior.mean)
        made = net.decode(latents).sample
    reconstruction = reconstruction_loss(made.float(), pictures)
    mean, log_variance = posterior.mean.float(), posterior.logvar.float()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return reconstruction + kl_weight * kl, reconstruction.detach()


def sample_crops(
    pictures: NDArray[np.uint8], rng: np.random.Generator, count: int, side: int
) -> Tensor:
    """Random crops (count, 3, side, side) in -1..1, half of the batches mirrored."""
    room = pictures.shape[1] - side
    crops = []
    for i in rng.integers(0, len(pictures), count):
        top, left = rng.integers(0, room + 1, 2)
        crops.append(pictures[i, top : top + side, left : left + side])
    batch = as_pictures(torch.from_numpy(np.stack(crops)))
    return batch.flip(-1) if rng.random() < 0.5 else batch


def train_autoencoder(folder: Path, training: AutoencoderTraining) -> None:
    """Train on `folder/data` into `folder/autoencoder.safetensors`; continues if it is there."""
    spawn(_train, folder, training)


def _train(folder: Path, training: AutoencoderTraining) -> None:
    device = train_device()
    pictures = training_part(read_pictures(folder / "data"))
    torch.manual_seed(0)
    net = make_autoencoder(training.widths).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)
    average, progress = Average(net, 0.998), Progress(training.samples)
    checkpoint = folder / "autoencoder.safetensors"
    load_checkpoint(checkpoint, net, average, optimizer, progress)
    rng = np.random.default_rng([progress.step, rank()])
    torch.manual_seed(progress.step * 64 + rank())
    losses: list[float] = []
    while progress.share < 1:
        whole = progress.share > training.whole_after
        side = pictures.shape[1] // (1 if whole else 2)
        batch = sample_crops(pictures, rng, training.batch // (4 if whole else 1), side).to(device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, training.peak_rate)
        loss, reconstruction = training_loss(net, batch, training.kl_weight)
        loss.backward()
        average_gradients(net.parameters())
        optimizer.step()
        optimizer.zero_grad()
        progress.advance(training.batch * world_size())
        average.update(progress.step)
        losses.append(reconstruction.item())
        if progress.step % REPORT_EVERY == 0 and rank() == 0:
            progress.report("autoencoder", loss=float(np.mean(losses)))
            losses.clear()
        if progress.step % SAVE_EVERY == 0 or progress.share == 1:
            save_checkpoint(checkpoint, net, average, optimizer, progress)


@torch.no_grad()
def fold_whitening(net: Net, pictures: Tensor) -> None:
    """Give each latent channel mean 0 and deviation 1 over `pictures`, exactly, inside the net.

    The shift and scale go into the convolutions before and after the latents; what the net
    reconstructs stays the same, and `scaling_factor` is 1.
    """
    means = [net.encode(part).latent_dist.mean for part in pictures.split(16)]
    latents = torch.cat(means)  # (B, 4, H/4, W/4)
    shift, scale = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    before, after = net.quant_conv, net.post_quant_conv
    before.weight[:CHANNELS] /= scale.view(-1, 1, 1, 1)
    before.bias[:CHANNELS] = (before.bias[:CHANNELS] - shift) / scale
    before.bias[CHANNELS:] -= 2 * scale.log()
    after.bias += after.weight[:, :, 0, 0] @ shift
    after.weight *= scale.view(1, -1, 1, 1)


@torch.no_grad()
def finish_autoencoder(folder: Path, widths: tuple[int, ...] = AUTOENCODER_WIDTHS) -> Net:
    """The trained net from `folder/autoencoder.safetensors`: averaged weights, whitened latents."""
    net = make_autoencoder(widths)
    tensors = load_file(folder / "autoencoder.safetensors")
    for i, parameter in enumerate(net.parameters()):
        parameter.copy_(tensors[f"mean.{i}"])
    net.eval()
    fold_whitening(
        net, as_pictures(torch.from_numpy(np.array(read_pictures(folder / "data")[:384])))
    )
    return net


def encode_dataset(folder: Path, widths: tuple[int, ...] = AUTOENCODER_WIDTHS) -> None:
    """Write `latents.npy`, (N, 2, 4, H/4, W/4) float16: mean and deviation of each posterior."""
    path = folder / "data" / "latents.npy"
    if path.exists():
        return
    pictures = read_pictures(folder / "data")
    side = pictures.shape[1] // FACTOR
    partial = path.with_suffix(".partial")
    shape = (len(pictures), 2, CHANNELS, side, side)
    np.lib.format.open_memmap(partial, "w+", np.float16, shape).flush()
    spawn(_encode, folder, partial, widths)
    partial.replace(path)


@torch.no_grad()
def _encode(folder: Path, path: Path, widths: tuple[int, ...]) -> None:
    device = train_device()
    net = finish_autoencoder(folder, widths).to(device)
    pictures, latents = read_pictures(folder / "data"), np.load(path, mmap_mode="r+")
    starts = range(rank() * ENCODE_BATCH, len(pictures), ENCODE_BATCH * world_size())
    for start in starts:
        part = slice(start, start + ENCODE_BATCH)
        with mixed_precision(device):
            batch = as_pictures(torch.from_numpy(np.array(pictures[part])).to(device))
            posterior = net.encode(batch).latent_dist
        both = torch.stack([posterior.mean, posterior.std], 1)
        latents[part] = both.float().cpu().numpy()
        if rank() == 0 and start // ENCODE_BATCH % 100 == 0:
            print(f"encoded {start} of {len(pictures)} pictures", flush=True)
