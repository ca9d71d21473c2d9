"""A film as a program has it: planned, rendered frame by frame, encoded; or run as its config says,
which is all that the command line does with one.

Nothing of the process is changed: no threads, loggers, signal handlers, warnings or settings of
torch. All but `run` is silent. What a film renders is stored, so that whoever opens it next goes on
there. `render.load` (cli/load.py) declares one.
"""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from render.errors import ConfigError, Locate, Mistake, unread_frame
from render.plan.frame_plan import PlannedFrame
from render.report.events import Measured, PlanSummary
from render.report.lines import plan_text
from render.report.reporter import Reporter, SilentReporter, reporter_for
from render.report.run_events import RunEvents
from render.run.ending import ending
from render.run.even_pace import with_known_maps
from render.run.film import ResolvedFilm
from render.run.film_page import page_of, shown_in_notebook
from render.run.kept_model import Models
from render.run.measuring import measured_film
from render.run.modes import MODES, begun, encode_to, planned, stitch
from render.run.resolve import open_film
from render.run.session import Session
from render.store.store import stored_path

UNFINISHED: weakref.WeakSet[Generator[Frame, None, None]] = weakref.WeakSet()
"""Renders that a program has begun and holds."""


@atexit.register
def end_in_good_order() -> None:
    """End renders that a program still holds when it ends: later, Python has no threads that could
    store the frames in hand, and would wait for them for ever."""
    for frames in list(UNFINISHED):
        with suppress(Exception):  # another thread may be at work in it
            frames.close()


class Film:
    """One film: a config with everything decided, and nothing rendered yet.

    Args:
        config: the composed config as plain data (`configs/render.yaml` says what is in it).
        variant: a sweep job's folder under the run's, or "".
        locate: turns a dotted path of the config into the place a person should look at.

    Raises:
        ConfigError: everything that is wrong, a line each.

    Attributes:
        config: the composed config as plain data.
        folder: where its plan, frames and videos go.
    """

    def __init__(self, config: Mapping[str, Any], variant: str = "", locate: Locate = str) -> None:
        self.config = config
        self.opened: ResolvedFilm = open_film(config, variant, locate)
        self.folder = self.opened.folder

    @property
    def resolved(self) -> ResolvedFilm:
        """The film with everything decided; a render may have measured its pace meanwhile."""
        self.opened = with_known_maps(self.opened)
        return self.opened

    def plan(self) -> Plan:
        """Plan a render: its frames, and which of them are there already. Nothing is
        written, and torch is not imported."""
        run = self.session()
        with ending(run):
            return Plan(run.name, planned(run), run.film.plan.frames)

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
        frames = self.rendered(reporter)
        UNFINISHED.add(frames)
        return frames

    def rendered(self, reporter: Reporter | None) -> Generator[Frame, None, None]:
        """The frames of `render`."""
        run = self.session(reporter)
        with ending(run), begun(run) as work:
            self.opened = work.film  # with its pace measured
            for frame in work.frames():
                yield Frame.of(frame, stored_path(work.film.store, frame.digest))
            work.report()

    def encode(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Make the video of frames that are all there.

        Args:
            path: the video; its suffix chooses the format if the film's own has another. By default
                it goes where the command line puts it, beside its contact sheet.

        Raises:
            EncodeError: frames are missing or not whole, or ffmpeg failed.
            ConfigError: no format has this suffix, or the format can't do what the film asks for.
        """
        run = self.session()
        with ending(run):
            made = stitch(run) if path is None else encode_to(run, Path(path))
        if made is None:
            what = "frames makes no video; give encode() a path, or choose another output"
            raise ConfigError([Mistake("output", what)])
        return made

    def measure(self) -> Measured:
        """Measure how smoothly the frames follow each other, which are all there. Nothing is
        written, and torch is not imported.

        Raises:
            ConfigError: frames are missing, or there is only one.
        """
        run = self.session()
        with ending(run):
            return measured_film(run)

    def page(self) -> Path:
        """Write the page of the film (docs/page.md), as far as its frames are there.

        Raises:
            RenderError: it can't be written.
        """
        run = self.session()
        with ending(run):
            return page_of(run)

    def run(self, job: str = "", models: Models | None = None) -> None:
        """Do what the config's `mode` says, and show it in the form of its `report`.

        Args:
            job: the label of a sweep's job, `1/4 guidance=3`, or "".
            models: loads the model, and may keep it for the next job of a sweep.

        Raises:
            RenderError: the run ended badly; what was finished stays.
        """
        config = self.opened.config
        run = self.session(reporter_for(config.report, job), job, models)
        with ending(run):
            MODES[config.mode](run)

    def session(
        self, reporter: Reporter | None = None, job: str = "", models: Models | None = None
    ) -> Session:
        """A run of this film; by default a silent one."""
        events = RunEvents(reporter or SilentReporter(), job)
        return Session(self.resolved, self.config, events, models or Models())

    def __repr__(self) -> str:
        return f"<Film {self.opened.config.name}: {len(self.opened.plan.frames)} frames>"

    def _repr_html_(self) -> str:
        """The film as a notebook shows it: its newest video, or its name where there is none."""
        return shown_in_notebook(self.folder, repr(self))


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

    def _repr_png_(self) -> bytes:
        """The picture as a notebook shows it."""
        return self.path.read_bytes()

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
