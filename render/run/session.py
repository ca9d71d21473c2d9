"""A session: one film with its config, and the reporter of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from render.report.run_events import RunEvents
from render.report.run_record import Phases
from render.run.film import ResolvedFilm
from render.run.kept_model import Models


@dataclass(frozen=True, slots=True)
class Session:
    """Everything that one run works with.

    Attributes:
        composed: the config as plain data, which config.yaml keeps.
        models: loads the model, and may keep it for the next job of a sweep.
        phases: seconds by phase, from now on.
        rows: (denoiser rows, rows that only filled calls) that probes took before.
    """

    film: ResolvedFilm
    composed: Mapping[str, Any]
    events: RunEvents
    models: Models = field(default_factory=Models)
    phases: Phases = field(default_factory=Phases)
    rows: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.film.config.name
