"""Nothing of value is overwritten without a word: plans, stored frames, videos of other kinds."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import imageio_ffmpeg
import pytest
from command_line import CHECKOUT

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


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


# --- videos ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film(calls):
    """Calls `render` on a film of five frames, without a model; gives the answer."""
    calls.site.timeline("t", [{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}])

    def film(root, *arguments):
        answer = calls("+timeline=t", f"root={root}", "output.fps=4", *arguments)
        assert answer.code == 0, answer.err
        return answer

    film.folder = lambda root: calls.site.here / root / "t"
    return film


def videos(film, root):
    """Content of all videos of a run, by name."""
    there = film.folder(root).glob("t*.*")
    return {path.name: path.read_bytes() for path in there}


def frame_size(film, root, name):
    probed = subprocess.run(
        [FFMPEG, "-i", film.folder(root) / name], capture_output=True, check=False
    )
    return re.search(r", (\d+x\d+)[, ]", probed.stderr.decode())[1]


KINDS = {
    "t.mp4": [],
    "t.av1.mp4": ["output=av1"],
    "t.444.mp4": ["output.chroma=444"],
    "t.draft.mp4": ["sampling.speed=draft"],
    "t.balanced.mp4": ["sampling.speed=balanced"],
    "t.draft.every-2.mp4": ["sampling.speed=draft", "sampling.every=2"],
    "t.guidance_interval-0-0.8.mp4": ["sampling.guidance_interval=[0,0.8]"],
    "t.draft.webm": ["output=webm", "sampling.speed=draft"],
    "t.webm": ["output=webm"],
    "t.gif": ["output=gif"],
}


@pytest.mark.parametrize(
    "order", [list(KINDS), list(reversed(KINDS))], ids=["in order", "reversed"]
)
def test_a_film_of_another_kind_replaces_none(film, order, request):
    root, before = request.node.callspec.id.replace(" ", "-"), {}
    for name in order:
        answer = film(root, *KINDS[name])
        assert f"outputs/t/{name}".replace("outputs", root) in answer.out
        after = videos(film, root)
        assert set(after) == {*before, name}
        assert after.items() >= before.items()
        before = after
    for name in order:  # each is known again, and nothing is made twice
        assert f"{name} (as it was)" in film(root, *KINDS[name]).out
    assert videos(film, root) == before


SMALL = ["output.width=64", "output.height=64"]


def test_the_plain_name_is_that_of_the_models_own_size(film):
    film("small-first", *SMALL)
    small = videos(film, "small-first")["t.mp4"]
    answer = film("small-first")
    assert "t.mp4 of 64×64 is now t.64x64.mp4" in answer.err
    assert set(videos(film, "small-first")) == {"t.mp4", "t.64x64.mp4"}
    assert videos(film, "small-first")["t.64x64.mp4"] == small
    assert frame_size(film, "small-first", "t.mp4") == "256x256"
    assert "t.64x64.mp4 (as it was)" in film("small-first", *SMALL).out
    assert "t.mp4 (as it was)" in film("small-first").out


def test_another_size_gets_a_name_that_says_so(film):
    film("plain-first")
    plain = videos(film, "plain-first")["t.mp4"]
    film("plain-first", *SMALL)
    film("plain-first", "output.width=64", "output.height=32", "sampling.speed=draft")
    assert "t.64x64.mp4" in film("plain-first", *SMALL, "output.quality=50").out
    assert videos(film, "plain-first")["t.mp4"] == plain
    assert set(videos(film, "plain-first")) == {"t.mp4", "t.64x64.mp4", "t.draft.mp4"}
    assert frame_size(film, "plain-first", "t.64x64.mp4") == "64x64"


def test_an_encoder_that_fails_moves_nothing(film, calls):
    film("failing", *SMALL)
    before = videos(film, "failing")
    env = {"IMAGEIO_FFMPEG_EXE": "/bin/false"}
    answer = calls("+timeline=t", "root=failing", "output.fps=4", env=env)
    assert answer.code == 4
    assert videos(film, "failing") == before


def test_somebody_elses_file_under_the_name_with_the_size_is_set_aside(film):
    film("foreign", *SMALL)
    (film.folder("foreign") / "t.64x64.mp4").write_text("mine")
    film("foreign")
    assert (film.folder("foreign") / "t.64x64.mp4.set-aside-1").read_text() == "mine"
    assert frame_size(film, "foreign", "t.64x64.mp4") == "64x64"


@pytest.mark.parametrize("size", ["[64]", '["64", 64]', "{}", "[-1, 5]", "[true, 1]"])
def test_a_size_that_is_none_is_passed_over(film, size):
    film("odd", *SMALL)
    path = film.folder("odd") / "run.json"
    probed = json.loads(path.read_text())
    probed["videos"]["t.mp4"]["size"] = json.loads(size)
    path.write_text(json.dumps(probed, indent=2, sort_keys=True))
    film("odd", "output.quality=30")
    assert set(videos(film, "odd")) == {"t.mp4"}
    shutil.rmtree(film.folder("odd"))


def test_timelines_of_two_folders_have_runs_of_their_own(calls):
    for folder in ("sub", "sub2", "sub/sub"):
        path = calls.site.here / "configs" / "timeline" / folder / "deep.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"keyframes: [{{at: 0, prompt: {folder}}}]\n")
        answer = calls(f"+timeline={folder}/deep", "root=deep", *SMALL)
        assert answer.code == 0, answer.err
    runs = {path.name for path in (calls.site.here / "deep").iterdir() if path.name != ".store"}
    assert runs == {"sub-deep", "sub2-deep", "sub-sub-deep"}
