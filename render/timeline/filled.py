"""Keyframes with nothing left out: values that stay, or that change over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from render.config.changing import MOST_GUIDANCE, Changing, Curves
from render.config.schema import KeyframeConfig, SamplingConfig, TimelineConfig
from render.config.values import MAX_LORA_WEIGHT
from render.errors import ConfigError, Locate, Mistake
from render.timeline.over_time import Surroundings, ValueByTime, changes
from render.timeline.spec import FrameSpec

USUAL_STRENGTH = 0.6  # of keyframes with an image, before the first that gives one
OF_THE_WHOLE_FILM = ("guidance", "strength")

Key = TypeVar("Key", str, int)
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Filled:
    """A keyframe's values, each as it was written there, or at the keyframe before.

    Attributes:
        key: of the keyframe in the timeline.
        prompt, seed: weights by text and by number.
        image: the digest of the picture that it starts from; empty if there is none.
        loras: weights by name.
    """

    key: str
    prompt: Mapping[str, Changing]
    negative: str
    seed: Mapping[int, float]
    guidance: Changing
    image: str
    strength: Changing
    loras: Mapping[str, Changing]
    curves: Curves

    def changing(self) -> Iterator[tuple[str, Changing]]:
        """Its values that are others at other times, each with its path in the timeline."""
        every: list[tuple[str, Changing]] = [
            *((self.place("prompt"), weight) for weight in self.prompt.values()),
            (self.place("guidance"), self.guidance),
            (self.place("strength"), self.strength),
            *((self.place("lora", name), weight) for name, weight in self.loras.items()),
        ]
        return ((place, value) for place, value in every if changes(value))

    def place(self, key: str, name: str = "") -> str:
        """The path of a value in the timeline: a curve's, or the keyframe's.

        Args:
            name: of a LoRA.
        """
        curve = getattr(self.curves, key, None)
        if curve is not None and (not name or name in curve):
            return f"curves.{key}.{name}" if name else f"curves.{key}"
        return f"keyframes.{self.key}.{key}"


def filled(
    frames: Mapping[str, KeyframeConfig],
    curves: Curves,
    sampling: SamplingConfig,
    guidance: float,
    images: Mapping[Path, str],
    loras: Mapping[str, float],
) -> Iterator[Filled]:
    """Each keyframe's values; what it leaves out of prompts, seeds, images and weights of LoRAs
    continues from the one before. A curve holds for the whole film.

    Args:
        frames: keyframes as written, in order of time.
        guidance: the scale of keyframes that name none.
        images: the digest of every picture that keyframes name.
        loras: the model's LoRAs by name, with the weights that hold until a keyframe names others.
    """
    prompt: Mapping[str, Changing] = {"": 1.0}
    seed: Mapping[int, float] = {sampling.seed: 1.0}
    image: Path | None = None
    strength: Changing = USUAL_STRENGTH if curves.strength is None else curves.strength
    usual: Changing = guidance if curves.guidance is None else curves.guidance
    weights: Mapping[str, Changing] = {**loras, **(curves.lora or {})}
    for key, frame in frames.items():
        prompt = frame.prompt if frame.prompt is not None else prompt
        seed = frame.seed if frame.seed is not None else seed
        image = frame.image if "image" in frame.model_fields_set else image
        strength = strength if frame.strength is None else frame.strength
        weights = {**weights, **(frame.lora or {})}
        yield Filled(
            key,
            prompt,
            sampling.negative if frame.negative is None else frame.negative,
            seed,
            usual if frame.guidance is None else frame.guidance,
            images.get(image, "") if image else "",
            strength,
            weights,
            curves,
        )


def values_over_time(
    frame: Filled, around: Surroundings, locate: Locate
) -> Callable[[Fraction], FrameSpec]:
    """The values of a keyframe by the time in seconds. The function raises ConfigError where one of
    them is none, or out of its range."""
    prompt = {text: around.value(weight) for text, weight in frame.prompt.items()}
    loras = {name: around.value(weight) for name, weight in frame.loras.items()}
    guidance, strength = around.value(frame.guidance), around.value(frame.strength)

    def at(time: Fraction) -> FrameSpec:
        def number(place: str, value: ValueByTime, allowed: Range, clipped: bool = False) -> float:
            return in_range(value(time), allowed, clipped, locate(f"timeline.{place}"), time)

        place = frame.place("prompt")
        weights = {
            text: number(place, value, (0, math.inf), clipped=True)
            for text, value in prompt.items()
        }
        if not any(weights.values()):
            what = f"all weights are zero at {float(time):g} s; keep one above zero"
            raise ConfigError([Mistake(locate(f"timeline.{place}"), what)])
        most = (-float(MAX_LORA_WEIGHT), float(MAX_LORA_WEIGHT))
        given = {
            name: number(frame.place("lora", name), value, most) for name, value in loras.items()
        }
        steady = number(frame.place("strength"), strength, (0, 1), clipped=True)
        return FrameSpec(
            normalised(weights),
            ((frame.negative, 1.0),),
            normalised(frame.seed),
            number(frame.place("guidance"), guidance, (0, MOST_GUIDANCE)),
            images=((frame.image, 1.0),) if frame.image else (),
            strength=steady if frame.image else 1.0,
            loras=tuple((name, float(weight)) for name, weight in given.items() if weight != 0),
        )

    return at


def in_range(value: float, allowed: Range, clipped: bool, where: str, time: Fraction) -> float:
    """A value, or the nearest one that is allowed.

    Raises:
        ConfigError: it is no number, or is out of its range and not to be clipped.
    """
    low, high = allowed
    if math.isfinite(value) and (clipped or low <= value <= high):
        return min(max(value, low), high)
    what = f"is {value:g} at {float(time):g} s"
    if math.isnan(value):
        what = f"is no number at {float(time):g} s"
    way = f"between {low:g} and {high:g}; clip(…, {low:g}, {high:g}) keeps it there"
    raise ConfigError([Mistake(where, f"{what}, and has to be {way}")])


def curve_flaws(written: TimelineConfig) -> Iterator[tuple[str, str]]:
    """Values of keyframes that a curve gives for the whole film."""
    for key, frame in written.keyframes.items():
        for name in OF_THE_WHOLE_FILM:
            curve: Any = getattr(written.curves, name)
            if curve is not None and getattr(frame, name) is not None:
                what = f"curves.{name} gives it for the whole film; leave one of the two out"
                yield f"keyframes.{key}.{name}", what
        for name in written.curves.lora or {}:
            if name in (frame.lora or {}):
                what = f"curves.lora.{name} gives it for the whole film; leave one of the two out"
                yield f"keyframes.{key}.lora", what


def unknown_values(frames: Sequence[Filled], around: Surroundings) -> Iterator[tuple[str, str]]:
    """Values of which nobody can know what they are: (path in the timeline, what)."""
    said: set[str] = set()
    for frame in frames:
        for place, value in frame.changing():
            flaw = around.flaw(value)
            if flaw and flaw not in said:
                said.add(flaw)
                yield place, flaw


def normalised(weights: Mapping[Key, float]) -> tuple[tuple[Key, float], ...]:
    """Weights above zero, summing to 1; twelve decimals, so less than half of the last is none."""
    total = math.fsum(weights.values())
    shares = ((key, round(weight / total, 12)) for key, weight in weights.items())
    return tuple((key, share) for key, share in shares if share > 0)
