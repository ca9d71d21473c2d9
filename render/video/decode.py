"""The frames of a video, one after the other: a video of any tool, which may come from anyone.

ffmpeg gets no name to guess from, only formats that hold their own pictures, and no way to open
another file; its frames come as raw pictures that begin with their size.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from render.video.ffmpeg import Child, running

FORMATS = (
    "apng,asf,avi,dv,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nut,obu,"
    "ogg,rm,yuv4mpegpipe"
)
"""ffmpeg's readers of files that hold their pictures themselves."""
PATIENCE_S = 60.0  # without a frame for so long, ffmpeg hangs
MOST_PIXELS = 1 << 26  # 8192 × 8192
HEADER_BYTES = 40
FIRST = ("-map", "0:v:0")


class UnreadableVideo(Exception):
    """The reason why a file can't be read as a video."""


@dataclass
class FrameTimes:
    """The times of a video's packets, line by line as ffmpeg's framecrc muxer describes them."""

    tick: Fraction = Fraction(1)
    shown: list[int] = field(default_factory=list)

    def read(self, line: str) -> bool:
        """One line: `#tb 0: 1/12288`, or `0, dts, pts, …` of a packet."""
        parts = line.split(",")
        if line.startswith("#tb 0:"):
            self.tick = Fraction(line.removeprefix("#tb 0:").strip())
        elif len(parts) > 2 and parts[2].strip().lstrip("-").isdecimal():
            self.shown.append(int(parts[2]))
        return True

    def seconds(self) -> list[float]:
        """When each frame is shown, from the first one on."""
        shown = sorted(self.shown)  # packets come in the order of decoding
        return [float((time - shown[0]) * self.tick) for time in shown]


@contextmanager
def opened_video(path: Path) -> Iterator[int]:
    """The descriptor of a video for the block.

    Raises:
        UnreadableVideo: it can't be read, or is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableVideo(f"can't be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableVideo("is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def source(descriptor: int) -> list[str]:
    """ffmpeg's arguments for reading a video from its beginning."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    kept = ["-format_whitelist", FORMATS, "-protocol_whitelist", "fd"]
    return [*kept, "-fd", str(descriptor), "-i", "fd:"]


def frame_times(descriptor: int, most: int) -> list[float]:
    """When each frame of a video is shown, in seconds from the first one on; nothing is decoded.

    Args:
        most: frames that are looked at.
    """
    times = FrameTimes()
    copied = [*FIRST, "-c", "copy", "-frames:v", str(most), "-f", "framecrc", "pipe:1"]
    with running([*source(descriptor), *copied], times.read, PATIENCE_S, (descriptor,)) as child:
        child.finish()
    return times.seconds() if times.shown else []


def video_frames(descriptor: int, most: int) -> Iterator[NDArray[np.uint8]]:
    """The pictures of a video in order, uint8 (H, W, 3); few are in memory at a time.

    Args:
        most: pictures that are decoded.

    Raises:
        UnreadableVideo: it is no video, breaks off in the midst, or its pictures are too large.
    """
    raw = ["-fps_mode", "passthrough", "-frames:v", str(most), "-c:v", "ppm", "-pix_fmt", "rgb24"]
    piped = ["-f", "image2pipe", "pipe:1"]
    arguments = [*source(descriptor), *FIRST, *raw, *piped]
    count = 0
    with running(["-xerror", *arguments], None, PATIENCE_S, (descriptor,)) as child:
        while (picture := next_picture(child)) is not None:
            count += 1
            yield picture
        code = child.finish()
    if child.hung:
        raise UnreadableVideo(f"gave no frame for {PATIENCE_S:g} s")
    if code != 0 or not count:
        said = child.said().splitlines()[-1]
        broke = f"breaks off after {count} frames" if count else "is no video that can be read"
        raise UnreadableVideo(f"{broke} ({said})")


def next_picture(child: Child) -> NDArray[np.uint8] | None:
    """The next picture of ffmpeg's stdout; None at the end."""
    numbers: list[int] = []
    for line in range(3):  # P6, width and height, 255
        content = header_line(child)
        if not content and line == 0:
            return None
        numbers += [int(word) for word in content.split() if word.isdigit()]
    if len(numbers) != 3:
        raise UnreadableVideo("breaks off in a frame's header")
    width, height, _ = numbers
    if width * height > MOST_PIXELS:
        raise UnreadableVideo(f"has {width} × {height} pixels, more than {MOST_PIXELS:,}")
    content = child.give(width * height * 3)
    if len(content) < width * height * 3:
        return None  # ffmpeg's exit code says why
    return np.frombuffer(content, np.uint8).reshape(height, width, 3)


def header_line(child: Child) -> bytes:
    """The bytes up to the end of a line."""
    line = b""
    while len(line) < HEADER_BYTES and (byte := child.give(1)):
        if byte == b"\n":
            return line
        line += byte
    return line
