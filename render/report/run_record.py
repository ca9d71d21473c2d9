"""The record of a run: seconds by phase, versions, and what run.json keeps for the next run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import render
from render.files.atomic import write_whole
from render.files.received_json import read_data

Content = list[int | str]  # size in bytes and sha256
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

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Leave the block's time out of a phase that is being measured around it."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = self.seconds.get(name, 0.0) - (time.monotonic() - began)
            self.seconds[name] = round(spent, 3)

    @property
    def total(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began


def write_run_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write run.json whole, with sorted keys; paths and fractions become text.

    Raises:
        DiskFull: no room for it.
    """
    text = json.dumps(
        data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str
    )
    write_whole(path, f"{text}\n".encode("utf-8", "backslashreplace"))


def read_run_json(path: Path) -> dict[str, Any]:
    """The run.json of the run before, or nothing.

    Raises:
        OSError: there is one that can't be read: what it vouches for is not foreign for that.
    """
    try:
        value = read_data(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def videos_made(earlier: dict[str, Any]) -> dict[str, Any]:
    """The videos that an earlier run.json has records of, by file name."""
    videos = earlier.get("videos")
    if not isinstance(videos, dict):
        return {}
    return {name: record for name, record in videos.items() if is_record(record)}


MAY_LACK = {"size", "timeline", "plan"}


def is_record(record: object) -> bool:
    """Whether this is what `video_record` writes; older ones lack the size, which may be odd,
    the timeline's file and the plan."""
    return (
        isinstance(record, dict)
        and record.keys() - {"size", "timeline", "plan"}
        == {"digest", "mtime_ns", "content", "before"}
        and isinstance(record["digest"], str)
        and isinstance(record.get("timeline", ""), str)
        and isinstance(record.get("plan", ""), str)
        and isinstance(record["mtime_ns"], int)
        and is_content(record["content"])
        and (record["before"] is None or is_content(record["before"]))
    )


def is_content(value: object) -> bool:
    """Whether this is a size in bytes and a sha256."""
    return isinstance(value, list) and list(map(type, value)) == [int, str]


def video_record(
    video: Path,
    digest: str,
    size: tuple[int, int],
    before: Content | None = None,
    timeline: str = "",
    plan: str = "",
) -> dict[str, Any]:
    """The record that run.json keeps of a video, to know it again.

    Args:
        size: width and height in pixels.
        before: content of the video whose name this one is about to take.
        timeline: the file of the film's timeline, if there is one.
        plan: the film's digest.
    """
    time_ns = video.lstat().st_mtime_ns
    content = content_of(video)
    made = {"digest": digest, "mtime_ns": time_ns, "size": list(size)}
    source = {"timeline": timeline} if timeline else {}
    return {**made, **source, "plan": plan, "content": content, "before": before}


def content_of(path: Path) -> Content:
    """Size and sha256 of a file."""
    with path.open("rb") as stream:
        return [path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()]


def known_content(video: Path, record: Mapping[str, Any]) -> Content | None:
    """The content of a video that an earlier run made; None if no run of render made it.

    A copied or touched one is known by its content. The record stands before the video takes its
    name, so right after a kill the one before it may still be there.
    """
    if video.is_symlink() or not video.is_file():
        return None
    status = video.stat()
    kept = (record.get("content"), record.get("before"))
    known = [
        content for content in kept if isinstance(content, list) and content[:1] == [status.st_size]
    ]
    if known[:1] == [record.get("content")] and status.st_mtime_ns == record.get("mtime_ns"):
        return list(known[0])
    return content if known and (content := content_of(video)) in known else None


def versions() -> dict[str, str]:
    """Versions of everything that has a say in the pixels."""
    known = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"render": render.__version__, "python": platform.python_version(), **known}
