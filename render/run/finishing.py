"""Finishing: the pictures that a film shows, made of its rendered frames. They are stored one by
one, so that a run that was broken off goes on there."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np

from render.engines import enlarging
from render.engines.inbetween_files import called, way_of
from render.engines.threads import compressed_at_once
from render.errors import EncodeError, RenderError, short_of_memory
from render.files.atomic import is_there
from render.models.identity import file_hash
from render.plan import cost
from render.plan.finish import Finish, ShownPicture, Upscaler, shown_pictures
from render.report.events import FinishSummary
from render.run.background import behind
from render.run.film import ResolvedFilm
from render.run.session import Session
from render.run.spared_warnings import libraries_spared
from render.store import finished, store
from render.video.encode import pixels
from render.video.inbetweens import DISSOLVE, Between, Inbetween
from render.video.linear_light import RgbPicture

MOST_AT_ONCE = 16  # pictures between two frames that are in memory
KEPT = 3  # decoded frames: a loop's first, and both sides of a pair


class Finishing:
    """Makes the pictures of a film whose frames are all stored.

    Attributes:
        made: how many this run made.
    """

    def __init__(self, run: Session) -> None:
        self.run, self.film, self.made = run, run.film, 0
        self.decoded: dict[str, RgbPicture] = {}
        self.unsaid: deque[str] = deque()
        self.stored: deque[str] = deque()

    @cached_property
    def pictures(self) -> tuple[ShownPicture, ...]:
        """The pictures of the film, in order."""
        return shown_pictures(self.film.plan)

    @property
    def files(self) -> list[Path]:
        """Where they are stored, in order."""
        return [store.stored_path(self.film.store, picture.digest) for picture in self.pictures]

    def make(self) -> None:
        """Make those that are missing or damaged.

        Raises:
            EncodeError: a frame or the upscaler can't be read.
            DiskFull: no room for them.
        """
        finish = self.film.plan.finish
        if finish is None:
            return
        with self.run.phases.measured("finish"):
            missing = missing_pictures(self.film, self.pictures)
            if missing:
                began = time.monotonic()
                self.make_all(finish, missing)
                self.remember_timing(finish, missing, time.monotonic() - began)

    def make_all(self, finish: Finish, missing: Sequence[ShownPicture]) -> None:
        """Make these pictures, a pair of frames at a time, and store them meanwhile."""
        with libraries_spared():
            between, enlarge = self.opened(finish, missing)
        at_once = compressed_at_once(self.film.device)
        with self.run.events.progress("finish", len(missing)) as phase:
            try:
                with behind(self.compress, self.keep, at_once=at_once) as keeper:
                    for pictures in of_same_frames(missing):
                        with libraries_spared():
                            plain = self.plain(pictures, between)
                        for picture, small in zip(pictures, plain, strict=True):
                            with libraries_spared():
                                large = enlarge(small)
                            keeper.put([(picture, large)])
                            self.catch_up(phase.finish)
            finally:
                self.catch_up(phase.finish)

    def remember_timing(self, finish: Finish, made: Sequence[ShownPicture], seconds: float) -> None:
        """Keep how long a picture took and how large it is, for the next plan's estimate."""
        files = [store.stored_path(self.film.store, picture.digest) for picture in made]
        size = sum(file.stat().st_size for file in files) / len(files)
        of = cost.finish_kind(finish, self.film.plan.recipe, self.film.device)
        cost.remember_as(self.film.store, of, cost.Timing(seconds / len(made), size))

    def opened(
        self, finish: Finish, missing: Sequence[ShownPicture]
    ) -> tuple[Between, enlarging.Enlarge]:
        """The functions that make the pictures, loaded as far as these need them."""
        if any(len(picture.of) > 1 for picture in missing):
            between = self.way(way_of(self.film.output) or DISSOLVE, finish)
        else:
            between = no_between
        return between, self.upscaler(finish.upscaler) if finish.upscaler else unchanged

    def way(self, way: Inbetween, finish: Finish) -> Between:
        """The way to make pictures in between, loaded on the run's device.

        Raises:
            EncodeError: its file is another one now, or can't be read any more.
        """
        if way.weights is None:
            return way.opened(self.film.device)
        with self.of_file(way.weights, f"the in-between network {finish.inbetween}", finish.method):
            return way.opened(self.film.device)

    def upscaler(self, upscaler: Upscaler) -> enlarging.Enlarge:
        """The upscaler, loaded on the run's device.

        Raises:
            EncodeError: its file is another one now, or can't be read any more.
        """
        if upscaler.file is None:
            return enlarging.opened(upscaler, self.film.device)
        with self.of_file(upscaler.file, f"the upscaler {upscaler.called}", upscaler.identity):
            return enlarging.opened(upscaler, self.film.device)

    @contextmanager
    def of_file(self, file: Path, what: str, identity: str) -> Iterator[None]:
        """While something is loaded from a file whose hash is the end of its identity.

        Raises:
            EncodeError: the file is another one now, or can't be read any more.
        """
        self.run.events.say(f"loading {what} on {self.film.device}")
        try:
            if not identity.endswith(file_hash(file, {})):
                raise EncodeError(
                    f"{file} was changed after the film was planned; the same command plans it anew"
                )
            with self.run.models.settings(self.film.config.compute, self.film.device):
                yield
        except EncodeError:
            raise
        except (RenderError, OSError, RuntimeError, ValueError) as error:
            if short_of_memory(error):
                raise
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EncodeError(f"{file}: can't be loaded: {said}; give another file") from error

    def plain(self, pictures: Sequence[ShownPicture], between: Between) -> Sequence[RgbPicture]:
        """Pictures that are made of the same frames, as large as these."""
        sources = [self.frame(digest) for digest in pictures[0].of]
        if len(sources) == 1:
            return [sources[0] for _ in pictures]
        places = [float(picture.place) for picture in pictures]
        made = between(sources[0], sources[1], places)
        if [(one.shape, one.dtype) for one in made] != [(sources[0].shape, sources[0].dtype)] * len(
            places
        ):
            raise EncodeError(
                f"output.inbetween={called(self.film.output)} does not give a picture of the "
                "frames' size and type for each place; mend it, or choose another way"
            )
        return made

    def frame(self, digest: str) -> RgbPicture:
        """A rendered frame; the last few stay decoded."""
        if digest not in self.decoded:
            width, height = self.film.size
            raw = pixels(store.stored_path(self.film.store, digest), self.film.size)
            self.decoded[digest] = np.frombuffer(raw, np.uint8).reshape(height, width, 3)
            for old in [*self.decoded][:-KEPT]:
                del self.decoded[old]
        return self.decoded[digest]

    def compress(self, come: tuple[ShownPicture, RgbPicture]) -> tuple[str, bytes]:
        """A picture as the file that it will be; in a thread of its own."""
        picture, made = come
        return picture.digest, finished.encoded(picture, how_made(self.film.plan.finish), made)

    def keep(self, come: tuple[str, bytes]) -> None:
        """Store a picture; in a thread of its own, which leaves what there is to say."""
        digest, png = come
        finished.commit(self.film.store, digest, png, self.unsaid.append)
        self.stored.append(digest)

    def catch_up(self, count: Callable[[int], None]) -> None:
        """Say and count what was stored meanwhile."""
        while self.unsaid:
            self.run.events.warn(self.unsaid.popleft())
        stored = [self.stored.popleft() for _ in range(len(self.stored))]
        self.made += len(stored)
        if stored:
            count(len(stored))

    def show(self) -> None:
        """Link the pictures into the run's folder, if they are not the frames themselves; else see
        that none of an earlier film stay there."""
        with self.run.phases.measured("link"):
            if self.film.plan.finish is None:
                finished.clear(self.film.store, self.film.shown)
            else:
                finished.show(self.film.store, self.pictures, self.film.shown, self.run.events.warn)


