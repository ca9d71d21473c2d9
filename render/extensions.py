"""Parts that are chosen by name: our own, and those of other packages by Python's entry points.

A blend, an output format, a way to make in-betweens, a model family or an engine can be shipped by
another package: its `pyproject.toml` names an object under one of render's groups, as in
`[project.entry-points."render.engines"]`. Once it is installed, a config can give its name like a
built-in one. A package ships the config itself in a folder that it names under `render.configs`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property, lru_cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from render.errors import ConfigError, Mistake

BLENDS, CONFIGS, ENGINES = "render.blends", "render.configs", "render.engines"
FAMILIES, FORMATS, INBETWEENS = "render.families", "render.formats", "render.inbetweens"
IMPORTERS, EXPORTERS = "render.importers", "render.exporters"
BUILT_IN: Mapping[str, Mapping[str, str]] = {
    BLENDS: {"noise": "render.plan.blends:NOISE", "embedding": "render.plan.blends:EMBEDDING"},
    ENGINES: {
        "torch": "render.engines.torch_eager:TorchEager",
        "compiled": "render.engines.torch_compile:TorchCompile",
        "openvino": "render.engines.openvino:OpenVino",
    },
    FORMATS: {
        "mp4": "render.video.codecs:MP4",
        "webm": "render.video.codecs:WEBM",
        "av1": "render.video.codecs:AV1",
        "prores": "render.video.codecs:PRORES",
        "gif": "render.video.codecs:GIF",
        "webp": "render.video.codecs:WEBP",
        "apng": "render.video.codecs:APNG",
    },
    IMPORTERS: {
        "png": "render.importers.pictures:PICTURES",
        "midi": "render.importers.midi:MIDI",
        "otio": "render.importers.otio:OTIO",
        "vtt": "render.importers.webvtt:VTT",
        "srt": "render.importers.subtitles:SRT",
        "deforum": "render.importers.deforum:DEFORUM",
        "parseq": "render.importers.parseq:PARSEQ",
        "fizznodes": "render.importers.fizznodes:FIZZNODES",
        "animatediff": "render.importers.animatediff:ANIMATEDIFF",
        "walk": "render.importers.walk:WALK",
        "prompt_relay": "render.importers.prompt_relay:PROMPT_RELAY",
        "labels": "render.importers.labels:LABELS",
    },
    EXPORTERS: {
        "srt": "render.exporters.subtitles:SRT",
        "vtt": "render.exporters.subtitles:VTT",
        "prompt_relay": "render.exporters.prompt_relay:PROMPT_RELAY",
        "ltx_director": "render.exporters.prompt_relay:LTX_DIRECTOR",
        "labels": "render.exporters.labels:LABELS",
        "csv": "render.exporters.table:CSV",
        "otio": "render.exporters.otio:OTIO",
    },
    INBETWEENS: {
        "dissolve": "render.video.inbetweens:DISSOLVE",
        "flow": "render.video.flow:FLOW",
    },
}
"""Our own parts by group and name, written as entry points are: a config's names are checked before
anything is imported."""

T_co = TypeVar("T_co", covariant=True)


def registered(group: str) -> Mapping[str, EntryPoint]:
    """Entry points of a group by their names; nothing of them is imported before `load()`.

    Args:
        group: as `render.engines`.
    """
    return {entry.name: entry for entry in installed(group, places())}


@lru_cache(maxsize=16)
def installed(group: str, _: tuple[tuple[str, int], ...]) -> EntryPoints:
    """The entry points of packages in these places. A look reads a file of every package that is
    installed, and composing one config looks a dozen times."""
    return entry_points(group=group)


def places() -> tuple[tuple[str, int], ...]:
    """Where packages lie, with the times at which one came or went."""
    return tuple((place, changed(place)) for place in sys.path)


def changed(place: str) -> int:
    """When a folder's content changed; 0 if it is not there."""
    with suppress(OSError):
        return os.stat(place or os.curdir).st_mtime_ns
    return 0


