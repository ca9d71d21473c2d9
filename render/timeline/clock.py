"""The clock of a film: when a written time is, in seconds, exactly."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from render.config.moments import Moment, Timecode
from render.config.schema import TempoChange, TimelineConfig
from render.text import plural
from render.timeline.heard import Heard

DROPPED = {Fraction(30_000, 1001): 2, Fraction(60_000, 1001): 4}
"""Frame numbers that drop-frame timecode leaves out at the beginning of a minute, but of each
tenth (SMPTE ST 12-1)."""
NO_SOUND = "follows a sound; give audio: FILE in the timeline"
NO_TEMPO = "beats and bars take a tempo; give tempo: 128 in the timeline, or tempo: audio"


@dataclass(frozen=True, slots=True)
class Tempo:
    """When beats are.

    Attributes:
        changes: (beat, counted from 1, and beats a minute from there on), the first at 1.
        offset: seconds of the first beat.
        bar: beats of a bar.
    """

    changes: tuple[tuple[Fraction, Fraction], ...]
    offset: Fraction = Fraction(0)
    bar: int = 4

    def seconds(self, beat: Fraction) -> Fraction:
        """When a beat is; no beat of a tempo that never changes drifts, however late it is."""
        time = self.offset
        for (start, per_minute), following in zip(
            self.changes, [*self.changes[1:], None], strict=True
        ):
            end = beat if following is None else min(beat, following[0])
            if end > start:
                time += (end - start) * 60 / per_minute
        return time

    def beat_of(self, moment: Moment) -> Fraction:
        """The number of a beat or bar."""
        if moment.bar is None:
            return moment.beat or Fraction(1)
        bar, beat = moment.bar
        return Fraction((bar - 1) * self.bar + beat)

    @property
    def beats_of_bar(self) -> int:
        """Beats of every bar."""
        return self.bar

    def beat_at(self, time: Fraction) -> Fraction:
        """The beats that have gone by at a time, counted from 1."""
        begin = self.offset
        for (start, per_minute), following in zip(
            self.changes, [*self.changes[1:], None], strict=True
        ):
            beat = start + (time - begin) * per_minute / 60
            if following is None or beat < following[0]:
                return beat
            begin += (following[0] - start) * 60 / per_minute
        return Fraction(1)

    def bar_at(self, time: Fraction) -> Fraction:
        """The bars that have gone by at a time, counted from 1."""
        return 1 + (self.beat_at(time) - 1) / self.bar


@dataclass(frozen=True, slots=True)
class HeardTempo:
    """When the beats of a sound are.

    Attributes:
        beats: their times in seconds, two at least, in order.
        downbeats: times of the first beats of bars; none where they are not known.
        bar: beats of a bar where they are not.
    """

    beats: tuple[Fraction, ...]
    downbeats: tuple[Fraction, ...] = ()
    bar: int = 4

    @property
    def beats_of_bar(self) -> int:
        """Beats of every bar; 0 where the sound says it of each."""
        return 0 if len(self.downbeats) > 1 else self.bar

    def seconds(self, beat: Fraction) -> Fraction:
        """When a beat is; behind the last one beats go on as they were."""
        return at_place(self.beats, beat - 1)

    def beat_of(self, moment: Moment) -> Fraction:
        """The number of a beat or bar."""
        if moment.bar is None:
            return moment.beat or Fraction(1)
        bar, beat = moment.bar
        if len(self.downbeats) < 2:
            return Fraction((bar - 1) * self.bar + beat)
        first = self.beat_at(at_place(self.downbeats, Fraction(bar - 1)))
        return Fraction(round(first) + beat - 1)

    def beat_at(self, time: Fraction) -> Fraction:
        """The beats that have gone by at a time, counted from 1."""
        return 1 + place_of(self.beats, time)

    def bar_at(self, time: Fraction) -> Fraction:
        """The bars that have gone by at a time, counted from 1."""
        if len(self.downbeats) < 2:
            return 1 + (self.beat_at(time) - 1) / self.bar
        return 1 + place_of(self.downbeats, time)


def at_place(times: Sequence[Fraction], place: Fraction) -> Fraction:
    """The time at a place between times, which go on at both ends as they are there."""
    below = min(max(floor(place), 0), len(times) - 2)
    return times[below] + (place - below) * (times[below + 1] - times[below])


def place_of(times: Sequence[Fraction], time: Fraction) -> Fraction:
    """The inverse of `at_place`."""
    below = min(max(bisect_right(times, time) - 1, 0), len(times) - 2)
    return below + (time - times[below]) / (times[below + 1] - times[below])


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns times as they are written into seconds.

    Attributes:
        fps: pictures a second of the output.
        tempo: None where there is none.
        sounds: of the film by name; the first one needs none.
    """

    fps: Fraction
    tempo: Tempo | HeardTempo | None = None
    sounds: Mapping[str, Heard] = field(default_factory=dict)

    def sound(self, name: str) -> Heard | None:
        """A sound by its name; the first by none."""
        if name:
            return self.sounds.get(name)
        return next(iter(self.sounds.values()), None)

    def sound_flaw(self, name: str) -> str | None:
        """Why there is no sound of a name."""
        if not self.sounds:
            return NO_SOUND
        if self.sound(name) is None:
            known = [each for each in self.sounds if each]
            return f"no sound is called {name!r}; known: {', '.join(known) or 'one without a name'}"
        return None

    def seconds(self, moment: Moment) -> Fraction:
        """When it is; of a time in which `flaw` finds something, 0."""
        if moment.seconds is not None:
            return moment.seconds
        if moment.frames is not None:
            return moment.frames / self.fps
        if moment.timecode is not None:
            return frame_number(moment.timecode, self.fps) / self.fps
        if moment.onset is not None:
            return self.onset(*moment.onset)
        return self.tempo.seconds(self.tempo.beat_of(moment)) if self.tempo else Fraction(0)

    def onset(self, name: str, band: str, number: int) -> Fraction:
        """When an onset of a sound is; of one that is not there, 0."""
        heard = self.sound(name)
        times = heard.onsets.get(band, ()) if heard else ()
        return times[number - 1] if number <= len(times) else Fraction(0)

    def onset_flaw(self, name: str, band: str, number: int) -> str | None:
        """Why there is no such onset."""
        if flaw := self.sound_flaw(name):
            return flaw
        heard = self.sound(name)
        count = len(heard.onsets.get(band, ())) if heard else 0
        return None if number <= count else f"the band {band} has {plural(count, 'onset')}"

    def frame_time(self, moment: Moment) -> Fraction:
        """When it is, or for a beat or an onset between two frames when the nearer one is: so its
        picture is shown, and a cut comes at most half a frame early or late."""
        time = self.seconds(moment)
        musical = moment.is_musical or moment.onset is not None
        return Fraction(round(time * self.fps)) / self.fps if musical else time

    def near_beat(self, time: Fraction) -> Fraction:
        """The time of the beat that comes next, if a keyframe on it would be moved back to this
        time or an earlier one; else the time itself."""
        if self.tempo is None:
            return time
        beat = self.tempo.seconds(Fraction(ceil(self.tempo.beat_at(time))))
        return beat if Fraction(round(beat * self.fps)) / self.fps <= time else time

    def flaw(self, moment: Moment) -> str | None:
        """Why nobody can know when it is."""
        if moment.timecode is not None:
            return timecode_flaw(moment.timecode, self.fps)
        if moment.onset is not None:
            return self.onset_flaw(*moment.onset)
        if moment.is_musical and self.tempo is None:
            return NO_TEMPO
        if moment.bar and self.tempo and 0 < self.tempo.beats_of_bar < moment.bar[1]:
            what = f"a bar has {self.tempo.bar} beats, so there is no beat {moment.bar[1]} in it"
            half = 'half way through a bar of 4 beats is its beat 3: "bar 2.3"'
            return f"{what}; {half}. Give bar: {moment.bar[1]} in the timeline if it has more"
        return None


