"""The frame writer: stores finished pictures, and shows stored ones in the run's frames/."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from render.files.atomic import make_folder, sync_folder
from render.plan.frame_plan import PlannedFrame
from render.report.events import FrameRendered
from render.report.progress import Phase
from render.report.run_events import RunEvents
from render.run.film import ResolvedFilm
from render.run.frame_loop import Awaited
from render.store import frame_png, store
from render.store.judge import State, Verdict


class FrameWriter:
    """Writes the frames of one run.

    Attributes:
        rendered: digests of the pictures that were stored.
        places: the frames that show each picture, by its digest.
    """

    def __init__(self, film: ResolvedFilm, events: RunEvents, verdicts: Sequence[Verdict]) -> None:
        self.film, self.events = film, events
        self.foreign = foreign_places(verdicts)
        self.places: dict[str, list[PlannedFrame]] = defaultdict(list)
        for verdict in verdicts:
            self.places[verdict.frame.digest].append(verdict.frame)
        self.rendered: set[str] = set()
        self.unsaid: deque[str] = deque()
        self.uncounted: deque[str] = deque()

    def show(self, verdicts: Sequence[Verdict]) -> None:
        """Link what the store has, after it took back what only the folder had."""
        self.foreign |= foreign_places(verdicts)
        self.take_back(verdicts)
        touched: set[Path] = set()
        there = {v.frame.digest for v in verdicts if v.stored or v.in_place}
        for verdict in verdicts:
            if verdict.frame.digest in there and not verdict.in_place:
                self.show_one(verdict.frame, self.events.warn)
                touched.add(self.film.frames)
        self.make_lasting(touched)
        store.drop_beyond(self.film.store, self.film.frames, len(self.film.plan.frames))

    def take_back(self, verdicts: Sequence[Verdict]) -> None:
        """Link into the store what only the folder has."""
        only_here = [v.frame for v in verdicts if v.in_place and not v.stored]
        frames, say = self.film.frames, self.events.warn
        kept = [store.adopt(self.film.store, frame, frames, say) for frame in only_here]
        self.make_lasting({path.parent for path in kept})

    def show_one(self, frame: PlannedFrame, say: Callable[[str], None]) -> None:
        """Let frames/ show a stored frame, unless something that is not ours stands there."""
        if frame.index not in self.foreign:
            make_folder(self.film.frames)
            store.show(self.film.store, frame, self.film.frames, say)

    def compress(self, come: tuple[PlannedFrame, Awaited]) -> tuple[PlannedFrame, bytes | None]:
        """A picture, which may have to be waited for, as the file that it will be; None if nothing
        came of it. In threads of their own."""
        frame, picture = come
        pixels, recipe = picture(), self.film.plan.recipe
        return frame, None if pixels is None else frame_png.encoded(frame, recipe, pixels)

    def keep(self, finished: tuple[PlannedFrame, bytes | None]) -> None:
        """Store a finished picture and show it wherever the film has it; in a thread of its own,
        which leaves what there is to say to the main one."""
        frame, png = finished
        if png is None:
            return
        store.commit(self.film.store, frame, png, self.unsaid.append)
        self.rendered.add(frame.digest)
        for same in self.places[frame.digest]:
            self.show_one(same, self.unsaid.append)
        self.make_lasting({self.film.frames})
        self.uncounted.append(frame.digest)

    def catch_up(self, phase: Phase) -> None:
        """Send and count what was kept meanwhile; for the thread that runs it all."""
        while self.unsaid:
            self.events.warn(self.unsaid.popleft())
        stored = [self.uncounted.popleft() for _ in range(len(self.uncounted))]
        for digest in stored:
            for frame in self.places[digest]:
                path = store.stored_path(self.film.store, digest)
                self.events.emit(FrameRendered(frame.index, float(frame.time), digest, path))
        if stored:
            phase.finish(len(stored))

    def make_lasting(self, folders: set[Path]) -> None:
        """See to it that new names in these folders outlast a power cut."""
        for folder in sorted(folders):
            if folder.is_dir():
                sync_folder(folder)


def foreign_places(verdicts: Sequence[Verdict]) -> set[int]:
    """The frames whose names in frames/ are taken by files that are not ours."""
    return {verdict.frame.index for verdict in verdicts if verdict.state is State.FOREIGN}