class Registry(Mapping[str, T_co]):
    """The parts of a group by name: our own first, which no other package replaces.

    A part is imported when it is asked for, and not when its name is listed.

    Args:
        group: the entry points' group, as `render.engines`.
        kind: the class that every part is an instance of.
        own: our own parts where they are made already; None: those of `BUILT_IN`.
    """

    def __init__(self, group: str, kind: type[T_co], own: Mapping[str, T_co] | None = None) -> None:
        self.group, self.kind, self.own = group, kind, own or {}
        self.made = dict(self.own)

    @cached_property
    def ours(self) -> Mapping[str, EntryPoint]:
        """Our own parts that are not made yet."""
        built_in = BUILT_IN.get(self.group, {})
        return {name: EntryPoint(name, value, self.group) for name, value in built_in.items()}

    @cached_property
    def others(self) -> Mapping[str, EntryPoint]:
        """Other packages' parts."""
        mine = {*self.own, *self.ours}
        return {name: entry for name, entry in registered(self.group).items() if name not in mine}

    def __getitem__(self, name: str) -> T_co:
        """The part of that name.

        Raises:
            KeyError: there is none.
            ConfigError: another package's part can't be imported, or is something else.
        """
        if name not in self.made:
            entry = self.ours[name] if name in self.ours else self.others[name]
            self.made[name] = self.loaded(entry)
        return self.made[name]

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.ours or name in self.others

    def __iter__(self) -> Iterator[str]:
        return iter((*self.own, *self.ours, *self.others))

    def __len__(self) -> int:
        return len(self.own) + len(self.ours) + len(self.others)

    def loaded(self, entry: EntryPoint) -> T_co:
        """The object that an entry point names.

        Raises:
            ConfigError: it can't be imported, or is of another kind.
        """
        try:
            part = entry.load()
        except Exception as error:  # of a stranger's module
            why = f"{type(error).__name__}: {error}"
            raise self.unusable(entry, f"can't be loaded ({why})") from error
        if not isinstance(part, self.kind):
            raise self.unusable(entry, f"is no {self.kind.__name__}")
        return part

    def unusable(self, entry: EntryPoint, why: str) -> ConfigError:
        """The error for a part that can't be used."""
        what = f"{described(entry)} {why}; mend that package, or uninstall it"
        return ConfigError([Mistake(self.group, what)])


def is_known(group: str, name: str) -> bool:
    """Whether a config may choose that name; nothing is imported."""
    return name in BUILT_IN.get(group, {}) or name in registered(group)


def names(group: str) -> tuple[str, ...]:
    """The names that a config may choose from, our own first; nothing is imported."""
    return tuple(dict.fromkeys((*BUILT_IN.get(group, {}), *registered(group))))


def shipped_configs() -> list[Path]:
    """Folders of configs that other packages ship: `mine = "package.configs"` under
    `render.configs` is that package's folder, whose config groups are folders in it."""
    return [folder for entry in config_entries() for folder in folders_of(entry)]


def lost_configs() -> list[str]:
    """A line about each package whose folder of configs is not there, or holds none."""
    return [
        f"{described(entry)} under {CONFIGS} names no folder with configs, GROUP/NAME.yaml; mend "
        "that package and install it again"
        for entry in config_entries()
        if not any(any(folder.glob("*/*.yaml")) for folder in folders_of(entry))
    ]


def config_entries() -> list[EntryPoint]:
    """The entry points of other packages' configs, in order."""
    return [entry for _, entry in sorted(registered(CONFIGS).items())]


def folders_of(entry: EntryPoint) -> list[Path]:
    """The folders that an entry point of configs names; none if they are not there."""
    spec: ModuleSpec | None = None
    with suppress(Exception):  # a stranger's package is imported on the way to its folder
        spec = find_spec(entry.module)
    return [Path(place) for place in (spec and spec.submodule_search_locations) or ()]


def described(entry: EntryPoint) -> str:
    """An entry point with its package, as errors name it."""
    package = f" of {entry.dist.name}" if entry.dist else ""
    return f"{entry.name!r} ({entry.value}{package})"
