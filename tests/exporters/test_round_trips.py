"""Films that are exported and imported again."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from render.api import Film
from render.config.moments import moment
from render.exporters.outline import EXPORTERS, Mark, Outline
from render.importers.imported import Imported, imported
from render.importers.source import Source
from render.run.outline import outline_of
from render.timeline.spec import FrameSpec, Timeline
from tests.films import composed, write_model

otio = pytest.importorskip("opentimelineio")
KEYFRAMES: list[dict[str, Any]] = [
    {"at": 0, "prompt": "A hill", "seed": 7, "ease": "hold"},
    {
        "at": "45/32",
        "prompt": {"A town": 0.7, "A hill": 0.3},
        "ease": [0.1, 0.2, 0.3, 1.0],
        "pace": {0.2: 0.5, 0.6: 0.75},
    },
    {"at": "5/3", "prompt": 'odd: "\\ <b>&amp; = ; # ü 中 🎈', "seed": {7: 0.25, 2**63 - 1: 0.75}},
    {"at": "22/7", "seed": 9, "ease": "easeInOutBack"},
    {"at": 4, "prompt": "A lake", "negative": "fog", "guidance": 3.5},
]


def film(folder: Path, keyframes: object, fps: object = 12, **timeline: object) -> Film:
    """A film of the tiny model."""
    if not (folder / "model").exists():
        write_model(folder / "model")
    changes = {"timeline": {"name": "film", "keyframes": keyframes, **timeline}}
    config = composed(folder / "model", folder / "outputs", changes)
    config["output"]["fps"] = fps
    return Film(config)


def exported(made: Film, kind: str) -> bytes:
    """A film as a file of another tool."""
    return EXPORTERS[kind].write(outline_of(made.resolved))


def again(folder: Path, content: bytes, kind: str) -> tuple[Imported, Film]:
    """The timeline of an exported file, and the film that it makes."""
    found_kind, found = imported(Source(Path("film"), content))
    assert found_kind == kind
    content_of = found.content("film")
    made = film(
        folder, content_of.pop("keyframes"), **settings(found.settings), **without(content_of)
    )
    return found, made


def settings(found: Mapping[str, Any]) -> dict[str, Any]:
    """The rate that an imported timeline asks for."""
    return {"fps": found.get("output.fps", 12)}


def without(content: dict[str, Any]) -> dict[str, Any]:
    """The keys of a timeline beside its name and its keyframes."""
    return {key: value for key, value in content.items() if key != "name"}


def timeline_of(made: Film) -> Timeline:
    """A film's timeline with nothing left out."""
    return made.resolved.timeline


@pytest.mark.parametrize("fps", [12, "30000/1001", "64/5"])
@pytest.mark.parametrize(
    "more", [{}, {"duration": 6}, {"loop": True, "duration": 5.5}, {"end": "open"}]
)
def test_opentimelineio_gives_back_the_same_timeline(
    fps: object, more: dict[str, Any], tmp_path: Path
) -> None:
    first = film(tmp_path, KEYFRAMES, fps, **more)
    found, second = again(tmp_path, exported(first, "otio"), "otio")
    ours, theirs = timeline_of(first), timeline_of(second)
    assert [each.time for each in theirs.keyframes] == [each.time for each in ours.keyframes]
    assert [each.time_map for each in theirs.keyframes] == [e.time_map for e in ours.keyframes]
    assert [each.ease for each in theirs.keyframes] == [each.ease for each in ours.keyframes]
    assert [each.values for each in theirs.keyframes] == [each.values for each in ours.keyframes]
    assert (theirs.duration, theirs.loop, theirs.open) == (ours.duration, ours.loop, ours.open)
    assert list(found.lost) == []


