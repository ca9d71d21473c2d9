"""The frame plan: one `FrameSpec` a frame with its digest, and what a shard renders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from render.plan.approximations import NONE, Approximations
from render.plan.blends import BLENDS
from render.plan.finish import Cut, Finish
from render.timeline.pace import TimeMap
from render.timeline.spec import FrameSpec, SmoothPath

RECIPE_VERSION = 2  # raised by hand when the same spec would give another picture

PICTURE_FIELDS = ("images", "strength", "control")

Weighted = tuple[tuple[Any, float], ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings that all frames of a run share; they are part of every frame's identity."""

    model: str
    """The model's identity: the hub's commit, or the hash of a folder's files."""
    scheduler: str
    """Name of a diffusers class, or `model` for the scheduler the model's folder holds."""
    scheduler_options: Mapping[str, Any]
    steps: int
    width: int
    height: int
    dtype: str
    """`float32`, `float16` or `bfloat16`."""
    blend: str
    """The name of one of `BLENDS`."""
    version: int = RECIPE_VERSION
    approximations: Approximations = NONE
    kernels: str = "auto"
    """`stock` where that changes pixels: in 16 bits."""

    def entry(self) -> dict[str, Any]:
        """As digests and plan.json have it; approximations only where there are any (as
        `shortcuts`, the name that they had in the first version), and kernels where they are not
        the usual ones."""
        entry = asdict(self)
        del entry["approximations"]
        if self.kernels == "auto":
            del entry["kernels"]
        entry["blend"] = BLENDS[self.blend].identity(self.blend)
        taken = self.approximations.in_recipe()
        return entry | ({"shortcuts": taken} if taken else {})


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """A frame's place in the film (`time` in seconds), its spec and its identity."""

    index: int
    time: Fraction
    spec: FrameSpec
    digest: str
    path: str = ""
    """The identity of the smooth path that it is on; empty if it is on none."""
    bridge: bool = False
    """Whether it bridges a jump: it is a blend of the pictures on either side, or, on a plain path,
    one is shown in its place."""


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A segment of even pace whose time map is not known. A plan places its frames evenly in time.

    Attributes:
        path: its keyframes' values; of no parts if its path is plain.
        digest: under which its map is remembered.
        start, until: its times in seconds.
    """

    path: SmoothPath
    digest: str
    start: Fraction
    until: Fraction


@dataclass(frozen=True, slots=True)
class FramePlan:
    """All frames of a run, in order."""

    fps: Fraction
    """Frames a second that are rendered."""
    recipe: Recipe
    frames: tuple[PlannedFrame, ...]
    warnings: tuple[str, ...] = ()
    loras: Mapping[str, str] = field(default_factory=dict)
    """The model's LoRAs: identity by name."""
    keyframes: tuple[int, ...] = ()
    """Places of the frames at which keyframes stand."""
    loop: bool = False
    """Whether the first frame follows the last one."""
    unmeasured: tuple[Unmeasured, ...] = ()
    paces: Mapping[Fraction, TimeMap] = field(default_factory=dict)
    """The measured time maps of segments of even pace, by the times at which they begin."""
    open: bool = False
    """Whether the frame at its end is left out."""
    cuts: tuple[Cut, ...] = ()
    bridged: tuple[tuple[int, int], ...] = ()
    """Places of two frames, of which those between are shown as pictures in between: the plain path
    jumps there. In a loop the second may be the number of frames, for the first one."""
    finish: Finish | None = None
    """How the pictures that are shown are made of the frames; None: they are the frames."""

    @property
    def digest(self) -> str:
        """Identity of the film: its rate, its frames' digests, and how they are finished."""
        total = hashlib.sha256(f"{self.fps}\n".encode())
        for frame in self.frames:
            total.update(frame.digest.encode())
        if self.finish:
            bridged = [list(each) for each in self.bridged]
            rest = [self.finish.identity(), str(self.cuts), *([bridged] if bridged else [])]
            total.update(json.dumps(rest).encode())
        return total.hexdigest()


def shard_of(plan: FramePlan, shard: tuple[int, int] | None) -> tuple[PlannedFrame, ...]:
    """The frames this run renders: every n-th from the i-th, so that shards end together. Smooth
    paths are denoised whole, so every n-th of these; a keyframe goes with the path behind it, or
    with the last one."""
    if shard is None:
        return plan.frames
    paths = list(dict.fromkeys(frame.path for frame in plan.frames if frame.path))
    if not paths:
        return plan.frames[shard[0] :: shard[1]]
    numbers = {path: number for number, path in enumerate(paths)}
    following, owners = len(paths) - 1, list[int]()
    for frame in reversed(plan.frames):
        following = numbers.get(frame.path, following)
        owners.append(following)
    pairs = zip(plan.frames, reversed(owners), strict=True)
    return tuple(frame for frame, owner in pairs if owner % shard[1] == shard[0])


def picture_entry(spec: FrameSpec) -> dict[str, Any]:
    """The pictures that a frame starts from and follows; nothing where there are none."""
    start = {"images": [list(pair) for pair in sorted(spec.start)], "strength": spec.strength}
    return (start if spec.start else {}) | ({"control": spec.control} if spec.control else {})


def early_entry(spec: FrameSpec) -> list[dict[str, Any]]:
    """The anchors whose early predictions a frame takes, with their weights."""
    return [{"weight": weight, **values_entry(anchor)} for anchor, weight in spec.early]


def path_entry(spec: FrameSpec) -> dict[str, Any]:
    """A frame's place on a smooth path, and the values at its ends; nothing without one."""
    if spec.path is None:
        return {}
    path = spec.path.path
    ends = {"start": values_entry(path.start), "end": values_entry(path.end)}
    return {"path": {"place": spec.path.place, "parts": path.parts, **ends}}


def values_entry(spec: FrameSpec) -> dict[str, Any]:
    """The texts and seeds of a frame that another one is made from."""
    return {
        "prompts": [list(pair) for pair in spec.prompts],
        "seeds": [list(pair) for pair in spec.seeds],
    }
