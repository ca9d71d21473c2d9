"""The loop that renders what is missing: batches through the model, each handed on at once.

What goes wrong with one frame stays with that frame: a picture that is not finite is not tried
again, a passing error is tried twice more, too little memory halves the batch, and many failures
in a row end the run. Whatever was finished stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from render.errors import FramesFailed, NonFiniteFrames, OutOfMemory
from render.plan import PlannedFrame

if TYPE_CHECKING:
    from render.diffusion import Diffusion

TRIES = 3  # of a frame whose error may pass
PASSING = (RuntimeError, OSError)
FAILURES_IN_A_ROW = 8  # frames; then something is wrong with all of them

Picture = Any  # numpy's uint8 array (height, width, 3)
Rendered = tuple[dict[str, Picture], dict[str, str]]  # pictures and causes of failure by digest


@dataclass(frozen=True, slots=True)
class Failure:
    """A frame that could not be rendered, and why."""

    frame: PlannedFrame
    cause: str


def render_frames(
    diffusion: Diffusion,
    frames: Sequence[PlannedFrame],
    begin: Callable[[Sequence[PlannedFrame]], None],
    on_step: Callable[[int, int], None],
    done: Callable[[Sequence[tuple[PlannedFrame, Picture]]], None],
    failed: Callable[[Failure], None],
    on_notice: Callable[[str], None],
) -> None:
    """Render frames in order, a batch at a time.

    Args:
        begin: told which frames are in work now.
        on_step: told (evaluations done, of how many) for the frames in work.
        done: takes the finished pictures of a batch before anything else is said or begun. None
            of them is kept here.
        failed: told of each frame that could not be rendered.
        on_notice: told of tries again and of halved batches, a line each.

    Raises:
        FramesFailed: so many failures in a row that the rest was not tried, or no memory for one.
    """
    in_a_row = place = 0
    while place < len(frames):
        part = frames[place : place + diffusion.batch]
        begin(part)
        try:
            pictures, causes = attempt(diffusion, part, on_step, on_notice)
        except OutOfMemory as error:
            if diffusion.batch == 1:
                raise no_memory(part[0], error, failed) from error
            halve(diffusion, on_notice)
            continue
        done([(f, pictures.pop(f.digest)) for f in part if f.digest in pictures])
        for frame in part:
            if frame.digest in causes:
                failed(Failure(frame, causes[frame.digest]))
        in_a_row = in_a_row + len(part) if len(causes) == len(part) else 0
        if in_a_row >= FAILURES_IN_A_ROW:
            cause = f"{in_a_row} frames in a row failed, the rest was not tried"
            raise FramesFailed(f"{cause}; the last: {causes[part[-1].digest]}")
        place += len(part)


def no_memory(
    frame: PlannedFrame, error: OutOfMemory, failed: Callable[[Failure], None]
) -> FramesFailed:
    """The error when there is nothing left to halve."""
    failed(Failure(frame, str(error)))
    return FramesFailed(
        f"frame {frame.index}: {error}; not even one frame at a time fits: ask for a smaller "
        "output.width and output.height, a smaller model, or compute=cpu"
    )


def halve(diffusion: Diffusion, on_notice: Callable[[str], None]) -> None:
    """Go on with half of the frames at a time; their digests are the same."""
    diffusion.set_batch(diffusion.batch // 2)
    on_notice(f"out of memory; going on with {diffusion.batch} frames at a time")


def attempt(
    diffusion: Diffusion,
    part: Sequence[PlannedFrame],
    on_step: Callable[[int, int], None],
    on_notice: Callable[[str], None],
) -> Rendered:
    """One batch, up to three times; the last time frame by frame, so that one frame's error stays
    with that frame."""
    for trial in range(1, TRIES):
        try:
            return once(diffusion, part, on_step)
        except PASSING as error:
            told = f"{told_as(error)}; trying again ({trial} of {TRIES - 1})"
            on_notice(f"frame {part[0].index}: {told}")
    pictures: dict[str, Picture] = {}
    causes: dict[str, str] = {}
    for frame in part:
        try:
            good, bad = once(diffusion, [frame], on_step)
        except PASSING as error:
            good, bad = {}, {frame.digest: told_as(error)}
        pictures |= good
        causes |= bad
    return pictures, causes


def once(
    diffusion: Diffusion, part: Sequence[PlannedFrame], on_step: Callable[[int, int], None]
) -> Rendered:
    """Frames through the model together; raises what may pass."""
    try:
        pictures = diffusion.render([frame.spec for frame in part], on_step)
        return {f.digest: p for f, p in zip(part, pictures, strict=True)}, {}
    except NonFiniteFrames as error:
        good = {part[place].digest: picture for place, picture in error.good.items()}
        return good, {part[place].digest: str(error) for place in error.places}


def told_as(error: Exception) -> str:
    """Another's error as a cause, on one line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"


def distinct(frames: Sequence[PlannedFrame]) -> Iterator[PlannedFrame]:
    """The first frame of every digest: a held picture is rendered once."""
    seen: set[str] = set()
    for frame in frames:
        if frame.digest not in seen:
            seen.add(frame.digest)
            yield frame
