"""The command line: the only file that knows Hydra.

Overrides are made forgiving (`timeline=city` without the plus, keys a file does not list), Hydra
composes, and what it composes is handed on as plain data. Timeline files are read as data by
documents.py, through a config source of our own that stands before Hydra's. Every error ends here
as one line a problem and an exit code.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from render.commandline import (
    PACKAGE,
    bundled_configs,
    config_folders,
    forgiving,
    help_text,
    job_folder,
    known_choices,
    reworded,
)
from render.documents import read_document
from render.errors import ConfigError, Interrupted, Mistake, RenderError

DOLLAR = "\ue000"  # stands for the `$` of `${` in timelines, so that no one interpolates it


class TimelineSource(ConfigSource):
    """Timeline files of one config folder, read as data."""

    @staticmethod
    def scheme() -> str:
        return "timelines"

    def file(self, name: str) -> Path | None:
        """The file of `timeline/NAME`, or None."""
        if not name.startswith("timeline/"):
            return None
        path = Path(self.path) / self._normalize_file_name(name)
        return path if path.is_file() else None

    def load_config(self, config_path: str) -> ConfigResult:
        path = self.file(config_path)
        assert path is not None  # Hydra asks `is_config` first
        content = {"name": path.stem} | read_document(shown(path)).content
        config = OmegaConf.create(
            literal(content, "${", DOLLAR + "{"), flags={"allow_objects": False}
        )
        return ConfigResult(
            self.provider, f"{self.scheme()}://{self.path}", config, {"package": None}
        )

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        return config_path == "timeline" and (Path(self.path) / "timeline").is_dir()

    def is_config(self, config_path: str) -> bool:
        return self.file(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path != "timeline" or results_filter is ObjectType.GROUP:
            return []
        return [path.stem for path in sorted((Path(self.path) / "timeline").glob("*.yaml"))]


class OwnSearchPath(SearchPathPlugin):
    """Puts the config folders on Hydra's path: timelines as data first, the user's before ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        folders = config_folders()
        for folder in reversed([f for f in folders if f != bundled_configs().resolve()]):
            search_path.prepend(provider="user", path=f"file://{folder}")
        for folder in reversed(folders):
            search_path.prepend(provider="timelines", path=f"timelines://{folder}")


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
            result["timeline"] = literal(raw, DOLLAR + "{", "${")
        else:
            value = composed[key]
            result[str(key)] = (
                OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            )
    if isinstance(sampling := result.get("sampling"), dict) and "negative" in sampling:
        raw = OmegaConf.to_container(composed.sampling, resolve=False)
        sampling["negative"] = raw["negative"] if isinstance(raw, dict) else None
    return result


def shown(file: Path) -> Path:
    """A file as a person would name it from here."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def locator() -> Callable[[str], str]:
    """Turns a dotted path into file:line if a timeline file says it, else leaves it as it is."""
    chosen = HydraConfig.get().runtime.choices.get("timeline")
    typed = [o.lstrip("+~").split("=")[0] for o in HydraConfig.get().overrides.task]
    files = [folder / "timeline" / f"{chosen}.yaml" for folder in config_folders()]
    file = next((f for f in files if f.is_file()), None)

    def locate(dotted: str) -> str:
        on_command_line = any(f"{dotted}.".startswith(f"{key}.") for key in typed if "." in key)
        if file is None or not dotted.startswith("timeline.") or on_command_line:
            return dotted
        line = read_document(file).line(dotted.removeprefix("timeline."))
        return f"{shown(file)}:{line}"

    return locate


OUTCOMES: list[tuple[str, RenderError]] = []


def job(composed: DictConfig) -> None:
    """One run: composed config in, its error kept for the end (a sweep goes on after a failure)."""
    from render.run import run

    sweep = HydraConfig.get().mode is RunMode.MULTIRUN
    folder = job_folder(HydraConfig.get().overrides.task) if sweep else ""
    try:
        run(plain_config(composed), folder, locator())
    except Exception as error:
        told = foreseen(error)
        OUTCOMES.append((folder, told))
        if sweep:
            say(told, f"{folder}: ")
        if isinstance(told, Interrupted):
            raise KeyboardInterrupt from error  # Hydra goes on with the next job after all others


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
        for folder, error in OUTCOMES:
            say(error, f"  {folder} (exit code {error.exit_code}): ")
    return OUTCOMES[0][1].exit_code if OUTCOMES else 0


def compose_and_run(arguments: Sequence[str]) -> None:
    """Let Hydra compose and call `job`, once or for a sweep."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["render", *forgiving(arguments)]
    OmegaConf.register_new_resolver("package", lambda part: str(PACKAGE / part), replace=True)
    Plugins.instance().register(TimelineSource)
    Plugins.instance().register(OwnSearchPath)
    start = hydra.main(version_base="1.3", config_path=str(bundled_configs()), config_name="render")
    start(job)()


def foreseen(error: Exception) -> RenderError:
    """What composing a config raised, as an error of the tree."""
    if isinstance(error, RenderError):
        return error
    if isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError):
        return ConfigError([reworded(str(error) or type(error).__name__)])
    place = traceback.extract_tb(error.__traceback__)[-1]
    file, said = Path(place.filename), str(error).partition("\n")[0]
    if {"hydra", "omegaconf"} & set(file.parts):
        return ConfigError([Mistake("config", said)])
    what = f"{type(error).__name__}: {said}, {file.name}:{place.lineno}"
    return RenderError(f"this is a bug of ours ({what})")


def main() -> int:
    """The `render` command; returns the exit code."""
    OUTCOMES.clear()
    arguments = sys.argv[1:]
    try:
        if "--help" in arguments or "-h" in arguments:
            print(help_text(), flush=True)
            return 0
        compose_and_run(arguments)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return ending() or 130
    except Exception as error:
        told = foreseen(error)
        say(told)
        return told.exit_code
    return ending()


if __name__ == "__main__":
    sys.exit(main())
