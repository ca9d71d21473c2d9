"""The films of a sweep as its gallery shows them: a strip of thumbnails each."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from render.files.atomic import write_whole
from render.files.ownership import STRIP_MARK, make_way, read_head, unsaid
from render.page.sweep_page import STRIP
from render.plan.plan_json import shown_film
from render.run.runs import FRAME, run_in
from render.store.judge import names_in

VERSION = 1  # of how a strip is drawn
MOST, HEIGHT, QUALITY = 24, 96, 80
WIDEST = 4 * HEIGHT  # of a thumbnail, in pixels


def film_of(
    folder: Path,
    gallery: Path,
    values: Mapping[str, str],
    typed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A film as a gallery has it: one that is not there yet has no strip.

    Args:
        folder: its run's.
        gallery: the folder of the page.
        values: its overrides by key.
        typed: the same as they were typed.

    Raises:
        OSError: its strip can't be written.
    """
    run, shown = run_in(folder), shown_film(folder)
    seconds = float(run.planned / Fraction(shown.rate)) if run and shown and shown.rate else 0.0
    strip = strip_of(folder, shown.digest) if run and shown and run.frames else None
    ratio = strip[1] if strip else 1.0
    return {
        "folder": os.path.relpath(folder, gallery),
        "path": path_to(folder, gallery),
        "values": dict(values),
        "overrides": in_shell(typed or values),
        "count": run.planned if run else 1,
        "seconds": seconds,
        "ratio": ratio,
        "strip": {"file": STRIP, "count": strip[0]} if strip else None,
    }


def path_to(folder: Path, gallery: Path) -> str:
    """A folder as a command names it; no folder of the machine, where the root is an absolute path:
    then the command is one for the folder of the gallery."""
    return os.path.relpath(folder, gallery) if folder.is_absolute() else str(folder)


def in_shell(overrides: Mapping[str, str]) -> str:
    """Overrides as a person types them."""
    return " ".join(shlex.quote(f"{key}={value}") for key, value in overrides.items())


def strip_of(folder: Path, plan: str) -> tuple[int, float] | None:
    """How many thumbnails the strip of a film has, and their width over height. It is drawn where
    it is not that of this plan.

    Args:
        plan: the film's digest.
    """
    names = sorted(filter(FRAME.fullmatch, names_in(folder / "frames")))
    count = min(MOST, len(names))
    chosen = [names[place * len(names) // count] for place in range(count)]
    mark = f"{STRIP_MARK} {VERSION}:{plan}:{len(names)}"
    try:
        with Image.open(folder / "frames" / chosen[0], formats=["PNG"]) as first:
            width = min(WIDEST, max(1, round(HEIGHT * first.width / first.height)))
        if mark.encode() not in head_of(folder / STRIP):
            draw_strip([folder / "frames" / name for name in chosen], folder / STRIP, width, mark)
    except (SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return count, width / HEIGHT


def head_of(file: Path) -> bytes:
    """The beginning of a file; empty if it can't be read."""
    try:
        return read_head(file)
    except OSError:
        return b""


def draw_strip(frames: list[Path], target: Path, width: int, mark: str) -> None:
    """Write the thumbnails of these frames side by side."""
    strip = Image.new("RGB", (width * len(frames), HEIGHT))
    for place, file in enumerate(frames):
        with Image.open(file, formats=["PNG"]) as image:
            image.draft("RGB", (width, HEIGHT))
            small = image.convert("RGB").resize((width, HEIGHT), Image.Resampling.BILINEAR)
        strip.paste(small, (place * width, 0))
    encoded = io.BytesIO()
    strip.save(encoded, "JPEG", quality=QUALITY, comment=mark.encode())
    make_way(target, unsaid)
    write_whole(target, encoded.getvalue())
