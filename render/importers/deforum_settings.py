"""Deforum's settings for the whole film: size, rate, sampler, guidance, sound and init image."""

from __future__ import annotations

from typing import Any

from render.importers.json_fields import JsonFields
from render.importers.local_files import local_file
from render.importers.samplers import sampler_loss, scheduler_settings
from render.importers.schedules import Schedule, ScheduledValue, read_schedule, tidy

FRAMES, RATE = 120, 15
"""Deforum's own values where a file says nothing."""
FROM_THE_LAST = (
    "strength_schedule: there each frame begins with the picture of the one before; here each "
    "begins with noise"
)
FROM_THE_INIT = (
    "strength_schedule: there each frame begins with the picture of the one before; here each "
    "begins with the init image"
)


def settings_of(
    fields: JsonFields, count: int, blends: bool, first: dict[str, Any]
) -> tuple[dict[str, ScheduledValue], dict[str, object], list[str]]:
    """(curves, settings, sentences about the lost).

    Args:
        blends: whether it is an animation of the mode "Interpolation".
        first: the first keyframe, which gets the init image.
    """
    settings = picture_settings(fields)
    curves: dict[str, ScheduledValue] = {}
    lost: list[str] = []
    guidance = schedule_of(fields, "cfg_scale_schedule", count).value()
    if isinstance(guidance, int | float):
        settings["sampling.guidance"] = guidance
    else:
        curves["guidance"] = guidance
    sampler = fields.text("sampler")
    settings |= scheduler_settings(sampler) if sampler else {}
    if sampler and "scheduler" not in settings:
        lost.append(sampler_loss(sampler))
    if steps := fields.whole("steps"):
        settings["scheduler.steps"] = steps
    lost += sound(fields, settings) + init_image(fields, count, blends, first, curves)
    return curves, settings, lost


def picture_settings(fields: JsonFields) -> dict[str, object]:
    """The rate and the size, which Deforum cuts to multiples of 8."""
    settings: dict[str, object] = {"output.fps": fields.number("fps") or RATE}
    for key, name in (("W", "output.width"), ("H", "output.height")):
        if side := fields.whole(key):
            settings[name] = side - side % 8
    return settings


def schedule_of(fields: JsonFields, key: str, count: int) -> Schedule:
    """A schedule of numbers.

    Raises:
        ConfigError: it is none.
    """
    default = {"cfg_scale_schedule": "0:(7)", "strength_schedule": "0:(0.65)"}[key]
    value = fields.values.get(key)
    text = f"0:({value})" if isinstance(value, int | float) else fields.text(key, default)
    seed = float(fields.whole("seed") or 0)
    try:
        schedule = read_schedule(text, count, {"max_f": count - 1.0, "s": seed})
        schedule.value()
    except ValueError as error:
        raise fields.refusal(key, str(error)) from None
    return schedule


def sound(fields: JsonFields, settings: dict[str, object]) -> list[str]:
    """Set the film's sound if its file is there; the sentence about one that is not."""
    kind = fields.text("add_soundtrack", "None")
    if kind == "None":
        return []
    name = fields.text("soundtrack_path")
    if kind == "File" and (file := local_file(fields.source, name)):
        settings["output.audio"] = file
        return []
    return [f"soundtrack {name or kind}: no such file is here; output.audio=FILE puts one under it"]


def init_image(
    fields: JsonFields,
    count: int,
    blends: bool,
    first: dict[str, Any],
    curves: dict[str, ScheduledValue],
) -> list[str]:
    """Set the init image and its strength if its file is there; the sentences about the lost.

    Deforum's strength is how much of the picture stays, and render's how far to go from it.
    """
    name = fields.text("init_image")
    if not (fields.flag("use_init") and name):
        return [] if blends else [FROM_THE_LAST]
    file = local_file(fields.source, name)
    if file is None:
        return [f"init_image {name}: no such file is here", *([] if blends else [FROM_THE_LAST])]
    first["image"] = file
    if blends:
        first["strength"] = tidy(1 - (fields.number("strength") or 0))
        return []
    strength = schedule_of(fields, "strength_schedule", count).value()
    rest = opposite(strength)
    if isinstance(rest, int | float):
        first["strength"] = rest
    else:
        curves["strength"] = rest
    return [FROM_THE_INIT]


def opposite(value: ScheduledValue) -> ScheduledValue:
    """1 less a value, between 0 and 1."""
    if isinstance(value, str):
        return f"clip(1 - ({value}), 0, 1)"
    if isinstance(value, dict):
        points = [{**point, "value": opposite(point["value"])} for point in value["points"]]
        return {"points": points}
    return tidy(min(1.0, max(0.0, 1 - value)))
