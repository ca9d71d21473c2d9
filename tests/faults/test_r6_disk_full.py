"""R6: a disk that is too small, or fills up: while it renders, while it encodes, for the log alone.

A picture of the stand-in takes 49,000 bytes, the plan reckons with 28,000: so a disk can hold the
plan and not the film, which is how a disk fills up half way.
"""

import json
import os
import re
import shutil

import pytest
from outside import content_hash
from small_disk import reason_for_none, small_disk

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(5)]
SIZE = ("output.width=128", "output.height=128")
CALL = ("+timeline=film", "output.fps=1", "compute.batch=2", *SIZE)
FRAMES_ONLY = (*CALL, "output=frames")
PLANNED_BYTES = round(5 * (128 * 128 * (1.6 + 0.2) + 2000))
NEEDS = r"([\d,]+) bytes, ([\d,]+) are free; make room, and the same command continues"
NO_DISK = reason_for_none()
needs_a_small_disk = pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK)


@pytest.fixture
def film(site):
    site.timeline("film", FILM)
    return site


def message_of(ended) -> tuple[str, int, int]:
    """The last line of a run that found no room, the bytes it needs, and those that are free."""
    assert ended.code == 28
    assert "Traceback" not in ended.err
    line = ended.err.splitlines()[-1]
    needs, free = re.search(NEEDS, line).groups()
    return line, int(needs.replace(",", "")), int(free.replace(",", ""))


def fill(disk, left: int) -> None:
    """A stranger's file takes the disk's room, all but so many bytes."""
    there = os.statvfs(disk)
    free = there.f_bavail * there.f_frsize
    (disk / "ballast").write_bytes(bytes(free - left))


def opened(calls, pattern: str) -> list[str]:
    """Temp files that were made for targets that match, one an attempt."""
    lines = [json.loads(line) for line in calls.read_text().splitlines()]
    made = [line[2] for line in lines if line[1] == "open" and line[2].endswith(".tmp")]
    return [path for path in dict.fromkeys(made) if re.search(pattern, path)]


@needs_a_small_disk
def test_a_plan_that_does_not_fit_is_refused_before_the_model_is_loaded(film):
    with small_disk(film, 130) as disk:
        line, needed, free = message_of(film.render(*CALL))
        assert needed == pytest.approx(PLANNED_BYTES, abs=2)
        assert needed > free
        assert line.startswith("render: no room for outputs: frames and video need about ")
        assert "loading" not in (disk / "film" / "render.log").read_text()
        assert film.stored() == film.frames("film") == film.temps() == []
        planned = film.render(*CALL, "mode=plan")
        assert planned.code == 0
        assert f"{needed:,} bytes" in planned.err


@needs_a_small_disk
def test_a_disk_that_fills_up_half_way_ends_the_run_and_keeps_what_is_there(film, tmp_path):
    with small_disk(film, 220) as disk:
        calls = tmp_path / "logs" / "calls"
        ended = film.render(*FRAMES_ONLY, calls=str(calls))
        line, needed, free = message_of(ended)
        stored = film.stored()
        assert needed > 49_000 > free
        assert re.search(r"no room for outputs/\.store/../[0-9a-f]{64}\.png", line)
        assert 2 <= len(stored) < 5
        assert len(opened(calls, r"\.store/../\.[0-9a-f]{64}\.png")) == len(stored) + 1
        assert film.counts("film") == (0, len(stored), 0)
        assert film.temps() == []
        before = {path: content_hash(path) for path in stored}
        again = film.render(*FRAMES_ONLY)
        message_of(again)
        assert "loading" not in again.err  # it now knows that the rest does not fit
        assert {path: content_hash(path) for path in film.stored()} == before
        make_room(film, disk)
        assert film.render(*FRAMES_ONLY).code == 0
        assert film.counts("film") == (len(stored), 5 - len(stored), 0)
        assert {path: content_hash(path) for path in stored} == before


