"""R8: SIGINT and SIGTERM, to the process or to its whole group, once or twice, in every phase."""

import random
import signal
import sys
import time

import imageio_ffmpeg
import pytest
from outside import Running
from PIL import Image

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(3)]
SMALL = ("output.fps=1", "output.width=64", "output.height=64", "compute.batch=1")
CALL = ("+timeline=film", *SMALL)
INTERRUPTED = "render: interrupted; the same command continues from here\n"
CONTRACT_S = 5.0
STUCK_FFMPEG = """#!/bin/sh
trap '' INT TERM HUP
case "$*" in *rawvideo*) ;; *) exec "$REAL" "$@" ;; esac
echo "waiting before the first frame" > /proc/$PPID/fd/2
sleep 60 & wait
"""
PHASES = {
    "planning": ({"waits": ["render.run.resolve.make_plan"]}, 0),
    "freezing the plan": ({"waits": ["os.replace"]}, 0),
    "loading": ({"waits": ["render.run.work.Work.load"]}, 0),
    "rendering": ({"seconds": 20.0}, 0),
    "storing": ({"waits": ["render.store.store.write_whole"]}, 0),
    "encoding": ({}, 3),
    "sheet": ({"waits": ["render.run.video_step.contact_sheet"]}, 3),
}
ONCE = [
    ("planning", signal.SIGINT, False),
    ("planning", signal.SIGTERM, True),
    ("freezing the plan", signal.SIGINT, True),
    ("loading", signal.SIGTERM, False),
    ("rendering", signal.SIGINT, False),
    ("rendering", signal.SIGTERM, True),
    ("storing", signal.SIGTERM, False),
    ("encoding", signal.SIGINT, True),
    ("encoding", signal.SIGTERM, False),
    ("sheet", signal.SIGINT, False),
    ("sheet", signal.SIGTERM, True),
]
TWICE = [
    ("loading", signal.SIGINT, True),
    ("rendering", signal.SIGTERM, False),
    ("encoding", signal.SIGINT, False),
    ("sheet", signal.SIGTERM, True),
]


@pytest.fixture
def film(site):
    site.timeline("film", FILM)
    return site


def until_in(site, phase: str, *arguments, waits=()):
    """A run that has come to a phase and stays there."""
    faults, _ = PHASES[phase]
    faults = {**faults, "waits": [*faults.get("waits", []), *waits]}
    stuck = site.here / "ffmpeg"
    stuck.write_text(STUCK_FFMPEG)
    stuck.chmod(0o755)
    env = {"REAL": imageio_ffmpeg.get_ffmpeg_exe()}
    if phase == "encoding":
        env["IMAGEIO_FFMPEG_EXE"] = str(stuck)
    running = site.start(*arguments, env=env, **faults)
    mark = "loading" if phase == "rendering" else "waiting before"
    running.until(lambda: mark in running.said("err"))
    if phase == "rendering":
        time.sleep(0.3)
    assert running.running, running.said("err")
    return running


def end(running, number: int, group: bool):
    """Send the signal; how the run ended and how long that took."""
    sent = time.monotonic()
    running.signal(number, group)
    ended = running.wait()
    return ended, time.monotonic() - sent


def assert_whole(site, count: int) -> None:
    """So many frames, each of them a whole picture."""
    assert len(site.stored()) == len(site.frames("film")) == count
    for path in (*site.stored(), *site.frames("film")):
        with Image.open(path) as image:
            image.load()


def assert_continues(site, there: int) -> None:
    """The same command renders the rest and nothing else, and leaves nothing lying about."""
    ended = site.render(*CALL)
    assert ended.code == 0
    assert site.counts("film") == (there, 3 - there, 0)
    assert site.temps() == []
    assert_whole(site, 3)
    assert (site.run_folder("film") / "film.mp4").is_file()


