"""Times as people write them: seconds, frames, minutes, timecode, beats and bars."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from pydantic_core import PydanticCustomError

from render.config.values import check_point, exact, mistake, nearest, shown

MINUTES = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:\.\d{1,20})?)", re.ASCII)
TIMECODE = re.compile(r"(\d{1,3}):(\d{2}):(\d{2})([:;])(\d{2,3})", re.ASCII)
BEAT = re.compile(r"beat\s+(\S+)", re.IGNORECASE)
BAR = re.compile(r"bar\s+(\d{1,9})(?:\.(\d{1,4}))?", re.IGNORECASE | re.ASCII)
ONSET = re.compile(r"onset\s+(?:([a-z_]\w{0,40})\.)?([a-z]+)\s+(\d{1,7})", re.IGNORECASE | re.ASCII)
BANDS = ("low", "mid", "high", "all")
"""Bands of a sound: below 150 Hz, from there to 2,000 Hz, above that, and everything."""
HOW = (
    'write seconds (1.5), frames ("36f"), minutes ("1:05.5"), a timecode, "beat 16", "bar 8.3" or '
    '"onset low 4"'
)


@dataclass(frozen=True, slots=True)
class Timecode:
    """`00:01:05:12`: whole seconds, and frames of the output. With drop frames, `00:01:05;12`, the
    numbers of some frames are left out so that it keeps up with a clock."""

    seconds: int
    frames: int
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as written, in one of these ways.

    Attributes:
        seconds: from the film's beginning.
        frames: of the output.
        timecode: as editors count.
        beat: counted from 1; 1.5 is half way from the first to the second.
        bar: counted from 1, with its beat, which counts from 1 as well.
        onset: the name of a sound (empty for the first one), its band, and which onset, from 1.
    """

    seconds: Fraction | None = None
    frames: Fraction | None = None
    timecode: Timecode | None = None
    beat: Fraction | None = None
    bar: tuple[int, int] | None = None
    onset: tuple[str, str, int] | None = None

    @property
    def is_musical(self) -> bool:
        """Whether it takes a tempo to know when it is."""
        return self.beat is not None or self.bar is not None


def moment(value: object) -> Moment:
    """`1.5` and `"1.5"` are seconds; `"36f"` frames; `"1:05.5"` minutes and seconds."""
    written = value.strip() if isinstance(value, str) else value
    if isinstance(written, str) and (found := other_moment(written)):
        return found
    frames = isinstance(written, str) and written.endswith("f")
    number = written[:-1] if isinstance(written, str) and frames else written
    check_point(number)
    try:
        amount = exact(number)
    except PydanticCustomError:
        raise mistake(f"{shown(value)} is not a time; {HOW}") from None
    if amount < 0:
        raise mistake(f"{value} is negative; a timeline begins at 0")
    return Moment(frames=amount) if frames else Moment(seconds=amount)


def other_moment(written: str) -> Moment | None:
    """A time that is more than a number."""
    if match := TIMECODE.fullmatch(written):
        hours, minutes, seconds, kind, frames = match.groups()
        whole = 60 * (60 * int(hours) + below_60(minutes, written)) + below_60(seconds, written)
        return Moment(timecode=Timecode(whole, int(frames), kind == ";"))
    if match := MINUTES.fullmatch(written):
        hours, minutes, seconds = match.groups()
        whole = 60 * int(hours or 0) + (below_60(minutes, written) if hours else int(minutes))
        rest = Fraction(seconds)
        if rest >= 60:
            raise mistake(f"{shown(written)} has {seconds} seconds in a minute of 60")
        return Moment(seconds=60 * whole + rest)
    if match := BAR.fullmatch(written):
        bar, beat = int(match[1]), int(match[2] or 1)
        if not bar or not beat:
            raise mistake(f"{shown(written)}: bars and their beats count from 1")
        return Moment(bar=(bar, beat))
    if match := ONSET.fullmatch(written):
        if match[2].lower() not in BANDS:
            raise mistake(f"{shown(written)}: no band {shown(match[2])}{nearest(match[2], BANDS)}")
        if not int(match[3]):
            raise mistake(f"{shown(written)}: onsets count from 1")
        return Moment(onset=(match[1] or "", match[2].lower(), int(match[3])))
    if match := BEAT.fullmatch(written):
        try:
            beat_number = exact(match[1])
        except PydanticCustomError:
            raise mistake(f'{shown(written)} is no beat; write "beat 16" or "beat 16.5"') from None
        if beat_number < 1:
            raise mistake(f"{shown(written)}: beats count from 1")
        return Moment(beat=beat_number)
    return None


def below_60(number: str, written: str) -> int:
    """Minutes or seconds of a clock."""
    if int(number) >= 60:
        raise mistake(f"{shown(written)} has {number} where a clock ends at 59")
    return int(number)


NTSC = {
    Fraction(written): Fraction(rate * 1000, 1001)
    for rate, spellings in {
        24: ("23.976", "23.98", "23.9760", "23.97"),
        30: ("29.97", "29.970"),
        48: ("47.952", "47.95"),
        60: ("59.94", "59.940"),
        120: ("119.88",),
    }.items()
    for written in spellings
}
"""Rates of NTSC, by how they are called."""


def rate(value: object) -> Fraction:
    """A rate of pictures: 23.976 is 24000/1001, as it is everywhere."""
    written = exact(value)
    return NTSC.get(written, written)
