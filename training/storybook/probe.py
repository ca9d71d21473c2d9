"""The attribute probe: a small classifier that reads a description off a picture.

Trained on painted pictures, softened and noised so that it judges content, not crispness. Its
accuracy on unseen painted pictures says how far its judgement of rendered ones can be trusted. A
probe's file names its attributes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from training.storybook.painter import paint
from training.storybook.parallel import as_pictures
from training.storybook.scene import (
    ATTRIBUTES,
    UNKNOWN,
    Description,
    classes_of,
    sample_description,
    scene_of,
)

SMALL = 128  # pixels a side of what the probe looks at
WIDTHS = (16, 32, 64, 96, 128)
FIRST_SEED, UNSEEN_SEED = 3_000_017, 960_000_000
PICTURES = "probe_pictures.npy"
CHECKPOINT = "probe.safetensors"


class Probe(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 to one row of logits for each attribute."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.1))
        inputs = WIDTHS[-1] * (SMALL // 2 ** len(WIDTHS)) ** 2
        self.heads = nn.ModuleDict({a: nn.Linear(inputs, len(c)) for a, c in ATTRIBUTES.items()})

    def features(self, pictures: Tensor) -> Tensor:
        """The input of the heads, (B, features): near for pictures of one scene."""
        if pictures.shape[-1] != SMALL:
            pictures = functional.interpolate(pictures, (SMALL, SMALL), mode="area")
        features: Tensor = self.body(pictures)
        return features

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.features(pictures)
        return {attribute: head(features) for attribute, head in self.heads.items()}


def attribute_loss(logits: dict[str, Tensor], classes: Tensor) -> Tensor:
    """Cross entropy summed over the attributes of class numbers (B, attributes)."""
    parts = []
    for attribute, truth in zip(ATTRIBUTES, classes.unbind(1), strict=True):
        known = int((truth != UNKNOWN).sum())
        loss = functional.cross_entropy(
            logits[attribute], truth, ignore_index=UNKNOWN, reduction="sum"
        )
        parts.append(loss / max(1, known))
    return torch.stack(parts).sum()


def described_picture(index: int, first: int = FIRST_SEED) -> tuple[Description, int]:
    """The description and seed of the probe's picture `index`."""
    rng = np.random.default_rng(first + index)
    return sample_description(rng), int(rng.integers(1 << 31))


def paint_descriptions(count: int, first: int = FIRST_SEED) -> NDArray[np.uint8]:
    """Pictures of one description each, (count, 128, 128, 3)."""
    examples = (described_picture(i, first) for i in range(count))
    return np.stack([paint(scene_of(found, seed), SMALL) for found, seed in examples])


def train_probe(
    folder: Path, samples: int = 160_000, count: int = 16_000, batch: int = 32
) -> Probe:
    """Train on painted pictures and keep `folder/probe.safetensors`."""
    if not (folder / PICTURES).exists():
        np.save(folder / PICTURES, paint_descriptions(count))
    pictures = np.load(folder / PICTURES, mmap_mode="r")
    classes = np.array([classes_of(described_picture(i)[0]) for i in range(len(pictures))])
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    probe = Probe()
    steps = samples // batch
    optimizer = torch.optim.AdamW(probe.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        chosen = rng.integers(0, len(pictures), batch)
        softened = _soften(as_pictures(torch.from_numpy(pictures[chosen])), rng)
        loss = attribute_loss(probe(softened), torch.from_numpy(classes[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"probe {step / steps:4.0%} loss {loss.item():.3f}", flush=True)
    save_file(probe.state_dict(), folder / CHECKPOINT)
    return probe.eval()


def _soften(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures a little blurred and noised, as a model would make them."""
    blurred = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    softened = pictures.lerp(blurred, float(rng.random()))
    return softened + float(rng.random()) * 0.06 * torch.randn_like(softened)


def load_probe(path: Path) -> Probe:
    """A trained probe."""
    probe = Probe()
    probe.load_state_dict(load_file(path))
    return probe.eval()


@torch.no_grad()
def read_classes(probe: Probe, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The class numbers that the probe sees in pictures (B, H, W, 3): (B, attributes)."""
    logits = probe(as_pictures(torch.from_numpy(np.array(pixels))))
    best = torch.stack([logits[attribute].argmax(1) for attribute in ATTRIBUTES], 1)
    seen: NDArray[np.int64] = best.numpy()
    return seen


def accuracy(seen: NDArray[np.int64], described: Sequence[Description]) -> dict[str, float]:
    """The share of pictures whose attribute is as described, where it can be seen at all."""
    truth = np.array([classes_of(d) for d in described])
    shares = {}
    for i, attribute in enumerate(ATTRIBUTES):
        known = truth[:, i] != UNKNOWN
        right = seen[known, i] == truth[known, i]
        shares[attribute] = float(right.mean()) if known.any() else 1.0
    return shares


def judge_probe(probe: Probe, count: int = 1000) -> dict[str, float]:
    """The probe's accuracy on unseen painted pictures."""
    pictures = paint_descriptions(count, UNSEEN_SEED)
    described = [described_picture(i, UNSEEN_SEED)[0] for i in range(count)]
    seen = np.concatenate([read_classes(probe, part) for part in np.array_split(pictures, 20)])
    return accuracy(seen, described)
