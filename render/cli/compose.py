"""Composing: a run's config out of the config folders, a timeline and overrides, by Hydra.

What Hydra composes is handed on as plain data. Timeline files are read as data, whichever folder
Hydra finds them in, and Hydra's errors become render's.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.basecontainer import BaseContainer

from render.cli.chosen_timeline import check_without_timeline, plain_name
from render.cli.compose_errors import foreseen, shown
from render.cli.config_folders import (
    PACKAGE,
    bundled_configs,
    config_folders,
)
from render.cli.other_timelines import read_timeline, with_settings
from render.cli.overrides import forgiving
from render.cli.recipe_source import OVERRIDE, RecipeSource
from render.config.timeline_file import Document, read_document
from render.errors import (
    ConfigError,
    Mistake,
    Place,
)
from render.extensions import shipped_configs

DOLLAR = "\ue000"  # stands for the `$` of `${` in timelines, so that no one interpolates it
KEPT_OUT = "\ue001"  # and a timeline's name stand for keyframes that are too many for OmegaConf
MANY_KEYFRAMES = 500


class TimelineSource(FileConfigSource):
    """Hydra's source of files, but what stands in a `timeline` folder is read as data, and so is
    everything in a folder that only the command line names."""

    documents: ClassVar[dict[str, Document]] = {}
    """Timelines that were read, by name."""
    arguments: ClassVar[Sequence[str]] = ()
    """The overrides and options that this composing is asked for."""

    @classmethod
    def begin(cls, arguments: Sequence[str]) -> None:
        """Begin to compose with these overrides and options. Hydra makes the sources itself, and
        hands them nothing but a folder."""
        cls.arguments = tuple(arguments)

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
        if (given := OwnSearchPath.given.get(self.provider)) is not None:
            return composed_as(self, self.provider, given)
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
    document = read_timeline(shown(path))
    named = {"name": plain_name(own)} | document.content
    return composed_as(source, choice, Document(document.path, named, document.lines))


def composed_as(source: ConfigSource, choice: str, document: Document) -> ConfigResult:
    """A timeline as Hydra composes it, under the name of its choice."""
    TimelineSource.documents[choice] = document
    content = literal(document.content, "${", DOLLAR + "{")
    config = OmegaConf.create(without_many(content, choice), flags={"allow_objects": False})
    return ConfigResult(source.provider, source.full_path(), config, {"package": None})


def without_many(content: dict[str, Any], name: str) -> dict[str, Any]:
    """A timeline with a sign in place of its keyframes, if they are many and no argument changes or
    prints them: OmegaConf takes a millisecond for each, and copies them often."""
    keyframes = content.get("keyframes")
    few = not isinstance(keyframes, list | dict) or len(keyframes) <= MANY_KEYFRAMES
    asked = r"keyframes|^--cfg|^-c$"
    if few or any(re.search(asked, argument) for argument in TimelineSource.arguments):
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
    """Puts the timeline files that are named, and the user's config folders, before the bundled
    one, and those that other packages ship behind it."""

    files: ClassVar[dict[str, Path]] = {}
    """Timeline files by the choice that stands for each."""
    given: ClassVar[dict[str, Document]] = {}
    """Timelines that a program gave as data, by the choice that stands for each."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        shipped = [folder.resolve() for folder in shipped_configs()]
        known = {bundled_configs().resolve(), *shipped}
        for folder in reversed([folder for folder in config_folders() if folder not in known]):
            search_path.prepend(provider="user", path=f"file://{folder}")
        for folder in shipped:
            search_path.append(provider="package", path=f"file://{folder}")
        for choice, file in self.files.items():
            search_path.prepend(provider=choice, path=f"timeline://{file.absolute()}")
        for choice in self.given:
            search_path.prepend(provider=choice, path=f"timeline://{choice}")
        if RecipeSource.given:
            search_path.append(provider="recipe", path="recipe://given")


def read_as_data() -> None:
    """Let Hydra read timelines by the sources above."""
    SourcesRegistry.instance().types["file"] = TimelineSource  # Hydra has no other way to say so
    SourcesRegistry.instance().register(TimelineFile)
    SourcesRegistry.instance().register(RecipeSource)
    OmegaConf.register_new_resolver("package", lambda part: str(PACKAGE / part), replace=True)


@dataclass(frozen=True, slots=True)
class Composed:
    """A config as plain data, and what turns a dotted path of it into file:line."""

    config: dict[str, Any]
    locate: Callable[[str], str]


COMPOSING = threading.Lock()  # one at a time: Hydra's registries are the process's


