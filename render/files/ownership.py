"""The ownership of files. Everything this project writes carries a mark near its beginning.

What carries none was written by someone else: it is set aside under another name, never overwritten
or deleted. Links, pipes and folders are never render's own, whatever their names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from render.errors import RenderError
from render.files.atomic import is_regular, is_there, opened_regular

MARKED_BYTES = 1 << 16  # a mark stands within the first 64 KB, in a PNG before the pixels
FRAME_MARK = "render:digest"
FINISHED_MARK = "render:finished"
"""Of a picture in between, or one that was made larger."""
STORED_MARKS = f"{FRAME_MARK}|{FINISHED_MARK}".encode()
SHEET_MARK = "render:sheet"
PLOT_MARK = "render:steps"
PAIRS_MARK = "render:pairs"
MEASURED = re.compile(r"(?:.*\.)?(measure\.(?:json|png|svg))", re.DOTALL)
"""Names of measurements: `measure.json` in a film's folder, `clip.mp4.measure.json` by a video."""
CONFIG_MARK = "# The config as render resolved it\n"
PAGE_MARK = "The page of a run, by render; its facts are in page.js"
PAGE_DATA_MARK = "renderPage"
SWEEP_MARK = "The gallery of a sweep, by render; its films are in sweep.js"
STRIP_MARK = "render:strip"
PACED_MARK = "# The timeline, with the pace that render measured\n"
MARKS = {
    "audio.json": rb'\A\{\n"render": "audio",',
    ".lock": rb'\A(\{"pid": |\0+\Z)',  # zeros are what a power cut may leave
    "config.yaml": rb"\A# The config as render resolved it\n",
    "diff.png": PAIRS_MARK.encode(),
    "index.html": PAGE_MARK.encode(),
    "keyframes.png": SHEET_MARK.encode(),
    "measure.json": rb'\A\{\n  "by": "render ',
    "measure.png": PLOT_MARK.encode(),
    "measure.svg": PLOT_MARK.encode(),
    "models.json": rb'\A\{\n "[^\n]*": \[\n  \d+,\n',
    "multirun.yaml": rb"\Ahydra:\n",
    "paces.json": rb'\A\{\n "[0-9a-f]{64}": \{\n  "lengths": ',
    "page.js": rb"\ArenderPage\(",
    "paced.yaml": rb"\A# The timeline, with the pace that render measured\n",
    "plan.next.json": rb'\A\{\n "name": [^\n]*\n "fps": [^\n]*\n "rate": ',
    "plan.next.jsonl": rb'\A\{"index": 0, "time": 0.0, "prompts": ',
    "plan.json": rb'\A\{\n "name": [^\n]*\n "fps": [^\n]*\n "rate": ',
    "plan.jsonl": rb'\A\{"index": 0, "time": 0.0, "prompts": ',
    "render.log": rb"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ",
    "run.json": rb'\A\{\n  "by": "render ',
    "sheet.png": SHEET_MARK.encode(),
    "upscalers.json": rb'\A\{\n "[0-9a-f]{64}": \d',
    "strip.jpg": STRIP_MARK.encode(),
    "sweep.html": SWEEP_MARK.encode(),
    "sweep.js": rb"\ArenderSweep\(",
    "timings.json": rb'\A\{\n "[^\n]*": \{\n  "bytes_per_frame": ',
}


def is_ours(path: Path) -> bool:
    """Whether a file, damaged or not, carries the mark of its name, or has no content to lose.

    Raises:
        OSError: it can't be read, so whose it is can't be known: a passing error of a disk, or a
            file that another user keeps closed. Only content that was read is foreign.
    """
    if not is_regular(path):
        return False
    head = read_head(path)
    name = path.name
    if name == ".lock" or name.startswith(".lock-"):
        if path.lstat().st_size > MARKED_BYTES:
            return False  # it is emptied when it is signed, so all of it has to be known
        name = ".lock"
    if measured := MEASURED.fullmatch(name):
        name = measured[1]
    return not head or bool(re.search(MARKS.get(name, STORED_MARKS), head))


def read_head(path: Path) -> bytes:
    """The part of a regular file in which its mark stands."""
    with opened_regular(path) as stream:
        return stream.read(MARKED_BYTES)


def make_way(path: Path, say: Callable[[str], None]) -> None:
    """Set aside a file that has the name of one of render's files and was not written by it."""
    if is_there(path) and not is_ours(path):
        say(f"{path} is not ours; it is now {set_aside(path).name}")


def unsaid(line: str) -> None:
    """A `say` that drops its line: for files that only remember earlier runs."""


def take_name(free: Path, like: Path) -> bool:
    """Whether a name was free, which an empty file or folder now has: what it is `like` may be
    renamed over it."""
    try:
        if like.is_dir() and not like.is_symlink():
            free.mkdir()
        else:
            os.close(os.open(free, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def set_aside(path: Path) -> Path:
    """Rename a file that is not ours to a free name beside it. The name is taken first, as another
    process may set aside a file, too."""
    for count in range(1, 10_000):
        free = path.with_name(f"{path.name}.set-aside-{count}")
        if take_name(free, like=path):
            path.rename(free)
            return free
    raise RenderError(f"{path}: thousands of files have been set aside here; tidy up the folder")
