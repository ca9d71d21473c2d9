"""The next step after a render: a line for whoever made a film."""

from __future__ import annotations

import shlex
from pathlib import Path

from render.report.events import Measured
from render.run.film import ResolvedFilm

USUAL_ROOT = Path("outputs")


def next_step(film: ResolvedFilm, measured: Measured | None) -> str:
    """The step that may come next: to finish a draft, make a film smoother, or look at it."""
    if film.config.mode == "keyframes":
        return "the same command without mode=keyframes renders the film"
    if film.config.sampling.speed != "exact":
        return "sampling.speed=exact renders the film itself"
    found = measured.figures if measured else None
    plain = film.config.sampling.path == "plain" and not film.follows
    if found and (found.flashes or found.snaps) and plain:
        return "sampling.path=smooth timeline.pace=even: a film without flashes and jumps"
    if not film.config.page:
        return ""
    inside = film.config.root in film.folder.parents and film.config.root == USUAL_ROOT
    name = film.folder.relative_to(film.config.root) if inside else film.folder
    return f"render show {shlex.quote(str(name))}"
