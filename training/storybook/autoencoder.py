"""Training of the autoencoder, on pictures painted while it runs, and its latents' scales.

Loss: L1 of the picture, of its gradients and of its 4 × 4 means, the squared error (on which the
reconstruction's PSNR rests), with a light KL term (Rombach et al. 2022 without the perceptual net,
which cannot be had offline). Small crops first, then larger ones, whole pictures last, since the
nets' group norms see the whole of what they are given.

After a number of samples the encoder is left as it is and the decoder learns on alone: from then on
the latents are final, and the denoiser can be trained on them at the same time.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from training.storybook.examples import Pixels, Pool, unseen_pictures
from training.storybook.figures import psnr, sharpness
from training.storybook.learning import Every, Learning
from training.storybook.models import AUTOENCODER_WIDTHS, CHANNELS, Net, make_autoencoder
from training.storybook.parallel import (
    as_pictures,
    mixed_precision,
    spawn,
    train_device,
    world_size,
)
from training.storybook.training import Average, Progress

EVERY = Every(report=50, save=200, judge=2000)  # steps
JUDGED = 12  # pictures
SQUARED_WEIGHT = 4.0  # at an error of 1/8 of the range it pulls as hard as the L1 term
CROP = 64  # pixels a side of one sample
CHECKPOINT = "autoencoder.safetensors"
SCALED_OVER = 16  # pictures
SEEN = 0.6  # power of what is seen of a latent channel in its deviation: 0 whitens


@dataclass(frozen=True)
class AutoencoderTraining:
    """How long and how the autoencoder is trained; a sample is 64 × 64 pixels of a picture."""

    samples: int = 160_000
    batch: int = 12  # samples a process and step: crops, a quarter as many large, or one picture
    peak_rate: float = 5e-3
    constant: float = 0.6  # share of the samples before the rate begins to fall
    kl_weight: float = 2e-4
    encoder_samples: int = 50_000  # after which the encoder stays as it is
    larger_after: float = 0.2  # share of the samples
    whole_after: float = 0.6
    pool: int = 192  # pictures
    average_decay: float = 0.999
    widths: tuple[int, ...] = AUTOENCODER_WIDTHS

    def side(self, share: float) -> int:
        """Pixels a side of the crops at a share of the training."""
        return CROP * (1 if share < self.larger_after else 2 if share < self.whole_after else 4)

    def rate(self, progress: Progress) -> float:
        """A warm-up, a constant rate and a cosine down to nearly nothing."""
        falling = max(0.0, (progress.share - self.constant) / (1 - self.constant))
        warm = min(1.0, (progress.step + 1) / 150)
        return self.peak_rate * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * falling)))


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


def train_autoencoder(
    folder: Path, training: AutoencoderTraining, processes: int | None = None
) -> None:
    """Train into `folder/autoencoder.safetensors`; continues if it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    spawn(_train, folder, training, processes=processes)


