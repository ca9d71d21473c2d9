"""A film's page by itself, and a film as a notebook shows it."""

from __future__ import annotations

import base64
import html
from pathlib import Path

from render.files.lock import make as make_run_folder
from render.run.measuring import kept_measurement
from render.run.run_page import RunPage
from render.run.runs import run_in
from render.run.session import Session
from render.run.survey import survey

MOST_BYTES = 30_000_000  # of a video that is put into a notebook
KINDS = {".mp4": "mp4", ".webm": "webm"}
PICTURES = {".gif": "gif", ".webp": "webp", ".png": "png"}


def page_of(run: Session) -> Path:
    """Write the page of a film, with the frames that are there now."""
    film, page = run.film, RunPage(run)
    make_run_folder(film.folder)
    there = [v.frame.index for v in survey(film, film.plan.frames) if v.stored or v.in_place]
    return page.written(there, kept_measurement(film))


def shown_in_notebook(folder: Path, name: str) -> str:
    """HTML with the newest video of a folder that a browser plays; else the name."""
    run = run_in(folder)
    for video in run.videos if run else ():
        file = folder / video
        kind, picture = KINDS.get(file.suffix), PICTURES.get(file.suffix)
        if not (kind or picture) or file.stat().st_size > MOST_BYTES:
            continue
        content = base64.b64encode(file.read_bytes()).decode()
        if picture:
            return f'<img alt="{html.escape(name)}" src="data:image/{picture};base64,{content}">'
        source = f"data:video/{kind};base64,{content}"
        return f'<video controls loop src="{source}" title="{html.escape(name)}"></video>'
    return f"<code>{html.escape(name)}</code>"
