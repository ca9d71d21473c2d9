"""When beats, bars and timecodes are: exactly, at any rate, however late."""

import itertools
import json
from fractions import Fraction

import pytest

from render.config.moments import moment, rate
from render.config.parse import parse
from render.config.schema import TimelineConfig
from render.errors import ConfigError
from render.timeline.clock import Clock, Tempo, clock_of, frame_number, tempo_flaws

FPS = [Fraction(24), rate("29.97"), Fraction(60)]


def timeline(**more):
    return TimelineConfig(keyframes=[{"at": 0, "prompt": "a"}], **more)


def seconds(written, fps=Fraction(24), **more):
    return clock_of(timeline(**more), fps).seconds(moment(written))


def test_a_beat_never_drifts():
    """Three minutes and an hour at 174 beats a minute."""
    for beat in (1, 2, 523, 10_441):
        assert seconds(f"beat {beat}", tempo=174) == Fraction((beat - 1) * 60, 174)
    assert seconds("beat 2", tempo="128.5") == Fraction(120, 257)


def test_bars_are_of_so_many_beats():
    assert seconds("bar 8.3", tempo=120) == Fraction(7 * 4 + 2, 2)
    assert seconds("bar 8.3", tempo=120, bar=3) == Fraction(7 * 3 + 2, 2)
    assert seconds("bar 1", tempo=120) == seconds("beat 1", tempo=120) == 0
    assert seconds("bar 4.4", tempo=120) == seconds("beat 16", tempo=120)


def test_the_first_beat_is_at_the_offset():
    assert seconds("beat 1", tempo=120, offset=0.35) == Fraction(7, 20)
    assert seconds("beat 3", tempo=120, offset="12f") == Fraction(3, 2)


def test_a_tempo_may_change():
    changes = [
        {"at": "beat 1", "bpm": 120},
        {"at": "bar 3", "bpm": 60},
        {"at": "beat 13", "bpm": 240},
    ]
    times = [seconds(f"beat {beat}", tempo=changes) for beat in (1, 9, 10, 13, 15)]
    assert times == [0, 4, 5, 8, Fraction(17, 2)]


@pytest.mark.parametrize("fps", FPS)
def test_every_beat_of_a_song_is_within_half_a_frame_of_one(fps):
    tempo = Tempo(((Fraction(1), Fraction(174)),), Fraction(1, 3))
    for beat in range(1, 523):
        time = tempo.seconds(Fraction(beat))
        assert abs(round(time * fps) / fps - time) <= 1 / (2 * fps)


@pytest.mark.parametrize(
    ("written", "fps", "frame"),
    [
        ("00:01:05:12", "24", 65 * 24 + 12),
        ("00:01:05:12", "23.976", 65 * 24 + 12),
        ("01:00:00:00", "29.97", 108_000),
        ("01:00:00;00", "29.97", 107_892),
        ("00:01:00;02", "29.97", 1800),
        ("00:00:59;29", "29.97", 1799),
        ("00:10:00;00", "29.97", 17_982),
        ("00:01:00;04", "59.94", 3600),
        ("00:00:10:00", "12", 120),
    ],
)
def test_timecode_is_a_frame(written, fps, frame):
    """Numbers of SMPTE ST 12-1: an hour of drop-frame timecode has 108 numbers less."""
    code = moment(written)
    assert frame_number(code.timecode, rate(fps)) == frame
    assert Clock(rate(fps)).seconds(code) == frame / rate(fps)
    assert Clock(rate(fps)).flaw(code) is None


def test_drop_frame_timecode_counts_every_frame_once():
    fps = rate("29.97")
    clock, numbers = Clock(fps), []
    for minute, second, frame in itertools.product(range(20), range(60), range(30)):
        code = moment(f"00:{minute:02}:{second:02};{frame:02}")
        if clock.flaw(code) is None:
            numbers.append(frame_number(code.timecode, fps))
    assert numbers == [*range(len(numbers))]
    assert abs(len(numbers) / fps - 1200) < 0.01  # it keeps up with a clock


