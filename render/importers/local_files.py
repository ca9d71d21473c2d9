"""Files that an imported file names, if they are on this machine."""

from __future__ import annotations

from pathlib import Path

from render.importers.source import Source

MEDIA = {
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".wav", ".mp3", ".flac", ".ogg", ".opus",
    ".m4a", ".aac", ".aiff", ".aif", ".mp4", ".mov", ".mkv", ".webm", ".avi",
}  # fmt: skip


def local_file(source: Source, name: str) -> str | None:
    """The absolute path of a file beside the source, or anywhere; None if it is not there."""
    if not name or "://" in name or not name.isprintable():
        return None
    if Path(name).suffix.lower() not in MEDIA:
        return None  # another file than a picture or a sound is not even looked for
    try:
        path = (source.path.absolute().parent / Path(name)).resolve()
        return str(path) if path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None
