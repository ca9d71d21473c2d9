"""The segment that speed.py renders in every way, and the types of a way and its turn. No torch
here:
the process that lets the others take turns stays small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from product import Picture, composed

KEPT = Path("outputs/.bench/speed")
PROMPTS = ("a small town", "a castle by the sea")
SEED = 1
GUIDANCE = 7.5
FPS = 12


@dataclass(frozen=True)
class Asked:
    """The work of all ways: the frames of a segment between two prompts on one noise."""

    model: tuple[str, ...]
    """Overrides that choose the model."""
    folder: Path
    frames: int
    """Of the segment, both ends included."""
    references: tuple[int, ...]
    """Those of them that the reference loop and the stock pipeline render."""
    steps: int
    device: str

    def weight(self, frame: int) -> float:
        """Of the second prompt."""
        return frame / (self.frames - 1) if self.frames > 1 else 0.5


@dataclass(frozen=True)
class Way:
    """One way to render: `reference`, `stock` or `ours` with these overrides."""

    name: str
    kind: str
    overrides: tuple[str, ...] = ()
    dtype: str = "float32"
    blend: str = "noise"


@dataclass(frozen=True)
class Turn:
    """The measures of one rendering; seconds and rows are a frame's."""

    seconds: float
    cpu: float
    """Seconds of all cores, which a machine that others use too disturbs less."""
    inside: float
    """Seconds in the denoiser and the decoder."""
    rows: float
    gflop: float
    matmul: float
    """GFLOP/s of a large matrix product in the way's dtype, right after."""
    memory: float
    """GiB that the way's process (or its GPU) ever held."""
    dtype: str
    pictures: Mapping[int, Picture]
    """By their place in the segment."""


def content(way: Way, asked: Asked) -> dict[str, Any]:
    """The run of one of this project's ways, as the command line composes it."""
    ends = [
        {"at": "0f", "prompt": PROMPTS[0], "seed": SEED},
        {"at": f"{asked.frames - 1}f", "prompt": PROMPTS[1], "seed": SEED},
    ]
    half = [{"at": 0, "prompt": dict.fromkeys(PROMPTS, 0.5), "seed": SEED}]
    overrides = [
        *asked.model,
        "scheduler=lms",
        f"scheduler.steps={asked.steps}",
        f"sampling.guidance={GUIDANCE}",
        "sampling.blend=noise",
        f"output.fps={FPS}",
        f"compute.device={asked.device}",
        *way.overrides,
    ]
    name = "".join(letter if letter.isalnum() else "-" for letter in way.name)
    return composed(overrides, ends if asked.frames > 1 else half, KEPT, name)
