"""S1: names that lead elsewhere, from the command line, a timeline or Hydra's own keys."""

import os

import pytest
import yaml
from outside import CHECKOUT, tree
from traps import torch_canary, trap_torch

FILM = [{"at": 0, "prompt": "a"}]
LONG = "a" * 300
NAMES = ["../x", "..", ".", "/abs", "a/b", "-x", "--", ".hidden", LONG, "", "~", "a:b", "a\\b", "é"]
CONTROL = ["a\nb", "a\tb", "a\x1b[31mb", "a\x7fb"]
FILE_NAMES = ["../x", "/abs", "-x", LONG, "a\0b", "a\nb", "", "..", "..\\x", "x\x1b[2J"]
HYDRA = [
    ["hydra.run.dir=../x"],
    ["+hydra.run.dir=../x"],
    ["++hydra.run.dir=/tmp/x"],
    ["hydra.run={dir: ../x}"],
    ["hydra={run: {dir: ../x}}"],
    ["hydra.sweep.dir=../x", "-m"],
    ["hydra.sweep.subdir=../x", "-m"],
    ["hydra.output_subdir=../x"],
    ["hydra.job.chdir=true"],
]
AROUND = {"here", "home", "logs", "outside", "tmp"}
ROOTS = ["root=", 'root="a\nb"', 'root="a\x1bb"', "root=null"]
WAYS_OUT = {"name": "use letters, digits and", "hydra": "root=FOLDER", "root": "can't be a folder"}


def quoted(text):
    """A text as Hydra's command line takes it."""
    escaped = text.replace("\\\\", "\\\\\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def refused(calls, *arguments):
    """The error of a command that exits with 2 and has written nothing, without torch."""
    before = tree(calls.site.here)
    answer = calls(*arguments)
    assert answer.code == 2, answer.err
    assert answer.out == ""
    assert all(line.startswith("render: ") for line in answer.err.splitlines())
    assert answer.err.replace("\n", "").isprintable()
    assert tree(calls.site.here) == before
    assert {path.name for path in calls.site.folder.iterdir()} == AROUND
    assert not answer.modules
    assert not torch_canary(calls.site).exists()
    return answer.err


@pytest.mark.parametrize("name", NAMES + CONTROL)
def test_a_name_that_is_no_plain_one_is_refused(calls, name):
    calls.site.timeline("t", FILM)
    said = refused(calls, "+timeline=t", f"name={quoted(name)}")
    assert "name: " in said
    assert WAYS_OUT["name"] in said


@pytest.mark.parametrize("name", FILE_NAMES)
def test_so_is_one_in_a_timeline(calls, name):
    calls.site.timeline("named", yaml.safe_dump({"keyframes": FILM, "name": name}))
    assert WAYS_OUT["name"] in refused(calls, "+timeline=named")


@pytest.mark.parametrize("mode", ["plan", "stitch", "prune"])
def test_so_it_is_in_every_mode(calls, mode):
    calls.site.timeline("t", FILM)
    assert WAYS_OUT["name"] in refused(calls, "+timeline=t", "name=../x", f"mode={mode}")


@pytest.mark.parametrize("arguments", HYDRA, ids=" ".join)
def test_hydras_folders_can_not_be_led_elsewhere(calls, arguments):
    calls.site.timeline("t", FILM)
    said = refused(calls, "+timeline=t", *arguments)
    assert "fixed" in said


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_that_is_no_folder_is_refused(calls, root):
    calls.site.timeline("t", FILM)
    assert "root" in refused(calls, "+timeline=t", root)


@pytest.mark.parametrize("timeline", ["../t", "/etc/passwd", "../../outside/canary", LONG])
def test_a_timeline_is_never_looked_for_elsewhere(calls, timeline):
    calls.site.timeline("t", FILM)
    (calls.site.here / "configs" / "t.yaml").write_text("keyframes: [{at: 0, prompt: a}]")
    said = refused(calls, f"+timeline={timeline}")
    assert f"no timeline {timeline!r}" in said or "file name" in said.lower()


def test_the_trap_for_torch_would_have_caught_it(site):
    """The same place with a right name: the render reaches torch and ends there."""
    site.timeline("t", FILM)
    path = f"{trap_torch(site)}{os.pathsep}{CHECKOUT}"
    ended = site.render("+timeline=t", model="real", env={"PYTHONPATH": path})
    assert ended.code == 1
    assert torch_canary(site).exists()
