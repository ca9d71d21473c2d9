"""R12: another model under the old one's name. Its frames are never taken for the old ones, however
alike the files look from outside; and no film goes on as a mix of two models."""

import json
import os
import shutil
import signal

import pytest
from outside import CHECKOUT

KEYFRAMES = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 2, "prompt": "two", "seed": 2}]
FRAMES = 9
COMMAND = ["+timeline=film", "output=frames", "output.fps=4"]
COMMAND += ["output.width=32", "output.height=32"]
LOCAL = ["model=local", "model.path=model", "model.steps=2", "model.guidance=7.5"]
QUICK = {"blocks": 8}


@pytest.fixture(scope="module")
def site(film_site):
    """A place with the model in a folder of its own."""
    site = film_site(KEYFRAMES, *COMMAND)
    shutil.copytree(CHECKOUT / "render" / "storybook" / "weights", site.here / "model")
    return site


@pytest.fixture
def weights(site):
    """The model's largest file, in a place without frames."""
    shutil.rmtree(site.root, ignore_errors=True)
    return max((site.here / "model").rglob("*.safetensors"), key=lambda path: path.stat().st_size)


def render(site):
    return site.rounds.render({"model.path": "model"}, **QUICK)


def others(weights):
    """Other weights of the same size: all bits of the second half are turned."""
    content = weights.read_bytes()
    half = len(content) // 2
    return content[:half] + bytes(255 - byte for byte in content[half:])


def another_file(weights):
    status, content = weights.stat(), others(weights)
    weights.with_suffix(".new").write_bytes(content)
    weights.with_suffix(".new").replace(weights)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))


def in_place(weights):
    status = weights.stat()
    weights.write_bytes(others(weights))
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))


def another_disk(weights):
    """As in an image of a disk, where times and places can be those of another image."""
    in_place(weights)
    memory, status = weights.parents[2] / "outputs" / ".store" / "models.json", weights.stat()
    known = json.loads(memory.read_text())
    *_, digest = entry = known[str(weights)]
    stamps = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    known[str(weights)] = [*stamps[: len(entry) - 1], *entry[4:-1], digest]
    memory.write_text(json.dumps(known, indent=1, sort_keys=True))


@pytest.mark.parametrize("change", [another_file, in_place, another_disk])
def test_a_model_of_the_same_size_and_time_is_not_taken_for_the_old_one(site, weights, change):
    assert render(site).code == 0
    assert render(site).code == 0
    assert site.counts("film") == (FRAMES, 0, 0)
    change(weights)
    ended = render(site)
    assert ended.code == 0, ended.err
    assert site.counts("film") == (0, FRAMES, 0)
    assert "changed: model" in ended.err


def test_a_half_finished_film_does_not_go_on_as_a_mix(site, weights):
    run = site.start(*COMMAND, *LOCAL, seconds=0.1, batch=1, **QUICK)
    run.until(lambda: len(site.frames("film")) > 2)
    run.signal(signal.SIGTERM)
    assert run.wait().code == 143
    there = len(site.frames("film"))
    assert 2 < there < FRAMES
    another_file(weights)
    assert site.render(*COMMAND, *LOCAL, **QUICK).code == 0
    assert site.counts("film") == (0, FRAMES, 0)
    assert len(site.stored()) == FRAMES + there


def test_a_model_that_changes_while_it_is_loaded_renders_nothing(site, weights):
    go = site.logs / "go"
    run = site.start(*COMMAND, *LOCAL, waits=["render.run.modes.check_room"], go=str(go), **QUICK)
    run.until(lambda: "waiting before" in run.said("err"))
    in_place(weights)
    go.touch()
    ended = run.wait()
    assert ended.code == 2, ended.err
    assert "model was changed after the film was planned; the same command plans it" in ended.err
    assert site.stored() == []
    assert site.render(*COMMAND, *LOCAL, **QUICK).code == 0
    assert site.counts("film") == (0, FRAMES, 0)


def test_a_model_that_a_sweep_keeps_is_loaded_anew_when_its_files_are_others(site, weights):
    """Else the next jobs' frames are the old model's, under the name of the new one."""
    sweep = ["-m", *COMMAND, *LOCAL, "sampling.guidance=3,6,7"]
    run = site.start(*sweep, seconds=0.3, batch=1, **QUICK)
    run.until(lambda: len(site.stored()) > 0)
    another_file(weights)
    ended = run.wait()
    assert ended.code == 0, ended.err
    assert len(site.stored()) == 3 * FRAMES
    assert ended.err.count("loading local on cpu") == 2


def test_a_part_of_a_hubs_model_that_changes_while_it_is_loaded_renders_nothing(site, weights):
    commit = "0" * 40
    snapshot = site.here / "hub" / "models--some--model" / "snapshots" / commit
    shutil.rmtree(site.here / "hub", ignore_errors=True)
    shutil.copytree(CHECKOUT / "render" / "storybook" / "weights", snapshot)
    shutil.copytree(snapshot / "vae", site.here / "vae", dirs_exist_ok=True)
    hub = ["model=sd15", "model.repository=some/model", f"model.revision={commit}", "model.vae=vae"]
    own = {"HF_HUB_CACHE": str(snapshot.parents[2])}
    go = site.logs / "go-on"
    waits = {"waits": ["render.run.modes.check_room"], "go": str(go)}
    run = site.start(*COMMAND, *hub, env=own, **waits, **QUICK)
    run.until(lambda: "waiting before" in run.said("err"))
    in_place(max((site.here / "vae").glob("*.safetensors")))
    go.touch()
    ended = run.wait()
    assert ended.code == 2, ended.err
    assert "was changed after the film was planned" in ended.err
    assert site.stored() == []
    assert site.render(*COMMAND, *hub, env=own, **QUICK).code == 0
    assert site.counts("film") == (0, FRAMES, 0)
