"""The digests that a plan file names, read a line at a time: it may come from anyone."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from itertools import islice
from pathlib import Path

from render.files.atomic import opened_regular
from render.files.received_json import parsed
from render.store.store import DIGEST
from render.timeline.timeline import MAX_FRAMES

SMALL_BYTES = 1 << 20  # of a plan in any layout, and of what stands before a longer one's frames
LINE_BYTES = 1 << 22  # of one frame: a timeline has at most 1 MB of text
BEGIN, END = b' "frames": [', (b" ]", b"}")  # as `plan_files` writes them


def digests_in(plan: Path) -> Iterator[str]:
    """The digest of each frame of a plan, of the smooth path that it is on, and of the pictures
    that are made of it.

    Raises:
        OSError: it, or the file of its frames, can't be read.
        ValueError: it is no plan, or larger than any that render writes.
    """
    for frame in frames_in(plan):
        yield digest_of(frame)
        if isinstance(frame, dict) and "path" in frame:
            yield digest_of(frame["path"])
        if isinstance(frame, dict) and "shown" in frame:
            yield from shown_by(frame["shown"])


def frames_in(plan: Path) -> Iterator[object]:
    """Each frame of a plan as data. It takes little memory, however large the file is.

    Raises:
        OSError: it, or the file of its frames, can't be read.
        ValueError: it is no plan, or larger than any that render writes.
    """
    with opened_regular(plan) as stream:
        content = stream.read(SMALL_BYTES + 1)
        if len(content) > SMALL_BYTES:
            stream.seek(0)
            yield from frames_of_layout(stream)
            return
    small = parsed(content)
    frames = small.get("frames") if isinstance(small, dict) else None
    if isinstance(frames, str):
        with opened_regular(plan.parent / Path(frames).name) as stream:
            yield from map(parsed, lines_of(stream))
    elif isinstance(frames, list):
        yield from frames
    else:
        raise ValueError("has no frames")


def frames_of_layout(stream: BufferedReader) -> Iterator[object]:
    """The frames of a plan.json that is too large to be read as a whole: a line each."""
    while (line := stream.readline(SMALL_BYTES).rstrip(b"\n")) != BEGIN:
        if not line or stream.tell() > SMALL_BYTES:
            raise ValueError("is larger than plans in another layout may be")
    lines = lines_of(stream)
    for line in lines:
        if line == END[0]:
            break
        yield parsed(line.removesuffix(b","))
    if tuple(lines) != END[1:]:
        raise ValueError("does not end like a plan")


def lines_of(stream: BufferedReader) -> Iterator[bytes]:
    """The lines that are not empty; not more, or longer ones, than the largest film has."""
    # Not splitlines: a prompt may hold a line separator of Unicode.
    whole = iter(lambda: stream.readline(LINE_BYTES + 1), b"")
    for line in islice(whole, MAX_FRAMES + 10):
        if len(line) > LINE_BYTES:
            raise ValueError(f"has a line of more than {LINE_BYTES:,} bytes")
        if line != b"\n":
            yield line.rstrip(b"\n")
    if stream.read(1):
        raise ValueError(f"has more than {MAX_FRAMES:,} frames")


def shown_by(digests: object) -> Iterator[str]:
    """The digests of the pictures that are shown from a frame to the next."""
    if not isinstance(digests, list):
        raise ValueError("has a frame whose pictures are none")
    for digest in digests:
        yield digest_of({"digest": digest})


def digest_of(frame: object) -> str:
    """The digest of a frame or of a path."""
    digest = frame.get("digest") if isinstance(frame, dict) else None
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise ValueError("has a frame without a digest")
    return digest
