"""Films of a few frames through the real ffmpeg, and through stand-ins that fail in every way."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence

from render.config.output_group import OutputConfig
from render.errors import DiskFull, EncodeError, RenderError
from render.files import atomic
from render.video.codecs import CODECS, suffix
from render.video.encode import encode
from render.video.sound import opened_sound

SIZE = (64, 48)
ALL = sorted(CODECS)
VIDEOS = sorted(name for name, codec in CODECS.items() if codec.audio)
PICTURES = sorted(set(ALL) - set(VIDEOS))
RATES = ["12", "1", "1/2", "30000/1001", "1000"]


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""


def paint(folder: Path, count: int, size: tuple[int, int] = SIZE) -> list[Path]:
    """Colour ramps that move, one PNG each."""
    folder.mkdir(exist_ok=True)
    paths = []
    for index in range(count):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        image[..., 0] = np.linspace(0, 255, size[0])
        image[..., 1] = (index * 40) % 256
        image[: size[1] // 2, :, 2] = 200
        paths.append(folder / f"frame_{index:06d}.png")
        Image.fromarray(image).save(paths[-1])
    return paths


def film(folder: Path, output: OutputConfig, count: int = 5, size: tuple[int, int] = SIZE) -> Path:
    """The painted frames as a video in the folder."""
    pngs = paint(folder / "frames", count, size)
    target = folder / f"film{suffix(output.format)}"
    with opened_sound(output.audio) as sound:
        return encode(pngs, target, output, size, {}, quiet, sound=sound)


def probe(path: Path) -> str:
    """The real ffmpeg's description of a file."""
    command = [real_ffmpeg(), "-hide_banner", "-i", f"file:{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def real_ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def decoded(path: Path, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A video's frames, uint8 (frames, height, width, 3)."""
    options = ["-v", "error", "-i", f"file:{path}", "-fps_mode", "passthrough"]
    command = [real_ffmpeg(), *options, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3)


def tone(path: Path, seconds: float) -> Path:
    """A loud mono sound file."""
    rate = 16_000
    wavy = np.sin(np.arange(int(rate * seconds)) * 0.2) * 20_000
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(wavy.astype("<i2").tobytes())
    return path


def loudness(path: Path) -> np.ndarray:
    """A film's sound, mono float samples at 16 kHz."""
    options = ["-v", "error", "-i", f"file:{path}", "-map", "0:a:0", "-ac", "1", "-ar", "16000"]
    command = [real_ffmpeg(), *options, "-f", "f32le", "pipe:1"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, "<f4")


# --- formats ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", VIDEOS)
def test_every_frame_is_in_the_video(name: str, rate: str, tmp_path: Path) -> None:
    target = film(tmp_path, OutputConfig(format=name, fps=rate), count=6)
    frames = decoded(target)
    assert len(frames) == 6
    greens = frames[:, -4:, :4, 1].mean(axis=(1, 2))
    assert np.abs(greens - np.arange(6) * 40).max() < 8


@pytest.mark.parametrize("rate", ["12", "1/2", "30000/1001", "50"])
@pytest.mark.parametrize("name", PICTURES)
def test_every_frame_is_in_the_moving_picture(name: str, rate: str, tmp_path: Path) -> None:
    target = film(tmp_path, OutputConfig(format=name, fps=rate), count=6)
    with Image.open(target) as picture:
        shown = [
            (np.asarray(frame.convert("RGB"))[-4:, :4, 1].mean(), frame.info["duration"])
            for frame in ImageSequence.Iterator(picture)
        ]
    greens, durations_ms = np.array(shown).T
    assert np.abs(greens - np.arange(6) * 40).max() < 12
    assert abs(durations_ms.sum() - 6000 / Fraction(rate)) < 10


@pytest.mark.parametrize("name", ALL)
def test_single_frame(name: str, tmp_path: Path) -> None:
    target = film(tmp_path, OutputConfig(format=name), count=1)
    assert len(decoded(target)) == 1


@pytest.mark.parametrize("name", ALL)
def test_smallest_size(name: str, tmp_path: Path) -> None:
    target = film(tmp_path, OutputConfig(format=name), count=3, size=(8, 8))
    assert len(decoded(target, (8, 8))) == 3


@pytest.mark.parametrize("name", ALL)
def test_held_frames_keep_their_time(name: str, tmp_path: Path) -> None:
    held = paint(tmp_path / "frames", 2)
    pngs = [held[0], held[0], held[1], held[1], held[1]]
    output = OutputConfig(format=name, fps="10")
    target = encode(pngs, tmp_path / f"film{suffix(name)}", output, SIZE, {}, quiet)
    length = re.search(r"Duration: 00:00:00\.(\d\d)", probe(target))
    if name in PICTURES:
        with Image.open(target) as picture:
            frames = ImageSequence.Iterator(picture)
            durations_ms = [frame.load() and frame.info["duration"] for frame in frames]
        assert sum(durations_ms) == pytest.approx(500)
    else:
        assert length is not None
        assert length[1] == "50"


@pytest.mark.parametrize("name", ALL)
def test_a_film_of_one_picture_is_a_film(name: str, tmp_path: Path) -> None:
    pngs = paint(tmp_path / "frames", 1) * 4
    target = encode(
        pngs, tmp_path / f"film{suffix(name)}", OutputConfig(format=name), SIZE, {}, quiet
    )
    assert len(decoded(target)) in ((1, 4) if name in PICTURES else (4,))


@pytest.mark.parametrize("name", VIDEOS)
def test_colours_are_bt709_and_say_so(name: str, tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 180, 40), (40, 60, 220), (128, 128, 128), (250, 220, 20)]
    pngs = []
    for index, colour in enumerate(colours):
        pngs.append(tmp_path / f"{index}.png")
        Image.new("RGB", SIZE, colour).save(pngs[-1])
    output = OutputConfig(format=name, quality=100)
    target = encode(pngs, tmp_path / f"film{suffix(name)}", output, SIZE, {}, quiet)
    found = decoded(target).mean(axis=(1, 2))
    assert np.abs(found - np.array(colours)).max() < 4
    assert re.search(r"tv, (bt709|progressive, bt709|bt709, progressive)|tv, bt709", probe(target))


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("repeat", [None, "forever", 1, 2, 7])
def test_a_moving_picture_says_how_often_it_is_shown(name, repeat, tmp_path: Path) -> None:
    target = film(tmp_path, OutputConfig(format=name, repeat=repeat), count=3)
    with Image.open(target) as picture:
        found = picture.info.get("loop", "once")
    if name == "gif":  # which counts how often it is shown again
        assert found == {1: "once", 2: 1, 7: 6}.get(repeat, 0)
    else:
        assert found == (repeat if isinstance(repeat, int) else 0)


