"""Seeds of Deforum's settings (`next_seed` of sd-webui-deforum): at which frames they change."""

from __future__ import annotations

from collections.abc import Mapping

from render.config.values import MAX_SEED
from render.importers.json_fields import JsonFields
from render.importers.schedules import read_schedule

LEAST_FRAMES = 8
"""Of a seed, on average, if its changes are to be keyframes."""
EVERY_FRAME = (
    "seed_behavior {}: each frame had a seed of its own there, so each picture was a new one; here "
    "the first seed stays"
)
AT_RANDOM = "a random seed (-1): sampling.seed names the one that is used here"
BLENDED = "seeds change at once there; here the noise goes smoothly from one to the next"


def seed_changes(
    fields: JsonFields, count: int, blends: bool
) -> tuple[Mapping[int, int], tuple[str, ...]]:
    """(seeds by the frames from which on they count, sentences about the lost).

    Args:
        blends: whether prompts are blended, and seeds with them.
    """
    first = fields.whole("seed")
    first = -1 if first is None else first
    behaviour = fields.text("seed_behavior", "iter")
    if behaviour == "schedule":
        return scheduled(fields, count, blends, first)
    if first < 0:
        return {}, (AT_RANDOM,)
    if first > MAX_SEED:
        raise fields.refusal("seed", f"{first} is larger than {MAX_SEED}")
    if behaviour == "fixed":
        return {0: first}, ()
    every = fields.whole("seed_iter_N") or 1
    cadence = 1 if blends else max(1, fields.whole("diffusion_cadence") or 1)
    if behaviour != "iter" or every * cadence < LEAST_FRAMES or blends:
        return {0: first}, (EVERY_FRAME.format(behaviour),)
    changes = range(cadence, count, every * cadence)
    return {0: first, **{frame: first + n for n, frame in enumerate(changes, 1)}}, ()


def scheduled(
    fields: JsonFields, count: int, blends: bool, first: int
) -> tuple[Mapping[int, int], tuple[str, ...]]:
    """The seeds of `seed_schedule`, which are the whole parts of its numbers."""
    text = fields.text("seed_schedule", "0:(s)")
    try:
        schedule = read_schedule(text, count, {"max_f": count - 1.0, "s": float(first)})
        numbers = [int(number) for number in schedule.numbers()]
    except ValueError as error:
        raise fields.refusal("seed_schedule", str(error)) from None
    runs = {
        frame: seed
        for frame, seed in enumerate(numbers)
        if frame == 0 or seed != numbers[frame - 1]
    }
    lost = [AT_RANDOM] if min(numbers) < 0 else []
    if max(numbers) > MAX_SEED:
        raise fields.refusal("seed_schedule", f"{max(numbers)} is larger than {MAX_SEED}")
    if len(runs) > 2 and len(runs) * LEAST_FRAMES > count:
        runs = {0: numbers[0]}
        lost.append(EVERY_FRAME.format("schedule"))
    if blends and len(runs) > 1:
        lost.append(BLENDED)
    return {frame: seed for frame, seed in runs.items() if seed >= 0}, tuple(lost)
