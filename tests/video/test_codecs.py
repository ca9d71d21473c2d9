"""Formats: what is refused before rendering, and when a video is the same video."""

from __future__ import annotations

from pathlib import Path

import pytest

from render.config.output_group import OutputConfig
from render.extensions import FORMATS, names
from render.video.codecs import (
    CODECS,
    FASTEST_GIF,
    Codec,
    audio_flaw,
    mistakes_in_output,
    rate_flaw,
    resolved,
    suffix,
    video_digest,
    video_output,
)

SIZE = (64, 48)
VIDEOS = sorted(name for name, codec in CODECS.items() if codec.audio)
PICTURES = sorted(set(CODECS) - set(VIDEOS))


def sound_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_every_format_of_the_config_has_its_row() -> None:
    assert set(names(FORMATS)) == set(CODECS)
    assert all(isinstance(codec, Codec) for codec in CODECS.values())


def test_suffixes() -> None:
    assert {name: suffix(name) for name in (*CODECS, "frames")} == {
        "mp4": ".mp4",
        "webm": ".webm",
        "av1": ".mp4",
        "prores": ".mov",
        "gif": ".gif",
        "webp": ".webp",
        "apng": ".apng",
        "frames": "",
    }


@pytest.mark.parametrize("name", sorted(CODECS))
def test_every_quality_has_its_settings(name: str) -> None:
    for quality in range(101):
        options = video_output(OutputConfig(format=name, quality=quality), small=False)
        assert all(isinstance(option, str) and option for option in options)


@pytest.mark.parametrize("name", ["mp4", "webm", "av1"])
def test_quality_is_monotone(name: str) -> None:
    def crf(quality: int) -> int:
        options = video_output(OutputConfig(format=name, quality=quality), small=False)
        return int(options[options.index("-crf") + 1])

    grades = [crf(quality) for quality in range(101)]
    assert grades == sorted(grades, reverse=True)
    assert grades[0] - grades[100] >= 30


def test_audio_mistakes_are_found_before_rendering(tmp_path: Path) -> None:
    sound = sound_file(tmp_path / "tone.wav", b"RIFF")
    assert audio_flaw(OutputConfig()) is None
    assert all(audio_flaw(OutputConfig(format=name, audio=sound)) is None for name in VIDEOS)
    for name in [*PICTURES, "frames"]:
        assert f"{name} has no sound" in str(audio_flaw(OutputConfig(format=name, audio=sound)))
    for absent in (tmp_path / "absent.wav", tmp_path):
        assert f"{absent} is not a file" in str(audio_flaw(OutputConfig(audio=absent)))


def test_a_gif_that_players_slow_down_is_a_mistake() -> None:
    assert rate_flaw(OutputConfig(format="gif", fps=FASTEST_GIF)) is None
    assert "50 frames a second" in str(rate_flaw(OutputConfig(format="gif", fps="60")))
    assert rate_flaw(OutputConfig(format="mp4", fps="60")) is None


def test_a_videos_digest_covers_what_changes_it() -> None:
    def digest(
        *frames: str,
        version: str = "9",
        size: tuple[int, int] = SIZE,
        sound: str | None = None,
        **output: object,
    ) -> str:
        return video_digest(frames or ("a", "b"), OutputConfig(**output), size, version, sound)

    others = [
        digest("a"),
        digest("b", "a"),
        digest("ab"),
        digest(version="10"),
        digest(size=(48, 64)),
        digest(fps="24"),
        digest(format="webm"),
        digest(quality=81),
        digest(sound="one"),
        digest(sound="two"),
        digest(chroma=444),
        digest(format="gif"),
        digest(format="gif", repeat=1),
        digest(format="gif", repeat="forever"),
    ]
    assert len({digest(), *others}) == len(others) + 1
    assert digest(fps="12") == digest(fps=12.0) == digest()


def test_a_loop_is_shown_for_ever_and_a_film_once() -> None:
    for name in PICTURES:
        assert resolved(OutputConfig(format=name), loop=True).repeat == "forever"
        assert resolved(OutputConfig(format=name), loop=False).repeat == 1
        assert resolved(OutputConfig(format=name, repeat=3), loop=True).repeat == 3
    for name in [*VIDEOS, "frames"]:
        assert resolved(OutputConfig(format=name), loop=True).repeat is None


def test_what_a_format_can_not_do_is_a_mistake() -> None:
    for name in [*VIDEOS, "frames"]:
        (mistake,) = mistakes_in_output(OutputConfig(format=name, repeat=2))
        assert str(mistake).startswith(f"output.repeat: {name} can't say how often it is shown")
        assert "gif, webp, apng" in str(mistake)
    for name in sorted({*CODECS, "frames"} - {"mp4"}):
        (mistake,) = mistakes_in_output(OutputConfig(format=name, chroma=444))
        assert str(mistake).startswith("output.chroma: goes with output=mp4")
    assert mistakes_in_output(OutputConfig(chroma=444)) == []
    assert all(mistakes_in_output(OutputConfig(format=name, repeat=2)) == [] for name in PICTURES)