def test_opentimelineio_opens_it_with_the_same_times(tmp_path: Path) -> None:
    made = film(tmp_path, KEYFRAMES, "30000/1001")
    opened = otio.adapters.read_from_string(exported(made, "otio").decode(), "otio_json")
    times = [
        Fraction(each.marked_range.start_time.value)
        / Fraction(each.marked_range.start_time.rate).limit_denominator(10_000)
        for each in opened.tracks.markers
    ]
    assert times == [each.time for each in timeline_of(made).keyframes]
    (clip,) = opened.find_clips()
    frames = len(made.resolved.plan.frames)
    assert clip.source_range.duration.value == frames
    media = clip.media_references()
    video = made.folder.absolute() / "film.mp4"
    assert media["DEFAULT_MEDIA"].target_url == video.as_uri()
    assert clip.active_media_reference_key == "DEFAULT_MEDIA"
    pictures = media["render_pictures"]
    last = pictures.target_url_for_image_number(frames - 1)
    assert last == f"{made.resolved.frames.absolute().as_uri()}/frame_{frames - 1:06}.png"
    assert pictures.number_of_images_in_sequence() == frames


def test_a_time_between_frames_has_the_smallest_rate_at_which_it_is_whole(tmp_path: Path) -> None:
    made = film(tmp_path, [{"at": 0, "prompt": "A"}, {"at": "15/32"}, {"at": 1}])
    opened = otio.adapters.read_from_string(exported(made, "otio").decode(), "otio_json")
    found = [
        (m.marked_range.start_time.value, m.marked_range.start_time.rate)
        for m in opened.tracks.markers
    ]
    assert found == [(0, 12), (45, 96), (12, 12)]


def test_a_film_of_pictures_alone_with_a_sound() -> None:
    outline = a_film([mark(0, 1, "A")], video=None, sound=Path("/music/a song.wav"))
    content = EXPORTERS["otio"].write(outline).decode()
    opened = otio.adapters.read_from_string(content, "otio_json")
    assert [track.kind for track in opened.tracks] == ["Video", "Audio"]
    video, sound = opened.find_clips()
    assert video.active_media_reference_key == "render_pictures"
    assert sound.media_reference.target_url == "file:///music/a%20song.wav"


def test_a_marker_that_was_moved_or_renamed_counts_as_it_is_now(tmp_path: Path) -> None:
    made = film(tmp_path, [{"at": 0, "prompt": {"A": 0.5, "B": 0.5}}, {"at": 2, "prompt": "C"}])
    opened = otio.adapters.read_from_string(exported(made, "otio").decode(), "otio_json")
    first, second = opened.tracks.markers
    first.name = "Another"
    second.marked_range = otio.opentime.TimeRange(otio.opentime.RationalTime(18, 12))
    content = otio.core.serialize_json_to_string(opened).encode()
    found, _ = again(tmp_path, content, "otio")
    assert [(one["at"], one["prompt"]) for one in found.keyframes] == [(0, "Another"), ("18f", "C")]


@pytest.mark.parametrize("more", [{}, {"duration": 6}])
def test_labels_give_back_times_texts_and_cuts(more: dict[str, Any], tmp_path: Path) -> None:
    keyframes = [
        {"at": 0, "prompt": "A hill", "ease": "hold"},
        {"at": "8f", "prompt": "A town"},
        {"at": 1.5, "prompt": "A\ttab ü", "ease": "hold"},
        {"at": 4, "prompt": "A lake"},
    ]
    first = film(tmp_path, keyframes, **more)
    content = exported(first, "labels")
    assert content.decode().splitlines()[:2] == [
        "0.000000\t0.666666\tA hill",
        "0.666666\t0.666666\tA town",
    ]
    _, second = again(tmp_path, content, "labels")
    for ours, theirs in zip(
        timeline_of(first).keyframes, timeline_of(second).keyframes, strict=True
    ):
        assert 0 <= ours.time - theirs.time < Fraction(1, 1_000_000)
        assert [" ".join(text.split()) for text, _ in ours.values.prompts] == [
            text for text, _ in theirs.values.prompts
        ]
    shown = [
        [frame.spec.prompts for frame in made.resolved.plan.frames] for made in (first, second)
    ]
    assert len(shown[0]) == len(shown[1])
    assert [len(one) for one in shown[0][:8]] == [len(one) for one in shown[1][:8]] == [1] * 8
    assert shown[1][8][0][0] == "A town"


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_give_back_times_and_texts(kind: str, tmp_path: Path) -> None:
    texts = ["A hill", "A & b <i>c</i> --> d &amp; ü 中", "A lake", "A lake"]
    if kind == "srt":
        texts[1] = "A & b --> d &amp; ü 中"  # what looks like markup is taken for some there
    times = [0, "0.375", "5/3", 4]
    keyframes = [
        {"at": at, "prompt": text, "ease": "hold"} for at, text in zip(times, texts, strict=True)
    ]
    made = film(tmp_path, keyframes, duration=5)
    found, _ = again(tmp_path, exported(made, kind), kind)
    assert [one["prompt"] for one in found.keyframes] == texts
    assert [one["at"] for one in found.keyframes] == [0, 0.375, 1.666, 4]
    assert found.timeline["end"] == "open"
    assert found.timeline["duration"] == 5.083  # a frame of 1/12 s after the end, to 1 ms


