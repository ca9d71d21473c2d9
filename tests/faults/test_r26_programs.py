"""R26: a program that renders by `render.load` may fork, end in the midst of it, or do both: nobody
waits for ever, no lock outlives the render, and the frames in hand are stored."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILM = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two"}]
FRAMES = 5
BEGIN = f"""
import os, sys, time
sys.path.insert(0, {str(HERE)!r})
from stand_in import Faults, prepare
prepare(Faults(seconds=0.02, batch=1, blocks=8))
import render

def film():
    return render.load("film", "output.fps=4", "output.width=32", "output.height=32")

def ended(child):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False
"""
FORK_THAT_ENDS = """
for number, frame in enumerate(film().render()):
    if number == 1:
        child = os.fork()
        if child == 0:
            sys.exit()
        assert ended(child)
        assert not os.path.exists("outputs/film/run.json")
print(film().plan().facts.kept)
"""
FORK_THAT_GOES_ON = """
child = None
try:
    for number, frame in enumerate(film().render()):
        if number == 1:
            child = os.fork()
except render.RenderError as error:
    assert child == 0 and "a fork can't go on with a render" in str(error)
    os._exit(0)
assert child and ended(child)
print(film().plan().facts.kept)
"""
FORK_THAT_STAYS = """
for number, frame in enumerate(film().render()):
    if number == 1:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
print(len(list(film().render())))
from render.files.lock import pruning
from pathlib import Path
with pruning(Path("outputs/.store")):
    os.kill(child, 9)
"""
ENDS_IN_THE_MIDST = """
frames = film().render()
next(frames)
print(next(frames).index)
"""
ENDS_BY_AN_ERROR = """
frames = film().render()
for frame in frames:
    if frame.index == 1:
        print(1)
        sys.exit(3)
"""


@pytest.fixture
def program(site):
    """Runs a program's text, and returns what it printed."""
    site.timeline("film", FILM)

    def run(text, code=0):
        environment = site.environment()
        ended = subprocess.run(
            [sys.executable, "-c", BEGIN + text],
            cwd=site.here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == code, ended.stderr
        assert "Traceback" not in ended.stderr
        return int(ended.stdout)

    return run


@pytest.mark.parametrize("text", [FORK_THAT_ENDS, FORK_THAT_GOES_ON], ids=["ends", "goes on"])
def test_a_fork_in_the_loop_ends_and_the_render_goes_on(program, text):
    assert program(text) == FRAMES


def test_a_fork_that_stays_holds_no_lock_of_a_render_that_has_ended(program):
    assert program(FORK_THAT_STAYS) == FRAMES


@pytest.mark.parametrize(("text", "code"), [(ENDS_IN_THE_MIDST, 0), (ENDS_BY_AN_ERROR, 3)])
def test_a_program_that_ends_in_the_midst_ends_soon_and_stores_its_frames(
    site, program, text, code
):
    assert program(text, code) == 1
    assert len(site.frames("film")) >= 2
    assert json.loads((site.run_folder("film") / "run.json").read_text())["frames"]["failed"] == 0
    assert not site.temps()