def make_room(site, disk) -> None:
    """The disk grows."""
    command = [*site.prefix, "mount", "-o", "remount,size=4000k", "outputs"]
    assert os.spawnvp(os.P_WAIT, command[0], command) == 0


@needs_a_small_disk
def test_a_disk_without_any_room_is_reported_before_anything_is_done(film):
    with small_disk(film, 100) as disk:
        (disk / "film").mkdir()
        fill(disk, 0)
        line, needed, free = message_of(film.render(*CALL))
        assert "no room for outputs/film/plan.json: it needs" in line
        assert needed > free == 0
        assert [path.name for path in (disk / "film").iterdir()] == [".lock"]


@needs_a_small_disk
def test_a_disk_that_fills_up_while_encoding_keeps_the_frames_and_the_older_video(film, tmp_path):
    with small_disk(film, 1500) as disk:
        assert film.render(*CALL).code == 0
        video = disk / "film" / "film.mp4"
        before = {path: content_hash(path) for path in (video, *film.stored())}
        fill(disk, 40_000)
        calls = tmp_path / "logs" / "calls"
        line, needed, free = message_of(film.render(*CALL, "output.quality=90", calls=str(calls)))
        assert "no room for outputs/film: the video takes about" in line
        assert needed > free
        assert len(opened(calls, "film.mp4")) == 1
        assert film.counts("film") == (5, 0, 0)
        assert film.temps() == []
        assert {path: content_hash(path) for path in before} == before
        (disk / "ballast").unlink()
        assert film.render(*CALL, "output.quality=90").code == 0
        assert film.counts("film") == (5, 0, 0)
        assert content_hash(video) != before[video]


@pytest.mark.parametrize(
    ("what", "file_bytes", "arguments", "stored"),
    [
        (r"\.store/../[0-9a-f]{64}\.png: it needs", 20_000, FRAMES_ONLY, 0),
        (r"film/sheet\.png: it needs", 60_000, FRAMES_ONLY, 5),
        (r"film: the video takes about", 60_000, CALL, 5),
    ],
    ids=["frame", "sheet", "video"],
)
def test_a_file_that_may_not_grow_ends_the_run_in_good_order(
    film, tmp_path, what, file_bytes, arguments, stored
):
    calls = tmp_path / "logs" / "calls"
    line, needed, _ = message_of(film.render(*arguments, file_bytes=file_bytes, calls=str(calls)))
    assert re.search(rf"no room for outputs/{what}", line)
    assert needed > file_bytes or "video" in line
    attempts = opened(calls, r"film\.mp4|sheet\.png|\.store/../\.[0-9a-f]{64}\.png")
    assert len(attempts) == stored + 1
    assert len(film.stored()) == len(film.frames("film")) == stored
    assert film.counts("film") == (0, stored, 0)
    assert film.temps() == []
    assert film.render(*arguments).code == 0
    assert film.counts("film") == (stored, 5 - stored, 0)


def test_a_log_that_may_not_grow_loses_no_frame_that_was_rendered(film):
    log = film.run_folder("film") / "render.log"
    assert film.render(*FRAMES_ONLY).code == 0
    start, loading, rest = log.read_text().partition("loading storybook on cpu\n")
    assert loading
    assert rest
    shutil.rmtree(film.root)
    log.parent.mkdir(parents=True)
    # There is room for all lines up to "loading", but not for the first on progress.
    room = len((start + loading).encode()) + 20
    log.write_text("2000-01-01T00:00:00Z ".ljust(200_000 - room - 1, "x") + "\n")
    line, needed, _ = message_of(film.start(*FRAMES_ONLY, file_bytes=200_000, seconds=1.1).wait())
    assert "no room for outputs/film/render.log: it needs" in line
    assert 0 < needed < 200
    assert len(film.stored()) == len(film.frames("film")) == 2
    assert film.counts("film") == (0, 2, 0)
    assert film.temps() == []
    assert log.stat().st_size <= 200_000
    assert film.render(*FRAMES_ONLY).code == 0
    assert film.counts("film") == (2, 3, 0)
