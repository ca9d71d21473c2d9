"""JSON lines: each event as an object on a line of its own, for programs.

`event` is the event's name, `job` the label of a sweep's job where there is one, and the rest are
the event's own fields (docs/python.md has them all).
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from typing import TextIO

from render.report.events import Event, PhaseEnded, Progress


class JsonReporter:
    """Writes events to stdout, and nothing else to either stream."""

    def __init__(self, out: TextIO | None = None, job: str = "") -> None:
        self.out, self.job = out or sys.stdout, job

    def on_event(self, event: Event) -> None:
        if isinstance(event, PhaseEnded) or (isinstance(event, Progress) and not event.due):
            return
        self.out.write(f"{json_line(event, self.job)}\n")
        self.out.flush()

    def ask(self, question: str) -> str | None:
        return None


def json_line(event: Event, job: str = "") -> str:
    """An event as one line of JSON; paths are texts."""
    label = {"job": job} if job else {}
    fields = dataclasses.asdict(event)
    fields.pop("due", None)
    content = {"event": name_of(type(event)), **label, **fields}
    line = json.dumps(content, ensure_ascii=True, allow_nan=False, default=str)
    return line


def name_of(kind: type[Event]) -> str:
    """An event's name in JSON: `frame_rendered` of `FrameRendered`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
