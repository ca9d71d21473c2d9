"""The command line: the only file that knows Hydra.

Overrides are made forgiving (`timeline=city` without the plus, keys a file does not list), Hydra
composes, and what it composes is handed on as plain data. Timeline files are read as data by
documents.py, whichever folder Hydra finds them in. Every error ends here as one line a problem and
an exit code.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from render.report.streams import lasting_streams, open_closed
from render.signals import ended_at_once, interruptible

open_closed()  # before anything opens a file that stays open
with ended_at_once():  # half a second in which a Ctrl-C would be a traceback of the imports
    import hydra
    import yaml
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.object_type import ObjectType
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.plugins import Plugins
    from hydra.errors import HydraException
    from hydra.plugins.config_source import ConfigResult, ConfigSource
    from hydra.plugins.search_path_plugin import SearchPathPlugin
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    import render
    from render.cli.chosen_timeline import plain_name
    from render.cli.config_folders import (
        PACKAGE,
        bundled_configs,
        config_folders,
        help_text,
        job_folder,
        known_choices,
        reworded,
    )
    from render.cli.overrides import forgiving
    from render.cli.sweep import Job, by_model, check_folders, labels, model_of, values_of
    from render.config.timeline_file import Document, in_our_words, read_document
    from render.engines.threads import wait_patiently
    from render.errors import (
        TOO_LITTLE_MEMORY,
        ConfigError,
        Interrupted,
        Mistake,
        Place,
        RenderError,
        short_of_memory,
    )
    from render.files.ownership import make_way

if TYPE_CHECKING:
    from render.run.kept_model import Models

IN_PROCESS = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
"""Hydra's usual launcher: a sweep's jobs one after the other, in this process."""
DOLLAR = "\ue000"  # stands for the `$` of `${` in timelines, so that no one interpolates it
KEPT_OUT = "\ue001"  # and a timeline's name stand for keyframes that are too many for OmegaConf
MANY_KEYFRAMES = 500


class TimelineSource(FileConfigSource):
    """Hydra's source of files, but what stands in a `timeline` folder is read as data, and so is
    everything in a folder that only the command line names."""

    documents: ClassVar[dict[str, Document]] = {}
    """Timelines that were read, by name."""

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, name = os.path.normpath(config_path).partition(os.sep)
        path = Path(self.path) / self._normalize_file_name(config_path)
        if group != "timeline":
            if Path(self.path).resolve() not in config_folders():
                check_data(path)
            return super().load_config(config_path)
        own = name.removesuffix(path.suffix).replace(os.sep, "-")  # sub/deep is not sub2/deep
        return timeline_config(self, name, path, own)


class TimelineFile(ConfigSource):
    """A timeline file from anywhere: the choice that its provider is called, read as data."""

    @staticmethod
    def scheme() -> str:
        return "timeline"

    def load_config(self, config_path: str) -> ConfigResult:
        return timeline_config(self, self.provider, Path(self.path), Path(self.path).stem)

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path == "timeline"

    def is_config(self, config_path: str) -> bool:
        return config_path == f"timeline/{self.provider}"

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return [self.provider] if self.is_group(config_path) else []


def check_data(path: Path) -> None:
    """Refuse code in a config of a folder that only the command line names."""
    try:
        read_document(shown(path))
    except ConfigError as error:
        what = "is read as data; configs with code belong in ./configs or $RENDER_CONFIGS"
        raise ConfigError([*error.mistakes, Mistake(str(shown(path)), what)]) from None


def timeline_config(source: ConfigSource, choice: str, path: Path, own: str) -> ConfigResult:
    """A timeline file as Hydra composes it, with nothing in it that anyone would act on.

    Args:
        own: the name of a timeline that gives itself none.
    """
    document = TimelineSource.documents[choice] = read_document(shown(path))
    content = literal({"name": plain_name(own)} | document.content, "${", DOLLAR + "{")
    config = OmegaConf.create(without_many(content, choice), flags={"allow_objects": False})
    return ConfigResult(source.provider, source.full_path(), config, {"package": None})


def without_many(content: dict[str, Any], name: str) -> dict[str, Any]:
    """A timeline with a sign in place of its keyframes, if they are many and nobody changes or
    prints them on the command line: OmegaConf takes a millisecond for each, and copies them often.
    """
    keyframes = content.get("keyframes")
    few = not isinstance(keyframes, list | dict) or len(keyframes) <= MANY_KEYFRAMES
    if few or any(re.search(r"keyframes|^--cfg|^-c$", argument) for argument in sys.argv[1:]):
        return content
    return {**content, "keyframes": KEPT_OUT + name}


def with_many(timeline: Any) -> Any:
    """A timeline with the keyframes that a sign stands for."""
    sign = timeline.get("keyframes") if isinstance(timeline, dict) else None
    if not isinstance(sign, str) or not sign.startswith(KEPT_OUT):
        return timeline
    document = TimelineSource.documents.get(sign.removeprefix(KEPT_OUT))
    return {**timeline, "keyframes": document.content["keyframes"]} if document else timeline


class OwnSearchPath(SearchPathPlugin):
    """Puts the timeline files that are named, and the user's config folders, before the rest."""

    files: ClassVar[dict[str, Path]] = {}
    """Timeline files by the choice that stands for each."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in reversed([f for f in config_folders() if f != bundled_configs().resolve()]):
            search_path.prepend(provider="user", path=f"file://{folder}")
        for choice, file in self.files.items():
            search_path.prepend(provider=choice, path=f"timeline://{file.absolute()}")


def literal(value: Any, old: str, new: str) -> Any:
    """A copy of nested data with `old` replaced by `new` in every text, keys included."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, Mapping):
        return {literal(key, old, new): literal(item, old, new) for key, item in value.items()}
    return [literal(item, old, new) for item in value] if isinstance(value, list) else value


