"""MIDI files that are written here by mido, and by hand where they are broken."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from fractions import Fraction

import pytest
from imported_files import FileKind

mido = pytest.importorskip("mido")
Events = Sequence[tuple[int, str, dict[str, object]]]

KIND = FileKind("midi", "song.mid")
film, error, attempted = KIND.film, KIND.error, KIND.attempted


def song(*tracks: Events, ticks: int = 480, kind: int = 1) -> bytes:
    """A file of tracks of (tick, kind of event, its values)."""
    file = mido.MidiFile(type=kind, ticks_per_beat=ticks, charset="utf-8")
    for events in tracks:
        track, before = mido.MidiTrack(), 0
        for tick, name, values in events:
            make = mido.Message if name.startswith("note") else mido.MetaMessage
            track.append(make(name, time=tick - before, **values))
            before = tick
        file.tracks.append(track)
    stream = io.BytesIO()
    file.save(file=stream)
    return stream.getvalue()


def marker(tick: int, text: str) -> tuple[int, str, dict[str, object]]:
    """A marker."""
    return tick, "marker", {"text": text}


def test_markers_are_keyframes_on_beats_that_count_from_1() -> None:
    """A third of a quarter note of 480 ticks is 160 ticks; 128 beats a minute are 468,750 µs."""
    tempo = (0, "set_tempo", {"tempo": 468_750})
    conductor = [tempo, marker(0, "Ä hill"), (1920, "cue_marker", {"text": "A town"})]
    drums = [(0, "note_on", {"note": 36}), (2080, "marker", {"text": "A lake"})]
    found = film(song(conductor, [*drums, (3840, "note_off", {"note": 36})]))
    assert list(found.keyframes) == [
        {"at": "beat 1", "prompt": "Ä hill", "ease": "hold"},
        {"at": "beat 5", "prompt": "A town", "ease": "hold"},
        {"at": "beat 16/3", "prompt": "A lake", "ease": "hold"},
    ]
    assert found.timeline == {"tempo": 128, "duration": "beat 9", "end": "open"}
    assert list(found.lost) == ["notes and sounds: render makes pictures at markers alone"]


def test_the_tempo_changes_and_is_exact() -> None:
    """60,000,000 µs / 700,000 µs are 600/7 beats a minute."""
    changes = [(0, 500_000), (960, 700_000), (1920, 700_000), (2400, 500_000)]
    events = [(tick, "set_tempo", {"tempo": us}) for tick, us in changes]
    found = film(song([*events, marker(2400, "A")]))
    assert found.timeline["tempo"] == [
        {"at": "beat 1", "bpm": 120},
        {"at": "beat 3", "bpm": "600/7"},
        {"at": "beat 6", "bpm": 120},
    ]
    assert found.keyframes[0]["at"] == "beat 1"
    assert "the time before the first text at beat 6: its picture is there from 0 on" in found.lost


def test_a_song_without_a_tempo_has_120_beats_a_minute() -> None:
    assert film(song([marker(0, "A")])).timeline == {"tempo": 120}


@pytest.mark.parametrize(
    ("signature", "bar", "said"),
    [
        ((4, 4), {"bar": 4}, None),
        ((3, 4), {"bar": 3}, None),
        ((6, 8), {"bar": 3}, "beats of 6/8: a beat is a quarter note here, of which a bar has 3"),
        ((7, 8), {}, "beats of 7/8: a beat is a quarter note here, of which a bar has 3.5"),
    ],
)
def test_the_bar_is_counted_in_quarter_notes(
    signature: tuple[int, int], bar: dict[str, int], said: str | None
) -> None:
    numerator, denominator = signature
    event = (0, "time_signature", {"numerator": numerator, "denominator": denominator})
    found = film(song([event, marker(0, "A")]))
    assert found.timeline == {"tempo": 120, **bar}
    assert [one for one in found.lost if "beats of" in one] == ([said] if said else [])


def test_lyrics_are_prompts_where_there_is_no_marker_and_texts_come_last() -> None:
    text, lyrics = (0, "text", {"text": "A credit"}), (0, "lyrics", {"text": "La"})
    assert film(song([text, lyrics])).keyframes[0]["prompt"] == "La"
    assert film(song([text])).keyframes[0]["prompt"] == "A credit"
    found = film(song([text, lyrics, marker(0, "A")], [marker(0, "B")]))
    assert [frame["prompt"] for frame in found.keyframes] == ["A"]
    assert "lyrics, texts: the markers are the prompts" in found.lost
    assert "texts at the time of another one: 1" in found.lost


def test_a_thousand_markers_at_ticks_that_no_decimal_meets() -> None:
    found = film(song([marker(k * 100, f"prompt {k}") for k in range(1000)], ticks=96))
    assert len(found.keyframes) == 1000
    for k in (1, 7, 999):
        beat = str(found.keyframes[k]["at"]).removeprefix("beat ")
        assert Fraction(beat) == 1 + Fraction(100 * k, 96)


def test_a_song_without_markers_says_how_to_get_them() -> None:
    notes = song([(0, "note_on", {"note": 60}), (480, "note_off", {"note": 60})])
    assert error(notes).startswith("song.mid: has no marker; set one in your sequencer")
    assert error(song([marker(0, "  ")])).startswith("song.mid: has no marker")


WHOLE = song([(0, "set_tempo", {"tempo": 500_000}), marker(0, "A"), marker(480, "B")])


@pytest.mark.parametrize("size", range(4, len(WHOLE)))
def test_a_truncated_file_is_an_error_of_one_line(size: int) -> None:
    assert error(WHOLE[:size]).startswith("song.mid: is a broken MIDI file")


@pytest.mark.parametrize("place", range(4, len(WHOLE)))
def test_a_changed_byte_never_ends_in_a_traceback(place: int) -> None:
    for value in (0, 0x7F, 0xFF):
        content = WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :]
        assert "\n" not in attempted(content)


def test_songs_without_a_common_beat_are_refused() -> None:
    assert "type 2" in error(song([marker(0, "A")], kind=2))
    in_frames = WHOLE[:12] + b"\xe7\x28" + WHOLE[14:]  # 25 frames a second, 40 ticks each
    assert "counts in frames of timecode" in error(in_frames)
    assert "a tempo is 1 to 1000 a minute" in error(
        song([(0, "set_tempo", {"tempo": 1}), marker(0, "A")])
    )
    assert "is larger than 2,000,000 bytes" in error(WHOLE + bytes(2_000_000))


def test_without_mido_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mido", None)
    assert error(WHOLE) == ("mido: is not installed; pip install 'render[editors]' installs it")
