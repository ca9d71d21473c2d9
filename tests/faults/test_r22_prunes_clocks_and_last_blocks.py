"""R22: kills during a prune and while frames are adopted, clocks that jump, and a disk whose last
blocks are gone while a video is made."""

import json
import os
import shutil
import subprocess

import pytest
from outside import content_hash
from pictures import same_pictures
from small_disk import small_disk
from test_r6_disk_full import fill, needs_a_small_disk
from things import picture

FILM = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two", "seed": 2}]
FRAMES = 5
SMALL = ("output.fps=4", "output.width=64", "output.height=64")
CALL = ("+timeline=film", *SMALL)
QUICK = {"blocks": 8}
PRUNE = {"mode": "prune", "prune": "yes", "name": "another"}


@pytest.fixture(scope="module")
def place(film_site):
    """A film, the same with other seeds that nobody needs any more, and a copy of all."""
    site = film_site(FILM, *CALL)
    assert site.rounds.render({"name": "gone", "sampling.guidance": 3.0}, **QUICK).code == 0
    shutil.rmtree(site.run_folder("gone"))
    assert site.rounds.render(**QUICK).code == 0
    site.whole = site.pictures("film")
    shutil.copytree(site.root, site.here / "copy")
    return site


@pytest.fixture
def film(place):
    """As it was; a frame and the store's copy of it are one file again."""
    shutil.rmtree(place.root)
    shutil.copytree(place.here / "copy", place.root)
    planned = json.loads((place.run_folder("film") / "plan.json").read_text())["frames"]
    for shown, frame in zip(place.frames("film"), planned, strict=True):
        shown.unlink()
        shown.hardlink_to(place.root / ".store" / frame["digest"][:2] / f"{frame['digest']}.png")
    return place


def calls_of(site, changes):
    """How many file calls a run makes."""
    log = site.logs / "calls"
    log.unlink(missing_ok=True)
    assert site.rounds.render(changes, under="outputs", calls=str(log), **QUICK).code == 0
    return len(log.read_text().splitlines())


def assert_film_is_whole(site):
    again = site.rounds.render(**QUICK)
    assert again.code == 0, again.err
    assert site.counts("film") == (FRAMES, 0, 0)
    assert same_pictures(site.pictures("film"), site.whole)
    assert site.temps() == []


