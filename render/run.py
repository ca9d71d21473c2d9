"""The conductor: one run from a composed config to a video, and the other modes.

plan → store → diffusion → store → encode → report. What exists is kept, what is missing is
rendered, and the same command always continues where the last one stopped.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import yaml

import render
from render import cost, store
from render.encode import encode
from render.errors import ConfigError, EncodeError, FolderBusy, FramesFailed, RenderError
from render.ffmpeg import ffmpeg_version
from render.files import write_if_changed
from render.film import Film, open_film
from render.formats import suffix, video_digest
from render.lock import holding
from render.plan import FrameSpec, PlannedFrame, plan_files, shard_of
from render.rendering import Failure, distinct, render_frames
from render.report import (
    Outcome,
    PlanSummary,
    Reporter,
    reason_lines,
    show_outcome,
    show_plan,
    state_line,
    write_run_json,
)
from render.sheet import contact_sheet
from render.signals import interruptible
from render.store import State, Verdict
from render.tokens import cut_prompts

LIBRARIES = ("torch", "diffusers", "transformers", "hydra-core", "numpy", "pillow")

Locate = Callable[[str], str]


def run(composed: Mapping[str, Any], variant: str = "", locate: Locate = str) -> None:
    """Do what a composed config says.

    Args:
        composed: the config as plain data (`configs/render.yaml` says what is in it).
        variant: a sweep job's folder under the run's, or "".
        locate: turns a dotted path of the config into the place a person should look at.

    Raises:
        RenderError: the run ended badly; what was finished stays.
    """
    film = open_film(composed, variant, locate)
    reporter = Reporter()
    modes = {"render": render_film, "plan": tell_plan, "stitch": stitch, "prune": prune}
    try:
        with interruptible():
            modes[film.config.mode](film, reporter, composed)
    except RenderError as error:
        reporter.note(f"ended: {error}")
        raise
    except Exception as error:
        reporter.note(traceback.format_exc())
        what = f"{type(error).__name__}: {error}"
        raise RenderError(
            f"this is a bug of ours ({what}); the details are in render.log"
        ) from error
    finally:
        reporter.close()


def render_film(film: Film, reporter: Reporter, composed: Mapping[str, Any]) -> None:
    """Render what is missing, then encode; the default mode."""
    phases = Phases()
    with held(film):
        reporter.attach(film.folder / "render.log")
        write_if_changed(film.folder / "config.yaml", as_yaml(composed))
        with phases.measured("check"):
            verdicts = survey(film, shard_of(film.plan, film.config.shard))
            summary = summarise(film, verdicts)
        reporter.say(f"{film.config.name}: {state_line(summary)}")
        for line in (*reason_lines(summary), *summary.warnings):
            reporter.say(line)
        if any(v.state is State.FOREIGN for v in verdicts):
            reporter.warn("files that are not ours are left alone; the video shows our frames")
        work = Work(film, reporter, phases, verdicts)
        try:
            work.render()
            work.show()
            work.finish()
        finally:
            work.record()


def tell_plan(film: Film, reporter: Reporter, composed: Mapping[str, Any]) -> None:
    """Say what `mode=render` would do, and freeze the plan if nobody holds the folder."""
    verdicts = survey(film, shard_of(film.plan, film.config.shard))
    show_plan(reporter, film.config.name, summarise(film, verdicts))
    try:
        with held(film):
            pass
    except FolderBusy:
        reporter.say("another run is at work in this folder; its plan.json stays")


def stitch(film: Film, reporter: Reporter, composed: Mapping[str, Any]) -> None:
    """Another video from the frames that are there; none is rendered.

    Raises:
        EncodeError: frames are missing or not whole; an older video stays.
    """
    with held(film):
        reporter.attach(film.folder / "render.log")
        work = Work(film, reporter, Phases(), survey(film, film.plan.frames))
        if missing := [v for v in work.verdicts if v.state is not State.KEPT and not v.stored]:
            names = ", ".join(str(v.frame.index) for v in missing[:10])
            more = " …" if len(missing) > 10 else ""
            raise EncodeError(
                f"{len(missing)} of {len(film.plan.frames)} frames are not there ({names}{more}: "
                f"{missing[0].reason or missing[0].state.value}); render them first, without "
                "mode=stitch"
            )
        work.show()
        work.finish()
        work.record()


def prune(film: Film, reporter: Reporter, composed: Mapping[str, Any]) -> None:
    """Remove stored frames that no run under the root uses, after saying which."""
    used = store.used_digests(film.config.root)
    files = store.unused(film.store, used)
    size = sum(file.stat().st_size for file in files)
    reporter.result([("unused", f"{len(files):,} frames, {size:,} bytes, in {film.store}")])
    for file in files[:10]:
        reporter.say(f"removing {file}")
    if len(files) > 10:
        reporter.say(f"removing {len(files) - 10:,} more")
    store.remove(files)
    store.sweep_store(film.store)


@contextmanager
def held(film: Film) -> Iterator[None]:
    """Hold the run's folder with the plan frozen in it."""
    files = plan_files(film.plan, film.config.name)

    def freeze() -> None:
        for name, content in files.items():
            write_if_changed(film.folder / name, content)

    def agree() -> None:
        if (film.folder / "plan.json").read_bytes() != files["plan.json"]:
            raise ConfigError(
                f"{film.folder}: shards of another plan are at work here; wait for them, or give "
                "this one another name="
            )

    with holding(film.folder, film.config.shard, freeze, agree):
        yield


