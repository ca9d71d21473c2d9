"""The arguments of a verb that is about runs: names, and the folder of all runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

ROOT = re.compile(r"\+{0,2}root=")
USUAL_ROOT = Path("outputs")


def words_and_root(arguments: Sequence[str]) -> tuple[list[str], Path]:
    """The words, and the folder that `root=…` names, or the usual one."""
    words = [argument for argument in arguments if not ROOT.match(argument)]
    roots = [ROOT.sub("", argument, count=1) for argument in arguments if ROOT.match(argument)]
    return words, Path(roots[-1]).expanduser() if roots else USUAL_ROOT
