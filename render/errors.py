"""Every way a run can end badly, as one tree; each leaf knows its exit code.

RenderError
├── ConfigError       2    the config has mistakes (all of them, a line each)
│   └── OtherPlan          shards of another plan are at work in the folder
├── FramesFailed      3    some frames could not be rendered
│   ├── NonFiniteFrames    pictures came out as NaN; it holds the good ones of the batch
│   └── OutOfMemory        fewer frames at a time may fit
├── EncodeError       4    the frames are there, the video is not
│   └── DamagedFrame       a frame was kept that can't be decoded
├── DiskFull         28    no room for what is still to be written
├── FolderBusy       75    another run holds the folder
└── Interrupted     130    SIGINT (143 for SIGTERM, 129 for SIGHUP)

Errors of the libraries are translated into these at the border where they arise. Each says what,
where and the way out.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from render.text import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Place(str):
    """`file:line`, and the key that stands there, since a line may hold several."""

    __slots__ = ("key",)
    key: str

    def __new__(cls, where: str, key: str) -> Place:
        place = super().__new__(cls, where)
        place.key = key
        return place


Locate = Callable[[str], str]
"""Turns a dotted path of the config into the place that a person should look at."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in what a person wrote: `where` is a Place or a dotted path."""

    where: str
    what: str

    def __str__(self) -> str:
        key = f" [{self.where.key}]" if isinstance(self.where, Place) else ""
        return one_line(f"{self.where}: {self.what}{key}" if self.where else self.what)


class RenderError(Exception):
    """Base of the tree. `str()` is what the user reads, one line a problem."""

    exit_code = 1


class ConfigError(RenderError):
    """The config has mistakes; carries all of them."""

    exit_code = 2

    def __init__(self, mistakes: Sequence[Mistake] | str) -> None:
        listed = [Mistake("", mistakes)] if isinstance(mistakes, str) else list(mistakes)
        self.mistakes: tuple[Mistake, ...] = tuple(listed)
        super().__init__("\n".join(map(str, listed)))


class OtherPlan(ConfigError):
    """Shards of another plan are at work in the run's folder, so nothing in it is this run's."""


class FramesFailed(RenderError):
    """Frames are missing after the run; whatever was finished stays in the store."""

    exit_code = 3


NOT_FINITE = (
    "the model gave a picture that is not finite; use compute.dtype=float32, "
    "or another guidance or scheduler"
)


class NonFiniteFrames(FramesFailed):
    """Pictures of a batch that are NaN or infinite; rendering them again gives the same.

    Attributes:
        places: their places in the batch.
        good: the other pictures by place, uint8 (H, W, 3).
    """

    def __init__(self, places: tuple[int, ...], good: Mapping[int, NDArray[np.uint8]]) -> None:
        self.places = places
        self.good = good
        super().__init__(NOT_FINITE)


class OutOfMemory(FramesFailed):
    """The device's memory does not hold this many frames at a time."""


class EncodeError(RenderError):
    """ffmpeg did not make a right video; an older video is left as it was."""

    exit_code = 4


class DamagedFrame(EncodeError):
    """A frame was kept that can't be decoded.

    Attributes:
        path: its file in the store.
    """

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path}: not a whole PNG ({why}); render it again")


def unread_frame(png: Path, error: Exception) -> EncodeError:
    """The error for a frame that Pillow can't open: the disk's, or the frame's own."""
    if isinstance(error, OSError) and error.errno is not None:
        return EncodeError(f"{png}: can't be read: {error.strerror}; the same command tries again")
    return DamagedFrame(png, str(error))


class DiskFull(RenderError):
    """No space left; says how many bytes are needed."""

    exit_code = 28


class FolderBusy(RenderError):
    """Another run holds the folder; says who (pid, host, since when)."""

    exit_code = 75


class Interrupted(RenderError):
    """A signal ended the run; 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
    Never called a failure."""

    def __init__(self, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__("interrupted; the same command continues from here")


TOO_LITTLE_MEMORY = (
    "there is too little memory for the program and its libraries; raise `ulimit -v`, or the "
    "container's limit"
)
NO_MEMORY_SAID = ("failed to map segment", "cannot allocate memory", "can't allocate memory")


def short_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that the system gives no more memory."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if any(said in str(error).lower() for said in NO_MEMORY_SAID):
        return True
    return error.__cause__ is not None and short_of_memory(error.__cause__)
