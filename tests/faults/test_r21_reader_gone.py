"""R21: who reads the output goes away, never was there, or has a full disk: no run ends of it."""

import os
import signal
import subprocess
import sys

import pytest
from outside import STAND_IN

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(3)]
SMALL = ("output.fps=1", "output.width=64", "output.height=64", "compute.batch=1")
CALL = ("+timeline=film", *SMALL)
UNREAD = 128 + signal.SIGPIPE
ASKS = {
    "a plan": (*CALL, "mode=plan"),
    "a sweep of plans": ("-m", *CALL, "mode=plan", "sampling.guidance=2,3"),
    "help": ("--help",),
    "a config": (*CALL, "--cfg", "job"),
}
LAST = "next render show film\n"  # of a log that was written to its end


@pytest.fixture
def film(site):
    site.timeline("film", FILM)
    return site


def gone() -> int:
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full() -> int:
    """A file on a disk without room."""
    return os.open("/dev/full", os.O_WRONLY)


def call(site, *arguments, out=None, err=None):
    """`render` with these descriptors as its streams; its exit code, and what it said on others."""
    process = subprocess.run(
        [sys.executable, str(STAND_IN), *arguments],
        cwd=site.here,
        env=site.environment(STAND_IN="{}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if out is None else out,
        stderr=subprocess.PIPE if err is None else err,
        check=False,
    )
    for descriptor in {out, err} - {None}:
        os.close(descriptor)
    return process.returncode, (process.stdout or b"").decode(), (process.stderr or b"").decode()


def assert_done(site) -> None:
    """The film is there, and so is the log of it, to its last line."""
    assert site.counts("film") == (0, 3, 0)
    assert (site.run_folder("film") / "film.mp4").is_file()
    assert (site.run_folder("film") / "render.log").read_text().endswith(LAST)


@pytest.mark.parametrize("lost", [gone, full])
@pytest.mark.parametrize("which", ["out", "err", "both"])
def test_a_render_goes_on_and_writes_its_log(film, which, lost):
    stream = lost()
    streams = {
        "out": {"out": stream},
        "err": {"err": stream},
        "both": {"out": stream, "err": stream},
    }
    code, out, err = call(film, *CALL, **streams[which])
    assert code == 0
    assert "Traceback" not in out + err
    assert "film.mp4" in out or which != "err"
    assert_done(film)


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_a_render_with_closed_streams_writes_to_no_file_of_ours(film, closed):
    command = f'exec "$@" {closed}'
    ended = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, str(STAND_IN), *CALL],
        cwd=film.here,
        env=film.environment(STAND_IN="{}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert_done(film)
    assert film.render(*CALL).code == 0
    assert film.counts("film") == (3, 0, 0)


def test_a_reader_that_takes_two_lines_stops_no_render(film):
    command = '"$@" 2>&1 | head -2; echo "${PIPESTATUS[0]}"'
    ended = subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, str(STAND_IN), *CALL],
        cwd=film.here,
        env=film.environment(STAND_IN="{}"),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("film: 3 frames")
    assert lines[2:] == ["0"]
    assert ended.stderr == ""
    assert_done(film)


@pytest.mark.parametrize("lost", [gone, full])
@pytest.mark.parametrize("asked", ASKS)
def test_what_only_answers_ends_silently(film, asked, lost):
    code, _, err = call(film, *ASKS[asked], out=lost())
    assert (code, err) == (UNREAD, "")


def test_a_plan_that_is_read_though_its_warnings_are_not_is_answered(film):
    code, out, _ = call(film, *CALL, "mode=plan", err=gone())
    assert code == 0
    assert "3 frames" in out


@pytest.mark.parametrize("lost", [gone, full])
def test_a_mistake_keeps_its_exit_code(film, lost):
    assert call(film, *CALL, "output.fbs=1", out=lost())[0] == 2
    assert call(film, *CALL, "output.fbs=1", err=lost())[0] == 2