def compose(
    timeline: str | Document, overrides: Sequence[str], recipe: Mapping[str, Any] | None = None
) -> Composed:
    """The config of one run, composed as the command line does it, for a program.

    Hydra's and OmegaConf's own settings are afterwards what they were.

    Args:
        timeline: its name or its file; or the timeline itself.
        overrides: `output.fps=24`, as on the command line.
        recipe: values of the config in place of the usual ones, by group; overrides win over them.

    Raises:
        ConfigError: an override or a choice is wrong; the same lines as on the command line.
    """
    with COMPOSING, own_hydra():
        try:
            RecipeSource.given.update(literal(recipe or {}, "${", DOLLAR + "{"))
            return composed_by_hydra(timeline, overrides)
        except Exception as error:
            raise foreseen(error) from error


def composed_by_hydra(timeline: str | Document, overrides: Sequence[str]) -> Composed:
    """The config and its places, with Hydra's own exceptions."""
    options = [Mistake(one, "is no override") for one in overrides if one.startswith("-")]
    if options:
        raise ConfigError(options)
    if isinstance(timeline, Document):
        OwnSearchPath.given["given"] = timeline
        made = ["+timeline=given", *forgiving(overrides, parses, OwnSearchPath.files)]
    else:
        made = forgiving([timeline, *overrides], parses, OwnSearchPath.files)
        made = with_settings(made, OwnSearchPath.files)
    if RecipeSource.given:
        made.insert(1, OVERRIDE)
    TimelineSource.begin(made)
    whole = loader().load_configuration("render", made, RunMode.RUN)
    locate = locator(whole.hydra)
    with open_dict(whole):
        del whole["hydra"]
    return Composed(plain_config(whole), locate)


def loader() -> ConfigLoaderImpl:
    """Hydra's loader of configs in the folders that the command line has them from."""
    search_path = ConfigSearchPathImpl()
    search_path.append("hydra", "pkg://hydra.conf")
    search_path.append("main", f"file://{bundled_configs()}")
    OwnSearchPath().manipulate_search_path(search_path)
    search_path.append("schema", "structured://")
    return ConfigLoaderImpl(search_path)


@contextmanager
def own_hydra() -> Iterator[None]:
    """Our sources, resolvers and version of Hydra's rules, inside of the block alone."""
    Plugins.instance()  # registers Hydra's own sources
    types, resolvers = SourcesRegistry.instance().types, BaseContainer._resolvers
    before, version = (dict(types), dict(resolvers)), VersionBase.instance()
    VersionBase.set_instance(copy(version))
    OwnSearchPath.files.clear()
    read_as_data()
    setbase("1.3")
    try:
        yield
    finally:
        for registry, entries in zip((types, resolvers), before, strict=True):
            registry.clear()
            registry.update(entries)
        VersionBase.set_instance(version)
        OwnSearchPath.files.clear()
        OwnSearchPath.given.clear()
        RecipeSource.given.clear()
        TimelineSource.begin(())


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
        check_without_timeline(composed.get("mode"), composed.get("input"))
        if OmegaConf.is_interpolation(composed, "name"):
            named = OmegaConf.merge(composed, {"name": "input"})
            composed = named if isinstance(named, DictConfig) else composed
    result: dict[str, Any] = {}
    for key in composed:
        if key == "timeline" and composed.timeline is None:
            continue
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


def typed_overrides(hydra: Any) -> list[str]:
    """The overrides as they were typed; a `${…}` in them stays as it is.

    Args:
        hydra: Hydra's own part of a composed config.
    """
    task = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    return [str(override) for override in task] if isinstance(task, list) else []


def locator(hydra: Any) -> Callable[[str], str]:
    """A function that turns a dotted path into file:line if a timeline file says it, else leaves it
    as it is.

    Args:
        hydra: Hydra's own part of a composed config.
    """
    chosen = str(hydra.runtime.choices.get("timeline"))
    typed = [o.lstrip("+~").split("=")[0] for o in typed_overrides(hydra)]
    document = TimelineSource.documents.get(chosen.removesuffix(".yaml").removesuffix(".yml"))
    document = document if document and document.lines else None  # data of a program has none

    def locate(dotted: str) -> str:
        on_command_line = any(f"{dotted}.".startswith(f"{key}.") for key in typed if "." in key)
        if document is None or not dotted.startswith("timeline.") or on_command_line:
            return dotted
        key = dotted.removeprefix("timeline.")
        return Place(f"{document.path}:{document.line(key)}", key)

    return locate


def parses(argument: str) -> bool:
    """Whether Hydra's grammar takes an override."""
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    return True
