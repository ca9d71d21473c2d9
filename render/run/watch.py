"""Sees the frames that are in work while a batch is denoised."""

from __future__ import annotations

from collections.abc import Sequence

from render.plan.frame_plan import PlannedFrame
from render.report.progress import Phase
from render.run.frame_writer import FrameWriter
from render.text import weighted


class Watch:
    """Sees the frames in work, and moves the phase."""

    def __init__(self, phase: Phase, writer: FrameWriter) -> None:
        self.phase, self.writer, self.words = phase, writer, ""

    def begin(self, batch: Sequence[PlannedFrame]) -> None:
        """These frames are in work now."""
        self.words = weighted(batch[0].spec.prompts)
        self.writer.catch_up(self.phase)
        self.phase.now(len(batch), self.words)

    def encoded(self, done: int, total: int) -> None:
        """So many texts of those frames are encoded."""
        self.phase.note(self.words if done == total else f"{done} of {total} texts encoded")

    def step(self, done: int, total: int) -> None:
        """So many evaluations of those frames are done."""
        self.writer.catch_up(self.phase)
        self.phase.step(done, total)