def _train(folder: Path, training: AutoencoderTraining) -> None:
    device = train_device()
    torch.manual_seed(0)
    net = make_autoencoder(training.widths).to(device)
    progress = Progress(training.samples)
    learning = Learning(
        folder / CHECKPOINT, net, progress, training.peak_rate, training.average_decay, EVERY
    )
    frozen = False
    pool = Pool(training.pool, learning.first, world_size())
    judged = unseen_pictures(JUDGED)
    while progress.share < 1:
        if progress.seen >= training.encoder_samples and not frozen:
            freeze_encoder(net, learning.average)
            frozen = True
        side = training.side(progress.share)
        area = side**2 // CROP**2  # samples a crop
        crops = pool.crops(learning.rng, max(1, training.batch // area), side)
        batch = as_pictures(torch.from_numpy(crops)).to(device)
        loss, reconstruction = training_loss(net, batch, training.kl_weight)
        learning.step(loss, training.rate(progress), len(crops) * area, loss=reconstruction)
        pool.refresh()
        learning.keep(lambda: judge(net, judged))


def judge(net: Net, judged: Pixels) -> str:
    """PSNR of pictures through the autoencoder and back, and the sharpness kept."""
    made = reconstruct(net, judged)
    kept = sharpness(made) / sharpness(judged)
    return f"{psnr(made, judged):.2f} dB, sharpness {kept:.3f}"


@torch.no_grad()
def freeze_encoder(net: Net, average: Average) -> None:
    """Give the encoder its averaged weights and let it learn no more; done twice is done once."""
    chosen = {id(p) for part in (net.encoder, net.quant_conv) for p in part.parameters()}
    for parameter, mean in zip(average.parameters, average.mean, strict=True):
        if id(parameter) in chosen:
            parameter.copy_(mean)
            parameter.requires_grad_(False)


@torch.no_grad()
def reconstruct(net: Net, pictures: Pixels) -> Pixels:
    """Pictures (N, H, W, 3) through the autoencoder and back."""
    device = next(net.parameters()).device
    made = []
    for part in np.array_split(pictures, max(1, len(pictures) // 2)):
        batch = as_pictures(torch.from_numpy(np.array(part))).to(device)
        result = net.decode(net.encode(batch).latent_dist.mean).sample
        made.append(((result.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu())
    return torch.cat(made).numpy()


@torch.no_grad()
def fold_whitening(net: Net, pictures: Tensor) -> None:
    """Give each latent channel mean 0 and deviation 1 over `pictures`, exactly, inside the net.

    The shift and scale go into the convolutions before and after the latents; what the net
    reconstructs stays the same, and `scaling_factor` is 1.
    """
    means = [net.encode(part).latent_dist.mean for part in pictures.split(4)]
    latents = torch.cat(means)  # (B, 8, H/8, W/8)
    shift, scale = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    before, after = net.quant_conv, net.post_quant_conv
    before.weight[:CHANNELS] /= scale.view(-1, 1, 1, 1)
    before.bias[:CHANNELS] = (before.bias[:CHANNELS] - shift) / scale
    before.bias[CHANNELS:] -= 2 * scale.log()
    after.bias += after.weight[:, :, 0, 0] @ shift
    after.weight *= scale.view(1, -1, 1, 1)


@torch.no_grad()
def visibility(net: Net, pictures: Tensor, noise: float = 0.2) -> Tensor:
    """How far noise on each latent channel moves a decoded pixel, root mean square, (8,)."""
    latents = net.encode(pictures).latent_dist.mean
    usual, moved = net.decode(latents).sample, []
    generator = torch.Generator().manual_seed(0)
    for channel in range(CHANNELS):
        noisy = latents.clone()
        noisy[:, channel] += noise * torch.randn(noisy[:, channel].shape, generator=generator)
        moved.append((net.decode(noisy).sample - usual).square().mean().sqrt())
    return torch.stack(moved)


@torch.no_grad()
def fold_scales(net: Net, scales: Tensor) -> None:
    """Multiply the latent channels by `scales` (8,), inside the net."""
    before, after = net.quant_conv, net.post_quant_conv
    before.weight[:CHANNELS] *= scales.view(-1, 1, 1, 1)
    before.bias[:CHANNELS] *= scales
    before.bias[CHANNELS:] += 2 * scales.log()
    after.weight /= scales.view(1, -1, 1, 1)


def channel_scales(folder: Path, net: Net, pictures: Tensor) -> Tensor:
    """Deviations of the latent channels by what is seen of them, (8,); `folder` remembers them.

    With all deviations equal, noise hides the channels that carry the shapes as soon as those that
    carry hardly visible detail, and the denoiser spends as much on the one as on the other. So the
    visible ones are louder, as in the pixels themselves, by the square root of the ratio and a
    little more. They are measured once: the decoder learns on, the latents stay.
    """
    path = folder / "scales.npy"
    if not path.exists():
        seen = visibility(net, pictures) ** SEEN
        np.save(path, (seen / seen.square().mean().sqrt()).numpy())
    return torch.from_numpy(np.load(path))


@torch.no_grad()
def finish_autoencoder(folder: Path, widths: tuple[int, ...], whitened_over: int) -> Net:
    """The trained net from `folder`: averaged weights, latents of zero mean and chosen scales."""
    net = make_autoencoder(widths)
    tensors = load_file(folder / CHECKPOINT)
    for i, parameter in enumerate(net.parameters()):
        parameter.copy_(tensors[f"mean.{i}"])
    net.eval()
    pictures = as_pictures(torch.from_numpy(unseen_pictures(whitened_over)))
    fold_whitening(net, pictures)
    fold_scales(net, channel_scales(folder, net, pictures[:SCALED_OVER]))
    return net
