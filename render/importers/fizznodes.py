"""Prompt schedules of FizzNodes: lines of `"30": "a prompt",`, by themselves or in a workflow of
ComfyUI. Between two keys the texts are blended linearly (`interpolate_prompt_series` there)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from render.importers.comfy_graph import (
    first_node,
    followed,
    graph_of,
    graph_settings,
    is_graph,
    nodes_of,
    whole_input,
)
from render.importers.expressions import number_of, read_expression
from render.importers.imported import Imported, Importer
from render.importers.json_fields import JsonFields
from render.importers.source import Source
from render.importers.times import frames
from render.importers.weighted_prompts import WeightedPrompt, gathered, mixture, read_prompt

KINDS = (
    "BatchPromptSchedule", "PromptSchedule", "BatchPromptScheduleLatentInput",
    "BatchStringSchedule", "StringSchedule",
)  # fmt: skip
LINE = re.compile(r'\s*"[^"\n]{1,60}"\s*:\s*"')
PAIR = re.compile(r'\s*("(?:[^"\\]|\\.)*")\s*:\s*("(?:[^"\\]|\\.)*")\s*(,|\Z)')
SPACE = re.compile(r"\s*")
MOST_FRAMES = 1_000_000
NO_RATE = "the frame rate, which the file does not name: output.fps is render's own"
NO_LENGTH = "max_frames, which the file does not name: the film ends with the last prompt"
EMBEDDINGS = "the way of blending: texts' embeddings, as sampling.blend=embedding does here"
WORKED_OUT = "{} comes from a node that works it out, and is left out"


@dataclass(frozen=True)
class PromptScheduleText:
    """A schedule with all that belongs to it.

    Attributes:
        text: its lines.
        before: the text before each prompt, and `after` the one behind it.
        count: frames of the film; None if the file names none.
        names: the values of `pw_a` … `pw_d`.
        lost: sentences about what could not be carried over.
    """

    text: str
    before: str = ""
    after: str = ""
    count: int | None = None
    names: Mapping[str, float] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def recognises(source: Source) -> bool:
    """Whether it begins with a line of a schedule, or is a workflow with one."""
    return is_schedule(source) or is_graph(source, *KINDS)


def is_schedule(source: Source) -> bool:
    """Whether it is a schedule by itself, also in the braces of Deforum's box of prompts."""
    if LINE.match(source.text):
        return True
    data = source.data
    pairs = list(data.items()) if isinstance(data, dict) else []
    return bool(pairs) and all(str(k).isdecimal() and isinstance(v, str) for k, v in pairs)


def read(source: Source) -> Imported:
    """A keyframe for each prompt."""
    if is_schedule(source):
        text = source.text.strip().removeprefix("{").removesuffix("}")
        schedule = PromptScheduleText(text, lost=(NO_RATE, NO_LENGTH))
        settings: dict[str, object] = {}
        seed = None
    else:
        graph = graph_of(source)
        settings, seed, lost = graph_settings(graph)
        schedule = schedule_of(graph, lost + ([] if "output.fps" in settings else [NO_RATE]))
    prompts = placed(source, schedule)
    count = schedule.count or max(prompts) + 1
    negatives = {prompt.negative for prompt in prompts.values()}
    shown, lost_at = keyframes(prompts, count, len(negatives) > 1)
    if seed is not None:
        shown[0]["seed"] = seed
    if len(negatives) == 1 and negatives != {""}:
        settings["sampling.negative"] = negatives.pop()
    timeline = {"duration": frames(schedule.count), "end": "open"} if schedule.count else {}
    shared, single = gathered(lost_at)
    return Imported(shown, timeline, settings, [EMBEDDINGS, *schedule.lost, *shared], single)


def schedule_of(graph: JsonFields, lost: list[str]) -> PromptScheduleText:
    """The schedule of a workflow's first node that has one.

    Raises:
        ConfigError: its text comes from nowhere.
    """
    first, others = first_node(graph, *KINDS), len(list(nodes_of(graph, *KINDS))) - 1
    texts = {key: followed(graph, first, key) for key in ("text", "pre_text", "app_text")}
    if not isinstance(texts["text"], str):
        raise first.refusal("text", "a schedule's text belongs here")
    names = {f"pw_{letter}": 0.0 for letter in "abcd"}
    for name in [*names, "pre_text", "app_text"]:
        value = followed(graph, first, name)
        if name in names and isinstance(value, int | float):
            names[name] = float(value)
        elif name in first.values and not isinstance(value, int | float | str):
            lost.append(WORKED_OUT.format(name))
    around = [each if isinstance(each, str) else "" for each in list(texts.values())[1:]]
    if others:
        lost.append(f"{others} more prompt schedules of the workflow; this is the first")
    return PromptScheduleText(
        texts["text"], around[0], around[1], frame_count(graph, first, lost), names, tuple(lost)
    )


