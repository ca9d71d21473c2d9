"""R5: two runs at once. One run a folder, nothing to unlock after a kill, shards side by side."""

import json
import os
import re
import shutil
import signal
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest
from outside import tree
from pictures import same_pictures

KEYFRAMES = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two", "seed": 2}]
FRAMES = 13
COMMAND = ["+timeline=film", "output.fps=12", "output.width=32", "output.height=32"]
QUICK = {"blocks": 8}
SLOW = {**QUICK, "seconds": 0.05, "batch": 1}
HOST = re.escape(socket.gethostname())
SINCE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"

SLOW_FFMPEG = """#!{python}
import os, sys, time
if "-version" in sys.argv:
    sys.exit(print("ffmpeg version 0"))
open("{lives}", "w").write(str(os.getpid()))
time.sleep(60)
"""


@pytest.fixture(scope="module")
def place(film_site):
    return film_site(KEYFRAMES, *COMMAND)


@pytest.fixture
def film(place):
    """A place where nothing is rendered yet."""
    shutil.rmtree(place.root, ignore_errors=True)
    return place


@pytest.fixture(scope="module")
def at_work(place):
    """A run in the middle of its frames, stopped there, so that it is at work as long as needed."""
    run = start_and_stop(place, "root=held")
    yield run
    run.signal(signal.SIGKILL)
    run.wait()


def start_and_stop(site, *more):
    run = site.start(*COMMAND, *more, **SLOW)
    run.until(lambda: run.logs.is_dir() and "loading" in run.said("err"))
    run.signal(signal.SIGSTOP)
    return run


def held_by(run, folder="outputs/film"):
    """The line that names a run."""
    return (
        rf"render: {folder} is held by another run \(pid {run.pid} on {HOST}, since {SINCE}\); "
        r"wait for it or end it, nothing has to be unlocked\n"
    )


@pytest.mark.parametrize(
    "change", [{}, {"shard": "1/2"}, {"mode": "stitch"}, {"sampling.guidance": 3.0}], ids=str
)
def test_the_second_run_learns_who_holds_the_folder_and_changes_nothing(place, at_work, change):
    before = all_but_locks_of_shards(place)
    ended = place.rounds.render({"root": "held", **change}, **QUICK)
    assert ended.code == 75
    assert re.fullmatch(held_by(at_work, "held/film"), ended.err)
    assert all_but_locks_of_shards(place) == before
    assert at_work.running


def all_but_locks_of_shards(place):
    found = tree(place.here / "held")
    return {path: content for path, content in found.items() if ".lock-" not in path}


def test_the_second_run_is_refused_in_under_two_seconds(place, at_work):
    """Or, on a busy machine, soon after a plan would end, which waits for nobody."""
    command = [*COMMAND, "root=held", "shard=1/2"]
    planned = place.render(*command, "mode=plan").seconds
    ended = place.render(*command, **QUICK)
    assert ended.code == 75
    assert ended.seconds < max(2.0, 2 * planned + 1.0)


def test_what_only_asks_is_answered_while_a_run_is_at_work(place, at_work):
    ended = place.rounds.render({"root": "held", "mode": "plan"})
    assert ended.code == 0
    assert "13 frames" in ended.out
    assert "warning" not in ended.err


def test_another_folder_is_free(place, at_work):
    assert place.rounds.render({"root": "held", "name": "other"}, **QUICK).code == 0
    assert (place.here / "held" / "other" / "other.mp4").is_file()


def test_after_a_kill_the_next_run_starts_at_once_though_the_ffmpeg_lives(film):
    ffmpeg, lives = film.here / "slow-ffmpeg", film.here / "ffmpeg-lives"
    ffmpeg.write_text(SLOW_FFMPEG.format(python=sys.executable, lives=lives))
    ffmpeg.chmod(0o755)
    first = film.start(*COMMAND, env={"IMAGEIO_FFMPEG_EXE": str(ffmpeg)}, **QUICK)
    first.until(lambda: lives.exists() and lives.read_text())
    child = int(lives.read_text())
    second = film.rounds.render(**QUICK)
    assert second.code == 75
    assert re.fullmatch(held_by(first), second.err)
    first.signal(signal.SIGKILL)
    assert first.wait().code == -9
    third = film.rounds.render(**QUICK)
    assert is_running(child)
    os.kill(child, signal.SIGKILL)
    assert third.code == 0
    assert film.counts("film") == (FRAMES, 0, 0)
    assert (film.run_folder("film") / "film.mp4").is_file()
    assert not film.temps()