def plain_config(composed: DictConfig) -> dict[str, Any]:
    """The composed config as plain data; what models read is literal, whatever it holds."""
    if composed.get("timeline") is None:
        known = ", ".join(known_choices("timeline"))
        what = f"no timeline; say which: render +timeline=NAME ({known})"
        raise ConfigError([Mistake("timeline", what)])
    result: dict[str, Any] = {}
    for key in composed:
        if key == "timeline":
            raw = OmegaConf.to_container(composed.timeline, resolve=False)
            result["timeline"] = with_many(literal(raw, DOLLAR + "{", "${"))
        else:
            value = composed[key]
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
            result[str(key)] = literal(value, DOLLAR + "{", "${")
    if isinstance(sampling := result.get("sampling"), dict) and "negative" in sampling:
        raw = OmegaConf.to_container(composed.sampling, resolve=False)
        sampling["negative"] = raw["negative"] if isinstance(raw, dict) else None
    return result


def sweep_folder(root: str) -> str:
    """Where Hydra notes a sweep. It would write through a link, and over anybody's file."""
    folder = Path(root) / ".sweep"
    if folder.is_symlink():
        raise ConfigError([Mistake(str(folder), "is a link; remove it")])
    note = folder / "multirun.yaml"
    make_way(note, lambda line: print(f"render: {line}", file=sys.stderr))
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


def shown(file: Path) -> Path:
    """A file as a person would name it from here."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def typed_overrides() -> list[str]:
    """The overrides as they were typed; a `${…}` in them stays as it is."""
    task = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [str(override) for override in task] if isinstance(task, list) else []


def locator() -> Callable[[str], str]:
    """Turns a dotted path into file:line if a timeline file says it, else leaves it as it is."""
    chosen = str(HydraConfig.get().runtime.choices.get("timeline"))
    typed = [o.lstrip("+~").split("=")[0] for o in typed_overrides()]
    document = TimelineSource.documents.get(chosen.removesuffix(".yaml").removesuffix(".yml"))

    def locate(dotted: str) -> str:
        on_command_line = any(f"{dotted}.".startswith(f"{key}.") for key in typed if "." in key)
        if document is None or not dotted.startswith("timeline.") or on_command_line:
            return dotted
        key = dotted.removeprefix("timeline.")
        return Place(f"{document.path}:{document.line(key)}", key)

    return locate


OUTCOMES: list[tuple[str, RenderError]] = []
JOBS: list[Job] = []
NOTES: dict[Path, bytes | None] = {}
"""Hydra's notes of sweeps, with what stood there before."""
WORKED: list[str] = []
"""Modes of the jobs that did more than say something."""


def job(composed: DictConfig) -> None:
    """One run: composed config in. A sweep's jobs are only collected, to begin when all are known;
    where another launcher gives each a process of its own, each begins at once."""
    overrides = typed_overrides()
    sweep = HydraConfig.get().mode is RunMode.MULTIRUN
    try:
        plain = plain_config(composed)
    except Exception as error:  # Hydra would say something of its own first
        OUTCOMES.append((job_folder(overrides) if sweep else "", foreseen(error)))
        return
    if not sweep:
        attempt("", plain, "", locator())
        return
    folder = job_folder(overrides, str(plain.get("name")))
    if HydraConfig.get().launcher["_target_"] == IN_PROCESS:
        JOBS.append(Job(values_of(overrides), plain, folder, locator()))
    else:
        attempt(folder, plain, folder, locator())


