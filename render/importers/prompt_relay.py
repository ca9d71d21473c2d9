"""Timed prompts of Prompt Relay (its JSON of prompts), and of LTX Director, which works by it: the
JSON of its timeline, or a workflow of ComfyUI with its node or another one of Prompt Relay.

A global prompt belongs to the whole video, each local prompt to its segment; by Prompt Relay's
usual epsilon the border between two segments is sharp, so keyframes hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

from render.config.values import shown
from render.importers.comfy_graph import first_node, followed, graph_of, graph_settings, is_graph
from render.importers.imported import Imported, Importer
from render.importers.json_fields import JsonFields, holds_object
from render.importers.source import Source
from render.importers.timed_segments import TimedPrompt, from_timeline, in_frames, lost_segments
from render.importers.times import frames, seconds

NODES = ("LTXDirector", "PromptRelayEncode", "PromptRelayEncodeTimeline")
WAN_FRAMES, WAN_RATE, STRIDE = 81, 16, 4
"""Of Wan 2.2, with which Prompt Relay comes: its frames, their rate, and the frames of one latent
frame; the first latent frame is one frame."""
OVER = "segments that lie over each other: the later one begins at once here"
GAPS = "gaps between segments: the prompt before them stays"
NO_RATE = "the frame rate, which the file does not name: 16, as Wan 2.2 has it"


@dataclass(frozen=True, slots=True)
class Relay:
    """Timed prompts with all that belongs to them. `times` are as timelines have them."""

    times: Sequence[object]
    texts: Sequence[str]
    duration: object
    settings: Mapping[str, object]
    lost: Sequence[str]


def recognises(source: Source) -> bool:
    """Whether it has local prompts, a timeline of LTX Director, or a workflow with one."""
    if is_graph(source, *NODES):
        return True
    if holds_object(source, "segments", "audioSegments"):
        return True
    return holds_object(source, "local_prompts") and (
        not isinstance(source.data, dict) or isinstance(source.data["local_prompts"], list)
    )


def read(source: Source) -> Imported:
    """A keyframe for each segment."""
    if is_graph(source, *NODES):
        relay = of_graph(graph_of(source))
    else:
        fields = JsonFields.of(source)
        relay = of_timeline(fields) if "segments" in fields.values else of_prompts(fields)
    keyframes: list[dict[str, Any]] = [
        {"at": time, "prompt": text, "ease": "hold"}
        for time, text in zip(relay.times, relay.texts, strict=True)
    ]
    timeline = {"duration": relay.duration, "end": "open"}
    return Imported(keyframes, timeline, dict(relay.settings), list(dict.fromkeys(relay.lost)))


def whole_prompt(before: str, local: str) -> str:
    """A local prompt behind the global one, on one line."""
    return " ".join(f"{before} {local}".split())


def of_prompts(fields: JsonFields) -> Relay:
    """Prompt Relay's own JSON."""
    before = fields.text("global_prompt")
    texts = [whole_prompt(before, local) for local in fields.texts("local_prompts")]
    if not texts:
        raise fields.refusal("local_prompts", "holds no prompt")
    key = next((key for key in ("segment_intervals", "time_intervals") if fields.has(key)), None)
    in_seconds = key == "time_intervals" or fields.text("time_unit") == "seconds"
    if key and in_seconds:
        return by_seconds(fields, key, texts)
    return by_latents(fields, key, texts)


def by_seconds(fields: JsonFields, key: str, texts: list[str]) -> Relay:
    """Prompts with their intervals in seconds."""
    spans = [
        (Fraction(begin).limit_denominator(120_000), Fraction(end).limit_denominator(120_000))
        for begin, end in intervals(fields, key, len(texts))
    ]
    ordered = sorted(zip(spans, texts, strict=True), key=lambda pair: pair[0])
    times, lost = borders([span for span, _ in ordered])
    shown_texts = [text for _, text in ordered]
    end = max(until for _, until in spans)
    return Relay([seconds(time) for time in times], shown_texts, seconds(end), {}, lost)


def by_latents(fields: JsonFields, key: str | None, texts: list[str]) -> Relay:
    """Prompts with their lengths or intervals in latent frames, else of equal lengths."""
    settings, lost = {"output.fps": WAN_RATE}, [NO_RATE]
    if key:
        spans = intervals(fields, key, len(texts))
        ordered = sorted(zip(spans, texts, strict=True), key=lambda pair: pair[0])
        starts, more = borders([(Fraction(a), Fraction(b)) for (a, b), _ in ordered])
        if any(each != int(each) for span in spans for each in span):
            raise fields.refusal(key, "latent frames are whole; of seconds, say time_unit: seconds")
        latents = [int(start) for start in starts]
        texts, total = [text for _, text in ordered], int(max(end for _, end in spans))
        lost += more
    else:
        lengths = latent_lengths(fields, len(texts))
        latents, total = [0, *accumulate(lengths)][:-1], sum(lengths)
    times = [frames(first_frame(latent)) for latent in latents]
    return Relay(times, texts, frames(first_frame(total)), settings, lost)


