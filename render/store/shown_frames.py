"""The frames that a run's folder shows, as its plan.json has them: it may come from anyone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from render.files.atomic import opened_regular
from render.store.plan_digests import digest_of, frames_in

HEAD_BYTES = 1 << 20
MOST_S = 1e9  # of a frame's time; films have a million frames, of 100 seconds at most
LOOP = b',\n "loop": true,\n "frames": '


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """One frame of a plan.

    Attributes:
        time_s: when the film shows it.
        prompts: (text, weight).
        keyframe: whether it is the frame of a keyframe.
    """

    time_s: float
    prompts: Sequence[tuple[str, float]]
    digest: str
    keyframe: bool


def shown_frames(plan: Path, most: int) -> list[ShownFrame]:
    """The frames of a plan.json, at most so many.

    Raises:
        OSError: it, or the file of its frames, can't be read.
        ValueError: it is no plan.
    """
    return [shown_frame(frame) for frame in islice(frames_in(plan), most)]


def shown_frame(frame: object) -> ShownFrame:
    """One frame of a plan."""
    digest = digest_of(frame)
    if not isinstance(frame, dict):
        raise ValueError("has a frame that is none")
    time = frame.get("time")
    if isinstance(time, bool) or not isinstance(time, int | float) or not abs(time) < MOST_S:
        raise ValueError("has a frame without a time")
    keyframe = frame.get("keyframe") is True
    return ShownFrame(float(time), tuple(weighted(frame.get("prompts"))), digest, keyframe)


def weighted(prompts: object) -> Iterator[tuple[str, float]]:
    """The texts of a frame with their weights; what is none is left out."""
    for pair in prompts if isinstance(prompts, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str):
            known = isinstance(pair[1], int | float) and 0 <= pair[1] <= 1
            yield pair[0], float(pair[1]) if known else 0.0


def is_loop(plan: Path) -> bool:
    """Whether the film of a plan.json is a loop."""
    with opened_regular(plan) as stream:
        return LOOP in stream.read(HEAD_BYTES)