def frame_count(graph: JsonFields, inputs: JsonFields, lost: list[str]) -> int | None:
    """The frames of the film: `max_frames`, or those of the latents that a schedule is for."""
    count = whole_input(graph, inputs, "max_frames")
    if count is None and "num_latents" in inputs.values:
        for latents in nodes_of(graph, "EmptyLatentImage", "ADE_EmptyLatentImageLarge"):
            count = whole_input(graph, latents, "batch_size")
    if count is None:
        lost.append(NO_LENGTH)
    elif not 1 <= count <= MOST_FRAMES:
        raise inputs.refusal("max_frames", f"{count} frames; give 1 to {MOST_FRAMES:,}")
    return count


def placed(source: Source, schedule: PromptScheduleText) -> dict[int, WeightedPrompt]:
    """The prompts by their frames, in order, the first at 0."""
    found: dict[int, WeightedPrompt] = {}
    names = {**schedule.names, "max_f": float(schedule.count or 0)}
    before, _, before_negative = schedule.before.partition("--neg")
    after, _, after_negative = schedule.after.partition("--neg")
    for line, key, text in pairs(source, schedule.text):
        positive, _, negative = text.partition("--neg")
        whole = f"{before} {positive} {after} --neg {before_negative} {negative} {after_negative}"
        try:
            frame = int(number_of(read_expression(key), names))
            inside = {**names, "max_f": max(0.0, names["max_f"] - 1)}
            found[frame] = read_prompt(whole, frame, inside)
        except ValueError as error:
            raise source.refusal(str(error), line, f'"{key}"') from None
        if not 0 <= frame <= MOST_FRAMES:
            raise source.refusal(f"a frame is 0 to {MOST_FRAMES:,}", line, f'"{key}"')
    if not found:
        raise source.refusal("holds no prompt")
    ordered = dict(sorted(found.items()))
    return ordered if 0 in ordered else {0: next(iter(ordered.values())), **ordered}


def pairs(source: Source, text: str) -> list[tuple[int | None, str, str]]:
    """(line in the file, key, text) of each entry of a schedule.

    Raises:
        ConfigError: something else is there.
    """
    found, place, line, own = [], 0, 1, text is source.text
    body = text.rstrip().removesuffix(",")
    while place < len(body):
        match = PAIR.match(body, place)
        begin = SPACE.match(body, place).end()  # type: ignore[union-attr]
        line += body.count("\n", place, begin)
        if not match:
            where = "" if own else f"line {line} of the schedule: "
            what = f'{where}"FRAME": "PROMPT" belongs here, with a comma before the next one'
            raise source.refusal(what, line if own else None)
        found.append((line if own else None, unquoted(match[1]), unquoted(match[2])))
        line += body.count("\n", begin, match.end())
        place = match.end()
    return found


def unquoted(text: str) -> str:
    """A quoted text as JSON has it; line ends in it are spaces."""
    try:
        value: str = json.loads(" ".join(text.splitlines()))
    except ValueError:  # an escape that JSON has not
        return text[1:-1]
    return value


def keyframes(
    prompts: Mapping[int, WeightedPrompt], count: int, own_negative: bool
) -> tuple[list[dict[str, Any]], dict[int, tuple[str, ...]]]:
    """(keyframes, sentences about the lost by their places). One at the film's end is part of
    a blend that goes beyond it."""
    rows = [(frame, each.written, each) for frame, each in prompts.items() if frame < count]
    lost = {place: row[2].lost for place, row in enumerate(rows) if row[2].lost}
    beyond = min((frame for frame in prompts if frame >= count), default=None)
    before, _, last = rows[-1]
    if beyond is not None and before < count - 1:
        share = (count - 1 - before) / (beyond - before)
        rows.append((count - 1, mixture(last, prompts[beyond], share), last))
    found: list[dict[str, Any]] = []
    for frame, written, prompt in rows:
        negative = {"negative": prompt.negative} if own_negative else {}
        found.append({"at": frames(frame), "prompt": written, **negative})
    return found, lost


FIZZNODES = Importer("a prompt schedule of FizzNodes", recognises, read)
