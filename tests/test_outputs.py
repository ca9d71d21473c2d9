"""Nothing of value is overwritten without a word: plans, stored frames, videos of other kinds."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest
from command_line import CHECKOUT


def count(place, name):
    """How many frames a plan of the film has, and which file its frames are in."""
    plan = json.loads((place.folder / "outputs" / "t" / name).read_text())
    return plan["count"]


def stored(place):
    return set((place.folder / "outputs" / ".store").glob("??/*.png"))


# --- mode=plan ---------------------------------------------------------------------------------


def test_a_plan_of_another_film_stands_beside_the_one_of_the_frames(place):
    assert place.render("+timeline=t", "output=frames").code == 0
    before = place.tree()
    ended = place.render("+timeline=t", "output=frames", "output.fps=8", "mode=plan")
    assert ended.code == 0
    assert "this plan is in outputs/t/plan.next.json" in ended.err
    assert count(place, "plan.json") == 5
    assert count(place, "plan.next.json") == 9
    added = place.tree().items() - before.items()
    assert {os.path.basename(path) for path, content in added} == {"plan.next.json"}


def test_the_same_plan_is_written_once_and_the_next_one_goes_with_the_run(place):
    place.render("+timeline=t", "output=frames")
    place.render("+timeline=t", "output=frames", "output.fps=8", "mode=plan")
    ended = place.render("+timeline=t", "output=frames", "mode=plan")
    assert "plan.next.json" not in ended.err
    assert not (place.folder / "outputs" / "t" / "plan.next.json").exists()
    place.render("+timeline=t", "output=frames", "output.fps=8", "mode=plan")
    place.render("+timeline=t", "output=frames", "output.fps=8")
    assert count(place, "plan.json") == 9
    assert not (place.folder / "outputs" / "t" / "plan.next.json").exists()


def test_where_no_run_has_been_a_plan_is_plan_json(place):
    for fps, frames in (("4", 5), ("8", 9)):
        place.render("+timeline=t", f"output.fps={fps}", "mode=plan")
        assert count(place, "plan.json") == frames
    names = {path.name for path in (place.folder / "outputs" / "t").iterdir()}
    assert names == {"plan.json"}


def test_somebody_elses_file_makes_way_for_the_next_plan(place):
    place.render("+timeline=t", "output=frames")
    mine = place.folder / "outputs" / "t" / "plan.next.json"
    mine.write_text("mine")
    place.render("+timeline=t", "output=frames")
    assert mine.read_text() == "mine"
    place.render("+timeline=t", "output=frames", "output.fps=8", "mode=plan")
    assert mine.with_name("plan.next.json.set-aside-1").read_text() == "mine"


def test_frames_of_the_next_plan_are_not_pruned(place):
    place.render("+timeline=t", "output=frames", "output.fps=8", "name=u")
    place.render("+timeline=t", "output=frames")
    shutil.rmtree(place.folder / "outputs" / "u")
    place.render("+timeline=t", "output=frames", "output.fps=8", "mode=plan")
    assert "unused  0 frames" in place.render("+timeline=t", "mode=prune", "prune=yes").out


# --- mode=prune --------------------------------------------------------------------------------


@pytest.fixture
def unused(place):
    """A store with five frames that no run uses."""
    place.render("+timeline=t", "output=frames", "output.fps=4")
    shutil.rmtree(place.folder / "outputs" / "t")
    assert len(stored(place)) == 5
    return place


@pytest.mark.parametrize("answer", [[], ["prune=ask"], ["prune=no"], ["prune=false"]], ids=str)
def test_a_prune_that_nobody_agrees_to_only_lists(unused, answer):
    before = unused.tree()
    ended = unused.render("+timeline=t", "mode=prune", *answer)
    assert ended.code == 0
    assert "unused  5 frames" in ended.out
    assert unused.tree() == before


@pytest.mark.parametrize("answer", ["prune=yes", "prune=true"])
def test_a_script_agrees_with_a_key(unused, answer):
    assert unused.render("+timeline=t", "mode=prune", answer).code == 0
    assert stored(unused) == set()


def test_another_answer_is_a_mistake(unused):
    ended = unused.render("+timeline=t", "mode=prune", "prune=perhaps")
    assert ended.code == 2
    assert "prune: 'perhaps' is not known; known: ask, yes, no" in ended.err


@pytest.mark.parametrize(("typed", "left"), [("y\n", 0), ("yes\n", 0), ("\n", 5), ("n\n", 5)])
def test_at_a_terminal_it_asks(unused, typed, left):
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "render", *unused.arguments("+timeline=t", "mode=prune")],
        cwd=unused.folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    said, deadline = b"", time.monotonic() + 60
    while b"[y/N]" not in said and time.monotonic() < deadline:
        if select.select([controller], [], [], 0.1)[0]:
            said += os.read(controller, 4096)
    assert b"unused" in said
    assert len(stored(unused)) == 5
    os.write(controller, typed.encode())
    assert process.wait(timeout=60) == 0
    os.close(controller)
    assert len(stored(unused)) == left
