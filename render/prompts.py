"""What stands in a film's texts that a model would not do: told when the film is planned."""

from __future__ import annotations

import re
from collections.abc import Iterator

from render.config import RunConfig
from render.errors import Mistake
from render.families import Guidance
from render.models import COMMIT, Model
from render.timeline import Locate, Timeline
from render.values import shown

WEIGHT = re.compile(r"(?<!\\)\((?P<words>[^()]*):\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)")
NAMED = 5  # keyframes that a warning names


def weighted_part(text: str) -> str | None:
    """The first part of a text that other tools read as words with a weight: `(a castle:1.3)`.

    A time, a ratio or a verse in brackets is none: `(at 10:30)`, `(16:9)`.
    """
    for found in WEIGHT.finditer(text):
        if "." in found["weight"] or not found["words"][-1:].isdigit():
            return found[0]
    return None


def weight_mistakes(config: RunConfig, locate: Locate) -> Iterator[Mistake]:
    """Weights inside texts: the model would read the brackets and the number as words."""
    texts = [("sampling.negative", config.sampling.negative)]
    for name, keyframe in config.timeline.keyframes.items():
        place = f"timeline.keyframes.{name}"
        texts += [(locate(f"{place}.prompt"), text) for text in keyframe.prompt or {}]
        texts.append((locate(f"{place}.negative"), keyframe.negative or ""))
    for place, text in texts:
        if part := weighted_part(text):
            yield Mistake(
                place,
                f"{shown(part)} is a weight inside a text, which the model would read as words; "
                "leave brackets and number out, or blend two texts: "
                "{A town with a castle: 0.7, A town: 0.3}",
            )


def negative_warnings(timeline: Timeline, guidance: Guidance) -> Iterator[str]:
    """Negatives beside a guidance scale that is none."""
    without = [
        f"{float(keyframe.time):g}"
        for keyframe in timeline.keyframes
        if guidance.negatives
        and any(text for text, _ in keyframe.values.negatives)
        and not guidance.leads_away(keyframe.values.guidance)
    ]
    if without:
        times = ", ".join(without[:NAMED]) + (" …" if len(without) > NAMED else "")
        yield (
            f"negatives do nothing at {times} s, where guidance is {guidance.off:g} or less; "
            "raise guidance, or leave them out"
        )


def revision_warnings(model: Model, revision: str | None) -> Iterator[str]:
    """A branch or tag of the hub that may be another model tomorrow, so other frames."""
    repository, commit = model.source.repository, model.source.revision
    if repository and not COMMIT.fullmatch(revision or "main"):
        yield (
            f"model.revision={revision or 'main'} of {repository} may move, and all frames with "
            f"it; today it is model.revision={commit}"
        )