@pytest.mark.parametrize("tenth", range(1, 10, 2))
def test_a_prune_that_is_killed_takes_nothing_that_is_needed(film, tenth):
    count = calls_of(film, PRUNE)
    shutil.rmtree(film.root)
    shutil.copytree(film.here / "copy", film.root)
    number = max(1, count * tenth // 10)
    ended = film.rounds.render(PRUNE, under="outputs", fail_call=number, fail_how="KILL")
    assert ended.code == -9
    assert film.rounds.render(PRUNE).code == 0
    assert len(film.stored()) == FRAMES
    assert_film_is_whole(film)


@pytest.mark.parametrize("how", ["ESTALE", "ENOSPC"])
def test_a_prune_of_which_a_call_fails_takes_nothing_that_is_needed(film, how):
    """Every seventh, of both rounds, before and after the question."""
    needed = {path.name for path in film.frames("film")} | set(stored_for(film))
    count = calls_of(film, PRUNE)
    for number in range(2, count, 7):
        shutil.rmtree(film.root)
        subprocess.run(["cp", "-a", film.here / "copy", film.root], check=True)
        ended = film.rounds.render(PRUNE, under="outputs", fail_call=number, fail_how=how)
        assert ended.code in (0, 1, 28), ended.err
        assert "bug in render" not in ended.err
        there = {path.name for path in (*film.stored(), *film.frames("film"))}
        assert needed <= there, number
    assert film.rounds.render(PRUNE).code == 0
    assert len(film.stored()) == FRAMES
    assert_film_is_whole(film)


def stored_for(site):
    """The names in the store of the film's frames."""
    planned = json.loads((site.run_folder("film") / "plan.json").read_text())["frames"]
    return [f"{frame['digest']}.png" for frame in planned]


@pytest.mark.parametrize("tenth", range(1, 10, 2))
def test_a_kill_while_frames_are_adopted_loses_none(film, tenth):
    shutil.rmtree(film.root / ".store")
    shutil.copytree(film.root, film.here / f"bare{tenth}")
    count = calls_of(film, {})
    shutil.rmtree(film.root)
    shutil.copytree(film.here / f"bare{tenth}", film.root)
    number = max(1, count * tenth // 10)
    ended = film.rounds.render(under="outputs", fail_call=number, fail_how="KILL", **QUICK)
    assert ended.code == -9
    assert len(film.frames("film")) == FRAMES
    assert_film_is_whole(film)


@pytest.mark.parametrize("time", [1, 4_102_444_800], ids=["1970", "2100"])
def test_times_of_files_change_nothing(film, time):
    for path in film.root.rglob("*"):
        os.utime(path, (time, time))
    assert film.rounds.render({"mode": "plan"}).code == 0
    ended = film.rounds.render(**QUICK)
    assert "film.mp4 (as it was)" in ended.out
    assert_film_is_whole(film)


def test_a_clock_that_jumps_during_a_run_changes_nothing(film):
    """At every look at it; the video's own time jumps, too."""
    shutil.rmtree(film.root)
    killed = film.rounds.render(clock=True, killed=["two"], batch=1, **QUICK)
    assert killed.code == -9
    ended = film.rounds.render(clock=True, **QUICK)
    assert ended.code == 0, ended.err
    log = (film.run_folder("film") / "render.log").read_text()
    assert len({line[:4] for line in log.splitlines()}) > 3  # years
    os.utime(film.run_folder("film") / "film.mp4", (1, 1))
    again = film.rounds.render(clock=True, **QUICK)
    assert "film.mp4 (as it was)" in again.out
    assert film.rounds.render({**PRUNE, "name": "film"}, clock=True).code == 0
    assert_film_is_whole(film)


@needs_a_small_disk
def test_a_disk_whose_last_blocks_go_while_a_video_is_made_keeps_the_older_one(site):
    site.timeline("film", FILM)
    with small_disk(site, 1000) as disk:
        assert site.render(*CALL).code == 0
        video = disk / "film" / "film.mp4"
        before = {path: content_hash(path) for path in (video, *site.stored())}
        for left in (0, 4096, 3 * 4096):
            (disk / "ballast").unlink(missing_ok=True)
            fill(disk, left)
            ended = site.render(*CALL, "output.quality=95")
            assert ended.code == 28, ended.err
            assert "no room for" in ended.err.splitlines()[-1]
            assert {path: content_hash(path) for path in before} == before
            assert site.temps() == []
        (disk / "ballast").unlink()
        assert site.render(*CALL, "output.quality=95").code == 0
        assert site.counts("film") == (FRAMES, 0, 0)


MANY = 100_000
PATIENCE_S = 900.0


@pytest.mark.slow
def test_many_frames_are_looked_at_and_pruned(site):
    """Whole PNGs under all digests of a long plan, without the time that a model would take."""
    site.timeline("film", [{"at": 0, "prompt": "one"}, {"at": 100, "prompt": "two"}])
    call = ("+timeline=film", f"output.fps={MANY // 100}", *SMALL[1:], "mode=plan")
    assert site.render(*call, seconds=PATIENCE_S).code == 0
    lines = (site.run_folder("film") / "plan.jsonl").read_text().splitlines()
    for line in lines:
        digest = json.loads(line)["digest"]
        path = site.root / ".store" / digest[:2] / f"{digest}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(digest=digest))
    ended = site.render(*call, seconds=PATIENCE_S)
    assert ended.out.count(f"{MANY + 1:,}") == 2, ended.out  # so many, and all of them are there
    assert "0 rows to compute" in ended.out
    assert ended.megabytes < 2000
    assert "0 frames" in site.render(*call[:-1], "mode=prune", "prune=yes", seconds=PATIENCE_S).out
    shutil.rmtree(site.run_folder("film"))
    ended = site.render(*call[:-1], "mode=prune", "prune=yes", seconds=PATIENCE_S)
    assert f"removed  {MANY + 1:,} frames" in ended.out, ended.out
    assert ended.megabytes < 2000
    assert site.stored() == []
