"""Commands that begin with a verb in place of a timeline: `render from FILM`, `render list` …"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from render.text import printable

if TYPE_CHECKING:
    from render.api import Film

Verb = Callable[[Sequence[str]], "Iterator[Film]"]
"""Takes the arguments behind the verb; yields the films to run, and goes on after each."""


def again(arguments: Sequence[str]) -> Iterator[Film]:
    """`render from FILM|FRAME [overrides]`: the film of a recipe."""
    from render.cli.from_film import opened_again

    film, lines = opened_again(arguments)
    for line in lines:
        note(line)
    yield film


def promote(arguments: Sequence[str]) -> Iterator[Film]:
    """`render promote RUN … [overrides]`: drafts as the films that they are drafts of."""
    from render.cli.promotion import promoted

    return promoted(arguments, note)


def note(line: str) -> None:
    """Say a line beside the answer."""
    print(f"render: {printable(line)}", file=sys.stderr)


def listed(arguments: Sequence[str]) -> Iterator[Film]:
    """`render list [timelines|models|schedulers|formats|easings]`: runs, or names."""
    from render.cli.listing import listed

    return answered(listed(arguments))


def shown(arguments: Sequence[str]) -> Iterator[Film]:
    """`render show [NAME]`: a run's page in the browser."""
    from render.cli.showing import shown

    return answered(shown(arguments))


def taken_over(arguments: Sequence[str]) -> Iterator[Film]:
    """`render import FILE`: another tool's timeline, as a file that a person can read."""
    from render.cli.importing import imported_file

    return answered(imported_file(arguments))


def handed_on(arguments: Sequence[str]) -> Iterator[Film]:
    """`render export FILM KIND`: a film's timeline for another tool."""
    from render.cli.exporting import exported

    return answered(exported(arguments))


def compared(arguments: Sequence[str]) -> Iterator[Film]:
    """`render diff A B`: what differs between two runs."""
    from render.cli.differing import compared

    return answered(compared(arguments))


def answered(lines: Iterable[str]) -> Iterator[Film]:
    """Print the answer, a line at a time; there is no film to run."""
    for line in lines:
        print(printable(line), flush=True)
    return iter(())


VERBS: Mapping[str, Verb] = {
    "diff": compared, "export": handed_on, "from": again, "import": taken_over, "list": listed,
    "promote": promote, "show": shown,
}  # fmt: skip
"""The verbs that there are."""

HELP: Mapping[str, str] = {
    "import": """render import FILE [to=NAME.yaml] [as=KIND]: another tool's timeline as YAML.

Comments of the file name each thing that could not be carried over. Without to= it is called like
FILE and goes into the current folder. Kinds: {importers}.""",
    "export": """render export FILM KIND [to=FILE] [overrides]: a film's timeline for another tool.

FILM is a run (city), a video or a timeline; KIND is {exporters}, or all. Without to= the file goes
into the run's folder.""",
}


def verb_help(verb: str) -> str:
    """The page of a verb's `--help`; empty for one that has none of its own."""
    from render.exporters.outline import EXPORTERS
    from render.importers.imported import IMPORTERS

    kinds = {"importers": ", ".join(IMPORTERS), "exporters": ", ".join(EXPORTERS)}
    return HELP[verb].format(**kinds) if verb in HELP else ""
