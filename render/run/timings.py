"""The time that a run took, kept for the next plan's estimate."""

from __future__ import annotations

from collections.abc import Collection

from render.plan import cost
from render.run.film import ResolvedFilm
from render.store import store


def remember_timing(
    film: ResolvedFilm, rendered: Collection[str], rows: int, seconds: float
) -> None:
    """Keep what a row took and how large a frame is.

    Args:
        rendered: digests of the frames that were rendered.
        rows: denoiser rows that were computed.
    """
    if not rendered or not rows:
        return
    files = [store.stored_path(film.store, digest) for digest in rendered]
    size = sum(file.stat().st_size for file in files) / len(files)
    timing = cost.Timing(seconds / rows, size)
    cost.remember_timing(film.store, film.plan.recipe, film.device, timing)
