"""The command line: one run, or a sweep of several. Every error ends here as one line a problem
and an exit code.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from render.report.streams import lasting_streams, open_closed
from render.signals import ended_at_once, interruptible

open_closed()  # before anything opens a file that stays open
with ended_at_once():  # half a second in which a Ctrl-C would be a traceback of the imports
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.plugins import Plugins
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf

    import render
    from render.cli.compose import (
        OwnSearchPath,
        TimelineSource,
        locator,
        parses,
        plain_config,
        read_as_data,
        typed_overrides,
    )
    from render.cli.compose_errors import foreseen
    from render.cli.config_folders import bundled_configs, help_text, job_folder
    from render.cli.gallery import Gallery
    from render.cli.other_timelines import with_settings
    from render.cli.overrides import forgiving
    from render.cli.showing import open_page
    from render.cli.sweep import (
        SweepJob,
        at_their_frames,
        by_model,
        check_folders,
        labels,
        model_of,
        values_of,
    )
    from render.cli.sweep_size import count_first
    from render.cli.verbs import VERBS, verb_help
    from render.engines.threads import wait_patiently
    from render.errors import ConfigError, Interrupted, Mistake, RenderError
    from render.files.ownership import make_way
    from render.page.run_page import PAGE
    from render.text import plural, printable

if TYPE_CHECKING:
    from render.api import Film
    from render.run.kept_model import Models

OPEN = "--open"
"""The option that shows the page of the run in a browser when it has ended."""
IN_PROCESS = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""Hydra's usual launcher: a sweep's jobs one after the other, in this process."""


def sweep_folder(root: str) -> str:
    """Where Hydra notes a sweep. It would write through a link, and over anybody's file."""
    folder = Path(root) / ".sweep"
    if folder.is_symlink():
        raise ConfigError([Mistake(str(folder), "is a link; remove it")])
    note = folder / "multirun.yaml"
    make_way(note, lambda line: print(f"render: {printable(line)}", file=sys.stderr))
    NOTES.setdefault(note, note.read_bytes() if note.is_file() else None)
    return str(folder)


def take_notes_back() -> None:
    """Leave no trace of a sweep that was refused."""
    for note, before in NOTES.items():
        if before is not None:
            note.write_bytes(before)
            continue
        note.unlink(missing_ok=True)
        with suppress(OSError):  # there is more in them
            note.parent.rmdir()
            note.parent.parent.rmdir()


OUTCOMES: list[tuple[str, RenderError]] = []
JOBS: list[SweepJob] = []
NOTES: dict[Path, bytes | None] = {}
"""Hydra's notes of sweeps, with what stood there before."""
SAID: set[str] = set()
"""Errors of jobs that were said when they arose; the next job of the same one says nothing."""
PAGES: list[Path] = []
"""The pages of the runs that ended well, for `--open`."""
WORKED: list[str] = []
"""Modes of the jobs that did more than say something."""


def job(composed: DictConfig) -> None:
    """One run: composed config in. A sweep's jobs are only collected, to begin when all are known;
    where another launcher gives each a process of its own, each begins at once."""
    overrides, locate = typed_overrides(HydraConfig.get()), locator(HydraConfig.get())
    sweep = HydraConfig.get().mode is RunMode.MULTIRUN
    try:
        plain = plain_config(composed)
    except Exception as error:  # Hydra would say something of its own first
        OUTCOMES.append((job_folder(overrides) if sweep else "", foreseen(error)))
        return
    if not sweep:
        attempt("", plain, "", locate)
        return
    folder = job_folder(overrides, str(plain.get("name")))
    if HydraConfig.get().launcher["_target_"] == IN_PROCESS:
        JOBS.append(SweepJob(values_of(overrides), plain, folder, locate))
    else:
        attempt(folder, plain, folder, locate)


def run_sweep(collected: Sequence[SweepJob]) -> None:
    """All jobs of a sweep, whatever becomes of one of them.

    Raises:
        ConfigError: two jobs share a folder; none is begun.
    """
    if not collected:
        return
    jobs, models = by_model(at_their_frames(collected)), models_of_a_command()
    check_folders(jobs)
    gallery = Gallery(jobs)
    gallery.begin()
    for label, each, following in zip(
        labels(jobs, OwnSearchPath.files), jobs, [*jobs[1:], None], strict=True
    ):
        models.expect(following is not None and model_of(following) == model_of(each))
        attempt(label, each.composed, each.variant, each.locate, models)
        models.release()
        gallery.look_at(each)
        gallery.write(over=following is None)
    if gallery.page is not None:
        PAGES.append(gallery.page)
        gallery.say_where()
    if len(OUTCOMES) == len(jobs) and all(isinstance(e, ConfigError) for _, e in OUTCOMES):
        take_notes_back()


def completed(arguments: Sequence[str]) -> bool:
    """Whether a shell asked for words that may follow, and they were printed."""
    asks = any(argument.startswith("query=") for argument in arguments)
    if not (asks and {"-sc", "--shell-completion"} & {*arguments}):
        return False
    from render.cli.completion import for_hydra, suggestions

    found = suggestions(os.environ, [*VERBS])
    if found:
        print(" ".join(found), flush=True)
    os.environ.update(for_hydra(os.environ))
    return bool(found)


def run_films(films: Iterable[Film]) -> None:
    """Run the films of a verb, one after the other."""
    models = models_of_a_command()
    for film in films:
        WORKED.append(str(film.config["mode"]))
        film.run("", models)
        PAGES.append(film.folder / PAGE)