def nominal(fps: Fraction) -> int:
    """Frames that timecode counts in a second: 30 at 29.97."""
    return max(1, round(fps))


def frame_number(code: Timecode, fps: Fraction) -> int:
    """The frame that a timecode names, from 0."""
    number = code.seconds * nominal(fps) + code.frames
    if code.drop:
        minutes = code.seconds // 60
        number -= DROPPED.get(fps, 0) * (minutes - minutes // 10)
    return number


def timecode_flaw(code: Timecode, fps: Fraction) -> str | None:
    """Why there is no such timecode at this rate."""
    per_second = nominal(fps)
    if fps not in (per_second, Fraction(per_second * 1000, 1001)):
        return f"a timecode takes a rate like 24 or 29.97, not {fps}; give seconds or frames"
    if code.frames >= per_second:
        return f"a second has frames 00 to {per_second - 1:02} at {float(fps):g} fps"
    if not code.drop:
        return None
    if fps not in DROPPED:
        return "drop frames (;) are for output.fps=29.97 and 59.94; write : instead"
    begins = code.seconds % 60 == 0 and code.seconds // 60 % 10 != 0
    if begins and code.frames < DROPPED[fps]:
        return f"this number is left out in drop-frame timecode; the next is ;{DROPPED[fps]:02}"
    return None


def clock_of(
    written: TimelineConfig, fps: Fraction, sounds: Mapping[str, Heard] | None = None
) -> Clock:
    """The clock of a timeline. What `tempo_flaws` finds wrong in its tempo is left out.

    Args:
        sounds: of the film by name, analysed.
    """
    plain = Clock(fps, sounds=sounds or {})
    if written.tempo is None or any(tempo_flaws(written, fps, sounds)):
        return plain
    if written.takes_heard_tempo:
        heard = plain.sound("")
        if heard is None or len(heard.beats) < 2:
            return plain
        return replace(plain, tempo=HeardTempo(heard.beats, heard.downbeats, written.bar or 4))
    offset = plain.seconds(written.offset) if written.offset else Fraction(0)
    counted = Tempo((), offset, written.bar or 4)
    changes = ((counted.beat_of(change.at), change.bpm) for change in written.tempo)
    return replace(plain, tempo=Tempo(tuple(changes), offset, counted.bar))


def tempo_flaws(
    written: TimelineConfig, fps: Fraction, sounds: Mapping[str, Heard] | None = None
) -> Iterator[tuple[str, str]]:
    """Why the tempo of a timeline says not when beats are: (key in the timeline, what)."""
    if written.takes_heard_tempo:
        yield from heard_flaws(written, sounds or {})
        return
    if written.offset is not None:
        if written.offset.is_musical or written.offset.onset:
            yield "offset", "says when the first beat is, so give seconds, frames or minutes"
        elif flaw := Clock(fps).flaw(written.offset):
            yield "offset", flaw
    if written.tempo is None:
        for key in ("offset", "bar"):
            if getattr(written, key) is not None:
                yield key, "goes with a tempo; give tempo: 128, or leave it out"
        return
    yield from change_flaws(written.tempo, Tempo((), bar=written.bar or 4))


def heard_flaws(written: TimelineConfig, sounds: Mapping[str, Heard]) -> Iterator[tuple[str, str]]:
    """Why the film's sound does not say when beats are."""
    if written.offset is not None:
        yield "offset", "the sound says when its beats are; leave it out, or give tempo: 128"
    if written.audio is None:
        yield "tempo", "audio takes the beats of a sound; give audio: FILE in the timeline as well"
    elif sounds and len(next(iter(sounds.values())).beats) < 2:
        yield "tempo", "no beat was found in the film's sound; give tempo: 128"


def change_flaws(changes: Sequence[TempoChange], counted: Tempo) -> Iterator[tuple[str, str]]:
    """Changes that are at no beat, that are out of order, or of which the first is late."""
    musical = [change.at.is_musical for change in changes]
    for place, is_musical in enumerate(musical):
        if not is_musical:
            yield f"tempo.{place}.at", 'a tempo changes at a beat or a bar: "beat 65", "bar 17"'
        elif flaw := Clock(Fraction(1), counted).flaw(changes[place].at):
            yield f"tempo.{place}.at", flaw
    if not all(musical):
        return
    beats = [counted.beat_of(change.at) for change in changes]
    if beats[0] != 1:
        yield "tempo.0.at", 'the first tempo begins at "beat 1"'
    for place, (before, after) in enumerate(pairwise(beats), 1):
        if after <= before:
            yield f"tempo.{place}.at", "comes not after the change before it; keep them in order"