def survey(film: Film, frames: Sequence[PlannedFrame]) -> list[Verdict]:
    """What becomes of each frame; nothing is changed but leftovers of killed runs."""
    store.sweep_store(film.store)
    return [store.judge(frame, film.store, film.frames, film.size) for frame in frames]


def missing_frames(verdicts: Sequence[Verdict]) -> list[PlannedFrame]:
    """The frames to render, each picture once."""
    wanted = [v.frame for v in verdicts if v.state is not State.KEPT and not v.stored]
    return list(distinct(wanted))


def summarise(film: Film, verdicts: Sequence[Verdict]) -> PlanSummary:
    """Counts, reasons and costs of what a run would do."""
    missing = missing_frames(verdicts)
    rows = cost.planned_rows(missing, film.plan.recipe, film.scheduler)
    timing = cost.earlier_timing(film.store, film.plan.recipe, film.device)
    counts = Counter(v.state.value for v in verdicts)
    texts = {text for v in verdicts for text, _ in (*v.frame.spec.prompts, *v.frame.spec.negatives)}
    return PlanSummary(
        frames=len(verdicts),
        **{state.value: counts[state.value] for state in State},
        reasons=reasons(verdicts),
        rows=rows,
        seconds_estimate=cost.seconds_for(len(missing), rows, timing),
        estimate_source="earlier frames of this kind on this machine" if timing else "",
        disk_bytes=cost.bytes_for(len(missing), film.plan.recipe, timing),
        cut_prompts=[astuple(cut) for cut in cut_prompts(sorted(texts), film.model.tokenizer)],
        warnings=film.plan.warnings,
    )


