"""A hub model whose weights are not here: planned by its own configs, refused before torch."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError

import render.models.hub_configs
from render.models.hub_configs import within

CHECKOUT = Path(__file__).resolve().parent.parent.parent
COMMIT = "c" * 40
FAR = ("model=local", "model.repository=org/model", f"model.revision={COMMIT}", "model.steps=2",
       "model.width=64", "model.height=64", "model.guidance=3", "model.dtype=float32",
       "output.fps=4")  # fmt: skip
WALK = [{"at": 0, "prompt": "a", "seed": 1}, {"at": 2, "prompt": "b", "seed": 2}]
ANCHORS = "sampling.anchors=2"
WITHOUT_TORCH = (
    "import sys; from render.cli.main import main; code = main(); "
    "assert 'torch' not in sys.modules; sys.exit(code)"
)


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """Where the cache would hold the model, in a cache that is empty."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub" / "models--org--model" / "snapshots" / COMMIT


@pytest.fixture
def walk(place):
    place.timeline("walk", WALK)
    return place


def noisy(folder, tmp_path):
    """A model whose own scheduler adds noise at every step."""
    model = shutil.copytree(folder, tmp_path / "noisy")
    for name, change in (
        ("model_index.json", {"scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"]}),
        ("scheduler/scheduler_config.json", {"_class_name": "EulerAncestralDiscreteScheduler"}),
    ):
        path = model / name
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return model


@pytest.fixture
def hub(snapshot, tiny_sd1, tmp_path, monkeypatch):
    """A hub that gives single files of such a model."""
    model, given = noisy(tiny_sd1, tmp_path), []

    def download(repository, name, revision):
        assert (repository, revision) == ("org/model", COMMIT)
        given.append(name)
        if not (model / name).is_file():
            raise EntryNotFoundError(name)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        return shutil.copy(model / name, snapshot / name)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return model, given


def plan(place, *more):
    ended = place.call("walk", *FAR, "mode=plan", *more)
    assert ended.code == 0, ended.err
    plan = json.loads((place.folder / "outputs" / "walk" / "plan.json").read_text())
    return ended, [frame["digest"] for frame in plan["frames"]]


def test_half_of_the_configs_are_fetched_before_a_plan_goes_by_them(walk, hub, snapshot):
    model, given = hub
    for name in ("model_index.json", "scheduler/scheduler_config.json"):
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(model / name, snapshot / name)
    plan(walk)
    assert "unet/config.json" in given


def test_the_first_plan_knows_a_scheduler_of_noise_and_is_the_plan_of_the_render(
    walk, hub, snapshot
):
    model, given = hub
    ended, first = plan(walk, ANCHORS)
    assert "adds noise of its own at every step" in ended.out
    assert "is not on this machine" not in ended.out
    assert set(given) == {"model_index.json", "scheduler/scheduler_config.json",
                          "unet/config.json", "vae/config.json"}  # fmt: skip
    assert not list(snapshot.rglob("*.safetensors"))
    assert first == plan(walk, "sampling.anchors=0", "name=walk")[1]  # of noise: no anchors
    given.clear()
    shutil.copytree(model, snapshot, dirs_exist_ok=True)
    assert plan(walk, ANCHORS)[1] == first
    assert given == []


def test_without_a_network_the_plan_says_what_it_goes_by(walk, snapshot):
    ended, _ = plan(walk)
    assert "org/model is not on this machine and the hub can't give it (downloads" in ended.out
    assert not snapshot.exists()


def test_anchors_between_seeds_need_a_known_scheduler(walk, snapshot):
    before = walk.tree()
    ended = walk.call("walk", *FAR, "mode=plan", ANCHORS)
    assert ended.code == 2
    assert ended.err.startswith("render: sampling.anchors: org/model@cccc")
    assert "scheduler=dpmpp_2m" in ended.err
    assert walk.tree() == before
    plan(walk, ANCHORS, "scheduler=dpmpp_2m")
    walk.timeline("walk", [dict(frame, seed=1) for frame in WALK])
    plan(walk, ANCHORS)


@pytest.mark.parametrize("state", ["missing", "half", "configs alone"])
def test_a_render_is_refused_before_torch_and_writes_nothing(walk, snapshot, tiny_sd1, state):
    if state != "missing":
        shutil.copytree(tiny_sd1, snapshot)
        shutil.rmtree(snapshot / ("vae" if state == "half" else "unet"))
    if state == "configs alone":
        for file in snapshot.rglob("*.safetensors"):
            file.unlink()
    before = walk.tree()
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "HF_HUB_OFFLINE": "1"}
    environment["HF_HUB_CACHE"] = constants.HF_HUB_CACHE
    command = [sys.executable, "-c", WITHOUT_TORCH, "walk", *FAR]
    done = subprocess.run(
        command, cwd=walk.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        f"render: model.repository: org/model@{COMMIT} is not on this machine"
    )
    assert f"hf download org/model --revision {COMMIT}" in done.stderr
    assert walk.tree() == before


def test_a_hub_that_does_not_answer_is_waited_for_within_bounds(walk, snapshot, monkeypatch):
    monkeypatch.setattr(render.models.hub_configs, "CONFIGS_S", 0.2)
    monkeypatch.setattr(render.models.hub_configs, "REACH_S", 0.2)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    slow = lambda *args, **kwargs: time.sleep(60)  # noqa: E731
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", slow)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", slow)
    start = time.monotonic()
    assert "the hub can't be reached" in plan(walk)[0].out
    ended = walk.call("walk", *FAR)
    assert ended.code == 2
    assert "the hub can't be reached" in ended.err
    assert time.monotonic() - start < 20


def test_configs_that_come_late_are_planned_by_at_the_next_call(walk, hub, monkeypatch):
    fetched = huggingface_hub.hf_hub_download

    def fail(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **kwargs: None)
    ended = walk.call("walk", *FAR)
    assert ended.code == 2
    assert "the same command tries again" in ended.err
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    assert "is not on this machine" not in plan(walk)[0].out


def test_within_passes_answers_and_errors_on():
    assert within(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)
    with pytest.raises(TimeoutError, match=r"no answer within 0.1 s"):
        within(0.1, lambda: time.sleep(9))
