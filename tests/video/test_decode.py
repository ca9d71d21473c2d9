"""Videos of any tool, decoded frame by frame for a measurement."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

import render
from render.errors import ConfigError
from render.video import decode
from render.video.decode import frame_times, opened_video, video_frames

COUNT = 24


def pictures():
    """A soft disc that goes across, stands still for a frame, and flashes once."""
    down, across = np.mgrid[0:96, 0:128]
    found = []
    for number in range(COUNT):
        place = 20 + 3.5 * (number - (number >= 15)) + (25 if number == 8 else 0)
        disc = 1 / (1 + np.exp((np.hypot(down - 48, across - place) - 18) / 3))
        found.append(np.uint8(30 + disc[..., None] * np.array([200, 150, 90])))
    return found


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The pictures in a folder, and as videos of several codecs."""
    folder = tmp_path_factory.mktemp("film")
    (folder / "frames").mkdir()
    for number, picture in enumerate(pictures()):
        Image.fromarray(picture).save(folder / "frames" / f"{number}.png")
    for name, more in {
        "a.mp4": ["-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", "-bf", "3"],
        "a.webm": ["-c:v", "libvpx-vp9", "-crf", "15", "-b:v", "0", "-cpu-used", "8"],
        "a.mkv": ["-c:v", "ffv1"],
    }.items():
        source = ["-framerate", "24", "-i", str(folder / "frames" / "%d.png")]
        ffmpeg(*source, *more, str(folder / name))
    return folder


def ffmpeg(*arguments: str) -> None:
    quiet = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    subprocess.run([*quiet, *arguments], check=True, stdin=subprocess.DEVNULL)


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        render.measure(path)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mkv"])
def test_a_video_has_the_figures_of_its_frames(film, name):
    found, frames = render.measure(film / name), render.measure(film / "frames", fps=24)
    assert found.times_s == pytest.approx(frames.times_s, abs=2e-3)
    assert found.figures.steps == pytest.approx(frames.figures.steps, abs=4e-3)
    assert found.figures.flashes == frames.figures.flashes == (8,)
    assert found.figures.doubled == frames.figures.doubled == (15,)
    assert found.figures.gini == pytest.approx(frames.figures.gini, abs=0.02)
    assert found.figures.path == pytest.approx(frames.figures.path, rel=0.02)


def test_frames_that_are_shown_for_longer_keep_their_times(film, tmp_path):
    path = tmp_path / "slow.mkv"
    ffmpeg("-i", str(film / "a.mkv"), "-vf", "setpts=PTS+gte(N\\,12)*1/TB", "-fps_mode",
           "passthrough", "-c:v", "ffv1", str(path))  # fmt: skip
    times = render.measure(path).times_s
    assert times[11:13] == pytest.approx([11 / 24, 12 / 24 + 1], abs=2e-3)


def test_pictures_come_as_they_are(film):
    with opened_video(film / "a.mkv") as descriptor:
        assert len(frame_times(descriptor, 100)) == COUNT
        found = list(video_frames(descriptor, 100))
        assert len(list(video_frames(descriptor, 3))) == 3
    assert len(found) == COUNT
    assert all(map(np.array_equal, found, pictures()))


def test_what_is_no_video_is_a_line(tmp_path):
    for name, content in {
        "empty.mp4": b"",
        "text.mp4": b"no video\n" * 100,
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
        "list.ffconcat": b"ffconcat version 1.0\nfile /etc/hostname\n",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert "is no video that can be read" in refused(tmp_path / name)
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    assert "is no video" in refused(tmp_path / "one.png")


def test_a_playlist_opens_no_other_file(film, tmp_path):
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {film / 'a.mp4'}\n")
    assert "is no video that can be read" in refused(tmp_path / "list.mp4")


def test_a_video_that_breaks_off_is_a_line(film, tmp_path):
    whole = (film / "a.mkv").read_bytes()
    (tmp_path / "half.mp4").write_bytes((film / "a.mp4").read_bytes()[:2000])
    assert "is no video that can be read" in refused(tmp_path / "half.mp4")
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2 : len(whole) // 2 + 3000] = bytes(3000)
    (tmp_path / "spoilt.mkv").write_bytes(spoilt)
    assert "breaks off after" in refused(tmp_path / "spoilt.mkv")


def test_a_video_of_huge_pictures_is_refused(film, monkeypatch):
    monkeypatch.setattr(decode, "MOST_PIXELS", 1000)
    assert "has 128 × 96 pixels, more than 1,000" in refused(film / "a.mkv")


def test_a_video_of_too_many_frames_is_refused_before_it_is_decoded(film, monkeypatch):
    monkeypatch.setattr("render.run.measured_input.MOST_FRAMES", 5)
    monkeypatch.setattr("render.measurement.pictures.MOST_FRAMES", 5)
    monkeypatch.setattr("render.run.measured_input.video_frames", None)
    assert "more than 5 frames" in refused(film / "a.mkv")


def test_a_decoder_that_hangs_is_ended(film, monkeypatch, tmp_path):
    slow = tmp_path / "ffmpeg"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(decode, "PATIENCE_S", 0.5)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(slow))
    assert "gave no frame for 0.5 s" in refused(film / "a.mkv")


def test_the_rate_of_a_folder_is_the_callers(film):
    assert render.measure(film / "frames", fps=Fraction(24000, 1001)).times_s[1] == pytest.approx(
        1001 / 24000
    )
