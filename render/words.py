"""Words: numbers and other people's text as one reads them."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Text on one line without control characters."""
    spaced = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in spaced)


def shortened(text: str, most: int = 60) -> str:
    """Text on one line, with an ellipsis where it is cut."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def plural(count: int, noun: str) -> str:
    """1 frame, 2 frames"""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def speed(per_second: float) -> str:
    """Frames a second, or seconds a frame when they are slow."""
    return f"{per_second:.1f} frames/s" if per_second >= 1 else f"{1 / per_second:.1f} s/frame"


def duration(seconds: float) -> str:
    """7.2 s, 45 s, 3 min 20 s, 2 h 5 min"""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"


def size(count: float) -> str:
    """Bytes in decimal units, as disks are sold."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
