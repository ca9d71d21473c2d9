"""`render list`: the runs under a root, or the names that a choice can have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from render.cli.config_folders import known_choices
from render.cli.verb_arguments import words_and_root
from render.config.values import nearest
from render.errors import ConfigError, Mistake
from render.run.runs import Run, runs_under
from render.schemas import NAMES as SCHEMAS
from render.schemas import schema_file
from render.text import duration, plural, size
from render.timeline.easing import NAMED, OF_CSS

DAY_S = 86_400


def easings() -> list[str]:
    """The names of easings."""
    return sorted({*NAMED, *OF_CSS, "hold"})


def formats() -> list[str]:
    """The names of outputs."""
    return known_choices("output")


NAMES: Mapping[str, Callable[[], list[str]]] = {
    "timelines": lambda: known_choices("timeline"),
    "models": lambda: known_choices("model"),
    "schedulers": lambda: known_choices("scheduler"),
    "formats": formats,
    "computes": lambda: known_choices("compute"),
    "easings": easings,
    "schemas": lambda: [str(schema_file(name)) for name in SCHEMAS],
}


def listed(arguments: Sequence[str]) -> Iterator[str]:
    """The lines of `render list [NAMES] [root=FOLDER]`.

    Raises:
        ConfigError: there is no such list.
    """
    words, root = words_and_root(arguments)
    if len(words) > 1 or (words and words[0] not in NAMES):
        what = f"no list {words[-1]!r}{nearest(words[-1], [*NAMES])}; without a word: the runs"
        raise ConfigError([Mistake("render list", what)])
    if words:
        yield from NAMES[words[0]]()
    else:
        yield from runs_listed(root)


def runs_listed(root: Path) -> Iterator[str]:
    """A line for each run: name, size, age and state."""
    runs = runs_under(root)
    if not runs:
        yield f"no runs in {root}; render city makes one"
        return
    rows = [row_of(run, root) for run in runs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
    yield plural(len(runs), "run")


def row_of(run: Run, root: Path) -> tuple[str, str, str, str]:
    """Name, size, age and state of a run."""
    return str(run.folder.relative_to(root)), size(run.size), age(run.changed_s), run.state


def age(then_s: float) -> str:
    """`5 min 3 s ago`, `3 days ago`"""
    seconds = max(0.0, time.time() - then_s)
    return (
        f"{duration(seconds)} ago"
        if seconds < DAY_S
        else f"{plural(int(seconds // DAY_S), 'day')} ago"
    )
