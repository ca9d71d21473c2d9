"""The result of an import, and the protocol of an importer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from render.errors import ConfigError, Mistake
from render.extensions import IMPORTERS as GROUP
from render.extensions import Registry
from render.importers.source import Source

MOST_KEYFRAMES = 20_000


@dataclass(frozen=True, slots=True)
class Imported:
    """A timeline as a person would have written it.

    Attributes:
        keyframes: in order, each as in a timeline's file: `{"at": "30f", "prompt": …}`.
        timeline: its other keys: `duration`, `loop`, `tempo`, `curves` …
        settings: keys of the config beside the timeline, as `{"output.fps": 15}`.
        lost: sentences about what could not be carried over, for the whole film.
        lost_at: the same for single keyframes, by their places from 0.
    """

    keyframes: Sequence[Mapping[str, Any]]
    timeline: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    lost: Sequence[str] = ()
    lost_at: Mapping[int, Sequence[str]] = field(default_factory=dict)

    def content(self, name: str) -> dict[str, Any]:
        """The timeline as the content of its file, under a name unless it has its own."""
        return {"name": name, **self.timeline, "keyframes": [dict(each) for each in self.keyframes]}


@dataclass(frozen=True, slots=True)
class Importer:
    """A kind of file that becomes a timeline.

    Attributes:
        called: the kind in a few words, as in "settings of Deforum".
        recognises: whether a file is of this kind; it never raises an error.
        read: the timeline of such a file. It raises ConfigError (`Source.refusal`) where the file
            is broken, with the line or key, and never runs anything that the file holds.
    """

    called: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source], Imported]


IMPORTERS: Registry[Importer] = Registry(GROUP, Importer)
"""All importers by name: our own, and those of other packages."""


def importer_of(source: Source) -> tuple[str, Importer] | None:
    """The name of the importer that recognises a file, and the importer; None if none does."""
    return next(((name, each) for name, each in IMPORTERS.items() if each.recognises(source)), None)


def imported(source: Source, kind: str | None = None) -> tuple[str, Imported]:
    """The name of the importer of a file, and the timeline that it makes.

    Args:
        kind: the importer's name; None: the one that recognises the file.

    Raises:
        ConfigError: no importer knows the file, or it is broken.
    """
    if kind is None:
        found = importer_of(source)
        if found is None:
            known = ", ".join(importer.called for importer in IMPORTERS.values())
            why = "is of no kind that can be imported"
            if source.content and not source.text:
                why = "is no UTF-8 text and no kind of file that can be imported"
            own = "a timeline of render ends with .yaml or .yml"
            raise source.refusal(f"{why}, and {own}; known: {known}")
        kind = found[0]
    result = IMPORTERS[kind].read(source)
    if not result.keyframes:
        no_text = bool(source.content) and not source.text
        why = "is no UTF-8 text; save it as UTF-8" if no_text else "holds no keyframe"
        raise source.refusal(why)
    if len(result.keyframes) > MOST_KEYFRAMES:
        what = f"holds {len(result.keyframes):,} keyframes; a timeline has at most"
        raise ConfigError([Mistake(str(source.path), f"{what} {MOST_KEYFRAMES:,}")])
    return kind, result