def of_same_frames(pictures: Sequence[ShownPicture]) -> Iterator[list[ShownPicture]]:
    """Pictures that are made of the same frames together, but not too many at a time."""
    for _, group in groupby(pictures, lambda picture: picture.of):
        same = list(group)
        for first in range(0, len(same), MOST_AT_ONCE):
            yield same[first : first + MOST_AT_ONCE]


def no_between(
    before: RgbPicture, after: RgbPicture, places: Sequence[float]
) -> Sequence[RgbPicture]:
    """The function where no picture in between is missing."""
    raise AssertionError("no picture in between was to be made")


def unchanged(picture: RgbPicture) -> RgbPicture:
    """The picture as it is."""
    return picture


def how_made(finish: Finish | None) -> str:
    """The ways in which pictures are made, as their files say it."""
    if finish is None:
        return ""
    larger = f"{finish.upscaler.called} ×{finish.factor}" if finish.upscaler else ""
    return ", ".join(filter(None, [finish.method, larger]))


def missing_pictures(film: ResolvedFilm, pictures: Sequence[ShownPicture]) -> list[ShownPicture]:
    """Those that the store does not have whole, each once, in the order of the film."""
    made = {picture.digest: picture for picture in pictures if not picture.is_frame}
    return [
        picture
        for digest, picture in made.items()
        if not finished.is_whole(film.store, digest, film.shown_size)
    ]


def finish_summary(film: ResolvedFilm, made: int | None = None) -> FinishSummary | None:
    """How the film's pictures are made of its frames; None if they are the frames.

    Args:
        made: how many a run made; None: it has not begun, and those that are missing count.
    """
    plan, finish = film.plan, film.plan.finish
    if finish is None:
        return None
    pictures = shown_pictures(plan)
    paths = {picture.digest for picture in pictures if not picture.is_frame} if made is None else ()
    missing = sum(not is_there(store.stored_path(film.store, digest)) for digest in paths)
    return FinishSummary(
        pictures=len(pictures),
        fps=float(finish.fps),
        rendered_fps=float(plan.fps),
        between=sum(len(picture.of) > 1 for picture in pictures),
        inbetween=finish.inbetween,
        upscaler=finish.upscaler.called if finish.upscaler else "",
        width=film.shown_size[0],
        height=film.shown_size[1],
        missing=missing,
        made=made or 0,
    )


def finish_costs(film: ResolvedFilm, missing: int) -> tuple[float, int]:
    """About how many seconds and bytes so many finished pictures take; no seconds where nothing
    like them was made on this machine."""
    finish, (width, height) = film.plan.finish, film.shown_size
    if finish is None or not missing:
        return 0.0, 0
    known = cost.finish_timing(film.store, finish, film.plan.recipe, film.device)
    each = known.bytes_per_frame if known else cost.UNMEASURED_BYTES_PER_PIXEL * width * height
    most = cost.LARGEST_BYTES_PER_PIXEL * width * height
    return missing * (known.seconds_per_row if known else 0), round(missing * min(each, most))


def spoilt_names(film: ResolvedFilm, digest: str) -> Iterator[Path]:
    """The names under which a run's folder shows a stored picture."""
    for frame in film.plan.frames:
        if frame.digest == digest:
            yield store.frame_path(film.frames, frame.index)
    if film.plan.finish:
        for index, picture in enumerate(shown_pictures(film.plan)):
            if picture.digest == digest:
                yield store.frame_path(film.shown, index)
