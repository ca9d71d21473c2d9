"""The Python door: declare a film, ask what a render would do, render it frame by frame, encode it.

It is silent, and nothing of the process that imports it is changed: no threads, loggers, signal
handlers, warnings or settings of torch. What a film renders is stored as the command line stores
it, so that either goes on where the other stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from render.cli.compose import compose
from render.config.timeline_file import Document
from render.errors import ConfigError, Mistake, unread_frame
from render.plan.frame_plan import PlannedFrame
from render.report.events import PlanSummary
from render.report.lines import plan_text
from render.report.reporter import Reporter, SilentReporter
from render.report.run_events import RunEvents
from render.run.ending import ending
from render.run.film import Film as ResolvedFilm
from render.run.modes import begun, encode_to, planned, stitch
from render.run.resolve import open_film
from render.run.session import Session
from render.store.store import stored_path

Timeline = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]


def load(timeline: Timeline, *overrides: str) -> Film:
    """Declare a film, as `render TIMELINE OVERRIDES …` does on the command line.

    Args:
        timeline: a timeline's name (`"city"`), its file, a mapping of what such a file holds, or
            its keyframes alone, in a list. Or a whole config, as a run's config.yaml holds it.
        overrides: `"output.fps=24"`, `"model=sdxl"`, as on the command line.

    Raises:
        ConfigError: everything that is wrong, a line each.
    """
    if isinstance(timeline, Mapping) and "timeline" in timeline:
        if overrides:
            raise ConfigError([Mistake(overrides[0], "change the config itself, which is whole")])
        return Film(plain(timeline))
    named = os.fspath(timeline) if isinstance(timeline, os.PathLike) else timeline
    composed = compose(named if isinstance(named, str) else written(named), overrides)
    return Film(composed.config, open_film(composed.config, "", composed.locate))


def written(timeline: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Document:
    """A timeline that a program gives, as if a file held it."""
    given = timeline if isinstance(timeline, Mapping) else {"keyframes": timeline}
    content = {"name": "film", **plain(given)}
    if "defaults" in content:
        raise ConfigError([Mistake("timeline.defaults", "unknown key")])
    return Document(Path("timeline"), content, {})


def plain(value: Any) -> Any:
    """Nested data as YAML would give it: lists for tuples, texts for paths."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


class Film:
    """One film: a config with everything decided, and nothing rendered yet.

    Attributes:
        config: the composed config as plain data.
        folder: where its plan, frames and videos go.
    """

    def __init__(self, config: Mapping[str, Any], resolved: ResolvedFilm | None = None) -> None:
        self.config = config
        self.resolved = resolved or open_film(config, "", str)
        self.folder = self.resolved.folder

    def plan(self) -> Plan:
        """Plan a render: its frames, and which of them are there already. Nothing is
        written, and torch is not imported."""
        run = self.session(None)
        with ending(run):
            return Plan(run.name, planned(run), self.resolved.plan.frames)

    def render(self, reporter: Reporter | None = None) -> Iterator[Frame]:
        """Render what is missing, and yield every frame in order as soon as it is stored.

        Frames that are there already are not rendered again. A loop that is broken off ends the
        render in good order: frames that were begun are stored, and the next call goes on there.

        Args:
            reporter: receives the events of the run; by default nothing does.

        Raises:
            FramesFailed: some frames could not be rendered; all others are there.
            FolderBusy: another render of this film is at work.
            RenderError: the run ended otherwise.
        """
        run = self.session(reporter)
        with ending(run), begun(run) as job:
            for frame in job.frames():
                yield Frame.of(frame, stored_path(self.resolved.store, frame.digest))
            job.report()

    def encode(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Make the video of frames that are all there.

        Args:
            path: the video; its suffix chooses the format if the film's own has another. By default
                it goes where the command line puts it, beside its contact sheet.

        Raises:
            EncodeError: frames are missing or not whole, or ffmpeg failed.
            ConfigError: no format has this suffix, or the format can't do what the film asks for.
        """
        run = self.session(None)
        with ending(run):
            made = stitch(run) if path is None else encode_to(run, Path(path))
        if made is None:
            what = "frames makes no video; give encode() a path, or choose another output"
            raise ConfigError([Mistake("output", what)])
        return made

    def session(self, reporter: Reporter | None) -> Session:
        """A run of this film."""
        events = RunEvents(reporter or SilentReporter())
        return Session(self.resolved, self.config, events)

    def __repr__(self) -> str:
        return f"<Film {self.resolved.config.name}: {len(self.resolved.plan.frames)} frames>"


@dataclass(frozen=True)
class Plan:
    """The plan of a render.

    Attributes:
        facts: counts, reasons and costs.
        frames: every frame of the film, with its time, spec and digest.
    """

    name: str
    facts: PlanSummary
    frames: Sequence[PlannedFrame]

    @property
    def summary(self) -> str:
        """The plan in lines, as `mode=plan` prints it."""
        return plan_text(self.name, self.facts)


@dataclass(frozen=True)
class Frame:
    """One rendered frame.

    Attributes:
        index: its place in the film, from 0.
        time: when the film shows it, in seconds.
        prompts, negatives, seeds: (text or seed, weight); the weights sum to 1.
        path: its PNG in the store.
    """

    index: int
    time: float
    prompts: tuple[tuple[str, float], ...]
    negatives: tuple[tuple[str, float], ...]
    seeds: tuple[tuple[int, float], ...]
    guidance: float
    digest: str
    path: Path

    @classmethod
    def of(cls, frame: PlannedFrame, path: Path) -> Frame:
        """A planned frame that is stored at a path."""
        spec = frame.spec
        return cls(
            *(frame.index, float(frame.time), spec.prompts, spec.negatives, spec.seeds),
            *(spec.guidance, frame.digest, path),
        )

    @cached_property
    def image(self) -> Image.Image:
        """The picture, read when it is first asked for.

        Raises:
            EncodeError: it is no longer there, or damaged.
        """
        try:
            with Image.open(self.path, formats=["PNG"]) as image:
                image.load()
                return image
        except (OSError, SyntaxError, ValueError) as error:
            raise unread_frame(self.path, error) from error