def run_sweep(collected: Sequence[Job]) -> None:
    """All jobs of a sweep, whatever becomes of one of them.

    Raises:
        ConfigError: two jobs share a folder; none is begun.
    """
    if not collected:
        return
    from render.run.kept_model import Models

    jobs, models = by_model(collected), Models()
    check_folders(jobs)
    for label, each, following in zip(labels(jobs), jobs, [*jobs[1:], None], strict=True):
        models.more = following is not None and model_of(following) == model_of(each)
        attempt(label, each.composed, each.variant, each.locate, models)
        models.release()
    if len(OUTCOMES) == len(jobs) and all(isinstance(e, ConfigError) for _, e in OUTCOMES):
        take_notes_back()


def attempt(
    label: str,
    composed: Mapping[str, Any],
    folder: str,
    locate: Callable[[str], str],
    models: Models | None = None,
) -> None:
    """One run, its error kept for the end; a sweep's job has a label."""
    from render.run.modes import run

    try:
        if composed.get("mode") != "plan":
            WORKED.append(str(composed.get("mode")))
        run(composed, folder, locate, label, models)
    except Exception as error:
        told = foreseen(error)
        OUTCOMES.append((label, told))
        if label:
            say(told, f"{label}: ")


def say(error: RenderError, prefix: str = "") -> None:
    """An error as the user reads it, a line a problem."""
    for line in str(error).splitlines():
        print(f"render: {prefix}{line}", file=sys.stderr)


def ending() -> int:
    """The exit code of everything that was run; failed jobs of a sweep are named once more."""
    if len(OUTCOMES) == 1 and not OUTCOMES[0][0]:
        say(OUTCOMES[0][1])
    elif OUTCOMES:
        print(f"render: {len(OUTCOMES)} jobs of the sweep failed:", file=sys.stderr)
        for label, error in OUTCOMES:
            say(error, f"  {label} (exit code {error.exit_code}): ")
    return OUTCOMES[0][1].exit_code if OUTCOMES else 0


def compose_and_run(arguments: Sequence[str]) -> None:
    """Let Hydra compose and call `job`, once or for a sweep, whose jobs are then run."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    OwnSearchPath.files.clear()
    sys.argv = ["render", *forgiving(arguments, parses, OwnSearchPath.files)]
    OmegaConf.register_new_resolver("package", lambda part: str(PACKAGE / part), replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)
    Plugins.instance().register(OwnSearchPath)
    SourcesRegistry.instance().types["file"] = TimelineSource  # Hydra has no other way to say so
    SourcesRegistry.instance().types["timeline"] = TimelineFile
    start = hydra.main(version_base="1.3", config_path=str(bundled_configs()), config_name="render")
    start(job)()
    run_sweep(JOBS)


def parses(argument: str) -> bool:
    """Whether Hydra's grammar takes an override."""
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True


def foreseen(error: Exception) -> RenderError:
    """What composing a config raised, as an error of the tree."""
    if isinstance(error, RenderError):
        return error
    if short_of_memory(error):
        return RenderError(TOO_LITTLE_MEMORY)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        what = f"broken YAML: {in_our_words(str(error.problem))}"
        return ConfigError([Mistake(f"{shown(Path(mark.name))}:{mark.line + 1}", what)])
    if isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError):
        return ConfigError([reworded(str(error) or type(error).__name__)])
    if isinstance(error, OSError):  # after Hydra's own, of which some are OSErrors, too
        what = f"{error.strerror or error}; mend that, or give another"
        return ConfigError([Mistake(str(error.filename or "config"), what)])
    place = traceback.extract_tb(error.__traceback__)[-1]
    file, said = Path(place.filename), str(error).partition("\n")[0]
    if {"hydra", "omegaconf"} & set(file.parts):
        return ConfigError([reworded(said or type(error).__name__)])
    what = f"{type(error).__name__}: {said}, {file.name}:{place.lineno}"
    return RenderError(f"this is a bug of ours ({what})")


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
    for kept in (OUTCOMES, JOBS, NOTES, WORKED):
        kept.clear()
    wait_patiently(os.environ)
    with lasting_streams() as out:
        code = command(sys.argv[1:])
    return 128 + signal.SIGPIPE if code == 0 and out.lost and not WORKED else code


def command(arguments: Sequence[str]) -> int:
    """Do what the arguments say, and say what went wrong; returns the exit code."""
    try:
        with interruptible():
            check_here()
            if "--help" in arguments or "-h" in arguments:
                print(help_text(), flush=True)
                return 0
            if "--version" in arguments:
                print(f"render {render.__version__}", flush=True)
                return 0
            compose_and_run(arguments)
    except Interrupted as error:
        ending()  # jobs of a sweep that failed before are named all the same
        say(error)
        return error.exit_code
    except Exception as error:
        told = foreseen(error)
        say(told)
        if isinstance(told, ConfigError):
            take_notes_back()
        return told.exit_code
    return ending()


if __name__ == "__main__":
    sys.exit(main())
