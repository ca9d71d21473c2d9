"""A timeline file from its bytes to the values of its frames, as a run reads it, without the rest.

What a fuzzer calls many thousand times: it may only come back with a timeline or raise a
ConfigError that says what is wrong and where.
"""

import re
from fractions import Fraction
from itertools import pairwise
from math import isclose, isfinite
from pathlib import Path

from omegaconf import OmegaConf

from render.cli.compose import TimelineSource, plain_config
from render.cli.compose_errors import foreseen
from render.config.parse import parse
from render.errors import ConfigError, Mistake
from render.timeline.interpolation import values_at
from render.timeline.spec import Timeline
from render.timeline.timeline import resolve

AROUND = {
    "name": "film",
    "model": {"name": "none", "path": ".", "steps": 4, "guidance": 7.5},
    "scheduler": {"name": "model", "class": None, "steps": None},
}
FPS = Fraction(12)
LOOKED_AT = 20  # times, from a film's beginning to its end


def read_timeline(folder: Path, content: bytes) -> Timeline:
    """The timeline in a file of this content; raises ConfigError."""
    file = folder / "timeline" / "film.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    loaded = TimelineSource("fuzz", f"file://{folder}").load_config("timeline/film")
    composed = OmegaConf.create({**AROUND, "timeline": loaded.config})
    document = TimelineSource.documents["film"]

    def locate(dotted: str) -> str:
        return f"film.yaml:{document.line(dotted.removeprefix('timeline.'))}"

    config = parse(plain_config(composed), locate)
    timeline = resolve(config.timeline, config.sampling, FPS, config.model.guidance, locate)
    check(timeline)
    return timeline


def check(timeline: Timeline) -> None:
    """Asserts what every timeline promises, whatever was written."""
    assert timeline.keyframes[0].time == 0
    assert all(one.time < next_one.time for one, next_one in pairwise(timeline.keyframes))
    for place in range(LOOKED_AT):
        values = values_at(timeline, timeline.duration * place / LOOKED_AT)
        assert isfinite(values.guidance)
        for pairs in (values.prompts, values.negatives, values.seeds):
            assert isclose(sum(weight for _, weight in pairs), 1, abs_tol=1e-9)
            assert all(weight > 0 for _, weight in pairs)


def outcome(folder: Path, content: bytes) -> str:
    """`` for a timeline, else what is wrong with it; any other exception is a bug."""
    try:
        read_timeline(folder, content)
    except Exception as error:
        known = foreseen(error)
        if not isinstance(known, ConfigError) or not all(map(placed, known.mistakes)):
            raise
        return str(known)
    return ""


def placed(mistake: Mistake) -> bool:
    """Whether a mistake says in which line of the file something is wrong, and what."""
    return bool(re.search(r"film\.yaml:\d+$", mistake.where) and mistake.what)
