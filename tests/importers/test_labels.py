"""Audacity's label tracks, by the examples of its manual and by hostile ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from imported_files import FileKind

from render.errors import ConfigError
from render.importers.imported import imported
from render.importers.source import Source

KIND = FileKind("labels", "labels.txt")
film, error = KIND.film, KIND.error


def test_a_point_blends_and_a_region_holds_to_its_end_and_blends_over_the_gap() -> None:
    found = film("2.150000\t2.150000\tA hill\n3.400000\t6.100000\tA town\n7.5\t9\tA lake\n")
    assert list(found.keyframes) == [
        {"at": 0, "prompt": "A hill"},
        {"at": 3.4, "prompt": "A town", "ease": "hold"},
        {"at": 6.1, "prompt": "A town"},
        {"at": 7.5, "prompt": "A lake", "ease": "hold"},
    ]
    assert found.timeline == {"duration": 9, "end": "open"}
    assert list(found.lost) == [
        "the time before the first text at 2.15 s: its picture is there from 0 on"
    ]


def test_regions_that_touch_cut_and_those_that_overlap_are_cut() -> None:
    found = film("0\t2\tA\n2\t4.5\tB\n4\t4\tC\n")
    assert list(found.keyframes) == [
        {"at": 0, "prompt": "A", "ease": "hold"},
        {"at": 2, "prompt": "B", "ease": "hold"},
        {"at": 4, "prompt": "C"},
    ]
    assert found.timeline == {}
    assert found.lost_at == {1: ["its end at 4.5: the next one cuts in"]}


def test_frequencies_and_empty_labels_are_named() -> None:
    """The second example of the manual: a line with a backslash has frequencies."""
    found = film(
        "0.000000\t0.000000\tA point\n\\\t6928.456055\t6928.456055\n"
        "2.000000\t2.000000\n3\t3\tThird\n"
    )
    assert [frame["prompt"] for frame in found.keyframes] == ["A point", "Third"]
    assert list(found.lost) == [
        "labels without a text: 1",
        "frequencies of labels: a picture has none",
    ]


def test_times_are_exact_and_tracks_are_put_in_order() -> None:
    found = film("0\t0\tA\n0.333333\t0.333333\tB\n0,166667\t0,166667\tC\n")
    assert [(frame["at"], frame["prompt"]) for frame in found.keyframes] == [
        (0, "A"),
        (0.166667, "C"),
        (0.333333, "B"),
    ]
    assert film("0\t0\tA\n0.1234567891\t1\tB\n").keyframes[1]["at"] == "1234567891/10000000000"


def test_a_thousand_labels() -> None:
    found = film("".join(f"{k}.5\t{k}.5\tprompt {k}\n" for k in range(1000)))
    assert len(found.keyframes) == 1000
    assert found.keyframes[999] == {"at": 999.5, "prompt": "prompt 999"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0\t1\tA\n1\tB\n", "labels.txt:2: is no label"),
        ("0\t1\tA\nnan\t2\tB\n", "labels.txt:2: is no label"),
        ("0\t1\tA\n-1\t2\tB\n", "labels.txt:2: is no label"),
        (f"0\t1\tA\n{'9' * 400}\t2\tB\n", "labels.txt:2: is no label"),
        ("0\t1\tA\n\n3\t2\tB\n", "labels.txt:3: this label ends before it begins"),
        ("0\t1\tA\n0.0\t2\tB\n", "labels.txt:2: begins with 'A'; move one of the two"),
        ("0\t1\t\n", "labels.txt: holds no keyframe"),
        ("", "labels.txt: holds no keyframe"),
    ],
)
def test_a_broken_file_says_the_line(text: str, said: str) -> None:
    assert error(text).startswith(said)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"a\tb\tc", b"1 2 text", b"1\t2x\tq"])
def test_other_files_are_not_taken_for_labels(content: Any) -> None:
    with pytest.raises(ConfigError, match="kind"):
        imported(Source(Path("x.txt"), content))
