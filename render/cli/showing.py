"""`render show [NAME]`: the page of a run, in the browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from render.cli.verb_arguments import words_and_root
from render.errors import ConfigError, Mistake
from render.page.run_page import PAGE
from render.page.sweep_page import PAGE as GALLERY
from render.run.runs import runs_under, time_of

SHOWN = 3  # runs that a name may have meant


def shown(arguments: Sequence[str]) -> Iterator[str]:
    """Open the page of a run, and yield the lines to say.

    Args:
        arguments: a run's name, its folder or a file in it; without one, the newest run. `root=…`.

    Raises:
        ConfigError: there is no such run, or it has no page.
    """
    words, root = words_and_root(arguments)
    if len(words) > 1:
        raise ConfigError([Mistake("render show", "takes one run: render show city")])
    page = gallery_of(words[0], root) if words else None
    page = page or run_of(words[0] if words else None, root) / PAGE
    if not page.is_file():
        what = f"{page} is not there; the command that rendered this film writes it (page=true)"
        raise ConfigError([Mistake("render show", what)])
    yield (
        str(page)
        if open_page(page)
        else f"{page}: open it in a browser; none could be started here"
    )


def gallery_of(name: str, root: Path) -> Path | None:
    """The gallery of the sweep of this name, if it is newer than a run's page there."""
    for folder in (root / name, Path(name).expanduser()):
        gallery, page = folder / GALLERY, folder / PAGE
        if gallery.is_file() and not (page.is_file() and time_of(page) > time_of(gallery)):
            return gallery
    return None


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
        with_page = (run.folder for run in runs if (run.folder / PAGE).is_file())
        return next(with_page, runs[0].folder)
    names = [str(run.folder.relative_to(root)) for run in runs]
    alike = [each for each in names if name and each.startswith(f"{name}/")]
    near = (alike or get_close_matches(name or "", names))[:SHOWN]
    hint = f"; did you mean {' or '.join(repr(each) for each in near)}?" if near else ""
    what = f"no run {name!r} in {root}{hint}" if name else f"no runs in {root}"
    lists = " `render list`" if hint else "; render list"
    raise ConfigError([Mistake("run", f"{what}{lists} shows those that are there")])


def open_page(page: Path) -> bool:
    """Whether a browser was started with a page."""
    return webbrowser.open(page.resolve().as_uri())
