"""Extensions of other packages, found by Python's entry points.

A blend, an output format, a model family or an engine can be shipped by another package: its
`pyproject.toml` names an object under a group of ours (`[project.entry-points."render.engines"]`),
and once it is installed the name stands in a config as our own names do.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points


def registered(group: str) -> Mapping[str, EntryPoint]:
    """Entry points of a group by their names; nothing of them is imported before `load()`.

    Args:
        group: as `render.engines`.
    """
    return {entry.name: entry for entry in entry_points(group=group)}