def test_a_gif_keeps_the_colour_of_a_small_thing(tmp_path: Path) -> None:
    """A violet flower in one of many frames of a green and blue film."""
    random = np.random.default_rng(0)
    pngs = []
    for index in range(12):
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 0] = random.integers(0, 60, (48, 64))
        image[..., 1] = np.linspace(60, 220, 64) * (0.5 + index / 24)
        image[..., 2] = np.linspace(40, 250, 48)[:, None]
        if index == 6:
            image[20:24, 30:34] = (150, 40, 190)
        pngs.append(tmp_path / f"{index}.png")
        Image.fromarray(image).save(pngs[-1])
    target = tmp_path / "film.gif"
    encode(pngs, target, OutputConfig(format="gif", quality=80), SIZE, {}, quiet)
    flower = decoded(target)[6, 20:24, 30:34].mean(axis=(0, 1))
    assert np.abs(flower - (150, 40, 190)).max() < 4


def noisy(folder: Path, count: int = 3) -> list[Path]:
    """Frames of coloured noise with sharp edges: the worst for a codec."""
    random = np.random.default_rng(0)
    pngs = []
    for index in range(count):
        pngs.append(folder / f"noise{index}.png")
        Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).save(pngs[-1])
    return pngs


def test_the_best_h264_is_near_lossless_and_still_of_the_common_profile(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    png = tmp_path / "grey.png"
    Image.fromarray(random.integers(0, 256, (48, 64), np.uint8)).convert("RGB").save(png)
    target = tmp_path / "film.mp4"
    encode([png] * 3, target, OutputConfig(quality=100), SIZE, {}, quiet)
    original = np.asarray(Image.open(png)).astype(int)
    assert np.abs(decoded(target) - original).max() <= 4
    assert "h264 (High)" in probe(target)
    assert "yuv420p" in probe(target)


def test_h264_with_a_colour_for_every_pixel_loses_rounding_alone(tmp_path: Path) -> None:
    pngs, target = noisy(tmp_path), tmp_path / "film.mp4"
    encode(pngs, target, OutputConfig(quality=100, chroma=444), SIZE, {}, quiet)
    originals = np.stack([np.asarray(Image.open(png)) for png in pngs]).astype(int)
    assert np.abs(decoded(target) - originals).max() <= 3
    assert "yuv444p" in probe(target)
    encode(pngs, target, OutputConfig(quality=80, chroma=444), SIZE, {}, quiet)
    assert "yuv444p" in probe(target)


@pytest.mark.parametrize("name", ["apng", "webp"])
def test_the_best_quality_of_pictures_is_lossless(name: str, tmp_path: Path) -> None:
    target = film(tmp_path, OutputConfig(format=name, quality=100), count=3)
    with Image.open(target) as picture:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
    for index, frame in enumerate(frames):
        original = np.asarray(Image.open(tmp_path / "frames" / f"frame_{index:06d}.png"))
        assert np.array_equal(frame, original)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"apng"}))
