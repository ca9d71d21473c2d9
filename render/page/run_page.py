"""The page of a run: index.html, which is the same for every run, and page.js with its facts.

The page is opened from the disk, where a browser lets no script read a file. So the facts are a
script of one call, which the page loads again while the run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from render.files.atomic import write_if_changed
from render.files.ownership import PAGE_DATA_MARK, PAGE_MARK, make_way

PAGE, DATA = "index.html", "page.js"


def write_run_page(folder: Path, facts: Mapping[str, Any], warn: Callable[[str], None]) -> Path:
    """Write the page of a run into its folder; what is not render's there makes way.

    Returns:
        The page.

    Raises:
        OSError: it can't be written.
    """
    for name, content in ((DATA, as_script(facts)), (PAGE, page().encode())):
        make_way(folder / name, warn)
        write_if_changed(folder / name, content)
    return folder / PAGE


def as_script(facts: Mapping[str, Any]) -> bytes:
    """The facts as a script of one call. Nothing in it can end a script or a line of it."""
    text = json.dumps(facts, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f"{PAGE_DATA_MARK}({safe})\n".encode()


@cache
def page() -> str:
    """The page, with its style and its script inside."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("render.page", "templates"), autoescape=True, undefined=StrictUndefined
    )
    return templates.get_template("run.html").render(
        mark=PAGE_MARK, style=asset("page.css"), script=asset("run.js"), data=DATA
    )


def asset(name: str) -> str:
    """The text of a file that the page holds inside."""
    return files("render.page").joinpath("templates", name).read_text(encoding="utf-8")
