"""Manifests of Parseq: the values of every frame of a film of Deforum (`rendered_frames`).

Keyframes are where the values turn: between two of them prompts and seeds are linear, as at every
frame of the manifest. A seed between two whole numbers is a noise between theirs (subseeds).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from render.config.values import MAX_SEED
from render.importers.camera import CAMERA, camera_loss, listed
from render.importers.imported import Imported, Importer
from render.importers.json_fields import JsonFields, holds_object, plain
from render.importers.linear_runs import turning_points
from render.importers.schedules import as_points
from render.importers.source import Source
from render.importers.times import frames
from render.importers.weighted_prompts import WeightedPrompt, read_prompt

TOLERANCE = 0.002
"""How far a frame's weights may lie from the line between two keyframes: no eye sees it, and a
curve has few keyframes by it."""
GUIDANCE_TOLERANCE = 1e-3
MOST_FRAMES = 1_000_000_000
CARRIED = {"frame", "deforum_prompt", "scale", "seed", "subseed", "subseed_strength"}
NO_FRAMES = "is not there; press Render in Parseq and save what it makes"
NO_PROMPTS = "holds no deforum_prompt: the prompts are Deforum's own; import its settings"


@dataclass(frozen=True, slots=True)
class ManifestFrame:
    """A frame of a manifest. `values` are the weights of its prompts, seeds and negatives."""

    number: int
    prompt: WeightedPrompt
    seed: float | None
    scale: float | None
    values: Mapping[Hashable, float]


def recognises(source: Source) -> bool:
    """Whether it is what Parseq makes, or the document that it makes it from."""
    return holds_object(source, "options", "rendered_frames") or holds_object(
        source, "options", "keyframes", "managedFields"
    )


def read(source: Source) -> Imported:
    """Keyframes where values turn, and the guidance as a curve."""
    fields = JsonFields.of(source)
    if not fields.has("rendered_frames"):
        raise fields.refusal("rendered_frames", NO_FRAMES)
    rows = manifest_frames(fields)
    turns = turning_points([row.number for row in rows], [row.values for row in rows], TOLERANCE)
    negatives = {row.prompt.negative for row in rows}
    shown = list(keyframes([rows[turn] for turn in turns], len(negatives) > 1))
    settings, curves = settings_of(fields, rows)
    if len(negatives) == 1 and negatives != {""}:
        settings["sampling.negative"] = negatives.pop()
    length = {"duration": frames(rows[-1].number + 1), "end": "open"}
    timeline = {**length, **({"curves": curves} if curves else {})}
    return Imported(shown, timeline, settings, losses(fields, rows))


def manifest_frames(fields: JsonFields) -> list[ManifestFrame]:
    """The frames in order. A value that a frame leaves out is that of the one before; of two
    frames of one number the later one counts."""
    found: dict[int, ManifestFrame] = {}
    last: dict[str, object] = {}
    for entry in fields.each("rendered_frames"):
        number = entry.whole("frame")
        if number is None or not 0 <= number < MOST_FRAMES:
            raise entry.refusal("frame", "a frame's number from 0 belongs here")
        last = {**last, **{key: entry.values[key] for key in CARRIED if key in entry.values}}
        if "deforum_prompt" not in last:
            raise fields.refusal("rendered_frames", NO_PROMPTS)
        found[number] = manifest_frame(JsonFields(entry.source, last, entry.path), number)
    first = min(found)
    ordered = [found[number] for number in sorted(found)]
    if first > 0:
        start = ordered[0]
        ordered.insert(0, ManifestFrame(0, start.prompt, start.seed, start.scale, start.values))
    return ordered


def manifest_frame(entry: JsonFields, number: int) -> ManifestFrame:
    """One frame, with the weights of all that it shows."""
    try:
        prompt = read_prompt(entry.text("deforum_prompt"), number, {})
    except ValueError as error:
        raise entry.refusal("deforum_prompt", str(error)) from None
    seed = entry.number("seed")
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise entry.refusal("seed", f"{seed} is not between 0 and {MAX_SEED}")
    weights = {text: float(weight) for text, weight in prompt.texts.items()}
    whole = sum(weights.values())
    if not whole > 0:
        what = "all weights are zero here; render shows at least one prompt"
        raise entry.refusal("deforum_prompt", what)
    values: dict[Hashable, float] = {("text", key): w / whole for key, w in weights.items()}
    values[("negative", prompt.negative)] = 1.0
    values |= {("seed", key): weight for key, weight in seed_weights(seed).items()}
    return ManifestFrame(number, prompt, seed, entry.number("scale"), values)


def seed_weights(seed: float | None) -> dict[int, float]:
    """The two seeds whose noise is blended, by their weights: those around a number."""
    if seed is None:
        return {}
    below = math.floor(seed)
    part = round(seed - below, 6)
    return {below: 1.0} if not part else {below: round(1 - part, 6), below + 1: part}


def keyframes(rows: Sequence[ManifestFrame], own_negative: bool) -> list[dict[str, Any]]:
    """The keyframes at the frames where values turn; one that holds until its values jump has
    `ease: hold` in place of a second keyframe before the jump."""
    found: list[dict[str, Any]] = []
    place, before = 0, None
    while place < len(rows):
        row = rows[place]
        keyframe = written(row, before, own_negative)
        following = rows[place + 1 : place + 3]
        jumps = len(following) == 2 and following[1].number == following[0].number + 1
        if jumps and following[0].values == row.values and following[1].values != row.values:
            keyframe["ease"] = "hold"
            place += 1
        last = place == len(rows) - 1
        if not (last and before is not None and before.values == row.values):
            found.append(keyframe)
        before, place = row, place + 1
    return found


def written(row: ManifestFrame, before: ManifestFrame | None, own_negative: bool) -> dict[str, Any]:
    """A keyframe as a person would write it: without the prompt and seed of the one before."""
    keyframe: dict[str, Any] = {"at": frames(row.number)}
    if before is None or text_weights(before) != text_weights(row):
        weights = {key: round(weight, 4) for key, weight in text_weights(row).items()}
        kept = {text: plain(weight) for text, weight in weights.items() if weight}
        keyframe["prompt"] = next(iter(kept)) if len(kept) == 1 else kept
    if own_negative:
        keyframe["negative"] = row.prompt.negative
    seeds = seed_weights(row.seed)
    if seeds and (before is None or seed_weights(before.seed) != seeds):
        keyframe["seed"] = next(iter(seeds)) if len(seeds) == 1 else seeds
    return keyframe


def text_weights(row: ManifestFrame) -> dict[str, float]:
    """The shares of a frame's texts."""
    return {
        key[1]: weight
        for key, weight in row.values.items()
        if isinstance(key, tuple) and key[0] == "text"
    }


