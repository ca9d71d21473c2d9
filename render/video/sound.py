"""The sound of a film: opened once, recognised by its content, handed to ffmpeg by its descriptor.

ffmpeg takes a playlist for a sound file, too, and would open what it names. Here it gets no name to
guess from, only formats that hold their own sound, and no way to open another file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from render.errors import EncodeError
from render.video.ffmpeg import running

FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,ogg,tta,voc,w64,wav,wv"
)
"""ffmpeg's readers of files that hold their sound themselves."""
PATIENCE_S = 60.0  # to read a sound file from its beginning to its end
HEAD_BYTES = 512
COARSE_HZ = 4000  # enough to see how loud a sound is
WAY_OUT = "give a sound file (wav, flac, mp3, ogg, m4a …) or a video with sound"


@dataclass
class Packets:
    """A stream as ffmpeg's framecrc muxer describes it, line by line.

    Attributes:
        tick: seconds of a unit in which its packets count time.
        end: when the last packet ends, in ticks.
    """

    tick: Fraction = field(default_factory=Fraction)
    end: int = 0

    def read(self, line: str) -> bool:
        """One line: `#tb 0: 1/48000`, or `0, dts, pts, duration, …` of a packet."""
        if line.startswith("#tb 0:"):
            self.tick = Fraction(line.removeprefix("#tb 0:").strip())
        elif line.startswith("0,"):
            _, _, begin, length = line.split(",")[:4]
            self.end = max(self.end, int(begin) + int(length))
        return False  # no packet buys time: the whole file has to be read within the patience


@contextmanager
def opened_sound(audio: Path | None) -> Iterator[int | None]:
    """The descriptor of a sound file for the block; None where a film has no sound.

    Raises:
        EncodeError: it can't be read, or is no regular file.
    """
    if audio is None:
        yield None
        return
    try:
        descriptor = os.open(audio, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(audio, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise unreadable(audio, OSError(errno.EINVAL, "it is no regular file"))
        yield descriptor
    finally:
        os.close(descriptor)


def unreadable(audio: Path, error: OSError) -> EncodeError:
    """The error for a sound file that the system does not let us read."""
    return EncodeError(f"output.audio: can't read {audio}: {error.strerror}")


def sound_digest(descriptor: int) -> str:
    """The sha256 of a sound file's content.

    Raises:
        EncodeError: it can't be read.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise EncodeError(f"output.audio: can't be read: {error.strerror}") from error


def sound_source(descriptor: int) -> list[str]:
    """ffmpeg's arguments for reading a sound file from its beginning."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    kept = ["-format_whitelist", FORMATS, "-protocol_whitelist", "fd"]
    return [*kept, "-fd", str(descriptor), "-i", "fd:"]


def loudness(audio: Path, seconds: float, parts: int) -> list[float]:
    """How loud a sound is over a film's length, 0 to 1: the largest swing in each of equal parts.

    Raises:
        EncodeError: it can't be read, or there is no ffmpeg.
    """
    with opened_sound(audio) as descriptor:
        source = sound_source(descriptor or 0)
        plain = ["-map", "0:a:0", "-t", f"{seconds:.6f}", "-ac", "1", "-ar", str(COARSE_HZ)]
        arguments = [*source, *plain, "-f", "s16le", "pipe:1"]
        with running(arguments, None, PATIENCE_S, keep=(descriptor or 0,)) as child:
            content = child.give(2 * round(seconds * COARSE_HZ))
            child.finish()
    found = np.zeros(round(seconds * COARSE_HZ) + parts, np.float64)
    swings = np.abs(np.frombuffer(content[: len(content) // 2 * 2], "<i2").astype(np.float64))
    found[: len(swings)] = swings[: len(found)]
    length = round(seconds * COARSE_HZ)
    edges = [place * length // parts for place in range(parts + 1)]
    return [round(float(found[a : max(a + 1, b)].max()) / 32768, 3) for a, b in pairwise(edges)]


def measured(audio: Path) -> tuple[float, str | None]:
    """The length of a file's sound in seconds, and what is wrong with it (None if nothing is).

    Raises:
        EncodeError: there is no ffmpeg.
    """
    try:
        with opened_sound(audio) as descriptor:
            return read_through(audio, descriptor or 0)
    except EncodeError as error:
        if error.__cause__ is None or isinstance(error.__cause__, OSError):
            return 0.0, f"{audio} can't be read ({error.__cause__ or error}); {WAY_OUT}"
        raise


def read_through(audio: Path, descriptor: int) -> tuple[float, str | None]:
    """All packets of a sound are read, and its first second is decoded."""
    packets = Packets()
    length = ["-map", "0:a:0", "-c", "copy", "-f", "framecrc", "pipe:1"]
    decoded = ["-map", "0:a:0", "-t", "1", "-f", "null", "-"]
    arguments = [*sound_source(descriptor), *length, *decoded]
    with running(arguments, packets.read, PATIENCE_S, keep=(descriptor,)) as child:
        code = child.finish()
    seconds = float(packets.end * packets.tick)
    if code == 0 and seconds > 0:
        return seconds, None
    if child.hung:
        return 0.0, f"{audio} took more than {PATIENCE_S:g} s to read; {WAY_OUT}"
    return 0.0, f"{audio} {fault(descriptor, child.said())}; {WAY_OUT}"


def fault(descriptor: int, said: str) -> str:
    """Why a file is no sound, by its first bytes and by what ffmpeg said."""
    head = os.pread(descriptor, HEAD_BYTES, 0)
    if not head:
        return "is empty"
    if is_text(head):
        return "is a text and no sound (a playlist is not followed)"
    if "matches no streams" in said:
        return "has no sound"
    return "is no sound that can be read"


def is_text(head: bytes) -> bool:
    """Whether a file begins like a text."""
    try:
        text = head[: HEAD_BYTES - 4].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end < len(head) - 8:
            return False
        text = head[: error.start].decode("utf-8-sig")
    return bool(text) and all(letter.isprintable() or letter.isspace() for letter in text)


def length_warning(audio: Path, sound_s: float, frames: int, fps: Fraction, opens: bool) -> str:
    """A warning of a sound that is shorter or longer than its film; empty where both are alike.

    Args:
        opens: whether the film would be as long as the sound without its last keyframe's frame.
    """
    film_s = float(frames / fps)
    differ = film_s - sound_s
    if abs(differ) <= min(0.05, float(1 / fps / 2)):
        return ""
    lengths = f"output.audio: {audio.name} is {sound_s:.2f} s long and the film {film_s:.2f} s"
    if differ < 0:
        return f"{lengths}: the last {-differ:.2f} s of the sound are left out"
    silent = f"{lengths}: its last {differ:.2f} s are silent"
    if opens and 0 < differ <= 1.5 / fps:
        silent += (
            "; the last keyframe's own frame stands after the end of the sound, and "
            "timeline.end=open leaves it out"
        )
    return silent