def test_more_quality_is_nearer_to_the_frames(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    pngs = []
    for index in range(3):
        pngs.append(tmp_path / f"{index}.png")
        rough = Image.fromarray(noise.integers(0, 256, (12, 16), np.uint8))
        rough.resize(SIZE, Image.Resampling.BICUBIC).convert("RGB").save(pngs[-1])
    originals = np.stack([np.asarray(Image.open(png)) for png in pngs]).astype(float)

    def error(quality: int) -> float:
        output = OutputConfig(format=name, quality=quality)
        target = encode(pngs, tmp_path / f"film{suffix(name)}", output, SIZE, {}, quiet)
        return float(np.abs(decoded(target) - originals).mean())

    worst, usual = error(0), error(80)
    assert usual < worst
    assert usual < 3


def test_frames_go_in_one_by_one_and_are_reported(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    pngs = paint(tmp_path / "frames", 4)
    encode(
        pngs,
        tmp_path / "a.mp4",
        OutputConfig(),
        SIZE,
        {},
        lambda done, of: progress.append((done, of)),
    )
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_both_av1_encoders(tmp_path: Path) -> None:
    for size in ((64, 64), (56, 64)):
        target = film(tmp_path, OutputConfig(format="av1"), count=7, size=size)
        assert len(decoded(target, size)) == 7


def test_odd_names_need_no_quoting(tmp_path: Path) -> None:
    folder = tmp_path / "a %d [x] 'q' $(touch x); concat:y|z"
    folder.mkdir()
    target = film(folder, OutputConfig(format="gif"))
    assert target.is_file()
    assert sorted(entry.name for entry in folder.iterdir()) == ["film.gif", "frames"]


def test_metadata_survives_every_character(tmp_path: Path) -> None:
    comment = '{"prompt": "it\'s \\"=;#\\\\[x]\' ~ ü 中\n$(touch x) %d"}'
    pngs = paint(tmp_path / "frames", 2)
    for name in ("mp4", "webm", "prores"):
        target = tmp_path / f"film{suffix(name)}"
        tags = {"title": "A = B; #1", "comment": comment}
        encode(pngs, target, OutputConfig(format=name), SIZE, tags, quiet)
        written = target.read_bytes()
        assert comment.encode() in written
        assert b"A = B; #1" in written


def test_characters_that_no_tag_can_hold_are_replaced(tmp_path: Path) -> None:
    pngs = paint(tmp_path / "frames", 2)
    tags = {"title": "nul \0 lone \ud800", "comment": "x" * 200_000}
    target = encode(pngs, tmp_path / "a.mp4", OutputConfig(), SIZE, tags, quiet)
    assert b"nul   lone ?" in target.read_bytes()
    assert b"x" * 200_000 in target.read_bytes()


# --- sound -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_the_film_rules_the_length_of_the_sound(name: str, seconds: float, tmp_path: Path) -> None:
    sound = tone(tmp_path / "it's a %d tone.wav", seconds)
    target = film(tmp_path, OutputConfig(format=name, fps="10", audio=sound), count=12)
    samples = loudness(target)
    assert len(decoded(target)) == 12
    assert len(samples) / 16_000 == pytest.approx(1.2, abs=0.1)
    assert np.abs(samples[: int(0.15 * 16_000)]).max() > 0.2
    end = samples[int(0.4 * 16_000) : int(1.1 * 16_000)]
    assert (np.abs(end).max() > 0.2) == (seconds > 1)


# --- what stands in the way ------------------------------------------------------------------


def test_an_older_video_is_replaced_and_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    target = tmp_path / "film.mp4"
    target.symlink_to(victim)
    film(tmp_path, OutputConfig())
    assert victim.read_text() == "precious"
    assert not target.is_symlink()
    assert len(decoded(target)) == 5


def test_a_folder_under_the_videos_name_is_reported(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").mkdir()
    with pytest.raises(EncodeError, match="a folder stands where the video belongs"):
        film(tmp_path, OutputConfig())


def test_no_frames_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="no frames"):
        encode([], tmp_path / "a.mp4", OutputConfig(), SIZE, {}, quiet)


@pytest.mark.parametrize("harm", ["half", "size", "missing", "jpeg"])
def test_a_bad_frame_is_named_and_the_old_video_stays(harm: str, tmp_path: Path) -> None:
    target = film(tmp_path, OutputConfig())
    before = target.read_bytes()
    pngs = paint(tmp_path / "frames", 5)
    bad = pngs[3]
    if harm == "half":
        bad.write_bytes(bad.read_bytes()[:90])
    elif harm == "size":
        Image.new("RGB", (32, 32)).save(bad)
    elif harm == "missing":
        bad.unlink()
    else:
        Image.new("RGB", SIZE).save(bad, "JPEG")
    with pytest.raises(EncodeError, match="frame_000003"):
        encode(pngs, target, OutputConfig(), SIZE, {}, quiet)
    assert target.read_bytes() == before
    assert leftovers(tmp_path) == []


# --- an ffmpeg that fails --------------------------------------------------------------------


def leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.endswith(".tmp")]


def ffmpegs_left() -> list[bytes]:
    """Children of ours that are an ffmpeg, or that ended and that nobody waited for.

    Other test files keep servers of theirs alive beside these tests.
    """
    left = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = stat.with_name("cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if parent == os.getpid() and (not command or b"ffmpeg" in command):
            left.append(command)
    return left


def assert_no_process(folder: Path) -> None:
    """No child is left, and none of what the stand-ins started: all of them hold a pipe."""
    assert ffmpegs_left() == []
    if (folder / "alive").exists():
        pipe = os.open(folder / "alive", os.O_RDONLY | os.O_NONBLOCK)
        assert within_5_s(lambda: at_its_end(pipe))
        os.close(pipe)


def at_its_end(pipe: int) -> bool:
    """Whether nobody holds the pipe for writing; a process that waits to be reaped does not."""
    try:
        return os.read(pipe, 1) == b""
    except BlockingIOError:
        return False


def within_5_s(is_so: Callable[[], bool]) -> bool:
    for _ in range(250):
        if is_so():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in ffmpeg's place; `$REAL` is the real one."""
    monkeypatch.setenv("REAL", real_ffmpeg())
    os.mkfifo(tmp_path / "alive")

    def put(script: str) -> None:
        path = tmp_path / "ffmpeg"
        path.write_text(f"#!/bin/sh\nexec 9<> '{tmp_path}/alive'\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))

    return put


def expect_failure(
    folder: Path, kind: type[RenderError], expected_message: str, patience: float = 20.0
) -> RenderError:
    """Encodes over an older video: it must fail, leave that one, no temp file and no child."""
    target = folder / "film.mp4"
    target.write_bytes(b"the old one")
    pngs = paint(folder / "frames", 6)
    with pytest.raises(kind, match=expected_message) as caught:
        encode(pngs, target, OutputConfig(), SIZE, {}, quiet, patience=patience)
    assert target.read_bytes() == b"the old one"
    assert leftovers(folder) == []
    assert_no_process(folder)
    return caught.value


def test_ffmpeg_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    expect_failure(tmp_path, EncodeError, "IMAGEIO_FFMPEG_EXE")


def test_ffmpeg_that_refuses(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in("echo first >&2; echo 'the reason [b]' >&2; exit 1")
    error = expect_failure(tmp_path, EncodeError, "ended with code 1")
    assert "first\nthe reason [b]" in str(error)


def test_ffmpeg_that_is_killed_half_way(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in("head -c 20000 > /dev/null; kill -9 $$")
    expect_failure(tmp_path, EncodeError, "ended with code -9 after [0-6] of 6 frames")


def test_ffmpeg_that_ends_well_after_half_of_the_frames(
    tmp_path: Path, stand_in: Callable[[str], None]
) -> None:
    stand_in(
        'case "$*" in *rawvideo*) head -c 27648 | "$REAL" "$@" ;; *) exec "$REAL" "$@" ;; esac'
    )
    expect_failure(tmp_path, EncodeError, "the video has 3 frames, not 6")


def test_ffmpeg_that_makes_nothing(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in('case "$*" in *rawvideo*) cat > /dev/null ;; *) exec "$REAL" "$@" ;; esac')
    expect_failure(tmp_path, EncodeError, "can't be decoded")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("sleep 600", id="reads nothing"),
        pytest.param("cat > /dev/null; sleep 600", id="never ends"),
        pytest.param("while echo frame=1; do sleep 0.1; done", id="talks on"),
        pytest.param("trap '' TERM INT; sleep 600 & wait", id="has a child"),
    ],
)
def test_ffmpeg_that_hangs(script: str, tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in(script)
    expect_failure(tmp_path, EncodeError, "made no progress for 0.5 s", patience=0.5)


def test_ffmpeg_whose_child_keeps_the_pipes(
    tmp_path: Path, stand_in: Callable[[str], None]
) -> None:
    stand_in("sleep 600 & echo gone >&2; exit 3")
    expect_failure(tmp_path, EncodeError, "ended with code 3")


def test_a_flood_on_stderr_is_read_and_not_kept(
    tmp_path: Path, stand_in: Callable[[str], None]
) -> None:
    stand_in("cat > /dev/null; head -c 50000000 /dev/zero | tr '\\0' 'x' >&2; echo end >&2; exit 1")
    error = expect_failure(tmp_path, EncodeError, "ended with code 1")
    assert str(error).endswith("end")
    assert len(str(error)) < 10_000


def test_a_full_disk_as_ffmpeg_reports_it(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in("cat > /dev/null; echo 'Error writing trailer: No space left on device' >&2; exit 1")
    expect_failure(tmp_path, DiskFull, "the video takes about 3,686 bytes")


def test_a_file_size_limit(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    stand_in('ulimit -f 1; exec "$REAL" "$@"')
    error = expect_failure(
        tmp_path, DiskFull, r"the video takes about [\d,]+ bytes, [\d,]+ are free"
    )
    assert error.exit_code == 28


def test_a_full_disk_before_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "open", full)
    with pytest.raises(DiskFull):
        encode([tmp_path / "a.png"], tmp_path / "a.mp4", OutputConfig(), SIZE, {}, quiet)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, RuntimeError])
@pytest.mark.parametrize("name", ["mp4", "gif"])
def test_an_interruption_leaves_nothing(
    interruption: type[BaseException], name: str, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise interruption

    pngs = paint(tmp_path / "frames", 6)
    output = OutputConfig(format=name)
    before = threading.active_count()
    with pytest.raises(interruption):
        encode(pngs, tmp_path / f"film.{name}", output, SIZE, {}, interrupt)
    assert [entry.name for entry in tmp_path.iterdir()] == ["frames"]
    assert_no_process(tmp_path)
    assert threading.active_count() == before


def test_the_child_has_its_own_session_and_no_file_of_ours(
    tmp_path: Path, stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[int] = []
    pids = tmp_path / "pids"
    lock = (tmp_path / "lock").open("w")
    os.set_inheritable(lock.fileno(), True)
    monkeypatch.setenv("LOCK", str(lock.fileno()))
    stand_in(
        f"cd {tmp_path}; echo $$ >> pids; [ -e /dev/fd/$LOCK ] && touch inherited; "
        'exec "$REAL" "$@"'
    )

    def look(done: int, total: int) -> None:
        assert within_5_s(pids.exists)
        sessions.append(os.getsid(int(pids.read_text().split()[0])))

    with lock:
        pngs = paint(tmp_path / "frames", 3)
        encode(pngs, tmp_path / "a.mp4", OutputConfig(), SIZE, {}, look)
    assert len(sessions) == 3
    assert os.getsid(0) not in sessions
    assert not (tmp_path / "inherited").exists()


def test_temp_files_of_ended_runs_are_swept(tmp_path: Path) -> None:
    stale = tmp_path / f".a.mp4.render-{'0' * 16}.tmp"
    foreign = tmp_path / ".a.mp4.tmp"
    for path in (stale, foreign):
        path.write_text("x")
    encode(paint(tmp_path / "frames", 2), tmp_path / "a.mp4", OutputConfig(), SIZE, {}, quiet)
    assert not stale.exists()
    assert foreign.exists()


def test_a_gifs_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    size = (512, 512)
    pngs = paint(tmp_path / "frames", 8, size)
    script = f"""
import resource
from pathlib import Path
from render.config.output_group import (OutputConfig)
from render.video.encode import encode
pngs = sorted(Path({str(tmp_path / "frames")!r}).iterdir())
for rounds in (1, 8):
    target = Path({str(tmp_path)!r}) / "film.gif"
    encode(pngs * rounds, target, OutputConfig(format="gif"), {size}, {{}}, lambda *_: None)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    short, long = map(int, printed.split())
    raw_film = 7 * len(pngs) * size[0] * size[1] * 3
    assert long - short < raw_film / 3