def mark(begin: int, end: int, prompt: str, **values: Any) -> Mark:
    """A keyframe."""
    spec = FrameSpec(((prompt, 1.0),), (("", 1.0),), ((7, 1.0),), 7.5)
    return Mark(Fraction(begin), Fraction(end), spec, values.get("ease", "linear"))


def a_film(marks: Sequence[Mark], **values: Any) -> Outline:
    """A film that nobody rendered."""
    given = {"video": Path("/films/film.mp4"), "sound": None, **values}
    return Outline("film", Fraction(12), 12, (64, 64), tuple(marks), Path("/films/frames"), **given)


def test_a_thousand_keyframes_go_there_and_back(tmp_path: Path) -> None:
    keyframes = [{"at": f"{k}/7", "prompt": f"prompt {k % 9}", "seed": k} for k in range(1000)]
    made = film(tmp_path, keyframes)
    _, second = again(tmp_path, exported(made, "otio"), "otio")
    assert timeline_of(second).keyframes == timeline_of(made).keyframes
    found, _ = imported(Source(Path("x"), exported(made, "labels")), "labels")
    assert found == "labels"


def test_the_table_has_a_row_for_each_keyframe(tmp_path: Path) -> None:
    made = film(tmp_path, KEYFRAMES)
    text = exported(made, "csv").decode("utf-8-sig")
    assert text.count("\r\n") == 6
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == [
        "time_s",
        "frame",
        "until_s",
        "prompt",
        "seed",
        "guidance",
        "negative",
        "ease",
    ]
    assert rows[0] == ["0", "0", "1.40625", "A hill", "7", rows[0][5], "", "hold"]
    assert rows[1][:4] == ["1.40625", "16.875", "1.666667", "A town (0.7) + A hill (0.3)"]
    assert rows[2][3] == KEYFRAMES[2]["prompt"]
    assert rows[4] == ["4", "48", "4.083333", "A lake", "9", "3.5", "fog", "linear"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "  =cmd|'/c calc'!A0", "\t=1"])
def test_a_table_holds_no_formula(text: str) -> None:
    content = EXPORTERS["csv"].write(a_film([mark(0, 1, text)])).decode("utf-8-sig")
    _, (_, _, _, prompt, *_) = csv.reader(io.StringIO(content, newline=""))
    assert prompt == f"'{text}"


def test_times_are_as_people_write_them() -> None:
    """The times of an imported film are ones that a timeline can have."""
    content = EXPORTERS["otio"].write(a_film([mark(0, 1, "A"), mark(1, 1, "B")]))
    _, found = imported(Source(Path("x"), content))
    assert [moment(one["at"]).frames or 0 for one in found.keyframes] == [0, 12]


def test_an_even_pace_comes_back(tmp_path: Path) -> None:
    keyframes = [{"at": 0, "prompt": "A", "pace": "even"}, {"at": 1, "prompt": "B"}]
    made = film(tmp_path, keyframes)
    _, found = imported(Source(Path("x"), exported(made, "otio")))
    assert [one.get("pace") for one in found.keyframes] == ["even", None]
