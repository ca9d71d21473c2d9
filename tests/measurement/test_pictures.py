"""Pictures of any tool: their order, their kinds, and what is refused."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import render
from render.errors import ConfigError
from render.measurement import pictures as pictures_module
from render.measurement.pictures import pictures_in, read_file, read_files

SIZE = (48, 40)


def colours(count):
    """Pictures that go evenly from one texture to another."""
    draw = np.random.default_rng(3)
    first, last = draw.integers(0, 256, (2, 5, 6, 3)).repeat(8, 1).repeat(8, 2)
    parts = np.linspace(0, 1, count)
    return [np.uint8(np.round((1 - part) * first + part * last)) for part in parts]


def save_all(folder, films, name="frame {}.png", **how):
    folder.mkdir(exist_ok=True)
    for number, film in enumerate(films):
        Image.fromarray(film).save(folder / name.format(number), **how)
    return folder


def refused(path):
    with pytest.raises(ConfigError) as caught:
        render.measure(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("input: ")
    return line


# --- what is read ----------------------------------------------------------------------------


def test_pictures_come_in_natural_order(tmp_path):
    names = ["10.png", "9.png", "a2.png", "a10.png", "b.png", "09.png", "1.png"]
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in pictures_in(tmp_path)]
    assert found == ["1.png", "09.png", "9.png", "10.png", "a2.png", "a10.png", "b.png"]


def test_the_usual_kind_of_files_is_measured(tmp_path):
    save_all(tmp_path, colours(5))
    Image.new("RGB", SIZE).save(tmp_path / "poster.jpg")
    (tmp_path / ".frame 9.png").touch()
    (tmp_path / "notes.txt").touch()
    assert render.measure(tmp_path).figures.frames == 5


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "JPEG"])
def test_every_kind_of_file_gives_the_same_figures(tmp_path, suffix):
    how = {"quality": 98} if suffix != "png" else {}
    found = render.measure(save_all(tmp_path / "f", colours(9), f"{{}}.{suffix}", **how)).figures
    alike = render.measure(save_all(tmp_path / "png", colours(9))).figures
    assert found.steps == pytest.approx(alike.steps, abs=3e-3)
    assert found.gini == pytest.approx(alike.gini, abs=0.02)
    assert (found.flashes, found.snaps, found.doubled) == ((), (), ())


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_every_mode_of_a_picture_is_read(tmp_path, mode):
    grey = np.linspace(0, 255, SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0])
    if mode == "I;16":
        picture = Image.fromarray(np.uint16(grey * 257))
    else:
        picture = Image.fromarray(np.uint8(grey)).convert("RGB").convert(mode)
    suffix = "jpg" if mode == "CMYK" else "png"
    picture.save(tmp_path / f"1.{suffix}")
    mean = float(read_file(tmp_path / f"1.{suffix}").small.mean())
    assert mean == pytest.approx(0.36, abs=0.16)  # black and white alone have more


def test_links_to_pictures_are_followed(tmp_path):
    save_all(tmp_path / "there", colours(4))
    folder = tmp_path / "links"
    folder.mkdir()
    for path in (tmp_path / "there").iterdir():
        (folder / path.name).symlink_to(path)
    assert render.measure(folder).figures.frames == 4


def test_readings_come_in_order_whatever_is_ready_first(tmp_path):
    save_all(tmp_path, colours(40))
    means = [float(reading.small.mean()) for reading in read_files(pictures_in(tmp_path), 4)]
    assert means == [float(read_file(path).small.mean()) for path in pictures_in(tmp_path)]


def test_a_gif_has_its_own_times(tmp_path):
    frames = [Image.fromarray(picture) for picture in colours(4)]
    times = [100, 300, 100, 100]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=times)
    found = render.measure(tmp_path / "a.gif", keyframes=[0.39])
    assert found.times_s == pytest.approx([0, 0.1, 0.4, 0.5])
    assert found.figures.keyframes == (0, 2, 3)


@pytest.mark.parametrize("suffix", ["webp", "png"])
def test_a_moving_picture_is_as_its_frames(tmp_path, suffix):
    frames = [Image.fromarray(picture) for picture in colours(9)]
    more = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, **more)
    moving = render.measure(path).figures
    still = render.measure(save_all(tmp_path / "f", colours(9))).figures
    assert moving.steps == pytest.approx(still.steps, abs=1e-6)


# --- what is refused -------------------------------------------------------------------------


def test_a_folder_of_one_picture_or_none_is_refused(tmp_path):
    assert "has no pictures" in refused(tmp_path)
    save_all(tmp_path, colours(1))
    assert "has one frame" in refused(tmp_path)
    assert "is not there" in refused(tmp_path / "nowhere")


def test_broken_pictures_are_a_line(tmp_path):
    save_all(tmp_path, colours(3))
    whole = (tmp_path / "frame 1.png").read_bytes()
    for content in (b"", b"no picture", whole[:60], whole[: len(whole) // 2]):
        (tmp_path / "frame 1.png").write_bytes(content)
        assert "frame 1.png" in refused(tmp_path)


def test_a_pipe_and_a_folder_in_place_of_a_picture_are_refused(tmp_path):
    save_all(tmp_path, colours(3))
    (tmp_path / "frame 1.png").unlink()
    os.mkfifo(tmp_path / "frame 1.png")
    assert "frame 1.png" in refused(tmp_path)
    (tmp_path / "frame 1.png").unlink()
    (tmp_path / "frame 1.png").mkdir()
    assert "frame 1.png" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "no regular file" in refused(tmp_path / "pipe.mp4")


def test_a_huge_picture_is_refused_by_its_header(tmp_path):
    save_all(tmp_path, colours(3))
    whole = bytearray((tmp_path / "frame 1.png").read_bytes())
    whole[16:24] = struct.pack(">II", 20_000, 20_000)
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    (tmp_path / "frame 1.png").write_bytes(whole)
    assert "pixels" in refused(tmp_path)


def test_too_many_pictures_are_refused_before_one_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures_module, "MOST_FRAMES", 3)
    for number in range(4):
        (tmp_path / f"{number}.png").touch()
    assert "more than 3 frames" in refused(tmp_path)
