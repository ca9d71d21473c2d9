"""The conductor: what each mode does with a film.

plan → store → frames → video → report. What exists is kept, what is missing is rendered, and the
same command always continues where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from render.errors import DiskFull, EncodeError
from render.files.lock import make as make_run_folder
from render.files.lock import pruning, sharing
from render.plan.parts import part_of
from render.plan.plan_json import keep_asked, shown_film
from render.plan.plan_warnings import unmeasured_words
from render.report.events import PlanShown, PlanSummary, Pruned, UnusedFrames, WorkPlanned
from render.run.config_file import write_config
from render.run.folder import held, with_measured_plan
from render.run.measuring import measure
from render.run.paced_timeline import write_paced_timeline
from render.run.quick_look import say_where
from render.run.session import Session
from render.run.sounds import write_analyses
from render.run.survey import check_room, summarise, survey, survey_to_show
from render.run.work import Work
from render.store import frame_png, store
from render.store.judge import State, Verdict
from render.store.prune import remove, still_unused, unused, used_digests
from render.video.codecs import for_file

Conductor = Callable[[Session], object]
LISTED = 20  # stored frames that a prune shows


def render(run: Session) -> None:
    """Render what is missing, then make the video; the default mode."""
    with begun(run) as work:  # the plan, and what the store has of it
        for _ in work.frames():  # each frame as soon as it is stored
            pass
        if work.has_all_frames():  # where shards work side by side, the last one makes the video
            work.make_video()
            work.measure()
        say_where(work)
        work.report()


@contextmanager
def begun(run: Session) -> Iterator[Work]:
    """The work of a run that may begin: its folder is held, its frames are judged, and there is
    room for them.

    However the block ends, run.json says what was done.
    """
    before = shown_film(run.film.folder)
    with held(run):
        run = with_measured_plan(run)
        write_config(run)
        write_analyses(run)
        write_paced_timeline(run)
        with run.phases.measured("check"):
            mine = part_of(run.film.plan, run.film.config, run.film.timeline)
            verdicts = survey_to_show(run.film, mine, run.events.warn)
            summary = summarise(run.film, verdicts, before)
        run.events.emit(WorkPlanned(run.name, summary))
        if summary.foreign:
            run.events.warn("files that are not ours are left alone; the video shows our frames")
        check_room(run.film, summary)
        work = Work(run, verdicts)
        with work.recorded():
            work.show(verdicts)
            yield work


def keyframes(run: Session) -> None:
    """Render the keyframes alone, and draw them on a sheet: the cheapest look at a film."""
    with begun(run) as work:
        for _ in work.frames():
            pass
        work.look_at_others()
        work.video.make_keyframe_sheet([verdict.frame for verdict in work.verdicts])
        work.report()


def plan(run: Session) -> None:
    """Show what `mode=render` would do; its plan never replaces that of frames on disk."""
    film = run.film
    summary = planned(run)
    run.events.emit(PlanShown(run.name, summary))
    try:
        check_room(film, summary)
    except DiskFull as error:
        run.events.warn(str(error))
    make_run_folder(film.folder)
    kept = keep_asked(film.folder, film.plan, run.name, run.events.warn)
    if kept.name != "plan.json":
        run.events.say(f"plan.json stays that of the frames that are there; this plan is in {kept}")


def planned(run: Session) -> PlanSummary:
    """Counts, reasons and costs of what a render would do."""
    film = run.film
    verdicts = survey(film, part_of(film.plan, film.config, film.timeline))
    return summarise(film, verdicts, shown_film(film.folder))


def stitch(run: Session) -> Path | None:
    """Make another video from the frames that are there; none is rendered.

    Returns:
        The video; None where `output=frames` wants none.

    Raises:
        EncodeError: frames are missing or not whole; an older video stays.
    """
    check_measured(run)
    with held(run):
        work = whole(run, survey_to_show(run.film, run.film.plan.frames, run.events.warn))
        work.show(work.verdicts)
        work.make_video()
        work.measure()
        work.report()
        work.record()
        work.write_page()
    return work.video.made


def encode_to(run: Session, path: Path) -> Path:
    """Make a video of the film in a file of any name; nothing in the run's folder is changed. Whole
    frames that the folder alone has are taken into the store.

    Raises:
        EncodeError: frames are missing or not whole.
        ConfigError: no format has the file's suffix, or its format can't do what is asked for.
    """
    output = for_file(run.film.config.output, path, run.film.config.timeline.loop)
    check_measured(run)
    with sharing(run.film.store, run.events.say):
        job = whole(run, survey_to_show(run.film, run.film.plan.frames, run.events.warn))
        job.writer.take_back(job.verdicts)
        job.finish_pictures()
        job.video.encode_file(path, output)
    return path


def check_measured(run: Session) -> None:
    """Raise EncodeError if nobody knows yet where the film's frames stand: those of its plan may be
    there, but they are another film's."""
    if count := len(run.film.plan.unmeasured):
        raise EncodeError(f"{unmeasured_words(count)}; render the film first")


def whole(run: Session, verdicts: Sequence[Verdict]) -> Work:
    """The work on a film whose frames are all there.

    Raises:
        EncodeError: they are not.
    """
    work = Work(run, verdicts)
    if work.missing:
        raise frames_missing(work)
    return work


def frames_missing(work: Work) -> EncodeError:
    """The error of a video without all of its frames."""
    bad = [v for v in work.verdicts if v.state is not State.KEPT and not v.stored]
    names = ", ".join(str(frame.index) for frame in work.missing[:10])
    more = " …" if len(work.missing) > 10 else ""
    return EncodeError(
        f"{len(work.missing)} of {len(work.verdicts)} frames are not there ({names}"
        f"{more}: {bad[0].reason or bad[0].state.value}); render them first, without "
        "mode=stitch"
    )


def prune(run: Session) -> None:
    """Remove stored frames that no run under the root uses, after showing them and asking.

    Raises:
        FolderBusy: a run is at work under the root.
    """
    film = run.film
    with pruning(film.store):
        files = unused(film.store, used_digests(film.config.root))
    run.events.emit(unused_frames(film.store, files))
    if files and agreed(run):
        with pruning(film.store):  # while the question stood, a run may have begun and ended
            files = still_unused(files, used_digests(film.config.root))
            remove(files)
        run.events.emit(Pruned(len(files)))
    store.sweep_store(film.store)


def unused_frames(folder: Path, files: Sequence[Path]) -> UnusedFrames:
    """How many stored frames no run uses, and each of the first ones with its text."""
    total = sum(file.stat().st_size for file in files)
    first = [(str(file.relative_to(folder)), frame_png.text_of(file)) for file in files[:LISTED]]
    return UnusedFrames(folder, len(files), total, first)


def agreed(run: Session) -> bool:
    """Whether frames may be removed: as the config says, or as the person at the terminal does."""
    if (answer := run.film.config.prune) != "ask":
        return answer == "yes"
    if (reply := run.events.ask("remove them for good? [y/N] ")) is None:
        run.events.say("nothing was removed; prune=yes removes them")
        return False
    return reply.strip().lower() in ("y", "yes")


MODES: Mapping[str, Conductor] = {
    "render": render,
    "plan": plan,
    "stitch": stitch,
    "prune": prune,
    "measure": measure,
    "keyframes": keyframes,
}