def is_running(pid):
    """Zombies are not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def committed(logs):
    """How often each frame was given its name in the store, by all processes together."""
    calls = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return Counter(
        Path(onto).stem
        for _, call, _, onto in calls
        if call == "rename" and onto.startswith("outputs/.store/") and onto.endswith(".png")
    )


def test_four_shards_at_once_render_each_frame_once(film):
    logs = [film.logs / f"{place}.calls" for place in range(4)]
    shards = [
        film.start(*COMMAND, f"shard={place}/4", calls=str(log), seconds=0.02, **QUICK)
        for place, log in enumerate(logs)
    ]
    ended = [shard.wait() for shard in shards]
    assert [end.code for end in ended] == [0] * 4
    numbers = [re.search(r"frames  (\d+) rendered, (\d+) kept", end.out).groups() for end in ended]
    assert numbers == [("4", "0"), ("3", "0"), ("3", "0"), ("3", "0")]
    assert committed(logs) == dict.fromkeys((path.stem for path in film.stored()), 1)
    assert len(film.stored()) == len(film.frames("film")) == FRAMES
    assert any("film.mp4" in end.out for end in ended)
    assert not film.temps()
    shown = film.pictures("film")
    shutil.rmtree(film.root)
    assert film.rounds.render(**QUICK).code == 0
    assert same_pictures(shown, film.pictures("film"))


@pytest.mark.parametrize("before", [[], ["output.quality=30"]], ids=["new", "over an older one"])
def test_shards_that_end_together_make_one_video(film, before):
    """Each finds all frames there, and stands before the film's end when the others do."""
    assert film.render(*COMMAND, *(before or ["output=frames"]), **QUICK).code == 0
    go, waits = film.here / "go", ["render.run.work.Work.make_video"]
    go.unlink(missing_ok=True)
    calls = [[*COMMAND, f"shard={place}/2"] for place in range(2)]
    shards = [film.start(*call, waits=waits, go=str(go), **QUICK) for call in calls]
    for shard in shards:
        shard.until(lambda shard=shard: "waiting before" in shard.said("err"))
    go.touch()
    ended = [shard.wait() for shard in shards]
    assert [end.code for end in ended] == [0, 0]
    assert sum("film.mp4 (as it was)" in end.out for end in ended) == 1
    assert not any("not ours" in end.err for end in ended)
    assert not list(film.root.rglob("*set-aside*"))
    assert "film.mp4 (as it was)" in film.render(*COMMAND, **QUICK).out


def test_a_shard_of_another_plan_is_refused_and_one_of_the_same_is_not(film):
    first = start_and_stop(film, "shard=0/2")
    plan = (film.run_folder("film") / "plan.json").read_bytes()
    other = film.rounds.render({"shard": "1/2", "sampling.guidance": 3.0}, **QUICK)
    assert other.code == 2
    assert other.err == (
        "render: outputs/film: shards of another plan are at work here; wait for them, or give "
        "this one another name=\n"
    )
    same = film.rounds.render({"shard": "1/2"}, **QUICK)
    assert same.code == 0
    assert film.counts("film") == (0, 6, 0)
    again = film.rounds.render({"shard": "0/2"}, **QUICK)
    assert again.code == 75
    assert re.fullmatch(held_by(first), again.err)
    first.signal(signal.SIGCONT)
    assert first.wait().code == 0
    assert film.counts("film") == (0, 7, 0)
    assert (film.run_folder("film") / "plan.json").read_bytes() == plan
    assert len(film.stored()) == FRAMES


def test_a_whole_run_hears_of_a_shard_that_still_works_not_of_one_that_has_ended(film):
    first = start_and_stop(film, "shard=0/2")
    second = start_and_stop(film, "shard=1/2")
    first.signal(signal.SIGKILL)
    first.wait()
    refused = film.rounds.render(**QUICK)
    assert refused.code == 75
    assert re.fullmatch(held_by(second), refused.err)
    second.signal(signal.SIGCONT)
    assert second.wait().code == 0
    assert film.rounds.render(**QUICK).code == 0
    assert len(film.stored()) == FRAMES
