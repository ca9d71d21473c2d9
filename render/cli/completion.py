"""Completion in the shell of what Hydra does not know: verbs, timelines, runs, and named values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from render.cli.config_folders import known_choices
from render.config.named_values import values_of
from render.extensions import EXPORTERS, names
from render.run.runs import runs_under

OF_RUNS = ("diff", "export", "promote", "show")


def for_hydra(environment: Mapping[str, str]) -> dict[str, str]:
    """The line as Hydra can complete it: with the word at the cursor alone."""
    line = f"render {words_of(environment)[-1]}"
    return {"COMP_LINE": line, "COMP_POINT": str(len(line))}


def words_of(environment: Mapping[str, str]) -> list[str]:
    """The words up to the cursor; the last one is what is being typed."""
    line = environment.get("COMP_LINE", "")
    point = environment.get("COMP_POINT", "")
    return line[: int(point) if point.isdigit() else len(line)].split(" ")


def suggestions(environment: Mapping[str, str], verbs: Sequence[str]) -> list[str]:
    """The words that may stand where the cursor is; none where Hydra knows better.

    Args:
        environment: with COMP_LINE and COMP_POINT, as bash gives them.
    """
    words = words_of(environment)
    before, word = [each for each in words[1:-1] if each], words[-1]
    found = bare_words(before, verbs) if "=" not in word else values_of(word.partition("=")[0])
    return [each for each in found if each.startswith(word)]


def bare_words(before: Sequence[str], verbs: Sequence[str]) -> list[str]:
    """Words without a value: of the first place, or behind a verb."""
    from render.cli.listing import NAMES

    if not before:
        return sorted({*known_choices("timeline"), *verbs})
    if before[0] == "list":
        return list(NAMES)
    if before[0] == "export" and len(before) == 2:
        return [*names(EXPORTERS), "all"]
    if before[0] in OF_RUNS:
        runs = [run.folder.relative_to("outputs") for run in runs_under(Path("outputs"))]
        folder = "outputs" if before[0] == "promote" else ""
        return [os.path.join(folder, run) for run in runs]
    return []