@pytest.mark.parametrize(
    ("written", "fps", "said"),
    [
        ("00:00:01:24", "24", "frames 00 to 23 at 24 fps"),
        ("00:00:01;10", "24", "drop frames (;) are for output.fps=29.97"),
        ("00:01:00;01", "29.97", "left out in drop-frame timecode; the next is ;02"),
        ("00:01:00:00", "64/5", "takes a rate like 24 or 29.97, not 64/5"),
        ("00:00:10:00", "1.5", "takes a rate like 24"),
        ("beat 16", "24", "take a tempo; give tempo: 128"),
    ],
)
def test_what_nobody_can_know_is_said(written, fps, said):
    assert said in Clock(rate(fps)).flaw(moment(written))


@pytest.mark.parametrize(
    ("more", "key", "said"),
    [
        ({"offset": 1}, "offset", "goes with a tempo"),
        ({"bar": 3}, "bar", "goes with a tempo"),
        ({"tempo": 120, "offset": "beat 2"}, "offset", "so give seconds"),
        ({"tempo": [{"at": "beat 2", "bpm": 120}]}, "tempo.0.at", "begins at"),
        ({"tempo": [{"at": 0, "bpm": 120}]}, "tempo.0.at", "at a beat or a bar"),
        (
            {"tempo": [{"at": "beat 1", "bpm": 120}, {"at": "bar 1", "bpm": 90}]},
            "tempo.1.at",
            "comes not after",
        ),
        (
            {"tempo": [{"at": "beat 1", "bpm": 120}, {"at": "bar 3.7", "bpm": 90}]},
            "tempo.1.at",
            "a bar has 4 beats",
        ),
    ],
)
def test_a_tempo_that_says_nothing_is_a_mistake(more, key, said):
    found = dict(tempo_flaws(timeline(**more), Fraction(24)))
    assert said in found[key]


def config(**timeline):
    return {
        "name": "t",
        "timeline": timeline,
        "model": {"name": "m", "path": "m"},
        "scheduler": {"name": "model"},
        "output": {},
        "compute": {},
        "sampling": {},
    }


@pytest.mark.parametrize("wrong", [0, 1001, "fast", {"bpm": 1}, [], [{"bpm": 120}], True])
def test_what_is_no_tempo_is_refused(wrong):
    with pytest.raises(ConfigError, match="tempo"):
        parse(config(keyframes=[{"at": 0, "prompt": "a"}], tempo=wrong))


def test_keyframes_on_beats_are_planned_and_mistakes_are_a_line_each(place):
    keyframes = [
        {"at": 0, "prompt": "one"},
        {"at": "beat 3", "prompt": "two", "ease": "hold"},
        {"at": "bar 2", "prompt": "three"},
    ]
    place.timeline("song", keyframes, tempo=120)
    assert place.render("+timeline=song", "output=frames", "mode=plan").code == 0
    frames = json.loads((place.folder / "outputs/song/plan.json").read_text())["frames"]
    assert [frame["time"] for frame in frames if frame.get("keyframe")] == [0, 1, 2]
    place.timeline("silent", keyframes)
    ended = place.render("+timeline=silent", "mode=plan")
    assert ended.code == 2
    assert ended.err.count("beats and bars take a tempo") == 2


@pytest.mark.parametrize(
    ("tempo", "key"),
    [
        ("abc", "tempo"),
        (0, "tempo.0.bpm"),
        ([{"bpm": 90}], "tempo.0.at"),
        ([{"at": "beat 1", "bmp": 90}], "tempo.0.bmp"),
        ([{"at": "beat 1", "bpm": 90}, {"at": "beat 1", "bpm": 80}], "tempo.1.at"),
    ],
)
def test_a_wrong_tempo_is_the_only_mistake(place, tempo, key):
    keyframes = [{"at": 0, "prompt": "one"}, {"at": "beat 3", "prompt": "two"}]
    place.timeline("song", keyframes, tempo=tempo)
    ended = place.render("+timeline=song", "mode=plan")
    assert ended.code == 2
    assert "beats and bars take a tempo" not in ended.err
    assert f"[{key}]" in ended.err
