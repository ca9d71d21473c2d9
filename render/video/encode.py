"""Encode: verified frames go down ffmpeg's stdin and come back as a video that was checked.

ffmpeg never opens a frame: it fills gaps, scales odd sizes and skips damage without a word. Here
Pillow decodes each PNG and raw RGB goes down a pipe, so there are no patterns and no quoting. The
result is decoded again before it takes its name: frames, size and times are those of the plan.
"""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from PIL import Image, ImageSequence

from render.config.output_group import OutputConfig
from render.errors import DamagedFrame, DiskFull, EncodeError, RenderError, unread_frame
from render.files.atomic import NO_ROOM, no_room, replacing
from render.files.temporary import sweep
from render.store.png import pixel_flaw
from render.video import codecs
from render.video.chapters import Chapter
from render.video.codecs import CODECS, Size
from render.video.ffmpeg import Argument, Child, answer, file_url, running
from render.video.sound import sound_source
from render.video.tags import TAGS, tags_file, tags_source, write_comment

PATIENCE_S = 120.0  # without a sign of progress for so long, ffmpeg hangs
MAX_DRIFT_MS = 20  # of a moving picture's length; a gif counts in 10 ms

OnFrame = Callable[[int, int], None]


def encode(
    pngs: Sequence[Path],
    target: Path,
    output: OutputConfig,
    size: Size,
    metadata: Mapping[str, str],
    on_frame: OnFrame,
    patience: float = PATIENCE_S,
    on_checked: Callable[[Path], None] = lambda _: None,
    sound: int | None = None,
    chapters: Sequence[Chapter] = (),
) -> Path:
    """Encode the frames as a video; an older one under the target's name stays until it is checked.

    Args:
        pngs: verified frames of the plan's size, in order.
        target: the video; its suffix is `codecs.suffix(output.format)`.
        size: width and height in pixels.
        metadata: `title`, `comment` …; moving pictures keep the comment alone.
        on_frame: called with (done, total) as frames go in; may raise to interrupt.
        patience: seconds without progress after which ffmpeg counts as hung.
        on_checked: called with the right video before it takes the target's name.
        sound: the descriptor of the sound file, for a film that has one.
        chapters: of the video, in order; moving pictures have none.

    Raises:
        EncodeError: ffmpeg is absent, fails or hangs, or its result is not the plan's film.
        DiskFull: no room for the video.
    """
    if not pngs:
        raise EncodeError(f"{target}: there are no frames to encode")
    if target.is_dir() and not target.is_symlink():
        raise EncodeError(f"{target}: a folder stands where the video belongs; move it away")
    try:
        sweep(target.parent)
        with replacing(target) as fresh:
            make_video(pngs, fresh, output, size, metadata, on_frame, patience, sound, chapters)
            check(fresh, target, output, size, pngs, patience)
            on_checked(fresh)
    except OSError as error:
        raise error_of_a_video(error, target, output, size, len(pngs)) from error
    return target


def make_video(
    pngs: Sequence[Path],
    fresh: Path,
    output: OutputConfig,
    size: Size,
    metadata: Mapping[str, str],
    on_frame: OnFrame,
    patience: float,
    sound: int | None,
    chapters: Sequence[Chapter],
) -> None:
    """All frames through ffmpeg once, with the sound, the tags and the chapters."""
    heard = [] if sound is None else sound_source(sound)
    made = codecs.video_output(output, small=needs_aom(output, size))
    with tags_file(metadata, chapters) as tags:
        source = [*codecs.raw_input(output.fps, size), *tags_source(tags)]
        more = codecs.audio_input(output, len(pngs), heard)
        about = [*TAGS, "1" if chapters else "-1"]
        options: list[Argument] = [*source, *more, *about, *made, file_url(fresh)]
        keep = (tags,) if sound is None else (tags, sound)
        send(pngs, size, options, fresh, output, on_frame, patience, keep)
    if CODECS[output.format].pixels is None:
        write_comment(fresh, metadata.get("comment", ""))


def needs_aom(output: OutputConfig, size: Size) -> bool:
    """SVT-AV1 is the faster one, but crashes below 64 pixels and refuses over 240 frames/s."""
    if CODECS[output.format].small is None:
        return False
    fits = min(size) >= 64 and output.fps <= 240
    return not (fits and any("libsvtav1" in line for line in answer(["-encoders"])))


