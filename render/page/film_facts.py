"""The facts of a film as its page has them: each frame's values, short enough for long films."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from render.plan.frame_plan import FramePlan

DIGITS = 4  # of a weight


def film_facts(plan: FramePlan) -> dict[str, Any]:
    """The values of a film's frames. A frame's texts and seeds are pairs of a place in the list of
    all of them and a weight; where all frames have the same, there is one entry in place of many.
    Seeds are texts, as the numbers of a browser are exact to 53 bits only.
    """
    specs = [frame.spec for frame in plan.frames]
    prompts = Table([spec.prompts for spec in specs])
    negatives = Table([spec.negatives for spec in specs])
    seeds = Table([[(str(seed), weight) for seed, weight in spec.seeds] for spec in specs])
    loras = Table([spec.loras for spec in specs])
    return {
        "count": len(plan.frames),
        "rate": [plan.fps.numerator, plan.fps.denominator],
        "loop": plan.loop,
        "width": plan.recipe.width,
        "height": plan.recipe.height,
        "keyframes": list(plan.keyframes),
        "bridges": [frame.index for frame in plan.frames if frame.bridge],
        "prompts": prompts.facts(),
        "negatives": negatives.facts(),
        "seeds": seeds.facts(),
        "loras": loras.facts(),
        "guidance": if_all_alike([spec.guidance for spec in specs]),
        "strength": if_all_alike([spec.strength for spec in specs]),
    }


class Table:
    """The values of one kind in each frame, by their places in the list of all of them."""

    def __init__(self, frames: Sequence[Sequence[tuple[Hashable, float]]]) -> None:
        every = dict.fromkeys(value for frame in frames for value, _ in frame)
        self.values = list(every)
        places: Mapping[Hashable, int] = {value: place for place, value in enumerate(every)}
        self.frames = [
            [[places[value], round(weight, DIGITS)] for value, weight in frame] for frame in frames
        ]

    def facts(self) -> dict[str, Any]:
        """The list of values, and the pairs of each frame, or those of all."""
        return {"values": self.values, "frames": if_all_alike(self.frames)}


def if_all_alike(values: list[Any]) -> list[Any]:
    """A list of one, if all values are alike; else all."""
    return values[:1] if all(value == values[0] for value in values[1:]) else values


def ranges(places: Iterable[int]) -> list[list[int]]:
    """`[[0, 2], [5, 5]]` for 0, 1, 2 and 5: first and last of each run of places."""
    found: list[list[int]] = []
    for place in sorted(places):
        if found and place == found[-1][1] + 1:
            found[-1][1] = place
        else:
            found.append([place, place])
    return found
