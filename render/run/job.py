"""Work: what one run does to its folder, step by step, and what it has done so far."""

from __future__ import annotations

import json
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import render
from render.engines.requirements import keep_compiled
from render.engines.threads import compressed_at_once
from render.errors import DamagedFrame, FramesFailed, RenderError
from render.files.atomic import make_folder, sync_folder
from render.files.ownership import make_way, set_aside
from render.plan import cost
from render.plan.frame_plan import FrameSpec, PlannedFrame
from render.report.progress import Progress
from render.report.reporter import Outcome, Reporter, show_outcome, write_run_json
from render.report.run_record import (
    Content,
    Phases,
    known_content,
    read_run_json,
    versions,
    video_record,
    videos_made,
)
from render.run.background import behind
from render.run.frame_loop import Awaited, Failure, render_frames
from render.run.kept_model import Models
from render.run.resolve import Film, check_unchanged
from render.run.survey import missing_frames, survey
from render.store import store
from render.store.store import State, Verdict
from render.text import plural
from render.video.codecs import Size, video_digest
from render.video.contact_sheet import contact_sheet, shows_plan
from render.video.encode import encode
from render.video.ffmpeg import ffmpeg_version
from render.video.names import size_of, sized, usual_name
from render.video.sound import opened_sound, sound_digest

if TYPE_CHECKING:
    from render.diffusion.sampler import Diffusion


