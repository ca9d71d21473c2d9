"""A frame's own recipe as a config: a timeline of one keyframe, or of the two around it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from render.plan.blends import BLENDS

MOST_PARTS = 100_000  # of a way on which a frame is
EXACT = ("guidance_interval", "deep_cache", "block_cache")
"""Approximations that a frame alone can be rendered with; others need frames around it."""


def recipe_of_frame(
    spec: Mapping[str, Any], recipe: Mapping[str, Any], digest: str
) -> dict[str, Any]:
    """The config of a film that shows this frame.

    Args:
        spec, recipe: as they stand in the frame's picture.

    Raises:
        ValueError: the frame can't be rendered by itself; says why.
        KeyError, TypeError, IndexError: they are no spec and recipe.
    """
    taken = dict(recipe.get("shortcuts", {}))
    if spec.get("early") or taken.get("trunk"):
        raise ValueError(
            "is a frame whose early steps other frames have in common (sampling.anchors or "
            "sampling.trunk); render from its film"
        )
    if spec.get("images") or spec.get("control"):
        raise ValueError(
            "is a frame that began from a picture, or follows one, which its file does not hold; "
            "render from its film"
        )
    blends = {blend.identity(name): name for name, blend in BLENDS.items()}
    width, height, steps = (int(recipe[key]) for key in ("width", "height", "steps"))
    options = dict(recipe.get("scheduler_options", {}))
    return {
        "name": f"frame-{digest[:12]}",
        "timeline": {"name": f"frame-{digest[:12]}", **timeline(spec)},
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
            **({"fps": str(place(spec).denominator)} if "path" in spec else {}),
        },
        "compute": {"dtype": str(recipe["dtype"])},
        **({"at": f"{place(spec).numerator}f"} if "path" in spec else {}),
    }


def place(spec: Mapping[str, Any]) -> Fraction:
    """How far along its path a frame is, 0 to 1."""
    return Fraction(float(spec["path"]["place"])).limit_denominator(MOST_PARTS)


def timeline(spec: Mapping[str, Any]) -> dict[str, Any]:
    """One keyframe; on a smooth path the two at its ends, a second apart."""
    common = {
        "guidance": float(spec["guidance"]),
        "negative": weights(spec["negatives"]),
        **({"lora": weights(spec["loras"])} if spec.get("loras") else {}),
    }
    ends = [spec["path"]["start"], spec["path"]["end"]] if "path" in spec else [spec]
    return {
        "keyframes": [
            {"at": at, "prompt": weights(end["prompts"]), "seed": weights(end["seeds"]), **common}
            for at, end in enumerate(ends)
        ]
    }


def weights(pairs: Any) -> Any:
    """One value, or values with weights."""
    return pairs[0][0] if len(pairs) == 1 else {value: float(weight) for value, weight in pairs}