def models_of_a_command() -> Models:
    """Loads models for this process, which is a command's: its threads and its heap are settled."""
    from render.engines.process_settings import applied
    from render.run.kept_model import Models

    return Models(applied)


def attempt(
    label: str,
    composed: Mapping[str, Any],
    folder: str,
    locate: Callable[[str], str],
    models: Models | None = None,
) -> None:
    """One run, its error kept for the end; a sweep's job has a label."""
    from render.api import Film
    from render.run.measured_input import measure_input

    try:
        if composed.get("mode") != "plan":
            WORKED.append(str(composed.get("mode")))
        if "timeline" not in composed:
            measure_input(composed, locate, label)
            return
        models, planning = models or models_of_a_command(), composed.get("mode") == "plan"
        with uncollected():
            film = Film(composed, folder, locate)
            if planning:
                film.run(label, models)
        if not planning:
            film.run(label, models)
            PAGES.append(film.folder / PAGE)
    except Exception as error:
        known = foreseen(error)
        OUTCOMES.append((label, known))
        if label and str(known) not in SAID:
            SAID.add(str(known))
            say(known, f"{label}: ")


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside of the block Python looks for no circles of objects: a plan makes millions of objects
    that last and hardly a circle, and looking took a third of its time."""
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looked:
            gc.enable()


def say(error: RenderError, prefix: str = "") -> None:
    """Print an error, a line for each problem."""
    for line in str(error).splitlines():
        print(f"render: {prefix}{printable(line.expandtabs())}", file=sys.stderr)


def ending() -> int:
    """The exit code of everything that was run; failed jobs of a sweep are named once more."""
    alike: dict[tuple[str, int], list[str]] = {}
    for label, error in OUTCOMES:
        alike.setdefault((str(error), error.exit_code), []).append(label)
    if len(alike) == 1 and not JOBS and not SAID:  # one run, or a sweep of which no job is one
        say(OUTCOMES[0][1])
    elif OUTCOMES:
        print(f"render: {plural(len(OUTCOMES), 'job')} of the sweep failed:", file=sys.stderr)
        for (text, code), failed in alike.items():
            more = f" and {len(failed) - 1:,} more" if len(failed) > 1 else ""
            for line in text.splitlines():
                what = printable(line.expandtabs())
                print(f"render:   {failed[0]}{more} (exit code {code}): {what}", file=sys.stderr)
    return OUTCOMES[0][1].exit_code if OUTCOMES else 0


def compose_and_run(arguments: Sequence[str]) -> None:
    """Let Hydra compose and call `job`, once or for a sweep, whose jobs are then run."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    OwnSearchPath.files.clear()
    made = forgiving(arguments, parses, OwnSearchPath.files)
    made = with_settings(made, OwnSearchPath.files)
    TimelineSource.begin(made)
    sys.argv = ["render", *made]
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)
    Plugins.instance().register(OwnSearchPath)
    read_as_data()
    count_first()
    start = hydra.main(version_base="1.3", config_path=str(bundled_configs()), config_name="render")
    start(job)()
    run_sweep(JOBS)


def check_here() -> None:
    """Refuse to work in a folder that has been removed, in which no path means anything."""
    try:
        os.getcwd()
    except OSError as error:
        what = f"{error.strerror}: it was removed or closed; change to another (cd)"
        raise ConfigError([Mistake("the current folder", what)]) from None


def main() -> int:
    """The `render` command; returns the exit code.

    A film is rendered whether anyone reads what is said of it or not; who asked only for an answer
    and did not wait for it gets the code that the signal for a broken pipe would have given.
    """
    for kept in (OUTCOMES, JOBS, NOTES, PAGES, SAID, WORKED):
        kept.clear()
    wait_patiently(os.environ)
    with lasting_streams() as out:
        code = command([as_typed(argument) for argument in sys.argv[1:]])
    return 128 + signal.SIGPIPE if code == 0 and out.lost and not WORKED else code


def as_typed(argument: str) -> str:
    """An argument as UTF-8, if its bytes are that: in a locale of other letters Python read it as
    something else."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def command(arguments: Sequence[str]) -> int:
    """Do what the arguments say, and print errors; returns the exit code."""
    opens = OPEN in arguments
    arguments = [argument for argument in arguments if argument != OPEN]
    try:
        with interruptible():
            check_here()
            if "--help" in arguments or "-h" in arguments:
                print(verb_help(arguments[0]) or help_text(), flush=True)
                return 0
            if "--version" in arguments:
                print(f"render {render.__version__}", flush=True)
                return 0
            if completed(arguments):
                return 0
            if arguments and arguments[0] in VERBS:
                run_films(VERBS[arguments[0]](arguments[1:]))
            else:
                compose_and_run(arguments)
            if opens and PAGES and PAGES[-1].is_file():
                open_page(PAGES[-1])
            elif opens:
                print(f"render: {OPEN}: there is no page to open (page=false?)", file=sys.stderr)
    except Interrupted as error:
        ending()  # jobs of a sweep that failed before are named all the same
        say(error)
        return error.exit_code
    except Exception as error:
        known = foreseen(error)
        say(known)
        if isinstance(known, ConfigError):
            take_notes_back()
        return known.exit_code
    return ending()


if __name__ == "__main__":
    sys.exit(main())
