"""Output formats: the encoder of each, and the arguments for ffmpeg.

A new format is one `Codec` and one file in `configs/output/`. Ours are listed in extensions.py;
another package names its own under the entry points `render.formats`. Nothing runs here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from render.config.output_group import OutputConfig
from render.errors import ConfigError, Mistake
from render.extensions import FORMATS, Registry
from render.video.chapters import Chapter, as_data

ENCODER_VERSION = 2  # raised by hand when the same frames and settings give another video
MUXERS_WITH_CHAPTERS = ("mp4", "mov", "webm", "matroska")
FASTEST_GIF = 50  # players slow delays under 2/100 s down to 10/100 s

Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True, slots=True)
class Codec:
    """How a format is made: its file, its encoder at a quality of 0 to 100, and its sound."""

    suffix: str
    muxer: str
    encoder: Callable[[int], tuple[str, ...]]
    audio: tuple[str, ...] = ()
    pixels: str | None = None
    """The pixel format of a video in BT.709; moving pictures (gif, webp, apng) have none."""
    bytes_per_pixel: float = 0.2
    """About what a frame of a detailed film takes, to know whether there is room for the video."""
    called: str = ""
    """Its part of a video's name, where another format has the same suffix."""
    times: Callable[[int], tuple[str, ...]] | None = None
    """How often a moving picture is shown (0: for ever)."""
    small: Callable[[int], tuple[str, ...]] | None = None
    """In place of `encoder` for sizes and rates that it can't take."""
    full_chroma: Callable[[int], tuple[str, ...]] | None = None
    """In place of `encoder` with a colour for every pixel, if the format has that."""
    fastest: int | None = None
    """Frames a second at most."""
    lossless: bool = False
    """Whether nothing is lost at any quality."""


def between(worst: int, best: int, quality: int) -> str:
    """A quality of 0 to 100 on an encoder's own scale."""
    return str(round(worst + (best - worst) * quality / 100))


def x264(quality: int) -> tuple[str, ...]:
    """H.264, which everything plays; below 1 players would need a profile that few have."""
    grade = "1" if quality == 100 else between(45, 10, quality)
    return "-c:v", "libx264", "-preset", "medium", "-crf", grade


def x264_444(quality: int) -> tuple[str, ...]:
    """H.264 with a colour for every pixel; the best loses nothing but RGB's rounding to YUV."""
    grade = "0" if quality == 100 else between(45, 10, quality)
    return "-c:v", "libx264", "-preset", "medium", "-crf", grade


def vp9(quality: int) -> tuple[str, ...]:
    """VP9 at a constant quality."""
    grade = ("-b:v", "0", "-crf", between(63, 13, quality))
    return "-c:v", "libvpx-vp9", *grade, "-row-mt", "1", "-cpu-used", "4"


def svt_av1(quality: int) -> tuple[str, ...]:
    """AV1, quickly."""
    return "-c:v", "libsvtav1", "-preset", "8", "-crf", between(63, 13, quality)


def aom_av1(quality: int) -> tuple[str, ...]:
    """AV1 at any size and rate."""
    grade = ("-b:v", "0", "-crf", between(63, 13, quality))
    return "-c:v", "libaom-av1", *grade, "-row-mt", "1", "-cpu-used", "6"


