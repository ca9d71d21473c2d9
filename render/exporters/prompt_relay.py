"""Timed prompts for video models: Prompt Relay's JSON, and the timeline of LTX Director."""

from __future__ import annotations

import json

from render.exporters.outline import Exporter, Outline


def prompt_relay(film: Outline) -> bytes:
    """Prompt Relay's JSON: each prompt with its interval in seconds."""
    spans = list(film.spans())
    return as_json(
        {
            "global_prompt": "",
            "local_prompts": [said(mark.prompt) for _, _, mark in spans],
            "segment_intervals": [[float(begin), float(end)] for begin, end, _ in spans],
            "time_unit": "seconds",
        }
    )


def ltx_director(film: Outline) -> bytes:
    """The JSON of LTX Director's timeline (`timeline_data`): segments in frames, which are those of
    the film at its own rate. A segment has a frame at least."""
    segments: list[dict[str, object]] = []
    last = -1
    for begin, end, mark in film.spans():
        start = max(round(begin * film.fps), last + 1)
        length = max(1, round(end * film.fps) - start)
        segments.append(
            {
                "id": f"keyframe_{len(segments)}",
                "start": start,
                "length": length,
                "prompt": said(mark.prompt),
                "type": "text",
            }
        )
        last = start
    rate = film.fps.numerator if film.fps.denominator == 1 else float(film.fps)
    return as_json({"segments": segments, "audioSegments": [], "frame_rate": rate})


def said(text: str) -> str:
    """A prompt on one line; neither tool takes an empty one."""
    return " ".join(text.split()) or "-"


def as_json(value: object) -> bytes:
    """JSON that a person can read."""
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


PROMPT_RELAY = Exporter("timed prompts for Prompt Relay", ".relay.json", prompt_relay)
LTX_DIRECTOR = Exporter("a timeline of LTX Director", ".director.json", ltx_director)