def settings_of(
    fields: JsonFields, rows: Sequence[ManifestFrame]
) -> tuple[dict[str, object], dict[str, object]]:
    """(settings, curves): the rate, and the guidance scale as a number or over time."""
    settings: dict[str, object] = {}
    options = fields.inside("options")
    rate = next((key for key in ("output_fps", "input_fps") if options.has(key)), None)
    if rate:
        settings["output.fps"] = options.number(rate)
    scales = [row.scale for row in rows if row.scale is not None]
    if len(scales) < len(rows):
        return settings, {}
    guidance = as_points([row.number for row in rows], scales, GUIDANCE_TOLERANCE)
    if isinstance(guidance, int | float):
        return {**settings, "sampling.guidance": guidance}, {}
    return settings, {"guidance": guidance}


def losses(fields: JsonFields, rows: Sequence[ManifestFrame]) -> list[str]:
    """A sentence for each kind of thing that could not be carried over."""
    names = {key: None for entry in fields.each("rendered_frames") for key in entry.values}
    others = [
        name
        for name in names
        if name not in CARRIED and not name.endswith(("_delta", "_pc")) and name != "strength"
    ]
    lost = []
    if moved := [name for name in others if name in CAMERA and moves(fields, name)]:
        lost.append(camera_loss(moved))
    if "strength" in names:
        lost.append("strength: there a frame begins with the picture of the one before")
    if rest := [name for name in others if name not in CAMERA]:
        lost.append(f"{listed(rest)}: timelines have no such values")
    if fields.inside("options").has("cadence"):
        lost.append("cadence: every frame is rendered here")
    said = dict.fromkeys(each for row in rows for each in row.prompt.lost)
    return [*lost, *said]


def moves(fields: JsonFields, name: str) -> bool:
    """Whether a value of the camera is ever another one than that with which nothing moves."""
    entries = fields.each("rendered_frames")
    return any(entry.values.get(name, CAMERA[name]) != CAMERA[name] for entry in entries)


PARSEQ = Importer("a manifest of Parseq", recognises, read)
