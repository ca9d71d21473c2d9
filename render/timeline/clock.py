"""The clock of a film: when a written time is, in seconds, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from render.config.moments import Moment, Timecode
from render.config.schema import TempoChange, TimelineConfig

DROPPED = {Fraction(30_000, 1001): 2, Fraction(60_000, 1001): 4}
"""Frame numbers that drop-frame timecode leaves out at the beginning of a minute, but of each
tenth (SMPTE ST 12-1)."""
NO_TEMPO = "beats and bars take a tempo; give tempo: 128 in the timeline"


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


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns times as they are written into seconds.

    Attributes:
        fps: pictures a second of the output.
        tempo: None where there is none.
    """

    fps: Fraction
    tempo: Tempo | None = None

    def seconds(self, moment: Moment) -> Fraction:
        """When it is; of a time in which `flaw` finds something, 0."""
        if moment.seconds is not None:
            return moment.seconds
        if moment.frames is not None:
            return moment.frames / self.fps
        if moment.timecode is not None:
            return frame_number(moment.timecode, self.fps) / self.fps
        return self.tempo.seconds(self.tempo.beat_of(moment)) if self.tempo else Fraction(0)

    def flaw(self, moment: Moment) -> str | None:
        """Why nobody can know when it is."""
        if moment.timecode is not None:
            return timecode_flaw(moment.timecode, self.fps)
        if moment.is_musical and self.tempo is None:
            return NO_TEMPO
        if moment.bar and self.tempo and moment.bar[1] > self.tempo.bar:
            what = f"a bar has {self.tempo.bar} beats, so there is no beat {moment.bar[1]} in it"
            return f"{what}; give bar: {moment.bar[1]} in the timeline if it has more"
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


def clock_of(written: TimelineConfig, fps: Fraction) -> Clock:
    """The clock of a timeline. What `tempo_flaws` finds wrong in its tempo is left out."""
    plain = Clock(fps)
    if written.tempo is None or any(tempo_flaws(written, fps)):
        return plain
    offset = plain.seconds(written.offset) if written.offset else Fraction(0)
    counted = Tempo((), offset, written.bar or 4)
    changes = ((counted.beat_of(change.at), change.bpm) for change in written.tempo)
    return Clock(fps, Tempo(tuple(changes), offset, counted.bar))


def tempo_flaws(written: TimelineConfig, fps: Fraction) -> Iterator[tuple[str, str]]:
    """Why the tempo of a timeline says not when beats are: (key in the timeline, what)."""
    if written.offset is not None:
        if written.offset.is_musical:
            yield "offset", "says when the first beat is, so give seconds, frames or minutes"
        elif flaw := Clock(fps).flaw(written.offset):
            yield "offset", flaw
    if written.tempo is None:
        for key in ("offset", "bar"):
            if getattr(written, key) is not None:
                yield key, "goes with a tempo; give tempo: 128, or leave it out"
        return
    yield from change_flaws(written.tempo, Tempo((), bar=written.bar or 4))


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
