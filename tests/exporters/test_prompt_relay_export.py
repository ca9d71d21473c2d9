"""Timed prompts for Prompt Relay and LTX Director, and the way back."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from render.exporters.outline import EXPORTERS, Mark, Outline
from render.importers.imported import imported
from render.importers.source import Source
from render.timeline.spec import FrameSpec

NTSC = Fraction(30_000, 1001)


def film(fps, *frames_and_texts, count):
    """A film whose keyframes are at frames."""
    places = [Fraction(frame) / fps for frame, _ in frames_and_texts]
    marks = [
        Mark(time, until, FrameSpec(((text, 1.0),), (("", 1.0),), ((0, 1.0),), 7.0), "hold")
        for time, until, (_, text) in zip(
            places, [*places[1:], count / fps], frames_and_texts, strict=True
        )
    ]
    return Outline("film", fps, count, (64, 64), tuple(marks), Path("/frames"), None, None)


def written(kind, outline):
    return json.loads(EXPORTERS[kind].write(outline))


def back(kind, outline):
    """(kind, timeline) of an export, imported again."""
    return imported(Source(Path("film.json"), EXPORTERS[kind].write(outline)))


def test_prompt_relay_has_seconds():
    found = written("prompt_relay", film(Fraction(24), (0, "a town"), (36, "a\nwood"), count=60))
    assert found == {
        "global_prompt": "",
        "local_prompts": ["a town", "a wood"],
        "segment_intervals": [[0.0, 1.5], [1.5, 2.5]],
        "time_unit": "seconds",
    }


def test_ltx_director_has_frames():
    found = written("ltx_director", film(Fraction(24), (0, "a town"), (36, ""), count=60))
    assert [(each["start"], each["length"], each["prompt"]) for each in found["segments"]] == [
        (0, 36, "a town"),
        (36, 24, "-"),
    ]
    assert found["audioSegments"] == []


@pytest.mark.parametrize("fps", [Fraction(12), Fraction(24), NTSC, Fraction(64, 5)])
@pytest.mark.parametrize("kind", ["prompt_relay", "ltx_director"])
def test_a_film_comes_back_as_it_was(kind, fps):
    places = [(0, "a town"), (7, "a wood"), (50, "a lake"), (89, "a town")]
    found_kind, found = back(kind, film(fps, *places, count=107))
    assert found_kind == "prompt_relay"
    assert [(frame_at(k["at"], fps), k["prompt"]) for k in found.keyframes] == places
    assert frame_at(found.timeline["duration"], fps) == 107
    if kind == "ltx_director":
        assert Fraction(str(found.settings["output.fps"])) == fps


def frame_at(time, fps):
    """The frame of a time as written, which has to be whole."""
    if isinstance(time, str) and time.endswith("f"):
        return int(time[:-1])
    frame = Fraction(str(time)) * fps
    assert frame.denominator == 1
    return int(frame)
