"""The timeline's types: keyframes as resolved values on a rational time axis.

Times are `Fraction`s of seconds, so 24 fps hits every frame of 12 fps exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from render.timeline.clock import Clock
from render.timeline.easing import Bezier
from render.timeline.pace import TimeMap


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """All that one frame shows. Weights are above zero and sum to 1 (within 1e-9), in the order of
    the timeline. Two frames with equal specs and equal recipes are one picture."""

    prompts: tuple[tuple[str, float], ...]
    negatives: tuple[tuple[str, float], ...]
    seeds: tuple[tuple[int, float], ...]
    guidance: float
    images: tuple[tuple[str, float], ...] = ()
    """Pictures to start from, by their digests."""
    strength: float = 1.0
    """How far from them it goes: 0 is the pictures, 1 knows nothing of them."""
    loras: tuple[tuple[str, float], ...] = ()
    """The weights of the model's LoRAs by name; one of weight 0 is not there at all."""
    control: str = ""
    """The picture that a ControlNet follows, by its digest."""
    early: tuple[tuple[FrameSpec, float], ...] = ()
    """Anchors whose early predictions the frame takes in place of its own, by their weights."""

    path: OnPath | None = None
    """Where the frame stands on the smooth path between two keyframes; None: it is rendered by
    itself."""

    @property
    def start(self) -> tuple[tuple[str, float], ...]:
        """The pictures that show in the frame."""
        return self.images if self.strength < 1 else ()


@dataclass(frozen=True, slots=True)
class SmoothPath:
    """The smooth path from one keyframe's values to the next one's: pictures at equal parts of the
    way, its nodes, that are denoised in step with each other."""

    start: FrameSpec
    end: FrameSpec
    parts: int


@dataclass(frozen=True, slots=True)
class OnPath:
    """A place on a smooth path, above 0 and below 1."""

    path: SmoothPath
    place: float


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A keyframe with nothing left out. `time` in seconds; `values` are those at its time; `ease`
    shapes the segment to the next, `even` is whether the picture changes evenly in it, and
    `time_map` its measured map, if that is known. `follows` gives the values at any time, where
    they change by themselves; None: they stay."""

    time: Fraction
    values: FrameSpec
    ease: str | Bezier
    even: bool = False
    time_map: TimeMap | None = None
    follows: Callable[[Fraction], FrameSpec] | None = None

    def at(self, time: Fraction) -> FrameSpec:
        """The values at a time, as the film would have them if there were no other keyframe."""
        return self.follows(time) if self.follows else self.values


@dataclass(frozen=True, slots=True)
class Timeline:
    """Keyframes in order, the first at 0; `duration` in seconds."""

    keyframes: tuple[Keyframe, ...]
    duration: Fraction
    loop: bool
    open: bool = False
    """Without the frame that stands at its end."""
    clock: Clock = field(default_factory=lambda: Clock(Fraction(1)))
    exact: tuple[Fraction, ...] = ()
    """The times of the keyframes as they were written: a beat may lie between two frames."""

    @property
    def moved(self) -> list[Fraction]:
        """The exact times of keyframes that were moved to the nearest frame."""
        pairs = zip(self.exact, self.keyframes, strict=False)
        return [time for time, keyframe in pairs if time != keyframe.time]
