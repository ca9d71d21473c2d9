"""The comment of a film's file: written into every format, and read again."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence

from render.config.output_group import OutputConfig
from render.video.codecs import CODECS, suffix
from render.video.encode import encode
from render.video.recipe import NoRecipe, texts_of
from render.video.tags import MOST_BYTES

ODD = '{"prompt": "it\'s = ; # \\\\ ü 中 🎈\n\\n end\\\\"}' + "x" * 1000


def film(folder, name, comment, count=3):
    """A film of noise in a format, with a comment."""
    pngs = []
    for k in range(count):
        pixels = np.random.default_rng(k).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        pngs.append(folder / f"{k}.png")
        Image.fromarray(pixels).save(pngs[-1])
    tags = {"title": "A title", "comment": comment}
    target = folder / f"film{suffix(name)}"
    return encode(pngs, target, OutputConfig(format=name, fps="4"), (64, 64), tags, lambda *_: None)


def pictures(path):
    """The pixels of every frame of a moving picture."""
    with Image.open(path) as image:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


@pytest.mark.parametrize("name", list(CODECS))
def test_every_format_carries_a_comment(name, tmp_path):
    assert texts_of(film(tmp_path, name, ODD))["Comment"] == ODD


@pytest.mark.parametrize("name", ["gif", "webp", "apng"])
def test_a_moving_picture_is_what_it_was(name, tmp_path):
    for folder, comment in (("with", ODD), ("without", "")):
        (tmp_path / folder).mkdir()
        film(tmp_path / folder, name, comment)
    frames = [pictures(path) for path in sorted(tmp_path.glob("*/film.*"))]
    assert len(frames[0]) == 3
    assert all(np.array_equal(*pair) for pair in zip(*frames, strict=True))


def test_a_webp_of_one_picture_carries_it_too(tmp_path):
    assert texts_of(film(tmp_path, "webp", ODD, count=1))["Comment"] == ODD


@pytest.mark.parametrize("name", ["mp4", "webm", "gif", "webp", "apng"])
def test_other_programs_read_it(name, tmp_path):
    """ffmpeg's own reader of metadata, and Pillow's."""
    path = film(tmp_path, name, "simple")
    if name in ("mp4", "webm"):
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path]
        texts = subprocess.run([*command, "-f", "ffmetadata", "-"], capture_output=True, check=True)
        assert b"comment=simple" in texts.stdout.lower()
        return
    with Image.open(path) as image:
        if name == "webp":
            assert image.getexif().get_ifd(0x8769)[0x9286].startswith(b"UNICODE\0s\0i\0")
        else:
            assert image.info["comment" if name == "gif" else "Comment"] in ("simple", b"simple")


def test_a_long_timeline_is_carried_whole(tmp_path):
    comment = "=;#\\\n" * 300_000
    assert texts_of(film(tmp_path, "mp4", comment))["Comment"] == comment


def test_what_is_too_long_is_left_out(tmp_path):
    path = film(tmp_path, "mp4", "x" * (MOST_BYTES + 1))
    assert "Comment" not in texts_of(path)
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "neither a video nor a picture"),
        (b"\x89PNG\r\n\x1a\n", "can't be read as a picture"),
        (b"GIF89a", "can't be read as a picture"),
        (b"RIFF\x10\0\0\0WEBP", "can't be read as a picture"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "neither a video nor a picture"),
        (b"#EXTM3U\nhttp://localhost/x.ts\n", "neither a video nor a picture"),
        (bytes(5000), "neither a video nor a picture"),
    ],
)
def test_what_is_no_film_is_said(content, said, tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(NoRecipe, match=said):
        texts_of(path)


@pytest.mark.parametrize("make", ["link", "folder", "absent"])
def test_a_link_a_folder_and_nothing_can_t_be_read(make, tmp_path):
    path = tmp_path / "film.gif"
    if make == "link":
        (tmp_path / "other.gif").write_bytes(b"GIF89a")
        path.symlink_to(tmp_path / "other.gif")
    elif make == "folder":
        path.mkdir()
    with pytest.raises(NoRecipe, match="can't be read"):
        texts_of(path)
