"""The attribute probe: a small classifier that reads a Scene's attributes off a picture.

Trained on painted pictures, softened and noised so that it judges content, not crispness. Its
accuracy on unseen painted pictures says how far its judgement of rendered ones can be trusted.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from training.storybook.dataset import example, read_pictures, training_part
from training.storybook.parallel import as_pictures
from training.storybook.scene import ATTRIBUTES, UNKNOWN, Scene, classes_of

SIDE = 64  # pixels the probe looks at
PROBE_FILE = Path(__file__).parent / "probe.safetensors"


class Probe(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 to one row of logits for each attribute."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 48), (48, 64)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.1))
        inputs = 64 * (SIDE // 16) ** 2
        self.heads = nn.ModuleDict({a: nn.Linear(inputs, len(c)) for a, c in ATTRIBUTES.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        small = functional.interpolate(pictures, (SIDE, SIDE), mode="area")
        features = self.body(small)
        return {attribute: head(features) for attribute, head in self.heads.items()}


def class_tensors(scenes: list[Scene]) -> dict[str, Tensor]:
    """The class numbers (B,) of each attribute."""
    numbers = torch.tensor([classes_of(scene) for scene in scenes])  # (B, 5)
    return dict(zip(ATTRIBUTES, numbers.unbind(1), strict=True))


def attribute_loss(logits: dict[str, Tensor], truth: dict[str, Tensor]) -> Tensor:
    """Cross entropy summed over the attributes; what is unknown does not count."""
    parts = [
        functional.cross_entropy(logits[a], truth[a], ignore_index=UNKNOWN) for a in ATTRIBUTES
    ]
    return torch.stack(parts).sum()


def train_probe(folder: Path, samples: int = 60_000, batch: int = 32) -> Probe:
    """Train on the painted pictures of `folder/data` and keep `folder/probe.safetensors`."""
    pictures = training_part(read_pictures(folder / "data"))
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    probe = Probe()
    steps = samples // batch
    optimizer = torch.optim.AdamW(probe.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        chosen = rng.integers(0, len(pictures), batch)
        truth = class_tensors([example(int(i))[0] for i in chosen])
        softened = _soften(as_pictures(torch.from_numpy(pictures[chosen])), rng)
        loss = attribute_loss(probe(softened), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"probe {step / steps:4.0%} loss {loss.item():.3f}", flush=True)
    save_file(probe.state_dict(), folder / "probe.safetensors")
    return probe.eval()


def _soften(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures a little blurred and noised, as a model would make them."""
    blurred = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    softened = pictures.lerp(blurred, float(rng.random()))
    return softened + float(rng.random()) * 0.06 * torch.randn_like(softened)


def load_probe(path: Path = PROBE_FILE) -> Probe:
    """The trained probe; that of the repository unless another file is given."""
    probe = Probe()
    probe.load_state_dict(load_file(path))
    return probe.eval()


@torch.no_grad()
def read_attributes(probe: Probe, pixels: NDArray[np.uint8]) -> list[dict[str, object]]:
    """The attributes that the probe sees in pictures (B, H, W, 3)."""
    logits = probe(as_pictures(torch.from_numpy(np.array(pixels))))
    best = {attribute: scores.argmax(1).tolist() for attribute, scores in logits.items()}
    return [
        {attribute: ATTRIBUTES[attribute][classes[i]] for attribute, classes in best.items()}
        for i in range(len(pixels))
    ]


def accuracy(seen: list[dict[str, object]], scenes: list[Scene]) -> dict[str, float]:
    """The share of pictures whose attribute is as the scene says, where it can be seen at all."""
    truth = class_tensors(scenes)
    shares = {}
    for attribute, choices in ATTRIBUTES.items():
        pairs = [
            choices[int(c)] == row[attribute]
            for row, c in zip(seen, truth[attribute], strict=True)
            if c != UNKNOWN
        ]
        shares[attribute] = sum(pairs) / max(1, len(pairs))
    return shares