def prores(quality: int) -> tuple[str, ...]:
    """Proxy, LT, 422 and HQ, a quarter of the scale each."""
    return "-c:v", "prores_ks", "-profile:v", str(min(3, quality // 25)), "-vendor", "apl0"


def gif(quality: int) -> tuple[str, ...]:
    """A palette for every frame, so that a small thing's colour is not averaged away over the
    film. The quality is the number of its colours: all 256 from 80 on."""
    made = f"palettegen=max_colors={min(256, 16 + 3 * quality)}:reserve_transparent=0"
    used = "[b][p]paletteuse=new=1:dither=sierra2_4a"
    return "-c:v", "gif", "-vf", f"split[a][b];[a]{made}:stats_mode=single[p];{used}"


def gif_times(times: int) -> tuple[str, ...]:
    """A gif counts how often it is shown again."""
    return "-loop", str({0: 0, 1: -1}.get(times, times - 1))


def webp(quality: int) -> tuple[str, ...]:
    """libwebp itself turns RGB into its BT.601; 100 is lossless."""
    grade = ("-lossless", str(int(quality == 100)), "-quality", str(min(100, quality + 10)))
    return "-c:v", "libwebp_anim", "-pix_fmt", "bgra", *grade


def apng(_: int) -> tuple[str, ...]:
    """Lossless at every quality."""
    return "-c:v", "apng", "-pred", "mixed"


AAC = ("-c:a", "aac", "-b:a", "192k")
OPUS = ("-c:a", "libopus", "-b:a", "160k")
MP4 = Codec(".mp4", "mp4", x264, AAC, "yuv420p", full_chroma=x264_444)
WEBM = Codec(".webm", "webm", vp9, OPUS, "yuv420p")
AV1 = Codec(".mp4", "mp4", svt_av1, AAC, "yuv420p", called="av1", small=aom_av1)
PRORES = Codec(".mov", "mov", prores, AAC, "yuv422p10le", 1.0)
GIF = Codec(".gif", "gif", gif, bytes_per_pixel=0.6, times=gif_times, fastest=FASTEST_GIF)
WEBP = Codec(".webp", "webp", webp, times=lambda times: ("-loop", str(times)))
APNG = Codec(
    ".apng",
    "apng",
    apng,
    bytes_per_pixel=1.6,
    times=lambda times: ("-plays", str(times)),
    lossless=True,
)
CODECS = Registry(FORMATS, Codec)
"""By the names of their formats; `frames` makes no video, so it has none."""


def suffix(output_format: str) -> str:
    """The suffix of a format's file; `frames` makes none."""
    return CODECS[output_format].suffix if output_format in CODECS else ""


def video_bytes(output: OutputConfig, size: Size, frames: int) -> int:
    """About the room that a video takes; `frames` makes none."""
    if output.format not in CODECS:
        return 0
    return round(frames * size[0] * size[1] * CODECS[output.format].bytes_per_pixel)


def audio_flaw(output: OutputConfig) -> str | None:
    """The flaw of `output.audio`, found before any frame is rendered, or None."""
    if output.audio is None:
        return None
    if output.format not in CODECS or not CODECS[output.format].audio:
        loud = ", ".join(name for name, codec in CODECS.items() if codec.audio)
        return f"{output.format} has no sound; take one of {loud}, or leave the audio out"
    if not output.audio.is_file():
        return f"{output.audio} is not a file; give the path of a sound file"
    return None


def mistakes_in_output(output: OutputConfig) -> list[Mistake]:
    """Everything in `output` that its format can't do, before any frame is rendered."""
    wrong = {
        "audio": audio_flaw(output),
        "fps": rate_flaw(output),
        "repeat": repeat_flaw(output),
        "chroma": chroma_flaw(output),
        "chapters": chapters_flaw(output),
        "quality": quality_flaw(output),
    }
    return [Mistake(f"output.{key}", what) for key, what in wrong.items() if what]


def repeat_flaw(output: OutputConfig) -> str | None:
    """The flaw of `output.repeat`: of most formats the player decides how often they are shown."""
    if output.repeat is None or repeats(output.format):
        return None
    kinds = ", ".join(name for name in CODECS if repeats(name))
    return f"{output.format} can't say how often it is shown; leave it out, or take one of {kinds}"


def chroma_flaw(output: OutputConfig) -> str | None:
    """The flaw of `output.chroma`, or None."""
    if output.chroma is None or has_full_chroma(output.format):
        return None
    kinds = " or ".join(f"output={name}" for name in CODECS if has_full_chroma(name))
    return f"goes with {kinds} and not with {output.format}; leave it out"


def chapters_flaw(output: OutputConfig) -> str | None:
    """The flaw of `output.chapters`, or None."""
    if not output.chapters or has_chapters(output.format):
        return None
    kinds = ", ".join(name for name in CODECS if has_chapters(name))
    return f"{output.format} has no chapters; take one of {kinds}, or leave them out"


def has_chapters(output_format: str) -> bool:
    """Whether a format's file can have chapters."""
    return output_format in CODECS and CODECS[output_format].muxer in MUXERS_WITH_CHAPTERS


def has_full_chroma(output_format: str) -> bool:
    """Whether a format can keep a colour for every pixel."""
    return output_format in CODECS and CODECS[output_format].full_chroma is not None


def repeats(output_format: str) -> bool:
    """Whether a format's file says how often it is shown."""
    return output_format in CODECS and CODECS[output_format].times is not None


def resolved(output: OutputConfig, loop: bool) -> OutputConfig:
    """The output with what it leaves open filled in: a loop is shown for ever, another film once.

    Args:
        loop: whether the timeline leads back to its beginning.
    """
    if output.repeat is not None or not repeats(output.format):
        return output
    return output.model_copy(update={"repeat": "forever" if loop else 1})


def for_file(output: OutputConfig, path: Path, loop: bool) -> OutputConfig:
    """The output for a file: in the film's own format, unless the suffix is another one's.

    Raises:
        ConfigError: no format has this suffix, or its format can't do what the output asks for.
    """
    wanted = path.suffix.lower()
    fitting = [name for name, codec in CODECS.items() if codec.suffix == wanted]
    fitting.sort(key=lambda name: (name != output.format, wanted != f".{name}"))
    if not fitting:
        known = ", ".join(dict.fromkeys(codec.suffix for codec in CODECS.values()))
        raise ConfigError([Mistake(str(path), f"no format has this suffix; known: {known}")])
    fitted = output.model_copy(update={"format": fitting[0]})
    if mistakes := mistakes_in_output(fitted):
        raise ConfigError(mistakes)
    return resolved(fitted, loop)


def quality_flaw(output: OutputConfig) -> str | None:
    """Why a quality that is asked for changes nothing in the format."""
    loses = output.format in CODECS and not CODECS[output.format].lossless
    if loses or output.quality == OutputConfig().quality:
        return None
    return f"{output.format} loses nothing at any quality; leave it out"


def rate_flaw(output: OutputConfig) -> str | None:
    """The flaw of `output.fps` in this format, found before any frame is rendered, or None."""
    fastest = CODECS[output.format].fastest if output.format in CODECS else None
    if fastest is None or output.fps <= fastest:
        return None
    return f"a {output.format} shows {fastest} frames a second at most, not {output.fps}; try webp"


def video_digest(
    digests: Sequence[str],
    output: OutputConfig,
    size: Size,
    ffmpeg_version: str,
    sound: str | None = None,
    chapters: Sequence[Chapter] = (),
) -> str:
    """The identity of a video: equal digest, nothing to encode.

    Args:
        sound: the sha256 of the sound file's content.
        chapters: of the video; one without any is as it was before there were chapters.
    """
    settings = {
        "version": ENCODER_VERSION,
        "ffmpeg": ffmpeg_version,
        "format": output.format,
        "fps": str(output.fps),
        "quality": output.quality,
        "size": list(size),
        "audio": sound,
        "chroma": output.chroma,
        "repeat": output.repeat,
        "frames": list(digests),
        **({"chapters": as_data(chapters)} if chapters else {}),
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def raw_input(fps: Fraction, size: Size) -> list[str]:
    """Raw RGB on stdin; the rate stays a fraction, as 29.97 is not 30000/1001."""
    shape = ["-pixel_format", "rgb24", "-video_size", f"{size[0]}x{size[1]}"]
    rate = ["-framerate", f"{fps.numerator}/{fps.denominator}"]
    return ["-f", "rawvideo", *shape, *rate, "-i", "pipe:0"]


def audio_input(output: OutputConfig, frames: int, source: Sequence[str]) -> list[str]:
    """The sound, cut or filled with silence: the film's length rules.

    Args:
        source: the arguments that open the sound file; none for a film without sound.
    """
    if not source:
        return ["-map", "0:v:0"]
    length = f"{float(frames / output.fps):.6f}"  # seconds
    fitted = ["-af", f"atrim=end={length},apad=whole_dur={length}", "-ar", "48000", "-ac", "2"]
    return [*source, "-map", "0:v:0", "-map", "2:a:0", *fitted, *CODECS[output.format].audio]


def video_output(output: OutputConfig, small: bool) -> list[str]:
    """Encoder, colours and container. RGB becomes BT.709, and says so, as HD players expect.

    Args:
        small: whether the usual encoder can't take the size or the rate (see `encode.needs_aom`).
    """
    codec = CODECS[output.format]
    encoder, pixels = codec.encoder, codec.pixels
    if codec.small and small:
        encoder = codec.small
    if codec.full_chroma and output.chroma == 444:
        encoder, pixels = codec.full_chroma, "yuv444p"
    options = [*encoder(output.quality), "-f", codec.muxer]
    if codec.times is not None:
        options += codec.times(0 if output.repeat in (None, "forever") else int(output.repeat))
    if pixels is None:
        return options
    scale = "scale=out_color_matrix=bt709:out_range=tv:flags=lanczos+accurate_rnd+full_chroma_int"
    named = "range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    options += ["-vf", f"{scale},format={pixels},setparams={named}"]
    # The index in front lets a browser begin before it has the whole file.
    return [*options, *(["-movflags", "+faststart"] if codec.muxer in ("mp4", "mov") else [])]
