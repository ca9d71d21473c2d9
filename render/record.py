"""The record of a run: seconds by phase, versions, and what run.json keeps for the next run."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import render

LIBRARIES = ("torch", "diffusers", "transformers", "hydra-core", "numpy", "pillow")


class Phases:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.began = time.monotonic()

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Add the block's time to a phase."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = self.seconds.get(name, 0.0) + time.monotonic() - began
            self.seconds[name] = round(spent, 3)

    @property
    def total(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began


def read_run_json(path: Path) -> dict[str, Any]:
    """The run.json of the run before, or nothing."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def videos_made(earlier: dict[str, Any]) -> dict[str, Any]:
    """The videos that an earlier run.json tells of, by file name."""
    videos = earlier.get("videos")
    return dict(videos) if isinstance(videos, dict) else {}


def video_record(target: Path, digest: str) -> dict[str, Any] | None:
    """What run.json keeps of a video, to know it again; None if there is none."""
    try:
        status = target.lstat()
    except OSError:
        return None
    return {"digest": digest, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def versions() -> dict[str, str]:
    """Versions of everything that has a say in the pixels."""
    known = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"render": render.__version__, "python": platform.python_version(), **known}
