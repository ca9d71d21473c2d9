"""The work of one run: what it does to its folder, step by step, and what it has done so far."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import render
from render.engines.threads import compressed_at_once
from render.errors import NOT_FINITE, FramesFailed, RenderError
from render.files.lock import one_at_a_time, taking_turns
from render.page.run_page import PAGE
from render.plan.frame_plan import PlannedFrame
from render.report.events import Finished, FinishSummary, FrameFailed, Measured
from render.report.run_record import versions, write_run_json
from render.run.background import behind
from render.run.finishing import Finishing, finish_summary
from render.run.frame_loop import Failure, render_frames
from render.run.frame_writer import FrameWriter
from render.run.measuring import in_record, kept_measurement, measured_in_passing
from render.run.next_step import next_step
from render.run.resolve import check_unchanged
from render.run.run_page import RunPage
from render.run.session import Session
from render.run.spared_warnings import libraries_spared
from render.run.stored_nodes import StoredNodes
from render.run.survey import missing_frames, survey_to_show
from render.run.timings import remember_timing
from render.run.video_step import VideoStep
from render.run.watch import Watch
from render.store import path_latents
from render.store.judge import Verdict
from render.text import plural

if TYPE_CHECKING:
    from render.diffusion.sampler import Diffusion


class Work:
    """One run at work, and what run.json says of it.

    Attributes:
        verdicts: this run's frames (its shard's) with their states before work started.
        missing: the frames to render, each picture once.

    Args:
        shown: whether the run's folder shows the frames, too, and has a page, and not the store
            alone.
    """

    def __init__(self, run: Session, verdicts: Sequence[Verdict], shown: bool = True) -> None:
        self.run, self.film, self.verdicts = run, run.film, verdicts
        self.missing = missing_frames(verdicts)
        self.writer = FrameWriter(run.film, run.events, verdicts if shown else ())
        self.finishing = Finishing(run)
        self.video = VideoStep(run, self.record, self.finishing)
        self.page = RunPage(run) if shown else None
        self.others: Sequence[Verdict] = ()
        self.failures: list[Failure] = []
        self.rows, self.padded_rows = run.rows
        self.earlier_measured = kept_measurement(run.film)
        self.process = os.getpid()
        self.measured: Measured | None = None

    def show(self, verdicts: Sequence[Verdict]) -> None:
        """Show what the store has of these frames."""
        with self.run.phases.measured("link"):
            self.writer.show(verdicts)

    def frames(self) -> Iterator[PlannedFrame]:
        """Every frame in order, as soon as it is stored; missing ones are rendered meanwhile, each
        stored and shown while the next ones are rendered. Frames that failed are left out.

        Breaking off ends the rendering in good order: what was begun is stored.

        Raises:
            FramesFailed: some could not be rendered; where many failed, the rest was not tried.
        """
        wanted, rendered = {frame.digest for frame in self.missing}, self.writer.rendered
        batches = self.batches()
        try:
            for frame in (verdict.frame for verdict in self.verdicts):
                while frame.digest in wanted and frame.digest not in rendered:
                    if next(batches, None) is None:
                        break
                if frame.digest not in wanted or frame.digest in rendered:
                    yield frame
            for _ in batches:
                pass
            self.check_failures()
        except FramesFailed:
            self.report()
            raise
        finally:
            batches.close()

    def batches(self) -> Generator[Sequence[PlannedFrame], None, None]:
        """Render the missing frames, and yield each batch when it is on its way to the store."""
        if not self.missing:
            return
        models, diffusion = self.run.models, self.load()
        rows, padded = diffusion.rows, diffusion.padded_rows  # of an earlier job, if it was kept
        try:
            try:
                with self.run.phases.measured("render"):
                    yield from self.render_with(diffusion)
            finally:  # before the model goes, which counts them
                self.rows += diffusion.rows - rows
                self.padded_rows += diffusion.padded_rows - padded
        except BaseException:
            models.drop()  # whatever happened may have left its marks
            raise
        models.release()
        rendered, seconds = self.writer.rendered, self.run.phases.seconds["render"]
        remember_timing(self.film, rendered, self.rows, seconds)

    def load(self) -> Diffusion:
        """The model, opened on the run's device or kept from the job before."""
        film, models = self.film, self.run.models
        at_work = {name for frame in self.missing for name, _ in frame.spec.loras}
        with self.run.phases.measured("load"):
            loras = [lora for lora in film.loras if lora.name in at_work]
            diffusion = models.open(film, loras, self.run.events.say)
            try:
                check_unchanged(film)
            except RenderError:
                models.drop()
                raise
            return diffusion

    def render_with(self, diffusion: Diffusion) -> Iterator[Sequence[PlannedFrame]]:
        """All missing frames through the model, with progress, a batch at a time."""
        writer, phases = self.writer, self.run.phases
        with self.run.events.progress("render", len(self.missing)) as phase:
            watch = Watch(phase, writer)
            specs = [frame.spec for frame in self.missing]
            with libraries_spared():
                diffusion.expect(
                    specs,
                    on_text=watch.encoded,
                    last=not self.run.models.more,
                    nodes=StoredNodes(self.film.store, self.missing, writer.unsaid.append),
                )
            try:
                wait = partial(phases.measured, "write")
                at_once = compressed_at_once(self.film.device)
                with behind(writer.compress, writer.keep, wait, at_once=at_once) as keeper:
                    for batch in render_frames(
                        diffusion,
                        self.missing,
                        watch.begin,
                        watch.step,
                        keeper.put,
                        self.fail,
                        self.run.events.warn,
                    ):
                        with phases.paused("render"):
                            if self.page:
                                self.page.goes_on(self.there())
                            yield batch
            finally:
                writer.catch_up(phase)

    def fail(self, failure: Failure) -> None:
        """Note a frame that could not be rendered. The stored nodes of its path may be the cause:
        they are not kept, else every run would fail by them."""
        self.failures.append(failure)
        path = failure.frame.path if failure.cause == NOT_FINITE else ""
        if path and (gone := path_latents.discard(self.film.store, path)):
            self.run.events.warn(f"{gone} is removed: it gives no finite pictures")
        for frame in self.writer.places[failure.frame.digest]:
            self.run.events.emit(FrameFailed(frame.index, failure.cause))

    def check_failures(self) -> None:
        """Raise FramesFailed if a frame could not be rendered."""
        if self.failures:
            failed = self.failed()
            index, cause = failed[0]
            raise FramesFailed(
                f"{plural(len(failed), 'frame')} failed, the first: frame {index}: {cause}; "
                "the same command tries again"
            )

    def has_all_frames(self) -> bool:
        """Whether the frames of other shards are there, too; then they are shown."""
        self.look_at_others()
        others = self.others
        if elsewhere := sum(not (verdict.stored or verdict.in_place) for verdict in others):
            self.writer.take_back(others)
            of_shards = f"{elsewhere} frames of other shards are missing; the last one stitches"
            of_film = f"the film still lacks {plural(elsewhere, 'frame')}, so no video is made"
            chosen = self.film.config.frames or self.film.config.at
            self.run.events.say(of_film if chosen else of_shards)
            return False
        self.show(others)
        return True

    def look_at_others(self) -> None:
        """See which frames are there that are not this run's to render."""
        self.others = self.other_shards()

    def other_shards(self) -> list[Verdict]:
        """The film's frames that are not this run's to render."""
        mine = {v.frame.index for v in self.verdicts}
        others = [frame for frame in self.film.plan.frames if frame.index not in mine]
        return survey_to_show(self.film, others, self.run.events.warn) if others else []

    def make_video(self) -> None:
        """Make the video and the contact sheet, from frames that are all there."""
        film = self.film
        with taking_turns(film.folder) if film.config.part else nullcontext():
            self.finish_pictures()
            self.finishing.show()
            self.video.make_video()
            self.video.make_sheet()

    def finish_pictures(self) -> None:
        """Make the pictures that the film shows, where they are not the frames as they are."""
        with self.video.discarding():
            self.finishing.make()

    def measure(self) -> None:
        """Measure how smooth the film is, unless the run before did, or it would take long."""
        if self.earlier_measured is not None and not self.writer.rendered:
            self.measured = self.earlier_measured
            return
        with self.run.phases.measured("measure"):
            self.measured = measured_in_passing(self.run)

    def counts(self) -> dict[str, int]:
        """Frames by what became of them; a held picture counts as often as it is shown."""
        wanted = {frame.digest for frame in self.missing}
        rendered = sum(v.frame.digest in self.writer.rendered for v in self.verdicts)
        kept = sum(v.frame.digest not in wanted for v in self.verdicts)
        planned, failed = len(self.verdicts), len(self.failed())
        return {"planned": planned, "kept": kept, "rendered": rendered, "failed": failed}

    def failed(self) -> list[tuple[int, str]]:
        """Every frame that failed, with its cause: a held picture fails wherever it is shown."""
        return sorted(
            (frame.index, failure.cause)
            for failure in self.failures
            for frame in self.writer.places[failure.frame.digest]
        )

    def there(self) -> list[int]:
        """The frames of the film that are stored, as far as this run knows."""
        rendered = self.writer.rendered
        return [
            verdict.frame.index
            for verdict in (*self.verdicts, *self.others)
            if verdict.stored or verdict.in_place or verdict.frame.digest in rendered
        ]

    def write_page(self) -> None:
        """Write the run's page, by run.json."""
        if self.page:
            self.page.write(self.there(), self.known_measurement())

    def known_measurement(self) -> Measured | None:
        """How smooth the film is, by this run or by the one before."""
        return self.measured or self.earlier_measured

    def report(self) -> None:
        """Send what came of it all."""
        if self.measured is not None:
            self.run.events.emit(self.measured)
        self.run.events.emit(self.finished())

    def finished(self) -> Finished:
        """The event of the run's end."""
        counts, video = self.counts(), self.video
        return Finished(
            planned=counts["planned"],
            kept=counts["kept"],
            rendered=counts["rendered"],
            failed=self.failed(),
            seconds=self.run.phases.total,
            video=video.made,
            sheet=video.sheet,
            video_kept=video.video_kept,
            finish=self.finish(),
            bridged=self.bridged(),
            page=self.film.folder / PAGE if self.film.config.page else None,
            next=next_step(self.film, self.measured) if self.is_whole() else "",
        )

    def is_whole(self) -> bool:
        """Whether this run is of one film, and all of it is there."""
        return not self.run.events.job and self.video.sheet is not None and not self.failures

    def bridged(self) -> list[int]:
        """The frames that bridge a jump of the film."""
        return [frame.index for frame in self.film.plan.frames if frame.bridge]

    def finish(self) -> FinishSummary | None:
        """How the film's pictures were made of its frames, where this run came to that."""
        there = self.video.made or self.video.sheet
        whole = self.film.config.mode != "keyframes"
        return finish_summary(self.film, self.finishing.made) if there and whole else None

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Write run.json and the page however the block ends; how it ends counts for more than
        these."""
        try:
            yield
        except BaseException:
            with suppress(RenderError, OSError):
                self.record()
                if self.writer.rendered:  # else a run that is refused leaves what it found
                    self.write_page()
            raise
        self.record()
        self.write_page()

    def record(self) -> None:
        """Write run.json, with what other shards wrote of videos meanwhile. A fork of the process
        that is at work has nothing to say of it."""
        if os.getpid() != self.process:
            return
        with one_at_a_time(self.film.folder):
            write_run_json(self.film.folder / "run.json", self.summed_up())

    def summed_up(self) -> dict[str, Any]:
        """The content of run.json."""
        film, phases = self.film, self.run.phases
        return {
            "by": f"render {render.__version__}",
            "name": film.config.name,
            "frames": self.counts(),
            "failures": self.failed(),
            "rows": self.rows,
            "padded_rows": self.padded_rows,
            "seconds": {**phases.seconds, "total": round(phases.total, 3)},
            "device": film.device,
            "shard": film.config.shard,
            "plan": film.plan.digest,
            **({"bridged": bridged} if (bridged := self.bridged()) else {}),
            **({"measure": in_record(found)} if (found := self.known_measurement()) else {}),
            **({"shown": asdict(finish)} if (finish := self.finish()) else {}),
            "videos": self.video.recorded_videos(),
            "versions": versions(),
        }
