"""Events: what happens in a run, as data. A reporter receives each of them as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from render.measurement.figures import Figures
from render.measurement.perceived import PerceivedFigures

STATES = ("kept", "new", "stale", "corrupt", "foreign")
"""States of frames, in the order in which they are shown."""
LEAST_LEFT_S = 0.05  # a shorter time that is left is none


@dataclass(frozen=True, slots=True)
class FinishSummary:
    """How the pictures that a film shows are made of its rendered frames.

    Attributes:
        pictures: of the film.
        fps, rendered_fps: pictures a second, and those of them that are rendered.
        between: pictures in between, and `inbetween` how they are made.
        upscaler: what makes the pictures larger; empty if nothing does.
        width, height: of the pictures, in pixels.
        missing: pictures that a run would make.
        made: pictures that the run made.
    """

    pictures: int
    fps: float
    rendered_fps: float
    between: int
    inbetween: str
    upscaler: str
    width: int
    height: int
    missing: int = 0
    made: int = 0


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """Counts, reasons and costs of a plan. `reasons` are (state, count, why, with its first
    frames)."""

    frames: int
    kept: int
    new: int
    stale: int
    corrupt: int
    foreign: int
    reasons: Sequence[tuple[str, int, str]]
    rows: int
    """Denoiser rows to compute."""
    seconds_estimate: float | None
    estimate_source: str
    disk_bytes: int
    """For the frames that are not there."""
    cut_prompts: Sequence[tuple[str, int, int, str]] = ()
    """(text, its tokens, the text encoder's limit, what is cut off)"""
    warnings: Sequence[str] = ()
    video_bytes: int = 0
    loras: Sequence[tuple[str, float, float]] = ()
    """(name, its least weight in the film, its greatest)"""
    paces: Sequence[tuple[float, float, float]] = ()
    """Of each segment whose pace is measured: (its beginning in seconds, the places between which
    the middle half of its change lies, 0 to 1)"""
    blend: str = ""
    """How the prompts of a frame meet, by its name."""
    finish: FinishSummary | None = None
    """How the pictures that are shown are made of the frames; None: they are the frames."""
    heard: Sequence[str] = ()
    """A line about each sound that the film follows: its tempo, its first beat, its onsets."""

    def counts(self) -> dict[str, int]:
        """The number of frames in each state, in the order of concern."""
        return {state: getattr(self, state) for state in STATES}


@dataclass(frozen=True, slots=True)
class PlanShown:
    """The answer to `mode=plan`: what a render would do."""

    name: str
    summary: PlanSummary


@dataclass(frozen=True, slots=True)
class WorkPlanned:
    """A render is about to begin; the summary says what it will do."""

    name: str
    summary: PlanSummary


@dataclass(frozen=True, slots=True)
class Said:
    """Something worth a line."""

    line: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that stands out, and may need somebody's attention."""

    line: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a phase is.

    Attributes:
        phase: `render` or `encode`.
        done, total: frames.
        reached: frames that are done, with the share of those in work.
        elapsed_s: seconds since the phase began.
        text: what the frames in work show.
        due: whether a reporter that writes lines should write one now.
    """

    phase: str
    done: int
    total: int
    reached: float
    elapsed_s: float
    text: str
    due: bool

    @property
    def frames_per_s(self) -> float | None:
        """The speed so far; None before there is any."""
        return self.reached / self.elapsed_s if self.elapsed_s > 0 and self.reached > 0 else None

    @property
    def left_s(self) -> float | None:
        """Seconds that are left at this speed; None if that is not known, or none are."""
        if not self.frames_per_s:
            return None
        # All steps may be done and the pictures not there yet.
        left_s = (self.total - self.reached) / self.frames_per_s
        return left_s if left_s >= LEAST_LEFT_S else None


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """A phase is over; `whole` is false where an error or a signal ended it."""

    last: Progress
    whole: bool


@dataclass(frozen=True, slots=True)
class FrameRendered:
    """A frame was rendered and is stored.

    Attributes:
        time_s: when the film shows it.
        path: the stored picture.
    """

    index: int
    time_s: float
    digest: str
    path: Path


@dataclass(frozen=True, slots=True)
class FrameFailed:
    """A frame could not be rendered."""

    index: int
    cause: str


@dataclass(frozen=True, slots=True)
class VideoMade:
    """The video is there; `kept` is true where it was right before and nothing was encoded."""

    path: Path
    kept: bool


@dataclass(frozen=True, slots=True)
class SheetMade:
    """The contact sheet is there."""

    path: Path


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a render. `failed` are (frame's index, cause), `bridged` the frames where the
    picture jumps and which bridge that, and `next` is what a person may want to do then."""

    planned: int
    kept: int
    rendered: int
    failed: Sequence[tuple[int, str]]
    seconds: float
    video: Path | None = None
    sheet: Path | None = None
    video_kept: bool = False
    finish: FinishSummary | None = None
    bridged: Sequence[int] = ()
    page: Path | None = None
    next: str = ""


@dataclass(frozen=True, slots=True)
class NamedFrame:
    """A frame that stands out in a measurement.

    Attributes:
        kind: `flash`, `snap` (a jump), `cut` (one that the timeline asks for) or `doubled`.
        size: the step to it, as a multiple of the median; 0 where there is no median.
        prompts: in words; empty where they are not known.
    """

    kind: str
    frame: int
    time_s: float
    size: float
    prompts: str


@dataclass(frozen=True, slots=True)
class Measured:
    """How smooth a film is.

    Attributes:
        times_s: when each frame is shown.
        named: frames that stand out, in order.
        files: the measurement's files; empty in the report of a render, which writes none.
        lpips: the same by LPIPS, where that was asked for.
    """

    name: str
    figures: Figures
    times_s: Sequence[float]
    named: Sequence[NamedFrame]
    files: Sequence[Path] = ()
    lpips: PerceivedFigures | None = None


@dataclass(frozen=True, slots=True)
class UnusedFrames:
    """Stored frames that no run uses. `first` are some of them: (file in the store, its text)."""

    folder: Path
    count: int
    bytes: int
    first: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Pruned:
    """So many stored frames were removed."""

    count: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The run ended early: by an error, whose exit code that is, or by a signal."""

    error: str
    exit_code: int


Event = (
    PlanShown
    | WorkPlanned
    | Said
    | Warned
    | Progress
    | PhaseEnded
    | FrameRendered
    | FrameFailed
    | VideoMade
    | SheetMade
    | Finished
    | Measured
    | UnusedFrames
    | Pruned
    | Ended
)
