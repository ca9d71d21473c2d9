"""The nodes of a run's smooth paths, as the model asks for them and the store keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from render.plan.frame_plan import PlannedFrame
from render.store import path_latents
from render.store.path_latents import Numbers
from render.timeline.spec import SmoothPath


class StoredNodes:
    """The nodes of the frames' smooth paths, in the store.

    Args:
        say: is called with a line if something that is not render's stood in the way.
    """

    def __init__(
        self, folder: Path, frames: Sequence[PlannedFrame], say: Callable[[str], None]
    ) -> None:
        self.folder, self.say = folder, say
        self.digests = {frame.spec.path.path: frame.path for frame in frames if frame.spec.path}

    def stored(self, path: SmoothPath, each: int) -> Numbers | None:
        """The latents of a path, of so many numbers a node; None if they are not there."""
        return path_latents.stored(self.folder, self.digests[path], path.parts + 1, each)

    def keep(self, path: SmoothPath, latents: Numbers) -> None:
        """Store the latents of a path."""
        path_latents.keep(self.folder, self.digests[path], latents, self.say)
