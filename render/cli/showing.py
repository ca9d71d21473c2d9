"""`render show [NAME]`: the page of a run, in the browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path

from render.config.values import nearest
from render.errors import ConfigError, Mistake
from render.page.run_page import PAGE
from render.run.runs import runs_under

ROOT = "root="


def shown(arguments: Sequence[str]) -> Iterator[str]:
    """Open the page of a run, and yield the lines to say.

    Args:
        arguments: a run's name, its folder or a file in it; without one, the newest run. `root=…`.

    Raises:
        ConfigError: there is no such run, or it has no page.
    """
    words = [argument for argument in arguments if not argument.startswith(ROOT)]
    roots = [argument.removeprefix(ROOT) for argument in arguments if argument.startswith(ROOT)]
    if len(words) > 1:
        raise ConfigError([Mistake("render show", "takes one run: render show city")])
    root = Path(roots[-1] if roots else "outputs").expanduser()
    page = run_of(words[0] if words else None, root) / PAGE
    if not page.is_file():
        what = f"{page} is not there; the command that rendered this film writes it again"
        raise ConfigError([Mistake("render show", what)])
    yield (
        str(page)
        if open_page(page)
        else f"{page}: open it in a browser; none could be started here"
    )


def run_of(name: str | None, root: Path) -> Path:
    """The folder of a run by its name, its folder or a file in it; by default the newest one.

    Raises:
        ConfigError: there is none.
    """
    if name is not None:
        beside = Path(name).expanduser()
        for folder in (root / name, beside, beside.parent):
            if (folder / "plan.json").is_file():
                return folder
    runs = runs_under(root)
    if name is None and runs:
        return runs[0].folder
    names = [str(run.folder.relative_to(root)) for run in runs]
    what = f"no run {name!r} in {root}{nearest(name, names)}" if name else f"no runs in {root}"
    raise ConfigError([Mistake("run", f"{what}; render list shows those that are there")])


def open_page(page: Path) -> bool:
    """Whether a browser was started with a page."""
    return webbrowser.open(page.resolve().as_uri())