class Work:
    """One run at work: what run.json tells.

    Attributes:
        verdicts: this run's frames (its shard's) with their states before work started.
        rendered: digests of the pictures that this run rendered and stored.
    """

    def __init__(
        self,
        film: Film,
        reporter: Reporter,
        phases: Phases,
        verdicts: Sequence[Verdict],
        models: Models | None = None,
    ) -> None:
        self.models = models or Models()
        self.film, self.reporter, self.phases, self.verdicts = film, reporter, phases, verdicts
        self.missing = missing_frames(verdicts)
        self.foreign = {v.frame.index for v in verdicts if v.state is State.FOREIGN}
        self.places: dict[str, list[PlannedFrame]] = defaultdict(list)
        for verdict in verdicts:
            self.places[verdict.frame.digest].append(verdict.frame)
        self.failures: list[Failure] = []
        self.rendered: set[str] = set()
        self.unsaid: deque[str] = deque()
        self.rows = self.padded_rows = 0
        self.videos: dict[str, Any] = {}
        self.video_kept = False

    def show(self, verdicts: Sequence[Verdict]) -> None:
        """Link what the store has, after it took back what only the folder had."""
        touched: set[Path] = set()
        with self.phases.measured("link"):
            for verdict in verdicts:
                if verdict.in_place and not verdict.stored:
                    say = self.reporter.warn
                    kept = store.adopt(self.film.store, verdict.frame, self.film.frames, say)
                    touched.add(kept.parent)
            there = {v.frame.digest for v in verdicts if v.stored or v.in_place}
            for verdict in verdicts:
                if verdict.frame.digest in there and not verdict.in_place:
                    self.show_one(verdict.frame, self.reporter.warn)
                    touched.add(self.film.frames)
            self.make_lasting(touched)
            store.drop_beyond(self.film.store, self.film.frames, len(self.film.plan.frames))

    def show_one(self, frame: PlannedFrame, say: Callable[[str], None]) -> None:
        """Let frames/ show a stored frame, unless something that is not ours stands there."""
        if frame.index not in self.foreign:
            make_folder(self.film.frames)
            store.show(self.film.store, frame, self.film.frames, say)

    def render(self) -> None:
        """Render the missing frames; each is stored and shown while the next ones are rendered.

        Raises:
            FramesFailed: so many that the rest was not tried.
        """
        if not self.missing:
            return
        diffusion = self.load()
        rows, padded = diffusion.rows, diffusion.padded_rows  # of an earlier job, if it was kept
        try:
            with self.phases.measured("render"):
                self.render_with(diffusion)
        except BaseException as error:
            self.models.more = False  # whatever happened may have left its marks
            if isinstance(error, FramesFailed):
                self.tell(None, None)
            raise
        finally:
            self.rows, self.padded_rows = diffusion.rows - rows, diffusion.padded_rows - padded
            self.models.release()
        self.remember_timing()

    def load(self) -> Diffusion:
        """The model, opened on the run's device or kept from the job before."""
        film = self.film
        at_work = {name for frame in self.missing for name, _ in frame.spec.loras}
        if film.config.compute.engine == "compiled":
            keep_compiled()
        with self.phases.measured("load"):
            loras = [lora for lora in film.loras if lora.name in at_work]
            diffusion = self.models.open(film, loras, self.reporter.say)
            try:
                check_unchanged(film)
            except RenderError:
                self.models.drop()
                raise
            return diffusion

    def render_with(self, diffusion: Diffusion) -> None:
        """All missing frames through the model, with progress."""
        diffusion.expect([frame.spec for frame in self.missing])
        with self.reporter.progress("render", len(self.missing)) as bar:
            words = ""

            def begin(part: Sequence[PlannedFrame]) -> None:
                nonlocal words
                words = in_words(part[0].spec)
                self.catch_up(bar)
                bar.now(len(part), words)

            def read(done: int, total: int) -> None:
                told = f"{done} of {total} texts encoded"
                bar.now(bar.in_work, words if done == total else told)
                bar.tell_if_due()

            def step(done: int, total: int) -> None:
                self.catch_up(bar)
                bar.step(done, total)

            diffusion.on_text = read
            try:
                wait = partial(self.phases.measured, "write")
                at_once = compressed_at_once(self.film.device)
                with behind(self.compress, self.keep, wait, at_once=at_once) as keeper:
                    render_frames(
                        diffusion,
                        self.missing,
                        begin,
                        step,
                        keeper.put,
                        self.failures.append,
                        self.reporter.warn,
                    )
            finally:
                self.catch_up(bar)

    def compress(self, come: tuple[PlannedFrame, Awaited]) -> tuple[PlannedFrame, bytes | None]:
        """A picture, which may have to be waited for, as the file that it will be; None if nothing
        came of it. In threads of their own."""
        frame, picture = come
        pixels = picture()
        return frame, None if pixels is None else store.encoded(frame, pixels)

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

    def catch_up(self, bar: Progress) -> None:
        """Say and count what was kept meanwhile."""
        while self.unsaid:
            self.reporter.warn(self.unsaid.popleft())
        if news := len(self.rendered) - bar.done:
            bar.finish(news)

    def make_lasting(self, folders: set[Path]) -> None:
        """See to it that new names in these folders outlast a power cut."""
        for folder in sorted(folders):
            if folder.is_dir():
                sync_folder(folder)

    def remember_timing(self) -> None:
        """Keep what a row and a frame took, for the next plan's estimate."""
        if not self.rendered or not self.rows:
            return
        recipe, seconds = self.film.plan.recipe, self.phases.seconds["render"]
        files = [store.stored_path(self.film.store, digest) for digest in self.rendered]
        size = sum(file.stat().st_size for file in files) / len(files)
        timing = cost.Timing(seconds / self.rows, size)
        cost.remember_timing(self.film.store, recipe, self.film.device, timing)

    def finish(self) -> None:
        """The video and the contact sheet, if every frame of the film is there.

        Raises:
            FramesFailed: some are not.
        """
        if self.failures:
            self.tell(None, None)
            failed = self.failed()
            index, cause = failed[0]
            raise FramesFailed(
                f"{plural(len(failed), 'frame')} failed, the first: frame {index}: {cause}; "
                "the same command tries again"
            )
        others = self.other_shards()
        if elsewhere := sum(not verdict.stored for verdict in others):
            self.reporter.say(
                f"{elsewhere} frames of other shards are missing; the last one stitches"
            )
            self.tell(None, None)
            return
        self.show(others)
        self.tell(self.make_video(), self.make_sheet())

    def other_shards(self) -> list[Verdict]:
        """The film's frames that are not this run's to render."""
        mine = {v.frame.index for v in self.verdicts}
        others = [frame for frame in self.film.plan.frames if frame.index not in mine]
        verdicts = survey(self.film, others) if others else []
        self.foreign |= {v.frame.index for v in verdicts if v.state is State.FOREIGN}
        return verdicts

    def make_video(self) -> Path | None:
        """Encode, unless the video that is there was made of the same frames in the same way."""
        film, output = self.film, self.film.output
        if output.format == "frames":
            return None
        target, old_size = self.video_place()
        digests = [frame.digest for frame in film.plan.frames]
        with opened_sound(output.audio) as sound:
            heard = None if sound is None else sound_digest(sound)
            digest = video_digest(digests, output, film.size, ffmpeg_version(), heard)
            record = self.recorded_videos().get(target.name, {})
            content = known_content(target, record)
            same = (record.get("digest"), record.get("content")) == (digest, content)
            self.video_kept = content is not None and same
            if not self.video_kept:
                self.encode(target, digest, content, sound, old_size)
        return target

    def video_place(self) -> tuple[Path, Size | None]:
        """Where the video goes, and the size of the one that has to make way for it, if any."""
        film = self.film
        name = usual_name(film.config.name, film.output, film.config.sampling)
        usual, known = film.folder / name, self.recorded_videos()
        of_its_size = sized(usual, film.size)
        if known_content(of_its_size, known.get(of_its_size.name, {})) is not None:
            return of_its_size, None
        record = known.get(name, {})
        old_size = size_of(record.get("size"))
        if old_size in (None, film.size) or known_content(usual, record) is None:
            return usual, None
        own = film.size == (film.model.width, film.model.height)
        return (usual, old_size) if own else (of_its_size, None)

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
            before: content of the video of ours that stands there, or None.
            sound: the descriptor of the sound file.
            old_size: the size of the video of ours that gets a name with its size.
        """
        film = self.film
        pngs = [store.stored_path(film.store, frame.digest) for frame in film.plan.frames]

        def vouch(fresh: Path) -> None:
            if old_size is not None:
                self.move_aside(target, old_size)
            self.videos[target.name] = video_record(fresh, digest, film.size, before)
            self.record()
            if before is None and os.path.lexists(target):
                self.reporter.warn(f"{target} is not ours; it is now {set_aside(target).name}")

        with (
            self.phases.measured("encode"),
            self.discarding(),
            self.reporter.progress("encode", len(pngs)) as bar,
        ):
            about = self.metadata()
            encode(
                pngs,
                target,
                film.output,
                film.size,
                about,
                bar.reach,
                on_checked=vouch,
                sound=sound,
            )

    def move_aside(self, video: Path, size: Size) -> None:
        """Give a video of ours of another size a name with its size."""
        aside, record = sized(video, size), self.recorded_videos()[video.name]
        self.videos[aside.name] = record
        self.record()
        if os.path.lexists(aside):
            self.reporter.warn(f"{aside} is not ours; it is now {set_aside(aside).name}")
        video.rename(aside)
        sync_folder(aside.parent)
        self.reporter.say(f"{video.name} of {size[0]}×{size[1]} is now {aside.name}")

    @contextmanager
    def discarding(self) -> Iterator[None]:
        """Remove a frame that turns out in the block to be damaged; the next run renders it."""
        try:
            yield
        except DamagedFrame as error:
            film, digest = self.film, error.path.stem
            shown = [
                store.frame_path(film.frames, frame.index)
                for frame in film.plan.frames
                if frame.digest == digest
            ]
            store.discard(error.path, shown, film.size)
            raise

    def recorded_videos(self) -> dict[str, Any]:
        """The videos that runs of this folder made, by file name; other shards' too."""
        return videos_made(read_run_json(self.film.folder / "run.json")) | self.videos

    def metadata(self) -> dict[str, str]:
        """What the video file says of itself, which everyone may read who gets it."""
        config = self.film.config.model_dump(exclude_none=True, exclude={"root"})
        about = {"plan": self.film.plan.digest, "config": without_folders(config)}
        made = f"render {render.__version__}"
        text = json.dumps(about, ensure_ascii=False, default=str)
        return {"title": self.film.config.name, "comment": text, "encoded_by": made}

    def make_sheet(self) -> Path:
        """The contact sheet, unless it already shows this plan."""
        target = self.film.folder / "sheet.png"
        plan = self.film.plan
        if not shows_plan(target, plan.digest):
            pairs = [(f, store.stored_path(self.film.store, f.digest)) for f in plan.frames]
            with self.phases.measured("sheet"), self.discarding():
                make_way(target, self.reporter.warn)
                title = self.film.config.name
                contact_sheet(pairs, target, title, plan.digest, plan.keyframes)
        return target

    def counts(self) -> dict[str, int]:
        """Frames by what became of them; a held picture counts as often as it is shown."""
        wanted = {frame.digest for frame in self.missing}
        rendered = sum(v.frame.digest in self.rendered for v in self.verdicts)
        kept = sum(v.frame.digest not in wanted for v in self.verdicts)
        planned, failed = len(self.verdicts), len(self.failed())
        return {"planned": planned, "kept": kept, "rendered": rendered, "failed": failed}

    def failed(self) -> list[tuple[int, str]]:
        """Every frame that failed, with its cause: a held picture fails wherever it is shown."""
        return sorted(
            (frame.index, failure.cause)
            for failure in self.failures
            for frame in self.places[failure.frame.digest]
        )

    def tell(self, video: Path | None, sheet: Path | None) -> None:
        """The last lines."""
        counts = self.counts()
        outcome = Outcome(
            planned=counts["planned"],
            kept=counts["kept"],
            rendered=counts["rendered"],
            failed=self.failed(),
            seconds=self.phases.total,
            video=video,
            sheet=sheet,
            video_kept=self.video_kept,
        )
        show_outcome(self.reporter, outcome)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Write run.json however the block ends; how it ends counts for more than run.json."""
        try:
            yield
        except BaseException:
            with suppress(RenderError, OSError):
                self.record()
            raise
        self.record()

    def record(self) -> None:
        """What run.json says."""
        film = self.film
        data = {
            "by": f"render {render.__version__}",
            "name": film.config.name,
            "frames": self.counts(),
            "failures": self.failed(),
            "rows": self.rows,
            "padded_rows": self.padded_rows,
            "seconds": {**self.phases.seconds, "total": round(self.phases.total, 3)},
            "device": film.device,
            "shard": film.config.shard,
            "plan": film.plan.digest,
            "videos": self.recorded_videos(),
            "versions": versions(),
        }
        write_run_json(film.folder / "run.json", data)


def without_folders(value: Any) -> Any:
    """Nested data in which every path is the name of its file alone: folders name people."""
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    return [without_folders(item) for item in value] if isinstance(value, list | tuple) else value


def in_words(spec: FrameSpec) -> str:
    """What a frame shows, the heaviest text first."""
    by_weight = sorted(spec.prompts, key=lambda pair: -pair[1])
    if len(by_weight) == 1:
        return by_weight[0][0]
    return ", ".join(f"{text} {weight:.0%}" for text, weight in by_weight)