def reasons(verdicts: Sequence[Verdict]) -> list[tuple[str, int, str]]:
    """(state, count, reason with its first frames), the kept ones' without trouble left out."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.reason:
            groups[verdict.state.value, verdict.reason].append(verdict.frame.index)
    return [
        (state, len(indexes), f"{reason} (frames {some(indexes)})")
        for (state, reason), indexes in groups.items()
    ]


def some(indexes: Sequence[int]) -> str:
    """The first few numbers of a list."""
    return ", ".join(map(str, indexes[:4])) + (" …" if len(indexes) > 4 else "")


class Phases:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.began = time.monotonic()

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Add the block's time to a phase."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = self.seconds.get(name, 0.0) + time.monotonic() - began
            self.seconds[name] = round(spent, 3)

    @property
    def total(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began


class Work:
    """One run at work, with what it has done so far: what run.json tells.

    Attributes:
        verdicts: this run's frames (its shard's) with their states before work started.
    """

    def __init__(
        self, film: Film, reporter: Reporter, phases: Phases, verdicts: Sequence[Verdict]
    ) -> None:
        self.film, self.reporter, self.phases, self.verdicts = film, reporter, phases, verdicts
        self.failures: list[Failure] = []
        self.rendered: set[str] = set()
        self.rows = self.padded_rows = 0
        self.earlier = read_run_json(film.folder / "run.json")
        self.video: dict[str, Any] | None = self.earlier.get("video")
        self.video_kept = False
        self.sheet_plan: str | None = self.earlier.get("sheet_plan")

    def render(self) -> None:
        """Render the missing frames; each is in the store and shown before the next batch."""
        missing = missing_frames(self.verdicts)
        if not missing:
            return
        from render.diffusion import open_diffusion  # torch, only now

        film, batch = self.film, self.film.config.compute.batch
        with self.phases.measured("load"):
            self.reporter.say(f"loading {film.config.model.name} on {film.device}")
            diffusion = open_diffusion(
                film.model.source, film.plan.recipe, film.device, None if batch == "auto" else batch
            )
        places: dict[str, list[PlannedFrame]] = defaultdict(list)
        for verdict in self.verdicts:
            places[verdict.frame.digest].append(verdict.frame)
        try:
            with (
                self.phases.measured("render"),
                self.reporter.progress("render", len(missing)) as bar,
            ):

                def done(frame: PlannedFrame, pixels: Any) -> None:
                    store.commit(film.store, frame, pixels)
                    self.rendered.add(frame.digest)
                    for same in places[frame.digest]:
                        self.show_one(same)
                    bar.finish(1)

                def begin(part: Sequence[PlannedFrame]) -> None:
                    bar.now(len(part), in_words(part[0].spec))

                self.failures = render_frames(
                    diffusion, missing, begin, bar.step, done, self.reporter.warn
                )
        finally:
            self.rows, self.padded_rows = diffusion.rows, diffusion.padded_rows
            diffusion.close()
        self.remember_timing()

    def show_one(self, frame: PlannedFrame) -> None:
        """Let frames/ show a stored frame, unless something that is not ours stands there."""
        verdict = self.verdict_of[frame.index]
        if verdict.state is not State.FOREIGN:
            self.film.frames.mkdir(parents=True, exist_ok=True)
            store.show(self.film.store, frame, self.film.frames)

    @property
    def verdict_of(self) -> dict[int, Verdict]:
        """Verdicts by frame index."""
        if not hasattr(self, "by_index"):
            self.by_index = {v.frame.index: v for v in self.verdicts}
        return self.by_index

    def show(self) -> None:
        """Link what the store already had, and take back what only the folder had."""
        with self.phases.measured("link"):
            for verdict in self.verdicts:
                if verdict.in_place and not verdict.stored:
                    store.adopt(self.film.store, verdict.frame, self.film.frames)
                elif verdict.stored and not verdict.in_place:
                    self.show_one(verdict.frame)
            store.drop_beyond(self.film.store, self.film.frames, len(self.film.plan.frames))

    def finish(self) -> None:
        """The video and the contact sheet, if every frame of the film is there.

        Raises:
            FramesFailed: some are not.
        """
        if self.failures:
            self.tell(None, None)
            raise FramesFailed(
                f"{len(self.failures)} frames failed, the first: frame "
                f"{self.failures[0].frame.index}: {self.failures[0].cause}; the same command tries "
                "them again"
            )
        elsewhere = self.missing_elsewhere()
        if elsewhere:
            self.reporter.say(
                f"{elsewhere} frames of other shards are missing; the last one stitches"
            )
            self.tell(None, None)
            return
        self.tell(self.make_video(), self.make_sheet())

    def missing_elsewhere(self) -> int:
        """Frames of other shards that are not there yet."""
        mine = {v.frame.index for v in self.verdicts}
        others = [frame for frame in self.film.plan.frames if frame.index not in mine]
        found = [store.judge(f, self.film.store, self.film.frames, self.film.size) for f in others]
        return sum(not verdict.stored for verdict in found)

    def make_video(self) -> Path | None:
        """Encode, unless the video that is there was made of the same frames in the same way."""
        film, output = self.film, self.film.config.output
        if output.format == "frames":
            return None
        target = film.folder / f"{film.config.name}{suffix(output.format)}"
        digests = [frame.digest for frame in film.plan.frames]
        digest = video_digest(digests, output, film.size, ffmpeg_version())
        self.video_kept = self.video is not None and self.video == video_record(target, digest)
        if self.video_kept:
            return target
        pngs = [store.stored_path(film.store, digest) for digest in digests]
        with self.phases.measured("encode"), self.reporter.progress("encode", len(pngs)) as bar:
            encode(pngs, target, output, film.size, self.metadata(), bar.reach)
        self.video = video_record(target, digest)
        return target

    def metadata(self) -> dict[str, str]:
        """What the video file says of itself."""
        plan = self.film.plan
        about = {
            "plan": plan.digest,
            "model": plan.recipe.model,
            "timeline": self.film.config.timeline.model_dump(mode="json", exclude_none=True),
        }
        made = f"render {render.__version__}"
        text = json.dumps(about, ensure_ascii=False, default=str)
        return {"title": self.film.config.name, "comment": text, "encoded_by": made}

    def make_sheet(self) -> Path:
        """The contact sheet, unless it already shows this plan."""
        target = self.film.folder / "sheet.png"
        plan = self.film.plan
        if self.sheet_plan != plan.digest or not target.is_file():
            pairs = [(f, store.stored_path(self.film.store, f.digest)) for f in plan.frames]
            with self.phases.measured("sheet"):
                contact_sheet(pairs, target, self.film.config.name)
            self.sheet_plan = plan.digest
        return target

    def remember_timing(self) -> None:
        """Keep what a row and a frame took, for the next plan's estimate."""
        if not self.rendered or not self.rows:
            return
        recipe, seconds = self.film.plan.recipe, self.phases.seconds["render"]
        files = [store.stored_path(self.film.store, digest) for digest in self.rendered]
        size = sum(file.stat().st_size for file in files) / len(files)
        timing = cost.Timing(seconds / self.rows, 0.0, size)
        cost.remember_timing(self.film.store, recipe, self.film.device, timing)

    @property
    def kept(self) -> int:
        """Frames that needed no rendering."""
        return sum(v.state is State.KEPT or v.stored for v in self.verdicts)

    @property
    def rendered_count(self) -> int:
        """Frames whose picture was rendered by this run."""
        shown = [v for v in self.verdicts if v.frame.digest in self.rendered]
        return sum(v.state is not State.KEPT and not v.stored for v in shown)

    def tell(self, video: Path | None, sheet: Path | None) -> None:
        """The last lines."""
        failed = [(failure.frame.index, failure.cause) for failure in self.failures]
        outcome = Outcome(
            planned=len(self.verdicts),
            kept=self.kept,
            rendered=self.rendered_count,
            failed=failed,
            seconds=self.phases.total,
            video=video,
            sheet=sheet,
            video_kept=self.video_kept,
        )
        show_outcome(self.reporter, outcome)

    def record(self) -> None:
        """run.json, however the run ends."""
        film = self.film
        data = {
            "name": film.config.name,
            "frames": {
                "planned": len(self.verdicts),
                "kept": self.kept,
                "rendered": self.rendered_count,
                "failed": len(self.failures),
            },
            "failures": [[f.frame.index, f.cause] for f in self.failures],
            "rows": self.rows,
            "padded_rows": self.padded_rows,
            "seconds": {**self.phases.seconds, "total": round(self.phases.total, 3)},
            "device": film.device,
            "shard": film.config.shard,
            "plan": film.plan.digest,
            "video": self.video,
            "sheet_plan": self.sheet_plan,
            "versions": versions(),
        }
        write_run_json(film.folder / "run.json", data)


def in_words(spec: FrameSpec) -> str:
    """What a frame shows, the heaviest text first."""
    by_weight = sorted(spec.prompts, key=lambda pair: -pair[1])
    if len(by_weight) == 1:
        return by_weight[0][0]
    return ", ".join(f"{text} {weight:.0%}" for text, weight in by_weight)


def video_record(target: Path, digest: str) -> dict[str, Any] | None:
    """What run.json keeps of a video, to know it again; None if there is none."""
    try:
        status = target.lstat()
    except OSError:
        return None
    return {
        "name": target.name,
        "digest": digest,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
    }


def read_run_json(path: Path) -> dict[str, Any]:
    """The run.json of the run before, or nothing."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def as_yaml(composed: Mapping[str, Any]) -> bytes:
    """The config as resolved, for config.yaml."""
    text: str = yaml.safe_dump(dict(composed), allow_unicode=True, sort_keys=False)
    return text.encode()


def versions() -> dict[str, str]:
    """Versions of everything that has a say in the pixels."""
    known = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"render": render.__version__, "python": platform.python_version(), **known}
