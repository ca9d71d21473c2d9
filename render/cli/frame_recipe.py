"""A frame's own recipe as a config: a timeline of one keyframe, or of the two around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

from render.plan.blends import BLENDS
from render.plan.frame_plan import RECIPE_VERSION, Recipe
from render.timeline.spec import FrameSpec

KEYS = {field.name for field in fields(FrameSpec)} | {"images", "control", "early", "path"}
RECIPE_KEYS = {field.name for field in fields(Recipe)} | {"shortcuts", "ends"}
MOST_PARTS = 100_000  # of a way on which a frame is
EXACT = ("guidance_interval", "deep_cache", "block_cache")
"""Approximations that a frame alone can be rendered with; others need frames around it."""


class NotAlone(Exception):
    """The reason why a frame can't be rendered by what its own file says."""


def recipe_of_frame(
    spec: Mapping[str, Any], recipe: Mapping[str, Any], digest: str
) -> dict[str, Any]:
    """The config of a film that shows this frame.

    Args:
        spec, recipe: the frame's values and its film's recipe, as the PNG has them.

    Raises:
        NotAlone: the frame can't be rendered by itself; says why.
        ValueError, KeyError, TypeError, IndexError: they are no spec and recipe.
    """
    check(spec, recipe)
    taken = dict(recipe.get("shortcuts", {}))
    if spec.get("early") or taken.get("trunk"):
        raise NotAlone(
            "is a frame whose early steps other frames have in common (sampling.anchors or "
            "sampling.trunk); render from its film"
        )
    if spec.get("images") or spec.get("control"):
        raise NotAlone(
            "is a frame that began from a picture, or follows one, which its file does not hold; "
            "render from its film"
        )
    blends = {blend.identity(name): name for name, blend in BLENDS.items()}
    width, height, steps = (int(recipe[key]) for key in ("width", "height", "steps"))
    options = dict(recipe.get("scheduler_options", {}))
    return {
        "name": f"frame-{digest[:12]}",
        "timeline": {"name": f"frame-{digest[:12]}", **timeline(spec, recipe)},
        "scheduler": {
            "name": "model" if recipe["scheduler"] == "model" else str(recipe["scheduler"]),
            "class": None if recipe["scheduler"] == "model" else str(recipe["scheduler"]),
            "steps": steps,
            **options,
        },
        "sampling": {
            "blend": blends[recipe["blend"]],
            "path": "smooth" if "path" in spec else "plain",
            "path_parts": spec["path"]["parts"] if "path" in spec else None,
            **{key: taken[key] for key in EXACT if key in taken},
        },
        "output": {
            "format": "frames",
            "width": width,
            "height": height,
            **({"fps": str(place(spec).denominator)} if between(spec) else {}),
        },
        "compute": {"dtype": str(recipe["dtype"])},
        **({"at": f"{place(spec).numerator}f"} if between(spec) else {}),
    }


def check(spec: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Refuse what no frame of this version carries: parts of it would be left out.

    Raises:
        NotAlone: there is such a part.
        TypeError: values are of other types.
    """
    unknown = [*(spec.keys() - KEYS), *(recipe.keys() - RECIPE_KEYS)]
    if unknown:
        raise NotAlone(f"has {min(unknown)!r} in its recipe, which this version does not know")
    if recipe.get("version") != RECIPE_VERSION:
        raise NotAlone(
            f"is a frame of another version's recipe ({recipe.get('version')!r}, here it is "
            f"{RECIPE_VERSION}), which gives other pictures; render from its film"
        )
    for key in ("prompts", "negatives"):
        for text, weight in spec[key]:
            if not isinstance(text, str) or not is_number(weight):
                raise TypeError(key)
    for seed, weight in spec["seeds"]:
        if not isinstance(seed, int) or not is_number(weight):
            raise TypeError("seeds")


def is_number(value: object) -> bool:
    """Whether this is a weight."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def between(spec: Mapping[str, Any]) -> bool:
    """Whether a frame is between two keyframes that have to be there: on a smooth path, or between
    two negative prompts."""
    return "path" in spec or len(spec["negatives"]) > 1


def place(spec: Mapping[str, Any]) -> Fraction:
    """How far from the first to the second of its keyframes a frame is, 0 to 1."""
    far = spec["path"]["place"] if "path" in spec else spec["negatives"][-1][1]
    return Fraction(float(far)).limit_denominator(MOST_PARTS)


def timeline(spec: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """One keyframe; or the two that the frame is between, a second apart."""
    if len(spec["negatives"]) > 2:
        raise NotAlone("is a frame between three negative prompts; render from its film")
    if not between(spec):
        return {"keyframes": [keyframe(0, spec)]}
    if "path" in spec:
        path = (spec["path"]["start"], spec["path"]["end"])
        ends = [{**end, **more} for end, more in zip(path, recipe["ends"], strict=True)]
    else:
        ends = [{**spec, "negatives": [negative]} for negative in spec["negatives"]]
    return {"keyframes": [keyframe(at, end) for at, end in enumerate(ends)]}


def keyframe(at: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """A keyframe with these values."""
    if len(values["negatives"]) > 1:
        raise NotAlone("is a frame between negative prompts that change; render from its film")
    return {
        "at": at,
        "prompt": weights(values["prompts"]),
        "seed": weights(values["seeds"]),
        "negative": values["negatives"][0][0],
        "guidance": float(values["guidance"]),
        **({"lora": weights(values["loras"])} if values.get("loras") else {}),
    }


def weights(pairs: Any) -> Any:
    """One value, or values with weights."""
    return pairs[0][0] if len(pairs) == 1 else {value: float(weight) for value, weight in pairs}
