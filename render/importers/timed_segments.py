"""Segments of LTX Director's timeline, which count in frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from render.importers.comfy_graph import followed
from render.importers.json_fields import JsonFields
from render.importers.source import NO_JSON, Source

MOST_FRAMES = 1_000_000


@dataclass(frozen=True, slots=True)
class TimedPrompt:
    """A prompt from a frame on, for a number of frames."""

    start: int
    length: int
    prompt: str


def from_timeline(fields: JsonFields) -> list[TimedPrompt]:
    """The segments of a timeline, in order."""
    found = []
    for entry in fields.each("segments"):
        start, length = entry.whole("start") or 0, entry.whole("length")
        if not 0 <= start < MOST_FRAMES:
            raise entry.refusal("start", f"a frame from 0 to {MOST_FRAMES:,} belongs here")
        if length is None or not 0 < length < MOST_FRAMES:
            raise entry.refusal("length", "a number of frames from 1 belongs here")
        found.append(TimedPrompt(start, length, entry.text("prompt")))
    if not found:
        raise fields.refusal("segments", "holds no segment")
    found.sort(key=lambda segment: segment.start)
    shown = [one for one, after in pairwise(found) if after.start > one.start]
    return [*shown, found[-1]]


def lost_segments(fields: JsonFields) -> list[str]:
    """Sentences about pictures and sounds on a timeline."""
    lost = []
    if any(entry.has("imageFile") or entry.has("imageB64") for entry in fields.each("segments")):
        lost.append("pictures on the timeline: give keyframes their own image and strength")
    if fields.has("audioSegments"):
        lost.append("sounds on the timeline: output.audio=FILE puts one under the film")
    return lost


def in_frames(graph: JsonFields, node: JsonFields) -> tuple[list[TimedPrompt], list[str]]:
    """(segments, sentences about the lost) of a node: those of its timeline, else its local prompts
    between `|`, with their lengths between commas.

    Raises:
        ConfigError: it has none.
    """
    timeline = node.text("timeline_data")
    if timeline:
        source = Source(node.source.path, timeline.encode(errors="replace"))
        if source.data is NO_JSON or not isinstance(source.data, dict):
            raise node.refusal("timeline_data", "is no JSON object")
        fields = JsonFields(node.source, source.data, f"{node.path}timeline_data.")
        if fields.has("segments"):
            return from_timeline(fields), lost_segments(fields)
    texts = followed(graph, node, "local_prompts")
    if not isinstance(texts, str) or not texts.strip():
        raise node.refusal("local_prompts", "texts between | belong here")
    parts = [part.strip() for part in texts.split("|")]
    lengths = equal_or_given(graph, node, len(parts))
    starts = [0, *accumulate(lengths)][:-1]
    return [TimedPrompt(*each) for each in zip(starts, lengths, parts, strict=True)], []


def equal_or_given(graph: JsonFields, node: JsonFields, count: int) -> list[int]:
    """The lengths of segments in frames; equal ones where the node names none."""
    written = followed(graph, node, "segment_lengths")
    parts = [part for part in str(written or "").split(",") if part.strip()]
    if not parts:
        whole = node.whole("duration_frames") or node.whole("max_frames") or 120
        return [max(1, whole // count)] * count
    if len(parts) != count:
        raise node.refusal("segment_lengths", f"{len(parts)} lengths for {count} prompts")
    try:
        lengths = [int(float(part)) for part in parts]
    except (ValueError, OverflowError):
        raise node.refusal("segment_lengths", "numbers between commas belong here") from None
    if not all(0 < length < MOST_FRAMES for length in lengths):
        raise node.refusal("segment_lengths", "a length is a number of frames from 1")
    return lengths
