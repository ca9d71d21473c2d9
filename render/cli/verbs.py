"""Commands that begin with a verb in place of a timeline: `render from FILM`, `render list` …"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from render.text import printable

if TYPE_CHECKING:
    from render.api import Film

Verb = Callable[[Sequence[str]], "Film | None"]
"""Takes the arguments behind the verb; the film to run, if there is one."""


def again(arguments: Sequence[str]) -> Film:
    """`render from FILM|FRAME [overrides]`: the film of a recipe."""
    from render.cli.from_film import opened_again

    film, lines = opened_again(arguments)
    for line in lines:
        print(f"render: {printable(line)}", file=sys.stderr)
    return film


def listed(arguments: Sequence[str]) -> None:
    """`render list [timelines|models|schedulers|formats|easings]`: runs, or names."""
    from render.cli.listing import listed

    say(listed(arguments))


def shown(arguments: Sequence[str]) -> None:
    """`render show [NAME]`: a run's page in the browser."""
    from render.cli.showing import shown

    say(shown(arguments))


def compared(arguments: Sequence[str]) -> None:
    """`render diff A B`: what differs between two runs."""
    from render.cli.differing import compared

    say(compared(arguments))


def say(lines: Iterable[str]) -> None:
    """Print the answer, a line at a time."""
    for line in lines:
        print(printable(line), flush=True)


VERBS: Mapping[str, Verb] = {"diff": compared, "from": again, "list": listed, "show": shown}
"""The verbs that there are; the other reserved ones are still to come."""
