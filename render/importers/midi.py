"""MIDI files (.mid): markers and cue points become keyframes on beats, and the tempo is the song's.

A beat is a quarter note, as in MIDI itself, whatever the time signature says. Texts are those of
the meta events 06 and 07; where there are none, the lyrics (05), and else the texts (01).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from render.exporters.optional import optional
from render.importers.imported import Imported, Importer
from render.importers.source import Source
from render.importers.times import seconds
from render.text import plain_line

HEADER = b"MThd"
MOST_BYTES = 2_000_000
MICROSECONDS = 60_000_000  # of a minute
USUAL_TEMPO = 500_000  # microseconds of a quarter note
SLOWEST, FASTEST = 1, 1000  # beats a minute
TEXTS = (("marker", "cue_marker"), ("lyrics",), ("text",))
"""Kinds of events, those first that are meant for this."""
CALLED = {
    "marker": "markers",
    "cue_marker": "cue points",
    "lyrics": "lyrics",
    "text": "texts",
}


@dataclass(frozen=True, slots=True)
class MidiEvent:
    """A message of mido's, and when it comes, in ticks from the beginning."""

    tick: int
    message: Any


@dataclass(frozen=True, slots=True)
class Song:
    """The events of all tracks in order, the ticks of a quarter note, and the tick at its end."""

    events: Sequence[MidiEvent]
    ticks_of_a_beat: int
    end: int

    def of(self, *kinds: str) -> list[MidiEvent]:
        """Its events of some kinds."""
        return [event for event in self.events if event.message.type in kinds]

    def beat(self, tick: int) -> str:
        """A time as `beat 16`; beats count from 1."""
        return f"beat {plain(Fraction(tick, self.ticks_of_a_beat) + 1)}"


def recognises(source: Source) -> bool:
    """Whether the file begins as MIDI files do."""
    return source.content.startswith(HEADER)


def read(source: Source) -> Imported:
    """A keyframe for each marker, which cuts to it on its beat; the film is as long as the song.

    Raises:
        ConfigError: the file is broken, has no marker, or mido is not installed.
    """
    song = opened(source)
    kinds = next((each for each in TEXTS if prompts(song, each)), None)
    if kinds is None:
        what = "has no marker; set one in your sequencer where a picture begins, with its prompt"
        raise source.refusal(what)
    texts = prompts(song, kinds)
    first = next(iter(texts))
    keyframes = [
        {"at": song.beat(tick if tick != first else 0), "prompt": text, "ease": "hold"}
        for tick, text in texts.items()
    ]
    timeline = {"tempo": tempo(song, source), **bar(song), **length(song, max(texts))}
    return Imported(keyframes, timeline, {}, list(lost(song, kinds, texts)))


def opened(source: Source) -> Song:
    """The song of a file.

    Raises:
        ConfigError: it is broken, too large, or has no common beat.
    """
    if len(source.content) > MOST_BYTES:
        what = f"is larger than {MOST_BYTES:,} bytes; save the track of markers alone"
        raise source.refusal(what)
    mido = optional("mido")
    try:
        file = mido.MidiFile(file=io.BytesIO(source.content), charset="latin-1")
    except Exception as error:  # data of any shape: mido raises many kinds
        reason = " ".join(str(error).split()) or "it ends too early"
        raise source.refusal(f"is a broken MIDI file: {reason}") from None
    if file.type not in (0, 1):
        raise source.refusal("holds songs without a common beat (type 2); save it as type 1")
    if file.ticks_per_beat <= 0:
        what = "counts in frames of timecode and not in beats; save it with ticks of a quarter note"
        raise source.refusal(what)
    end = max((sum(message.time for message in track) for track in file.tracks), default=0)
    return Song(sorted(events(file), key=lambda event: event.tick), file.ticks_per_beat, end)


def events(file: Any) -> Iterator[MidiEvent]:
    """The events of all tracks that are no notes."""
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.is_meta:
                yield MidiEvent(tick, message)


def prompts(song: Song, kinds: Sequence[str]) -> dict[int, str]:
    """The texts of some kinds of events by their ticks, the first of those at one tick."""
    found: dict[int, str] = {}
    for event in song.of(*kinds):
        if text := letters(event.message):
            found.setdefault(event.tick, text)
    return found


def letters(message: Any) -> str:
    """The text of an event. MIDI names no encoding; what is UTF-8 is read as that."""
    raw = str(getattr(message, "text", "")).encode("latin-1")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return plain_line(text)


def tempo(song: Song, source: Source) -> int | float | str | list[dict[str, Any]]:
    """Beats a minute, or their changes.

    Raises:
        ConfigError: a tempo is beyond those that a timeline can have.
    """
    changes: dict[int, int] = {0: USUAL_TEMPO}
    for event in song.of("set_tempo"):
        changes[event.tick] = event.message.tempo
    found: list[dict[str, Any]] = []
    for tick, length_us in changes.items():
        if not SLOWEST <= MICROSECONDS / max(length_us, 1) <= FASTEST:
            what = f"a quarter note of {length_us} µs; a tempo is {SLOWEST} to {FASTEST} a minute"
            raise source.refusal(what, key=song.beat(tick))
        bpm = seconds(Fraction(MICROSECONDS, length_us))
        if not found or found[-1]["bpm"] != bpm:
            found.append({"at": song.beat(tick), "bpm": bpm})
    return found[0]["bpm"] if len(found) == 1 else found


def bar(song: Song) -> dict[str, int]:
    """The quarter notes of a bar by the first time signature, unless they are four or no number."""
    first = next(iter(song.of("time_signature")), None)
    if first is None:
        return {}
    beats = quarters(first.message)
    return {"bar": int(beats)} if beats.denominator == 1 and 1 <= beats <= 64 else {}


def quarters(message: Any) -> Fraction:
    """How many quarter notes a bar of a time signature has."""
    return Fraction(4 * message.numerator, message.denominator)


def length(song: Song, last: int) -> dict[str, str]:
    """The keys that say how long the film is: as long as the song."""
    return {"duration": song.beat(song.end), "end": "open"} if song.end > last else {}


def lost(song: Song, kinds: Sequence[str], texts: Mapping[int, str]) -> Iterator[str]:
    """Sentences about what could not be carried over."""
    first = next(iter(texts))
    if first:
        when = song.beat(first)
        yield f"the time before the first text at {when}: its picture is there from 0 on"
    others = [kind for group in TEXTS for kind in group if kind not in kinds and song.of(kind)]
    if others:
        said = " and ".join(CALLED[kind] for kind in kinds if song.of(kind))
        yield f"{', '.join(CALLED[kind] for kind in others)}: the {said} are the prompts"
    if doubles := sum(bool(letters(one.message)) for one in song.of(*kinds)) - len(texts):
        yield f"texts at the time of another one: {doubles}"
    yield from lost_signatures(song)
    yield "notes and sounds: render makes pictures at markers alone"


def lost_signatures(song: Song) -> Iterator[str]:
    """Sentences about time signatures."""
    messages = [event.message for event in song.of("time_signature")]
    names = list(dict.fromkeys(f"{each.numerator}/{each.denominator}" for each in messages))
    if not messages:
        return
    if messages[0].denominator != 4:
        beats = plain(quarters(messages[0]))
        yield f"beats of {names[0]}: a beat is a quarter note here, of which a bar has {beats}"
    if len(names) > 1:
        more = ", ".join(names[1:])
        yield f"changes of the time signature to {more}: bars are those of {names[0]}"


def plain(number: Fraction) -> str:
    """A number without loss, as people write it where that is possible."""
    return str(seconds(number))


MIDI = Importer("a MIDI file", recognises, read)
