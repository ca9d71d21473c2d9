"""The video step: the film's video and contact sheet from frames that are all stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from render.config.output_group import OutputConfig
from render.errors import DamagedFrame
from render.files.atomic import sync_folder
from render.files.ownership import make_way, set_aside
from render.plan.frame_plan import PlannedFrame
from render.report.events import SheetMade, VideoMade
from render.report.lines import finish_words
from render.report.run_record import (
    Content,
    known_content,
    read_run_json,
    video_record,
    videos_made,
)
from render.run.film_recipe import tags
from render.run.finishing import Finishing, finish_summary, spoilt_names
from render.run.other_film import as_seen, other_timeline
from render.run.outline import wanted_chapters
from render.run.session import Session
from render.store import store
from render.video.codecs import Size, video_digest
from render.video.contact_sheet import contact_sheet, shows_plan
from render.video.encode import encode
from render.video.ffmpeg import ffmpeg_version
from render.video.names import size_of, sized, usual_name
from render.video.sound import opened_sound, sound_digest
from render.video.value_curves import curves_of


class VideoStep:
    """Makes the video and the contact sheet of a film.

    Args:
        record: writes run.json, which has to know a video before it takes its name.
        finishing: has the pictures that the film shows.

    Attributes:
        made, sheet: the video and the contact sheet, once they are there.
        videos: records of the videos that this run made or moved, by file name.
        video_kept: whether the video was right before, so that nothing was encoded.
    """

    def __init__(self, run: Session, record: Callable[[], None], finishing: Finishing) -> None:
        self.finishing = finishing
        self.run, self.film, self.record = run, run.film, record
        self.events, self.phases = run.events, run.phases
        self.made: Path | None = None
        self.sheet: Path | None = None
        self.videos: dict[str, Any] = {}
        self.video_kept = False

    def make_video(self) -> None:
        """Encode, unless the video that is there was made of the same frames in the same way, or
        none is wanted."""
        film, output = self.film, self.film.output
        if output.format == "frames":
            return
        target, old_size = self.video_place()
        digests = [picture.digest for picture in self.finishing.pictures]
        with opened_sound(output.audio) as sound:
            heard = None if sound is None else sound_digest(sound)
            chapters = wanted_chapters(film)
            digest = video_digest(
                digests, output, film.shown_size, ffmpeg_version(), heard, chapters
            )
            record = self.recorded_videos().get(target.name, {})
            content = known_content(target, record)
            same = (record.get("digest"), record.get("content")) == (digest, content)
            self.video_kept = content is not None and same
            if not self.video_kept:
                self.encode(target, digest, content, sound, old_size)
            else:  # its timeline may have moved
                moved = {"timeline": film.timeline_file} if film.timeline_file else {}
                self.videos[target.name] = {**record, **moved, "plan": film.plan.digest}
        self.made = target
        self.events.emit(VideoMade(target, self.video_kept))

    def video_place(self) -> tuple[Path, Size | None]:
        """Where the video goes, and the size of the one that has to make way for it, if any."""
        film = self.film
        name = usual_name(film.config.name, film.output, film.config.sampling)
        usual, known = film.folder / name, self.recorded_videos()
        of_its_size = sized(usual, film.shown_size)
        if known_content(of_its_size, known.get(of_its_size.name, {})) is not None:
            return of_its_size, None
        record = known.get(name, {})
        old_size = size_of(record.get("size"))
        if old_size in (None, film.shown_size) or known_content(usual, record) is None:
            return usual, None
        return (usual, old_size) if film.is_of_its_own_size else (of_its_size, None)

    def encode(
        self,
        target: Path,
        digest: str,
        before: Content | None,
        sound: int | None,
        old_size: Size | None,
    ) -> None:
        """The video, recorded before it takes its name; what is not ours there makes way.

        Args:
            before: content of the recorded video that is there, or None.
            sound: the descriptor of the sound file.
            old_size: the size of the recorded video that gets a name with its size.
        """
        film = self.film
        pngs = self.finishing.files

        def vouch(fresh: Path) -> None:
            kept = before
            if old_size is not None:
                self.move_aside(target, old_size)
            elif before is not None and self.keep_another(target):
                kept = None
            self.videos[target.name] = video_record(
                fresh, digest, film.shown_size, kept, film.timeline_file, film.plan.digest
            )
            self.record()
            if before is None and os.path.lexists(target):
                self.events.warn(f"{target} is not ours; it is now {set_aside(target).name}")

        with (
            self.phases.measured("encode"),
            self.discarding(),
            self.events.progress("encode", len(pngs)) as bar,
        ):
            about = tags(self.run)
            encode(
                pngs,
                target,
                film.output,
                film.shown_size,
                about,
                bar.reach,
                on_checked=vouch,
                sound=sound,
                chapters=wanted_chapters(film),
            )

    def encode_file(self, path: Path, output: OutputConfig) -> None:
        """The video in a file that is nobody's but the caller's."""
        film, pngs = self.film, self.finishing.files
        with (
            opened_sound(output.audio) as sound,
            self.discarding(),
            self.events.progress("encode", len(pngs)) as phase,
        ):
            encode(
                pngs,
                path,
                output,
                film.shown_size,
                tags(self.run),
                phase.reach,
                sound=sound,
                chapters=wanted_chapters(film) if output.chapters else (),
            )

    def keep_another(self, video: Path) -> bool:
        """Rename the film of another timeline file, if the video is one."""
        other = other_timeline(self.film, self.recorded_videos().get(video.name, {}))
        if other:
            aside = set_aside(video).name
            self.events.warn(f"{video} is the film of {as_seen(other)}; it is now {aside}")
        return bool(other)

    def move_aside(self, video: Path, size: Size) -> None:
        """Give a recorded video of another size a name with its size."""
        aside, record = sized(video, size), self.recorded_videos()[video.name]
        self.videos[aside.name] = record
        self.record()
        if os.path.lexists(aside):
            self.events.warn(f"{aside} is not ours; it is now {set_aside(aside).name}")
        video.rename(aside)
        sync_folder(aside.parent)
        self.events.say(f"{video.name} of {size[0]}×{size[1]} is now {aside.name}")

    @contextmanager
    def discarding(self) -> Iterator[None]:
        """Remove a frame that turns out in the block to be damaged; the next run renders it."""
        try:
            yield
        except DamagedFrame as error:
            film, digest = self.film, error.path.stem
            rendered = any(frame.digest == digest for frame in film.plan.frames)
            size = film.size if rendered else film.shown_size
            store.discard(error.path, spoilt_names(film, digest), size)
            raise

    def recorded_videos(self) -> dict[str, Any]:
        """The videos that runs of this folder made, by file name; other shards' too."""
        return videos_made(read_run_json(self.film.folder / "run.json")) | self.videos

    def make_sheet(self) -> None:
        """Draw the contact sheet, unless it already shows this plan."""
        self.draw_sheet("sheet.png", self.film.plan.frames, self.film.plan.keyframes)

    def make_keyframe_sheet(self, frames: Sequence[PlannedFrame]) -> None:
        """Draw a contact sheet of the keyframes alone."""
        self.draw_sheet("keyframes.png", frames, ())

    def draw_sheet(
        self, name: str, frames: Sequence[PlannedFrame], keyframes: Sequence[int]
    ) -> None:
        """Draw a contact sheet of frames, unless the one that is there shows this plan.

        Args:
            keyframes: places among the frames that are shown in any case.
        """
        target, plan = self.film.folder / name, self.film.plan
        if not shows_plan(target, plan.digest):
            pairs = [(f, store.stored_path(self.film.store, f.digest)) for f in frames]
            with self.phases.measured("sheet"), self.discarding():
                make_way(target, self.events.warn)
                title = self.film.config.name
                finish = finish_summary(self.film, self.finishing.made)
                more = f" rendered; shown: {finish_words(finish)}" if finish else ""
                curves = curves_of([f.spec for f in frames]) if self.film.follows else {}
                contact_sheet(pairs, target, title, plan.digest, keyframes, more, curves)
        self.sheet = target
        self.events.emit(SheetMade(target))
