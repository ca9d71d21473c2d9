"""The loop that renders what is missing: batches through the model, each handed on at once.

A GPU may still be at a batch when the next one is begun; its failures show up then.

What goes wrong with one frame stays with that frame: a picture that is not finite is not tried
again, nor is a mistake that would come again (shapes, types), a passing error is tried twice more,
too little memory halves the batch, and many failures in a row end the run. Whatever was finished
stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from render.errors import FramesFailed, OutOfMemory
from render.plan.frame_plan import PlannedFrame
from render.run.spared_warnings import libraries_spared

if TYPE_CHECKING:
    from render.diffusion.pending_images import Arriving, Picture
    from render.diffusion.sampler import Diffusion

TRIES = 3  # of a frame whose error may pass
PASSING = (RuntimeError, OSError)
LASTING = re.compile(
    r"shape|\bsizes? |dimension|channels|dtype|data ?type|same type|expected|must match|invalid for"
    r"|not implemented|not supported|out of (?:range|bounds)|non-?singular",
    re.IGNORECASE,
)
"""Torch's words for arguments that don't fit, which they will not the next time either."""
FAILURES_IN_A_ROW = 8  # frames; then something is wrong with all of them

Awaited = Callable[[], "Picture | None"]
"""Waits for a picture; None if nothing came of it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A frame that was tried: its place among pictures that are there or arrive, or the error."""

    frame: PlannedFrame
    pictures: Arriving | None
    place: int = 0
    error: str = ""

    def ready(self) -> bool:
        """Whether nothing has to be waited for."""
        return self.pictures is None or self.pictures.ready()

    def picture(self) -> Picture | None:
        """The picture, once it is there; None if nothing came of it."""
        return self.outcome()[0]

    def cause(self) -> str:
        """Why there is no picture, once that is known; empty if there is one."""
        return self.outcome()[1]

    def outcome(self) -> tuple[Picture | None, str]:
        """The picture and the cause; a GPU raises its errors only when it is waited for."""
        if self.pictures is None:
            return None, self.error
        try:
            picture = self.pictures.picture(self.place)
            return picture, self.pictures.why() if picture is None else ""
        except PASSING as error:
            return None, as_cause(error)


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
    done: Callable[[Sequence[tuple[PlannedFrame, Awaited]]], None],
    failed: Callable[[Failure], None],
    on_notice: Callable[[str], None],
) -> Iterator[Sequence[PlannedFrame]]:
    """Render frames in order, a batch at a time, and yield each batch that was handed on.

    Args:
        begin: called with the frames that are in work now.
        on_step: called with (evaluations done, of how many) for the frames in work.
        done: takes the pictures of a batch before anything else is said or begun, each as what
            waits for it. No batch before the last one is kept here.
        failed: called with each frame that could not be rendered.
        on_notice: called with a line for each new try and each halved batch.

    Raises:
        FramesFailed: so many failures in a row that the rest was not tried, or no memory for one.
    """
    account, place = Account(failed), 0
    underway: Sequence[Tried] = ()
    while place < len(frames):
        part = frames[place : place + diffusion.batch]
        begin(part)
        try:
            tried = attempt(diffusion, part, on_step, on_notice)
        except OutOfMemory as error:
            account.settle(underway)
            underway = ()
            if diffusion.batch == 1:
                raise no_memory(part[0], error, failed) from error
            halve(diffusion, on_notice)
            continue
        account.settle(underway)
        done([(one.frame, one.picture) for one in tried if not one.error])
        underway = tried
        if all(one.ready() for one in tried):
            account.settle(underway)
            underway = ()
        yield part
        place += len(part)
    account.settle(underway)


class Account:
    """Counts failures in a row, and reports each of them, in order."""

    def __init__(self, failed: Callable[[Failure], None]) -> None:
        self.failed, self.in_a_row = failed, 0

    def settle(self, tried: Sequence[Tried]) -> None:
        """Wait for a batch, and report its failures.

        Raises:
            FramesFailed: so many in a row that the rest is not worth trying.
        """
        causes = [one.cause() for one in tried]
        for one, cause in zip(tried, causes, strict=True):
            if cause:
                self.failed(Failure(one.frame, cause))
        self.in_a_row = self.in_a_row + len(tried) if all(causes) else 0
        if self.in_a_row >= FAILURES_IN_A_ROW:
            cause = f"{self.in_a_row} frames in a row failed, the rest was not tried"
            raise FramesFailed(f"{cause}; the last: {causes[-1]}")


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
) -> list[Tried]:
    """One batch, up to three times; the last time frame by frame, so that one frame's error stays
    with that frame. An error that lasts is not met three times: several frames are tried apart at
    once, and one alone has failed."""
    for trial in range(1, TRIES):
        try:
            return once(diffusion, part, on_step)
        except PASSING as error:
            if lasts(error):
                if len(part) == 1:
                    return [Tried(part[0], None, error=as_cause(error))]
                break
            again = f"{as_cause(error)}; trying again ({trial} of {TRIES - 1})"
            on_notice(f"frame {part[0].index}: {again}")
    tried: list[Tried] = []
    for frame in part:
        try:
            tried += once(diffusion, [frame], on_step)
        except PASSING as error:
            tried.append(Tried(frame, None, error=as_cause(error)))
    return tried


def once(
    diffusion: Diffusion, part: Sequence[PlannedFrame], on_step: Callable[[int, int], None]
) -> list[Tried]:
    """Frames through the model together; raises what may pass."""
    with libraries_spared():
        pictures = diffusion.render([frame.spec for frame in part], on_step)
    return [Tried(frame, pictures, place) for place, frame in enumerate(part)]


def lasts(error: Exception) -> bool:
    """Whether an error would come again, however often the same is tried."""
    return isinstance(error, RuntimeError) and bool(LASTING.search(str(error)))


def as_cause(error: Exception) -> str:
    """Another's error as a cause, on one line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"


def distinct(frames: Sequence[PlannedFrame]) -> Iterator[PlannedFrame]:
    """The first frame of every digest: a held picture is rendered once."""
    seen: set[str] = set()
    for frame in frames:
        if frame.digest not in seen:
            seen.add(frame.digest)
            yield frame
