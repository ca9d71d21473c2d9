"""Subtitles: SubRip's and WebVTT's, whose specification the examples follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from render.errors import ConfigError
from render.importers.imported import Imported, imported
from render.importers.source import Source

VTT = """\
WEBVTT - a title

STYLE
::cue { color: red }

NOTE a comment with 00:01.000

first
00:01.000 --> 00:03.500 align:start line:0%
<v Roger Bingham>A <i>misty</i> hill &amp;
a <c.loud>town</c> <00:02.000>by night

00:04.250 --> 01:00:00.000
&lt;A lake&gt;
"""


def film(text: str, kind: str) -> Imported:
    """The film of subtitles that are recognised as of this kind."""
    found, result = imported(Source(Path("film.sub"), text.encode()))
    assert found == kind
    return result


def error(text: str, kind: str) -> str:
    """The one line about subtitles that are broken."""
    with pytest.raises(ConfigError) as caught:
        imported(Source(Path("film.sub"), text.encode()), kind)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_webvtt_without_its_markup() -> None:
    found = film(VTT, "vtt")
    assert list(found.keyframes) == [
        {"at": 0, "prompt": "A misty hill & a town by night", "ease": "hold"},
        {"at": 4.25, "prompt": "<A lake>", "ease": "hold"},
    ]
    assert found.timeline == {"duration": 3600, "end": "open"}
    assert list(found.lost) == [
        "blocks of NOTE: a picture has none",
        "blocks of STYLE: a picture has none",
        "places, speakers and styles of texts: a picture shows no letters",
    ]


def test_the_shortest_webvtt_loses_nothing() -> None:
    found = film("\ufeffWEBVTT\r\n\r\n00:00.000 --> 00:01.001\r\nA\r\n", "vtt")
    assert list(found.keyframes) == [{"at": 0, "prompt": "A", "ease": "hold"}]
    assert found.timeline == {"duration": 1.001, "end": "open"}
    assert list(found.lost) == []


def test_a_text_may_hold_what_looks_like_a_number_and_an_empty_cue_shows_nothing() -> None:
    text = "WEBVTT\n\n00:00.000 --> 00:01.000\n7\n\n00:01.000 --> 00:02.000\n<b></b>\n"
    assert [frame["prompt"] for frame in film(text, "vtt").keyframes] == ["7"]


def test_a_thousand_cues() -> None:
    cues = "".join(
        f"\n{k // 60:02}:{k % 60:02}.007 --> {k // 60:02}:{k % 60:02}.900\ncue {k}\n"
        for k in range(1000)
    )
    found = film(f"WEBVTT\n{cues}", "vtt")
    assert len(found.keyframes) == 1000
    assert found.keyframes[61] == {"at": 61.007, "prompt": "cue 61", "ease": "hold"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("WEBVTT\n\n1:00 --> 00:02.000\nA\n", "film.sub:3: these times can't be read"),
        ("WEBVTT\n\nid\n00:01,0 --> x\nA\n", "film.sub:4: these times can't be read"),
        (
            "WEBVTT\n\n00:02.000 --> 00:01.000\nA\n",
            "film.sub:3: this subtitle ends before it begins",
        ),
        (
            "WEBVTT\n\n00:02.000 --> 00:03.000\nA\n\n00:02.000 --> 00:04.000\nB\n",
            "film.sub:6: this subtitle begins before the one above it",
        ),
        ("WEBVTT\n", "film.sub: holds no keyframe"),
    ],
)
def test_a_broken_webvtt_says_the_line(text: str, said: str) -> None:
    assert error(text, "vtt").startswith(said)


def test_subrip() -> None:
    first = "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<b>A</b>\nhill\n"
    text = f"{first}\n2\n00:00:02,5 --> 00:01:00,25\nB\n"
    found = film(text, "srt")
    assert list(found.keyframes) == [
        {"at": 0, "prompt": "A hill", "ease": "hold"},
        {"at": 2.005, "prompt": "B", "ease": "hold"},
    ]
    assert found.timeline == {"duration": 60.025, "end": "open"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\n00:00:03,000 --> 00:00:02,000\nA\n", "film.sub:2: this subtitle ends before"),
        (
            "1\n00:00:03,000 --> 00:00:04,000\nA\n\n2\n00:00:01,000 --> 00:00:09,000\nB\n",
            "film.sub:6: this subtitle begins before the one above it",
        ),
        ("", "film.sub: holds no keyframe"),
    ],
)
def test_a_broken_subrip_says_the_line(text: str, said: str) -> None:
    assert error(text, "srt").startswith(said)


def test_times_without_thousandths_and_a_late_first_text_are_read():
    text = "1\n00:00:01 --> 00:00:03\nOne\n\n2\n00:00:03,5 --> 00:00:04\nTwo\n"
    found = imported(Source(Path("s.srt"), text.encode()))[1]
    assert [each["prompt"] for each in found.keyframes] == ["One", "Two"]
    assert [each["at"] for each in found.keyframes] == [0, 3.005]
    assert "before the first text" in found.lost_at[0][0]


def test_a_text_under_a_later_one_is_named_and_the_film_ends_with_the_last():
    text = "1\n00:00:00,0 --> 00:00:10,0\nLong\n\n2\n00:00:02,0 --> 00:00:04,0\nShort\n"
    found = imported(Source(Path("s.srt"), text.encode()))[1]
    assert found.timeline == {"duration": 10, "end": "open"}
    assert "the next text is beside it" in found.lost_at[0][0]


def test_a_last_text_of_no_length_has_a_frame():
    text = "1\n00:00:00,0 --> 00:00:05,0\nA\n\n2\n00:00:05,0 --> 00:00:05,0\nB\n"
    found = imported(Source(Path("s.srt"), text.encode()))[1]
    assert found.timeline == {"duration": 5, "end": "closed"}


def test_subtitles_in_utf_16_are_read_and_others_are_named():
    text = "1\n00:00:00,0 --> 00:00:05,0\nÉté\n"
    assert imported(Source(Path("s.srt"), text.encode("utf-16")))[1].keyframes[0]["prompt"] == "Été"
    with pytest.raises(ConfigError, match="no UTF-8 text"):
        imported(Source(Path("s.srt"), text.encode("latin-1")))
