"""A job: what one run does to its folder, step by step, and what it has done so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import render
from render.engines.threads import compressed_at_once
from render.errors import FramesFailed, RenderError
from render.plan import cost
from render.plan.frame_plan import PlannedFrame
from render.report.reporter import Outcome, Reporter, show_outcome, write_run_json
from render.report.run_record import Phases, versions
from render.run.background import behind
from render.run.film import Film
from render.run.frame_loop import Failure, render_frames
from render.run.frame_writer import FrameWriter
from render.run.kept_model import Models
from render.run.resolve import check_unchanged
from render.run.survey import missing_frames, survey_to_show
from render.run.video_step import VideoStep
from render.store import store
from render.store.judge import Verdict
from render.text import plural
from render.timeline.spec import FrameSpec

if TYPE_CHECKING:
    from render.diffusion.sampler import Diffusion


class Job:
    """One run at work, and what run.json says of it.

    Attributes:
        verdicts: this run's frames (its shard's) with their states before work started.
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
        self.writer = FrameWriter(film, reporter, verdicts)
        self.video = VideoStep(film, reporter, phases, self.record)
        self.failures: list[Failure] = []
        self.rows = self.padded_rows = 0

    def show(self, verdicts: Sequence[Verdict]) -> None:
        """Show what the store has of these frames."""
        with self.phases.measured("link"):
            self.writer.show(verdicts)

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
        with self.reporter.progress("render", len(self.missing)) as bar:
            words = ""

            def begin(part: Sequence[PlannedFrame]) -> None:
                nonlocal words
                words = in_words(part[0].spec)
                self.writer.catch_up(bar)
                bar.now(len(part), words)

            def read(done: int, total: int) -> None:
                told = f"{done} of {total} texts encoded"
                bar.now(bar.in_work, words if done == total else told)
                bar.tell_if_due()

            def step(done: int, total: int) -> None:
                self.writer.catch_up(bar)
                bar.step(done, total)

            specs = [frame.spec for frame in self.missing]
            diffusion.expect(specs, on_text=read, last=not self.models.more)
            try:
                wait = partial(self.phases.measured, "write")
                at_once = compressed_at_once(self.film.device)
                with behind(
                    self.writer.compress, self.writer.keep, wait, at_once=at_once
                ) as keeper:
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
                self.writer.catch_up(bar)

    def remember_timing(self) -> None:
        """Keep what a row and a frame took, for the next plan's estimate."""
        if not self.writer.rendered or not self.rows:
            return
        recipe, seconds = self.film.plan.recipe, self.phases.seconds["render"]
        files = [store.stored_path(self.film.store, digest) for digest in self.writer.rendered]
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
        self.tell(self.video.make_video(), self.video.make_sheet())

    def other_shards(self) -> list[Verdict]:
        """The film's frames that are not this run's to render."""
        mine = {v.frame.index for v in self.verdicts}
        others = [frame for frame in self.film.plan.frames if frame.index not in mine]
        return survey_to_show(self.film, others, self.reporter.warn) if others else []

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
            video_kept=self.video.video_kept,
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
            "videos": self.video.recorded_videos(),
            "versions": versions(),
        }
        write_run_json(film.folder / "run.json", data)


def in_words(spec: FrameSpec) -> str:
    """What a frame shows, the heaviest text first."""
    by_weight = sorted(spec.prompts, key=lambda pair: -pair[1])
    if len(by_weight) == 1:
        return by_weight[0][0]
    return ", ".join(f"{text} {weight:.0%}" for text, weight in by_weight)
