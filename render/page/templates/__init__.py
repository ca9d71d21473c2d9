"""The templates of pages, and the facts that a page loads beside itself.

A page is opened from the disk, where a browser lets no script read a file. So its facts are a
script of one call, which the page loads again while a run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


def as_script(function: str, facts: Mapping[str, Any]) -> bytes:
    """The facts as a script that calls a function with them. Nothing in them can end a script or a
    line of it."""
    text = json.dumps(facts, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f"{function}({safe})\n".encode()


@cache
def template(page: str, script: str, mark: str, data: str) -> str:
    """A page with its style and its script inside.

    Args:
        page, script: files beside this one.
        mark: a line at the beginning of the page, by which render knows its own pages.
        data: the file of its facts.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("render.page", "templates"), autoescape=True, undefined=StrictUndefined
    )
    return templates.get_template(page).render(
        mark=mark, style=asset("page.css"), script=asset("common.js") + asset(script), data=data
    )


def asset(name: str) -> str:
    """The text of a file that a page holds inside."""
    return files("render.page").joinpath("templates", name).read_text(encoding="utf-8")