@pytest.mark.parametrize(("phase", "number", "group"), ONCE)
def test_a_signal_ends_a_run_soon_and_in_good_order(film, phase, number, group):
    there = PHASES[phase][1]
    ended, took = end(until_in(film, phase, *CALL), number, group)
    assert ended.code == 128 + number
    assert took < CONTRACT_S
    assert ended.err.endswith(INTERRUPTED)
    assert "failed" not in ended.err + ended.out
    assert "Traceback" not in ended.err
    assert not film.processes()
    assert film.temps() == []
    assert phase == "sheet" or not list(film.run_folder("film").glob("film.*"))
    assert_whole(film, there)
    if phase not in ("planning", "freezing the plan"):
        assert film.counts("film") == (0, there, 0)
        log = (film.run_folder("film") / "render.log").read_text()
        assert log.endswith("ended: interrupted\n")
    assert_continues(film, there)


@pytest.mark.parametrize(("phase", "number", "group"), TWICE)
def test_a_second_signal_ends_a_run_that_is_slow_to_end(film, phase, number, group):
    there = PHASES[phase][1]
    running = until_in(film, phase, *CALL, waits=["render.report.run_log.RunLog.close"])
    running.signal(number, group)
    running.until(
        lambda: "waiting before render.report.run_log.RunLog.close" in running.said("err")
    )
    assert running.running
    ended, took = end(running, number, group)
    assert ended.code == -number
    assert took < CONTRACT_S
    assert not film.processes()
    assert_whole(film, there)
    assert_continues(film, there)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("imported", ["yaml", "omegaconf", "hydra.core"])
def test_a_signal_while_it_starts_is_no_traceback(film, imported, number):
    program = [sys.executable, "-X", "importtime", "-m", "render", *CALL]
    running = Running(film, program, film.environment(), None)
    running.until(lambda: f" {imported}." in running.said("err"))
    ended, took = end(running, number, False)
    assert ended.code == 128 + number
    assert took < CONTRACT_S
    assert ended.err.endswith(INTERRUPTED)
    assert "Traceback" not in ended.err
    assert not film.root.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_sweep_and_later_jobs_do_not_begin(film, number):
    film.timeline("broken", [{"at": 0, "prompt": "p", "guidance": -1}])
    sweep = ("-m", "+timeline=broken,film", "sampling.guidance=3,7", *SMALL, "output=frames")
    running = film.start(*sweep, seconds=20.0)
    running.until(lambda: "loading" in running.said("err"))
    ended, took = end(running, number, False)
    assert ended.code == 128 + number
    assert took < CONTRACT_S
    assert ended.err.endswith(INTERRUPTED)
    assert "render: 2 jobs of the sweep failed:" in ended.err
    assert ended.err.count("interrupted") == 1
    assert len(list(film.run_folder("film").iterdir())) == 1
    assert film.stored() == []
    assert film.render(*sweep).code == 2
    assert len(list(film.run_folder("film").iterdir())) == 2
    assert len(film.stored()) == 6


@pytest.mark.slow
@pytest.mark.parametrize("model", ["stand-in", "real"])
def test_a_signal_at_any_instant_leaves_whole_frames_and_the_run_goes_on(film, model):
    chance = random.Random(8)
    longest = time.monotonic()
    assert film.render(*CALL, "name=first", model=model).code == 0
    longest = time.monotonic() - longest
    for round_ in range(40):
        name = f"name=round{round_}"
        root = f"root=root{round_}"
        running = film.start(*CALL, name, root, model=model)
        time.sleep(chance.uniform(0, longest))
        number = chance.choice([signal.SIGINT, signal.SIGTERM])
        if running.running:
            ended, took = end(running, number, chance.random() < 0.5)
            assert took < 2 * CONTRACT_S  # some instant of forty is one of a busy machine
            assert ended.code in (0, 128 + number, -number)
            assert "failed" not in ended.err
        else:
            assert running.wait().code == 0
        for path in (film.here / f"root{round_}").rglob("*.png"):
            with Image.open(path) as image:
                image.load()
        assert film.render(*CALL, name, root, model=model).code == 0
        assert film.temps() == []
