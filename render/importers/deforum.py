"""Settings of Deforum (sd-webui-deforum, and the notebook before it), as it saves them.

Prompts belong to frames. In the mode "Interpolation" they are blended linearly
(`interpolate_prompts` of sd-webui-deforum), in all others each begins at its frame at once
(`render_animation` there).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from render.importers.deforum_losses import losses
from render.importers.deforum_seeds import seed_changes
from render.importers.deforum_settings import FRAMES, settings_of
from render.importers.expressions import number_of, read_expression
from render.importers.imported import Imported, Importer
from render.importers.json_fields import JsonFields, holds_object
from render.importers.source import Source
from render.importers.times import frames
from render.importers.weighted_prompts import WeightedPrompt, gathered, mixture, read_prompt

MOST_FRAMES = 200_000
BEYOND = "prompts at frames that the film has not: {}"


@dataclass(frozen=True, slots=True)
class PlacedPrompt:
    """A keyframe's prompt in the film of a schedule: None where only the seed changes."""

    frame: int
    prompt: WeightedPrompt | None
    written: object
    negative: str


def recognises(source: Source) -> bool:
    """Whether it has the frames and the mode of Deforum's animations, beside prompts."""
    return holds_object(source, "animation_mode", "max_frames") and any(
        holds_object(source, key) for key in ("prompts", "animation_prompts")
    )


def read(source: Source) -> Imported:
    """A keyframe for each prompt, and for each change of the seed."""
    fields = JsonFields.of(source)
    count = frame_count(fields)
    blends = fields.text("animation_mode") == "Interpolation"
    prompts = placed_prompts(fields, count)
    shown = {frame: prompt for frame, prompt in prompts.items() if frame < count}
    seeds, seed_losses = seed_changes(fields, count, blends)
    rows = blended(prompts, seeds, count) if blends else cut(shown, seeds)
    negatives = {row.negative for row in rows}
    keyframes = [keyframe(row, seeds, blends, len(negatives) > 1) for row in rows]
    curves, settings, setting_losses = settings_of(fields, count, blends, keyframes[0])
    if len(negatives) == 1 and negatives != {""}:
        settings["sampling.negative"] = negatives.pop()
    lost = [*setting_losses, *seed_losses, *losses(fields)]
    if beyond := [str(frame) for frame in prompts if frame >= count]:
        lost.append(BEYOND.format(", ".join(beyond[:5])))
    timeline = {"duration": frames(count), "end": "open", **({"curves": curves} if curves else {})}
    lost_at = {
        place: row.prompt.lost
        for place, row in enumerate(rows)
        if row.prompt is not None and row.prompt.lost
    }
    shared, single = gathered(lost_at)
    return Imported(keyframes, timeline, settings, lost + shared, single)


def frame_count(fields: JsonFields) -> int:
    """The frames of the film."""
    count = fields.whole("max_frames")
    count = FRAMES if count is None else count
    if not 1 <= count <= MOST_FRAMES:
        raise fields.refusal("max_frames", f"{count} frames; give 1 to {MOST_FRAMES:,}")
    return count


def placed_prompts(fields: JsonFields, count: int) -> dict[int, WeightedPrompt]:
    """The prompts by their frames, in order, the first at 0.

    The texts for all prompts are those of `animation_prompts_positive` and `…_negative`; files
    of a run have them in each prompt already, and again as `positive_prompts`.
    """
    key = "prompts" if fields.has("prompts") else "animation_prompts"
    if isinstance(fields.values.get(key), list) and fields.has("animation_prompts"):
        key = "animation_prompts"  # the notebook's `prompts` are those of still pictures
    written = fields.inside(key)
    around = tuple(fields.text(f"animation_prompts_{part}") for part in ("positive", "negative"))
    placed: dict[int, WeightedPrompt] = {}
    for place in written.values:
        text = written.text(place)
        before, after = around[0], around[1].replace("--neg", "")
        dash = "" if "--neg" in text or not after else "--neg"
        try:
            frame = int(number_of(read_expression(place), {"max_f": count}))
            names = {"max_f": count - 1.0}
            placed[frame] = read_prompt(f"{before} {text} {dash} {after}", frame, names)
        except ValueError as error:
            raise written.refusal(place, str(error)) from None
        if frame < 0:
            raise written.refusal(place, "is a frame before the first one")
    if not placed:
        raise fields.refusal("prompts", "holds no prompt")
    ordered = dict(sorted(placed.items()))
    first = next(iter(ordered))
    return ordered if first == 0 else {0: ordered[first], **ordered}


def cut(prompts: Mapping[int, WeightedPrompt], seeds: Mapping[int, int]) -> list[PlacedPrompt]:
    """Keyframes that each begin at once."""
    rows, negative = [], ""
    shown: WeightedPrompt | None = None
    for frame in sorted({*prompts, *seeds}):
        prompt = prompts.get(frame)
        negative = prompt.negative if prompt else negative
        same = prompt and shown and (prompt.texts, negative) == (shown.texts, shown.negative)
        if same and frame not in seeds:
            continue
        shown = prompt or shown
        rows.append(PlacedPrompt(frame, prompt, prompt.written if prompt else None, negative))
    return rows


def blended(
    prompts: Mapping[int, WeightedPrompt], seeds: Mapping[int, int], count: int
) -> list[PlacedPrompt]:
    """Keyframes between which prompts are blended, with one where only a seed changes and one at
    the film's end if the blend goes beyond it."""
    known = list(prompts)
    places = {frame for frame in prompts if frame < count} | {*seeds}
    if known[-1] >= count:
        places.add(count - 1)
    rows = []
    for frame in sorted(places):
        before = known[bisect_right(known, frame) - 1]
        later = bisect_left(known, frame)
        after = known[later] if later < len(known) else before
        share = (frame - before) / (after - before) if after > before else 0.0
        written = mixture(prompts[before], prompts[after], share)
        prompt = prompts[before]
        exact = prompt.written if frame in prompts else written
        rows.append(
            PlacedPrompt(frame, prompt if frame in prompts else None, exact, prompt.negative)
        )
    return rows


def keyframe(
    row: PlacedPrompt, seeds: Mapping[int, int], blends: bool, own_negative: bool
) -> dict[str, Any]:
    """A keyframe as a timeline has it."""
    found: dict[str, Any] = {"at": frames(row.frame)}
    if row.written is not None:
        found["prompt"] = row.written
    if own_negative:
        found["negative"] = row.negative
    if row.frame in seeds:
        found["seed"] = seeds[row.frame]
    if not blends:
        found["ease"] = "hold"
    return found


DEFORUM = Importer("settings of Deforum", recognises, read)
