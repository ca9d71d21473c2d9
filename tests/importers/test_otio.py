"""Timelines of OpenTimelineIO by other programs, written here by the library itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from imported_files import FileKind

from render.errors import ConfigError
from render.importers.imported import imported
from render.importers.source import Source

otio = pytest.importorskip("opentimelineio")

KIND = FileKind("otio", "cut.otio")
film, error, attempted = KIND.film, KIND.error, KIND.attempted


def at(frame: float, length: float = 0, rate: float = 24) -> Any:
    """A time of the library's."""
    begin, duration = (otio.opentime.RationalTime(number, rate) for number in (frame, length))
    return otio.opentime.TimeRange(begin, duration)


def marker(name: str, frame: float, length: float = 0, rate: float = 24, comment: str = "") -> Any:
    """A marker."""
    return otio.schema.Marker(name=name, marked_range=at(frame, length, rate), comment=comment)


def clip(begin: float, length: float, *markers: Any) -> Any:
    """A clip whose range begins somewhere in its media."""
    return otio.schema.Clip("clip", source_range=at(begin, length), markers=list(markers))


def gap(length: float) -> Any:
    """An empty place in a track."""
    return otio.schema.Gap(source_range=at(0, length))


def timeline(*children: Any, markers: Sequence[Any] = (), start: Any = None) -> bytes:
    """A timeline of one track, with markers of its own."""
    made = otio.schema.Timeline("cut", global_start_time=start)
    made.tracks.append(otio.schema.Track("V1", list(children)))
    made.tracks.markers.extend(markers)
    return otio.core.serialize_json_to_string(made).encode()  # type: ignore[no-any-return]


def test_markers_of_a_timeline_are_keyframes_in_frames() -> None:
    found = film(timeline(clip(0, 96), markers=[marker("A hill", 0), marker("A town", 36)]))
    assert list(found.keyframes) == [
        {"at": 0, "prompt": "A hill"},
        {"at": "36f", "prompt": "A town"},
    ]
    assert found.timeline == {"duration": "96f", "end": "open"}
    assert found.settings == {"output.fps": 24}


def test_markers_of_clips_count_in_their_media_and_gaps_take_time() -> None:
    """The clip begins 10 frames after the gap of 20 and at frame 100 of its media, so that its
    marker at 105 is at 20 + 10 + 5 of the film; the marker at 99 is cut away."""
    inside = [marker("A town", 105), marker("cut away", 99)]
    found = film(timeline(gap(20), clip(7, 10, marker("A hill", 7)), clip(100, 30, *inside)))
    assert [(frame["at"], frame["prompt"]) for frame in found.keyframes] == [
        (0, "A hill"),
        ("35f", "A town"),
    ]
    assert list(found.lost) == [
        "the time before the first text at 0.833333 s: its picture is there from 0 on",
        "markers in parts of clips that are cut away: 1",
    ]


def test_stacks_in_tracks_and_their_ranges() -> None:
    """A stack of two clips at once, of which a range begins 4 frames later, behind 10 frames."""
    stack = otio.schema.Stack(source_range=at(4, 20))
    stack.extend([clip(0, 40, marker("A", 4)), clip(50, 40, marker("B", 60))])
    found = film(timeline(gap(10), stack, markers=[marker("first", 0)]))
    assert [(frame["at"], frame["prompt"]) for frame in found.keyframes] == [
        (0, "first"),
        ("10f", "A"),
        ("16f", "B"),
    ]


def test_a_marker_with_a_length_holds_and_its_comment_may_be_the_prompt() -> None:
    marks = [
        marker("Marker 1", 0, 24, comment="A hill\nby night"),
        marker("A town", 24, comment="by Ann"),
        marker("A second one", 24),
        marker("", 30),
    ]
    found = film(timeline(clip(0, 48), markers=marks))
    assert list(found.keyframes) == [
        {"at": 0, "prompt": "A hill by night", "ease": "hold"},
        {"at": "24f", "prompt": "A town"},
    ]
    assert list(found.lost) == [
        "markers without a name: 1",
        "markers at the time of another one: 1",
    ]


def test_rates_of_ntsc_are_exact() -> None:
    rate = 30000 / 1001
    marks = [marker("A", 0, rate=rate), marker("B", 1, rate=rate), marker("C", 1.25, rate=rate)]
    found = film(timeline(markers=marks))
    assert found.settings == {"output.fps": "30000/1001"}
    assert [frame["at"] for frame in found.keyframes] == [0, "1f", "1001/24000"]


def test_markers_of_another_rate_keep_their_time() -> None:
    marks = [marker("A", 0), marker("B", 12), marker("C", 1, rate=7)]
    found = film(timeline(markers=marks))
    assert [frame["at"] for frame in found.keyframes] == [0, "1/7", "12f"]


def test_markers_that_count_from_the_first_frames_timecode() -> None:
    """Some editors write a timeline's markers with the hour at which it begins."""
    start = otio.opentime.RationalTime(86_400, 24)
    marks = [marker("A", 86_400), marker("B", 86_448)]
    found = film(timeline(clip(0, 96), markers=marks, start=start))
    assert [frame["at"] for frame in found.keyframes] == [0, "48f"]
    found = film(timeline(clip(0, 96), markers=[marker("A", 0)], start=start))
    assert list(found.lost) == []


