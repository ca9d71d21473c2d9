"""Chapters of a video, written by the real ffmpeg and read again by it."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from render.api import Film
from render.config.output_group import OutputConfig
from render.run.outline import wanted_chapters
from render.video.chapters import MOST_TITLE_BYTES, Chapter, chapters_of, title
from render.video.codecs import CODECS, mistakes_in_output, suffix, video_digest
from render.video.encode import encode
from tests.films import composed, write_model

WITH = ["mp4", "webm", "av1", "prores"]
WITHOUT = ["gif", "webp", "apng", "frames"]
ODD = "a = b; # \\ c\n[CHAPTER]\nSTART=0\x00 ü 中 🎈 \\"


def film(folder: Path, name: str, chapters: tuple[Chapter, ...], count: int = 24) -> Path:
    """A film of one grey picture at twelve a second."""
    picture = folder / "grey.png"
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(picture)
    output = OutputConfig(format=name, chapters=True)
    target = folder / f"film{suffix(name)}"
    pngs = [picture] * count
    return encode(pngs, target, output, (64, 64), {}, lambda *_: None, chapters=chapters)


def read(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    """(begin and end in seconds, title) of a video's chapters, by ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "ffmetadata", "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    pattern = r"TIMEBASE=(\d+/\d+)\nSTART=(\d+)\nEND=(\d+)\ntitle=((?:[^\\\n]|\\[\s\S])*)"
    return [
        (int(begin) * Fraction(tick), int(end) * Fraction(tick), re.sub(r"\\([\s\S])", r"\1", said))
        for tick, begin, end, said in re.findall(pattern, text)
    ]


@pytest.mark.parametrize("name", WITH)
def test_every_video_has_its_chapters(name: str, tmp_path: Path) -> None:
    third = Fraction(1, 3)
    spans = [
        (Fraction(0), third, ODD),
        (third, Fraction("1.0016"), ""),
        (Fraction("1.0016"), 2, "c"),
    ]
    chapters = tuple(chapters_of(spans))
    assert read(film(tmp_path, name, chapters)) == [
        (0, Fraction("0.333"), "a = b; # \\ c [CHAPTER] START=0 ü 中 🎈 \\ "),
        (Fraction("0.333"), Fraction("1.002"), "-"),
        (Fraction("1.002"), 2, "c"),
    ]


@pytest.mark.parametrize("name", ["mp4", "webm"])
def test_a_thousand_chapters_are_all_there(name: str, tmp_path: Path) -> None:
    """MP4's older kind of chapters ends at 255."""
    chapters = tuple(Chapter(2 * k, 2 * k + 2, f"chapter {k}") for k in range(1000))
    found = read(film(tmp_path, name, chapters))
    assert [said for _, _, said in found] == [f"chapter {k}" for k in range(1000)]
    assert found[-1][:2] == (Fraction("1.998"), 2)


def test_a_title_is_one_line_and_cut_between_letters() -> None:
    assert title("  two\n\nlines ") == "two lines"
    assert title("\ud800 x") == "x"
    cut = title("中" * 100)
    assert cut == "中" * 65 + "…"
    assert len(cut.encode()) <= MOST_TITLE_BYTES
    assert title("a" * MOST_TITLE_BYTES) == "a" * MOST_TITLE_BYTES


def test_a_span_below_a_millisecond_has_no_chapter() -> None:
    spans = [(Fraction(0), Fraction(1, 5000), "a"), (Fraction(1, 5000), Fraction(1), "b")]
    assert list(chapters_of(spans)) == [Chapter(0, 1000, "b")]


def test_other_formats_refuse_chapters() -> None:
    for name in WITHOUT:
        (mistake,) = mistakes_in_output(OutputConfig(format=name, chapters=True))
        assert str(mistake).startswith(f"output.chapters: {name} has no chapters; take one of mp4")
    assert {*WITH, *WITHOUT} == {*CODECS, "frames"}
    assert all(mistakes_in_output(OutputConfig(format=n, chapters=True)) == [] for n in WITH)


def test_chapters_are_part_of_a_videos_identity() -> None:
    def digest(*chapters: Chapter) -> str:
        return video_digest(["a"], OutputConfig(), (64, 64), "9", chapters=chapters)

    one, other = Chapter(0, 1, "a"), Chapter(0, 1, "b")
    assert len({digest(), digest(one), digest(other), digest(Chapter(0, 2, "a"))}) == 4


def test_a_film_has_a_chapter_for_each_keyframe(tmp_path: Path) -> None:
    keyframes = [
        {"at": 0, "prompt": "A hill", "ease": "hold"},
        {"at": "2f", "prompt": {"A town": 0.75, "A hill": 0.25}},
        {"at": "3f"},
    ]
    timeline = {"name": "short", "keyframes": keyframes}
    write_model(tmp_path / "model")
    changes = {"timeline": timeline, "output.fps": 4}
    config = composed(tmp_path / "model", tmp_path / "outputs", changes)
    assert wanted_chapters(Film(config).resolved) == ()
    config["output"]["chapters"] = True
    both = "A town (0.75) + A hill (0.25)"
    assert wanted_chapters(Film(config).resolved) == (
        Chapter(0, 500, "A hill"),
        Chapter(500, 750, both),
        Chapter(750, 1000, both),
    )