def send(
    pngs: Sequence[Path],
    size: Size,
    options: Sequence[Argument],
    fresh: Path,
    output: OutputConfig,
    on_frame: OnFrame,
    patience: float,
    keep: Sequence[int] = (),
) -> None:
    """Send the frames through ffmpeg into `fresh`; raises an error if it fails."""
    done, last = 0, ""

    def shows_progress(line: str) -> bool:
        """`-progress` speaks twice a second even when stuck; only a new frame count is a sign."""
        nonlocal last
        news = line.startswith("frame=") and line != last
        last = line if news else last
        return news

    command = ["-y", "-progress", "pipe:1", *options]
    with running(command, shows_progress, patience, keep) as child:
        for png in pngs:
            if not child.take(pixels(png, size)):
                break  # ffmpeg ended early; its exit code or the check of the result says why
            done += 1
            on_frame(done, len(pngs))
        code = child.finish()
    if code == 0 and not child.hung:
        return
    if not ran_out_of_room(child, code):
        raise failure(child, code, done, len(pngs))
    so_far = fresh.stat().st_size if fresh.exists() else 0
    about = codecs.video_bytes(output, size, len(pngs))
    raise no_room_for_video(fresh.parent, max(about, so_far * len(pngs) // max(1, done)))


def pixels(png: Path, size: Size) -> bytes:
    """A frame's raw RGB. The header's size is compared before anything is decoded."""
    try:
        content = png.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != size:
                raise EncodeError(f"{png}: is {times(image.size)} pixels, not {times(size)}")
            if image.mode == "RGB" and (flaw := pixel_flaw(content)):
                raise DamagedFrame(png, flaw)
            return image.convert("RGB").tobytes()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise unread_frame(png, error) from error


def times(size: Size) -> str:
    """64x48"""
    return f"{size[0]}x{size[1]}"


def ran_out_of_room(child: Child, code: int) -> bool:
    """Whether ffmpeg ended because the disk is full, by its last words or by its signal."""
    full = ("No space left on device", "Disk quota exceeded", "File too large")
    return code == -getattr(signal, "SIGXFSZ", 0) or any(words in child.said() for words in full)


def no_room_for_video(folder: Path, needed: int) -> DiskFull:
    """The error for a disk that does not hold the video; the frames are all there."""
    return no_room(folder, f"the video takes about {needed:,} bytes")


def failure(child: Child, code: int, done: int, total: int) -> EncodeError:
    """The error for an ffmpeg that failed, with its last lines."""
    how = f"made no progress for {child.patience:g} s" if child.hung else f"ended with code {code}"
    return EncodeError(f"ffmpeg {how} after {done} of {total} frames. It said:\n{child.said()}")


def error_of_a_video(
    error: OSError, target: Path, output: OutputConfig, size: Size, frames: int
) -> RenderError:
    """The error of the file system, as one of the tree."""
    if error.errno in NO_ROOM:
        return no_room_for_video(target.parent, codecs.video_bytes(output, size, frames))
    where = error.filename or target  # run.json vouches for the video before it takes its name
    return EncodeError(f"{where}: can't be written: {error.strerror or error}")


def check(
    fresh: Path,
    target: Path,
    output: OutputConfig,
    size: Size,
    pngs: Sequence[Path],
    patience: float,
) -> None:
    """Decodes what ffmpeg made and compares it with the plan; raises EncodeError."""
    if CODECS[output.format].pixels is None:
        wrong = picture_fault(fresh, output, size, len(pngs), still=len(set(pngs)) == 1)
    else:
        wrong = video_fault(fresh, output, size, len(pngs), patience)
    if wrong:
        raise EncodeError(f"{target}: ffmpeg ended well, but {wrong}; an older video is as it was")


@dataclass
class Decoded:
    """A film as ffmpeg's framecrc muxer describes it, line by line. Times are in seconds."""

    fps: Fraction
    tick: Fraction = Fraction(1)
    size: str = ""
    frames: int = 0
    first: Fraction = Fraction(0)
    off_beat: int | None = None
    """The first frame that is not shown at its time."""
    sounds: int = 0

    def read(self, line: str) -> bool:
        """One line: `#tb 0: 1/12288`, `#dimensions 0: 64x48`, or `0, dts, pts, …` of a frame."""
        key, _, value = line.partition(":")
        if key == "#tb 0":
            self.tick = Fraction(value.strip())
        elif key == "#dimensions 0":
            self.size = value.strip()
        elif line.startswith("0,"):
            self.read_frame(int(line.split(",")[2]) * self.tick)
        elif line.startswith("1,"):
            self.sounds += 1
        return True

    def read_frame(self, time: Fraction) -> None:
        """Counts a frame and notes the first that is not shown at its time."""
        self.first = time if self.frames == 0 else self.first
        drift = abs(time - self.first - self.frames / self.fps)
        if drift > self.tick + Fraction(1, 1000) and self.off_beat is None:
            self.off_beat = self.frames
        self.frames += 1


def video_fault(
    fresh: Path, output: OutputConfig, size: Size, frames: int, patience: float
) -> str | None:
    """Every frame of the film is decoded: their count, their size and the time of each."""
    film = Decoded(output.fps)
    source: list[Argument] = ["-xerror", "-i", file_url(fresh), "-map", "0:v:0", "-map", "0:a:0?"]
    exact = ["-fps_mode", "passthrough", "-enc_time_base:v", "demux", "-f", "framecrc", "pipe:1"]
    with running([*source, *exact], film.read, patience) as child:
        code = child.finish()
    if code != 0:
        return f"the video can't be decoded{' in time' if child.hung else ''}: {child.said()}"
    if film.frames != frames:
        return f"the video has {film.frames} frames, not {frames}"
    if film.size != times(size):
        return f"the video is {film.size} pixels, not {times(size)}"
    if film.off_beat is not None:
        return f"frame {film.off_beat} is not shown at its time (output.fps={output.fps})"
    return "the video has no sound" if output.audio and not film.sounds else None


def picture_fault(
    fresh: Path, output: OutputConfig, size: Size, frames: int, still: bool
) -> str | None:
    """A moving picture, decoded by Pillow. Equal neighbours may be one frame of double length.

    Args:
        still: whether all frames are one picture, of which webp makes a file without any time.
    """
    shown, length_ms = 0, 0.0
    try:
        with Image.open(fresh, formats=["GIF", "WEBP", "PNG"]) as picture:
            found_size = picture.size
            for frame in ImageSequence.Iterator(picture):
                frame.load()
                shown += 1
                length_ms += float(frame.info.get("duration") or 0)
    except (OSError, SyntaxError, ValueError) as error:
        return f"the picture can't be decoded: {error}"
    planned_ms = float(1000 * frames / output.fps)
    if found_size != size:
        return f"the picture is {times(found_size)} pixels, not {times(size)}"
    if still and shown == 1:
        return None
    if shown > frames or (frames > 1 and abs(length_ms - planned_ms) > MAX_DRIFT_MS):
        found = f"{shown} frames in {length_ms:.0f} ms"
        return f"the picture has {found}, not {frames} in {planned_ms:.0f} ms"
    return None