def first_frame(latent: int) -> int:
    """The first frame of a latent frame."""
    return 0 if latent == 0 else 1 + STRIDE * (latent - 1)


def latent_lengths(fields: JsonFields, count: int) -> list[int]:
    """The lengths of segments in latent frames."""
    if not fields.has("segment_lengths"):
        whole, rest = divmod((WAN_FRAMES - 1) // STRIDE + 1, count)
        return [max(1, whole + (place < rest)) for place in range(count)]
    lengths = fields.items("segment_lengths")
    if len(lengths) != count:
        raise fields.refusal("segment_lengths", f"{len(lengths)} lengths for {count} prompts")
    found = []
    for place, length in enumerate(lengths):
        if isinstance(length, bool) or not isinstance(length, int) or not 0 < length < 10**6:
            what = f"a number of latent frames from 1 belongs here, not {shown(length)}"
            raise fields.refusal(f"segment_lengths.{place}", what)
        found.append(length)
    return found


def intervals(fields: JsonFields, key: str, count: int) -> list[tuple[float, float]]:
    """The begin and the end of each segment.

    Raises:
        ConfigError: they are not as many as prompts, or one is no interval.
    """
    pairs = fields.items(key)
    if len(pairs) != count:
        raise fields.refusal(key, f"{len(pairs)} intervals for {count} prompts")
    found = []
    for place, pair in enumerate(pairs):
        numbers = [
            float(each)
            for each in (pair if isinstance(pair, list) else [])
            if isinstance(each, int | float) and not isinstance(each, bool)
        ]
        if len(numbers) != 2 or not 0 <= numbers[0] < numbers[1] < 1e6:
            what = f"[BEGIN, END] belongs here, not {shown(pair)}"
            raise fields.refusal(f"{key}.{place}", what)
        found.append((numbers[0], numbers[1]))
    return found


def borders(spans: Sequence[tuple[Fraction, Fraction]]) -> tuple[list[Fraction], list[str]]:
    """(when each segment begins, the first at 0; sentences about the lost)."""
    lost = []
    for (begin, end), (after, _) in pairwise(spans):
        if after == begin:
            lost.append(OVER)
        elif after != end:
            lost.append(OVER if after < end else GAPS)
    return [Fraction(0), *(begin for begin, _ in spans[1:])], lost


def of_timeline(fields: JsonFields) -> Relay:
    """The JSON of LTX Director's timeline."""
    segments = from_timeline(fields)
    rate = fields.number("frame_rate")
    fps = Fraction(rate).limit_denominator(1001) if rate else Fraction(24)
    lost = lost_segments(fields)
    if rate is None:
        lost.append("the frame rate, which a timeline does not name: 24, as LTX Director has it")
    return placed(segments, "", None, {"output.fps": seconds(fps)}, lost)


def of_graph(graph: JsonFields) -> Relay:
    """The first node of a workflow that has timed prompts."""
    node = first_node(graph, *NODES)
    settings, _, lost = graph_settings(graph)
    before = followed(graph, node, "global_prompt")
    rate = node.number("frame_rate")
    settings["output.fps"] = seconds(Fraction(rate or 24).limit_denominator(1001))
    for key, name in (("custom_width", "output.width"), ("custom_height", "output.height")):
        if side := node.whole(key):
            settings[name] = side
    segments, more = in_frames(graph, node)
    count = node.whole("duration_frames") or node.whole("max_frames")
    return placed(segments, before if isinstance(before, str) else "", count, settings, lost + more)


def placed(
    segments: Sequence[TimedPrompt],
    before: str,
    count: int | None,
    settings: Mapping[str, object],
    lost: Sequence[str],
) -> Relay:
    """Segments in frames as timed prompts.

    Args:
        count: frames of the video; None: up to the last segment's end.
    """
    spans = [(Fraction(each.start), Fraction(each.start + each.length)) for each in segments]
    times, more = borders(spans)
    inside = [place for place, time in enumerate(times) if count is None or time < count]
    ends = count or max(int(end) for _, end in spans)
    return Relay(
        [frames(int(times[place])) for place in inside],
        [whole_prompt(before, segments[place].prompt) for place in inside],
        frames(ends),
        settings,
        [*lost, *more],
    )


PROMPT_RELAY = Importer("timed prompts of Prompt Relay or LTX Director", recognises, read)
