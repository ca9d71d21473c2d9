"""The page of a run: index.html, which is the same for every run, and page.js with its facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from render.files.atomic import write_if_changed
from render.files.ownership import PAGE_DATA_MARK, PAGE_MARK, make_way
from render.page.templates import as_script, template

PAGE, DATA = "index.html", "page.js"


def write_run_page(folder: Path, facts: Mapping[str, Any], warn: Callable[[str], None]) -> Path:
    """Write the page of a run into its folder; what is not render's there makes way.

    Returns:
        The page.

    Raises:
        OSError: it can't be written.
    """
    page = template("run.html", "run.js", mark=PAGE_MARK, data=DATA)
    for name, content in ((DATA, as_script(PAGE_DATA_MARK, facts)), (PAGE, page.encode())):
        make_way(folder / name, warn)
        write_if_changed(folder / name, content)
    return folder / PAGE
