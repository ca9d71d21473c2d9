"""The conductor: one run from a composed config to a video, and the other modes.

plan → store → diffusion → store → encode → report. What exists is kept, what is missing is
rendered, and the same command always continues where the last one stopped.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from render.errors import (
    TOO_LITTLE_MEMORY,
    ConfigError,
    DiskFull,
    EncodeError,
    RenderError,
    short_of_memory,
)
from render.files.atomic import BLOCK_BYTES, NO_ROOM, no_room, syncs, write_if_changed
from render.files.lock import holding, pruning, sharing
from render.files.lock import make as make_run_folder
from render.files.ownership import CONFIG_MARK, make_way
from render.plan.frame_plan import shard_of
from render.plan.plan_json import freeze, keep_asked, plan_files, shown_film
from render.report.reporter import Reporter, cut_lines, reason_lines, show_plan, state_line
from render.report.run_record import Phases
from render.run.film import Film
from render.run.job import Job
from render.run.kept_model import Models
from render.run.resolve import open_film
from render.run.survey import check_room, summarise, survey, survey_to_show
from render.run.undo import Before
from render.store import frame_png, store
from render.store.judge import State
from render.store.prune import remove, still_unused, unused, used_digests
from render.text import plural, size

Locate = Callable[[str], str]
Mode = Callable[[Film, Reporter, Mapping[str, Any]], None]
LISTED = 20  # stored frames that a prune shows


def run(
    composed: Mapping[str, Any],
    variant: str = "",
    locate: Locate = str,
    label: str = "",
    models: Models | None = None,
) -> None:
    """Do what a composed config says.

    Args:
        composed: the config as plain data (`configs/render.yaml` says what is in it).
        variant: a sweep job's folder under the run's, or "".
        locate: turns a dotted path of the config into the place a person should look at.
        label: what a sweep's job is called, or "".
        models: loads the model, and keeps it for the next job of a sweep.

    Raises:
        RenderError: the run ended badly; what was finished stays.
    """
    rendered = partial(render_film, models=models or Models())
    modes: dict[str, Mode] = {
        "render": rendered,
        "plan": tell_plan,
        "stitch": stitch,
        "prune": prune,
    }
    film = open_film(composed, variant, locate)
    reporter = Reporter(job=label)
    before = Before(film.config.root, film.folder, film.store)
    try:
        modes[film.config.mode](film, reporter, composed)
    except (RenderError, KeyboardInterrupt) as error:
        with suppress(RenderError):
            reporter.note(f"ended: {str(error) or 'interrupted'}")
        if isinstance(error, ConfigError):
            with suppress(RenderError, OSError):
                before.put_back()
        raise
    except OSError as error:
        raise as_render_error(error, film, reporter) from error
    except Exception as error:
        raise unexpected(error, film, reporter) from error
    finally:
        reporter.close()


def as_render_error(error: OSError, film: Film, reporter: Reporter) -> RenderError:
    """What the file system refused, as a line; the way there stands in the log."""
    note_traceback(film, reporter)
    where = error.filename or film.folder
    if error.errno in NO_ROOM:
        return no_room(Path(where), f"it needs {BLOCK_BYTES:,} bytes")
    return RenderError(f"{where}: {error.strerror or error}; mend that, or give another root=")


def unexpected(error: Exception, film: Film, reporter: Reporter) -> RenderError:
    """An error that nobody foresaw, as one line; the way there stands in the log."""
    told = note_traceback(film, reporter)
    if short_of_memory(error):
        return RenderError(TOO_LITTLE_MEMORY)
    what = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"
    where = f"; the details are in {told}" if told else ""
    return RenderError(f"this is a bug of ours ({what}){where}")


def note_traceback(film: Film, reporter: Reporter) -> Path | None:
    """Write the traceback into render.log, whatever the mode; where it stands, if it does."""
    path = film.folder / "render.log"
    with suppress(RenderError, OSError):
        if reporter.log is None:
            film.folder.mkdir(parents=True, exist_ok=True)
            reporter.attach(path)
        for line in traceback.format_exc().splitlines():
            reporter.note(line)
        return path
    return None


def render_film(
    film: Film, reporter: Reporter, composed: Mapping[str, Any], models: Models
) -> None:
    """Render what is missing, then encode; the default mode."""
    phases = Phases()
    before = shown_film(film.folder)
    with held(film, reporter):
        begin(film, reporter)
        make_way(film.folder / "config.yaml", reporter.warn)
        write_if_changed(film.folder / "config.yaml", as_yaml(composed))
        with phases.measured("check"):
            mine = shard_of(film.plan, film.config.shard)
            verdicts = survey_to_show(film, mine, reporter.warn)
            summary = summarise(film, verdicts, before)
        reporter.say(f"{reporter.job or film.config.name}: {state_line(summary)}")
        cut = [f"cut: {line}" for line in cut_lines(summary)]
        for line in (*reason_lines(summary), *cut, *summary.warnings):
            reporter.say(line)
        if summary.foreign:
            reporter.warn("files that are not ours are left alone; the video shows our frames")
        check_room(film, summary)
        job = Job(film, reporter, phases, verdicts, models)
        with job.recorded():
            job.show(verdicts)
            job.render()
            job.finish()


def tell_plan(film: Film, reporter: Reporter, composed: Mapping[str, Any]) -> None:
    """Say what `mode=render` would do; its plan never replaces that of frames on disk."""
    verdicts = survey(film, shard_of(film.plan, film.config.shard))
    summary = summarise(film, verdicts, shown_film(film.folder))
    show_plan(reporter, film.config.name, summary)
    try:
        check_room(film, summary)
    except DiskFull as error:
        reporter.warn(str(error))
    make_run_folder(film.folder)
    kept = keep_asked(film.folder, film.plan, film.config.name, reporter.warn)
    if kept.name != "plan.json":
        reporter.say(f"plan.json stays that of the frames that are there; this plan is in {kept}")


def stitch(film: Film, reporter: Reporter, composed: Mapping[str, Any]) -> None:
    """Another video from the frames that are there; none is rendered.

    Raises:
        EncodeError: frames are missing or not whole; an older video stays.
    """
    with held(film, reporter):
        begin(film, reporter)
        verdicts = survey_to_show(film, film.plan.frames, reporter.warn)
        job = Job(film, reporter, Phases(), verdicts)
        if job.missing:
            bad = [v for v in verdicts if v.state is not State.KEPT and not v.stored]
            names = ", ".join(str(frame.index) for frame in job.missing[:10])
            more = " …" if len(job.missing) > 10 else ""
            raise EncodeError(
                f"{len(job.missing)} of {len(film.plan.frames)} frames are not there ({names}"
                f"{more}: {bad[0].reason or bad[0].state.value}); render them first, without "
                "mode=stitch"
            )
        job.show(verdicts)
        job.finish()
        job.record()


def prune(film: Film, reporter: Reporter, composed: Mapping[str, Any]) -> None:
    """Remove stored frames that no run under the root uses, after showing them and asking.

    Raises:
        FolderBusy: a run is at work under the root.
    """
    with pruning(film.store):
        files = unused(film.store, used_digests(film.config.root))
    reporter.result(unused_lines(film.store, files))
    if files and agreed(film.config.prune, reporter):
        with pruning(film.store):  # while the question stood, a run may have begun and ended
            files = still_unused(files, used_digests(film.config.root))
            remove(files)
        reporter.result([("removed", plural(len(files), "frame"))])
    store.sweep_store(film.store)


def unused_lines(folder: Path, files: Sequence[Path]) -> list[tuple[str, str]]:
    """How many stored frames no run uses, and each of the first ones with its text."""
    total = size(sum(file.stat().st_size for file in files))
    lines = [("unused", f"{plural(len(files), 'frame')}, {total}, in {folder}")]
    lines += [
        ("", f"{file.relative_to(folder)}: {frame_png.text_of(file)}") for file in files[:LISTED]
    ]
    more = len(files) - LISTED
    return lines + ([("", f"and {more:,} more")] if more > 0 else [])


def agreed(answer: str, reporter: Reporter) -> bool:
    """Whether frames may be removed: as the config says, or as the person at the terminal does."""
    if answer != "ask":
        return answer == "yes"
    if (reply := reporter.ask("remove them for good? [y/N] ")) is None:
        reporter.say("nothing was removed; prune=yes removes them")
        return False
    return reply.strip().lower() in ("y", "yes")


def begin(film: Film, reporter: Reporter) -> None:
    """Open the log, once the run holds its folder."""
    for name in ("render.log", "run.json"):
        make_way(film.folder / name, reporter.warn)
    reporter.attach(film.folder / "render.log")


@contextmanager
def held(film: Film, reporter: Reporter) -> Iterator[None]:
    """Hold the run's folder with the plan frozen in it."""
    name = film.config.name

    def write_plan() -> None:
        freeze(film.folder, film.plan, name, reporter.warn)

    def agree() -> None:
        if (film.folder / "plan.json").read_bytes() != plan_files(film.plan, name)["plan.json"]:
            raise ConfigError(
                f"{film.folder}: shards of another plan are at work here; wait for them, or give "
                "this one another name="
            )

    with (
        sharing(film.store, reporter.say),
        holding(film.folder, film.config.shard, write_plan, agree),
    ):
        if not syncs(film.folder):
            reporter.warn(
                f"{film.folder}: this disk can't be asked to keep what is written (fsync); a power "
                "cut may lose what is newest"
            )
        yield


def as_yaml(composed: Mapping[str, Any]) -> bytes:
    """The config as resolved, for config.yaml."""
    text: str = yaml.safe_dump(dict(composed), allow_unicode=True, sort_keys=False)
    return f"{CONFIG_MARK}{text}".encode()
