"""How much larger upscalers make pictures whose weights alone do not say it, by their sha256."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from render.errors import DiskFull
from render.files.atomic import make_folder, write_whole
from render.files.lock import adding_to
from render.files.ownership import make_way, unsaid
from render.files.received_json import read_memory

FACTORS_NAME = "upscalers.json"
MOST = 16


def remembered(store: Path) -> dict[str, int]:
    """The factors that earlier plans found out; a memory that can't be read only costs time."""
    found = read_memory(store / FACTORS_NAME)
    return {
        sha256: factor
        for sha256, factor in found.items()
        if isinstance(factor, int) and not isinstance(factor, bool) and 1 < factor <= MOST
    }


def remember(store: Path, factors: Mapping[str, int]) -> None:
    """Keep the factors for later plans."""
    path = store / FACTORS_NAME
    if not factors or factors == remembered(store):
        return
    with suppress(OSError, DiskFull):
        make_folder(path.parent)
        with adding_to(path):
            together = {**remembered(store), **factors}
            make_way(path, unsaid)
            write_whole(path, json.dumps(together, indent=1, sort_keys=True).encode())