def test_a_thousand_markers() -> None:
    found = film(timeline(markers=[marker(f"prompt {k}", 3 * k) for k in range(1000)]))
    assert found.keyframes[999] == {"at": "2997f", "prompt": "prompt 999"}
    assert len(found.keyframes) == 1000


def test_clips_with_effects_are_named() -> None:
    slow = clip(0, 48, marker("A", 0))
    slow.effects.append(otio.schema.LinearTimeWarp(time_scalar=0.5))
    said = "speeds of clips: markers in them are where they would be at the usual speed"
    assert said in film(timeline(slow)).lost


WHOLE = json.loads(timeline(clip(0, 96, marker("B", 8)), markers=[marker("A", 0)]))
STRANGE = [None, [], {}, 3, -1, "x", True, 1e300, 2**70, [[]], {"OTIO_SCHEMA": "Clip.1"}]


def changed(value: object, path: Sequence[Any], new: object) -> Any:
    """Data with another value at a path."""
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


def paths(value: object) -> list[tuple[Any, ...]]:
    """Every place in data."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [(), *((key, *rest) for key, item in items for rest in paths(item))]


@pytest.mark.parametrize("new", STRANGE)
def test_wrong_types_anywhere_never_end_in_a_traceback(new: object) -> None:
    for path in paths(WHOLE):
        assert "\n" not in attempted(json.dumps(changed(WHOLE, path, new)).encode())


@pytest.mark.parametrize("new", STRANGE)
def test_wrong_types_in_our_own_facts_never_end_in_a_traceback(new: object) -> None:
    facts = {"at": "1/2", "prompts": [["A", 1.0]], "seeds": [["7", 1]], "ease": "(0, 0, 1, 1)"}
    facts |= {
        "guidance": 7,
        "negatives": [["", 1]],
        "loras": [["x", 1]],
        "name": "A",
        "pace": [[0.5, 0.6]],
    }
    for path in paths(facts):
        mark = otio.schema.Marker("A", at(12))
        text = json.loads(timeline(markers=[mark]))
        text["metadata"]["render"] = {"fps": "24", "end": new, "loop": new}
        text["tracks"]["markers"][0]["metadata"]["render"] = changed(facts, path, new)
        assert "\n" not in attempted(json.dumps(text).encode())


def nested(depth: int) -> bytes:
    """A timeline with lists in lists."""
    text = json.dumps({**WHOLE, "metadata": {"deep": 0}})
    return text.replace('"deep": 0', '"deep": ' + "[" * depth + "]" * depth).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (timeline(clip(0, 96)), "cut.otio: has no marker with a name; set one"),
        (nested(100_000), "cut.otio: is no JSON of OpenTimelineIO that can be read"),
        (b"", "cut.otio: is no JSON of OpenTimelineIO that can be read"),
        (nested(250), "cut.otio: is nested more than 200 levels deep"),
        (b'{"OTIO_SCHEMA": "Clip.1", "name": "x"}', "cut.otio: OTIO_SCHEMA: holds 'Clip.1' and no"),
        (
            b'{"OTIO_SCHEMA": "Timeline.1", "tracks": 3}',
            "cut.otio: can't be read as OpenTimelineIO",
        ),
        (b'{"OTIO_SCHEMA": "Timeline.99"}', "cut.otio: can't be read as OpenTimelineIO"),
        (
            timeline(otio.schema.Clip("long", markers=[marker("A", 0)])),
            "cut.otio: Clip 'long': has no length",
        ),
        (timeline(clip(0, -5)), "cut.otio: Clip 'clip': has a negative length"),
        (timeline(markers=[marker("A", 1e300)]), "cut.otio: marker 'A': 1e+300 at a rate of 24"),
        (
            timeline(markers=[marker("A", 1, rate=0)]),
            "cut.otio: marker 'A': 1 at a rate of 0 is no",
        ),
    ],
)
def test_a_broken_file_says_where(content: bytes, said: str) -> None:
    assert error(content).startswith(said)


@pytest.mark.parametrize("content", [nested(10_000), json.dumps(WHOLE).encode()[:-3], b"{}", b""])
def test_other_files_are_not_taken_for_timelines(content: bytes) -> None:
    with pytest.raises(ConfigError, match="of no kind that can be imported"):
        imported(Source(Path("cut.otio"), content))


def test_without_the_library_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    said = "opentimelineio: is not installed; pip install 'render[editors]' installs it"
    assert error(json.dumps(WHOLE).encode()) == said


def test_times_of_any_rate_are_kept_to_the_rational() -> None:
    for fps in (Fraction(24000, 1001), Fraction(64, 5), Fraction(60000, 1001), Fraction(1000, 7)):
        marks = [marker("A", 0, rate=float(fps)), marker("B", 12_345, rate=float(fps))]
        found = film(timeline(markers=marks))
        assert found.settings == {"output.fps": f"{fps.numerator}/{fps.denominator}"}
        assert found.keyframes[1]["at"] == "12345f"
