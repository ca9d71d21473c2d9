"""R17: SIGHUP, as of a closed terminal, ends a run like SIGTERM; under nohup it ends nothing."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time

import pytest
from outside import STAND_IN
from test_r8_signals import (  # fmt: skip
    CALL,
    FILM,
    INTERRUPTED,
    PHASES,
    assert_continues,
    assert_whole,
    end,
    until_in,
)

HEARING = ["env", "--default-signal=HUP"]


@pytest.fixture
def film(site):
    """A site whose runs hear the signal, also where the tests themselves run under nohup."""
    site.timeline("film", FILM)
    site.prefix = HEARING
    return site


@pytest.mark.parametrize(
    ("phase", "group"),
    [("planning", False), ("rendering", True), ("storing", False), ("encoding", True)],
)
def test_a_hangup_ends_a_run_soon_and_in_good_order(film, phase, group):
    there = PHASES[phase][1]
    ended, took = end(until_in(film, phase, *CALL), signal.SIGHUP, group)
    assert ended.code == 129
    assert took < 5
    assert ended.err.endswith(INTERRUPTED)
    assert "failed" not in ended.err + ended.out
    assert not film.processes()
    assert film.temps() == []
    assert_whole(film, there)
    if phase != "planning":
        assert film.counts("film") == (0, there, 0)
        log = (film.run_folder("film") / "render.log").read_text()
        assert log.endswith("ended: interrupted\n")
    assert_continues(film, there)


def test_under_nohup_a_run_goes_on(film):
    film.prefix = ["env", "--ignore-signal=HUP"]
    running = film.start(*CALL, seconds=0.5)
    running.until(lambda: "loading" in running.said("err"))
    running.signal(signal.SIGHUP)
    assert running.wait().code == 0
    film.prefix = []
    assert film.counts("film") == (0, 3, 0)


def test_a_terminal_that_is_closed_loses_no_frame(film):
    """The system sends the signal, and from then on nothing can be printed."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*HEARING, sys.executable, str(STAND_IN), *CALL],
        cwd=film.here,
        env=film.environment(STAND_IN=json.dumps({"seconds": 0.5}), TERM="xterm"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    deadline = time.monotonic() + 60
    while not film.frames("film") and time.monotonic() < deadline:
        os.read(ours, 1 << 16)
    os.close(ours)
    assert process.wait(60) == 129
    there = len(film.frames("film"))
    assert 1 <= there == len(film.stored()) < 3
    assert film.counts("film") == (0, there, 0)
    assert film.temps() == []
    assert_continues(film, there)
