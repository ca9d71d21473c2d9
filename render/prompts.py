"""What stands in a film's texts that a model would not do: told when the film is planned."""

from __future__ import annotations

from collections.abc import Iterator

from render.config import RunConfig
from render.emphasis import weight_mistake, weighted_part
from render.errors import Mistake
from render.families import Guidance
from render.models import COMMIT, Model
from render.timeline import Locate, Timeline
from render.values import shown

NAMED = 5  # keyframes that a warning names


def weight_mistakes(config: RunConfig, model: Model, locate: Locate) -> Iterator[Mistake]:
    """Weights inside texts that this model can't be given."""
    texts = [("sampling.negative", config.sampling.negative)]
    for name, keyframe in config.timeline.keyframes.items():
        place = f"timeline.keyframes.{name}"
        texts += [(locate(f"{place}.prompt"), text) for text in keyframe.prompt or {}]
        texts.append((locate(f"{place}.negative"), keyframe.negative or ""))
    for place, text in texts:
        part = weighted_part(text)
        if part is None:
            continue
        wrong = weight_mistake(text)
        if model.family.weighted is None or model.source.clip_skip:
            wrong = (
                "is a weight inside a text, which only Stable Diffusion 1, 2 and XL without "
                "model.clip_skip are given; leave brackets and number out, or blend two texts: "
                "{A town with a castle: 0.7, A town: 0.3}"
            )
        if wrong:
            yield Mistake(place, f"{shown(part)}: {wrong}")


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
