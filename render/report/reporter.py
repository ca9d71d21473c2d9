"""Reporters: what receives the events of a run, and shows them in its own form."""

from __future__ import annotations

from typing import Protocol

from render.report.events import Event


class Reporter(Protocol):
    """Receives the events of a run, in the thread that runs it."""

    def on_event(self, event: Event) -> None:
        """Take one event, at once; what it raises ends the run."""

    def ask(self, question: str) -> str | None:
        """The answer of whoever watches; None where there is none to ask."""


class SilentReporter:
    """Shows nothing. The log has it all."""

    def on_event(self, event: Event) -> None:
        return

    def ask(self, question: str) -> str | None:
        return None


def reporter_for(form: str, job: str = "") -> Reporter:
    """The reporter of a form, on the process's own streams.

    Args:
        form: `rich`, `plain`, `json`, `none`, or `auto`: rich on a terminal, else plain.
        job: the label of a sweep's job, `1/4 guidance=3`, or "".
    """
    if form == "none":
        return SilentReporter()
    if form == "json":
        from render.report.json_lines import JsonReporter

        return JsonReporter(job=job)
    from render.report.terminal import TextReporter

    return TextReporter(job=job, rich={"rich": True, "plain": False}.get(form))
