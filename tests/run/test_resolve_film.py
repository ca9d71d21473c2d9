"""A film opened: everything wrong in one go, nothing written, torch never imported."""

import json
import subprocess
import sys

import pytest
from films import SIDE, composed, write_model

from render.errors import ConfigError
from render.files.lock import LOCK_NAME
from render.models import identity
from render.run.film_model import HASHES_NAME
from render.run.resolve import open_film
from render.store.store import STORE_NAME

OPEN = """
import json, sys
from render.run.resolve import open_film
film = open_film(json.loads(sys.argv[1]), "", str)
assert len(film.plan.frames) == 25
print(sorted({"torch", "diffusers", "transformers", "hydra", "scipy"} & set(sys.modules)))
"""


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


def mistakes(config):
    with pytest.raises(ConfigError) as error:
        open_film(config, "", lambda path: f"at {path}")
    return str(error.value).splitlines()


def test_a_film_is_opened(model, tmp_path):
    film = open_film(composed(model, tmp_path), "steps=4", str)
    assert film.folder == tmp_path / "film" / "steps=4"
    assert film.frames == film.folder / "frames"
    assert film.store == tmp_path / STORE_NAME
    assert (film.device, film.scheduler, film.size) == ("cpu", "PNDMScheduler", (SIDE, SIDE))


def test_torch_is_not_imported(model, tmp_path):
    changes = {"scheduler.class": "LMSDiscreteScheduler", "scheduler.use_karras_sigmas": True}
    command = [sys.executable, "-c", OPEN, json.dumps(composed(model, tmp_path, changes))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_mistakes_of_form_and_of_meaning_are_reported_in_one_go(model, tmp_path):
    config = composed(
        model,
        tmp_path,
        {
            "output.fsp": 24,
            "output.width": 100,
            "output.audio": str(tmp_path / "gone.mp3"),
            "scheduler.class": "LMSDiscreteScheduler",
            "scheduler.use_karas_sigmas": True,
            "compute.dtype": "float16",
            "timeline.keyframes.1.sede": 1,
            "timeline.keyframes.1.at": 3,
        },
    )
    lines = mistakes(config)
    assert lines[0] == "at output.fsp: unknown key; did you mean 'fps'?"
    assert lines[1] == "at timeline.keyframes.1.sede: unknown key; did you mean 'seed'?"
    assert lines[2].startswith("at timeline.keyframes.2.at: 2 s is before 3 s")
    assert lines[3].startswith("compute.dtype: float16 is slow on a CPU; use float32")
    assert lines[4].startswith("output.width: 100 is no multiple of 8")
    assert lines[5].startswith(
        "scheduler.use_karas_sigmas: LMSDiscreteScheduler has no such option"
    )
    assert lines[6].startswith("output.audio: ")
    assert len(lines) == 7


def test_a_missing_model_hides_no_other_mistake(tmp_path):
    config = composed(tmp_path / "gone", tmp_path, {"timeline.keyframes.0.at": 1})
    found = mistakes(config)
    assert found[0] == "at timeline.keyframes.0.at: the first keyframe has to be at 0"
    assert any(line.startswith("model.path: ") for line in found)


def test_a_device_that_is_not_there_is_one_mistake(model, tmp_path):
    changes = {"compute.device": "cuda:999", "compute.dtype": "float16"}
    (found,) = mistakes(composed(model, tmp_path, changes))
    assert found.startswith("compute.device: cuda:999 is asked for, but")


def test_a_gif_too_fast_is_reported(model, tmp_path):
    (found,) = mistakes(composed(model, tmp_path, {"output.format": "gif", "output.fps": 60}))
    assert found.startswith("output.fps: a gif shows 50")


def test_nothing_is_written_for_a_config_with_mistakes(model, tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "REMEMBERED_BYTES", 1)
    root = tmp_path / "outputs"
    mistakes(composed(model, root, {"output.width": 100}))
    assert not root.exists()
    open_film(composed(model, root), "", str)
    names = {path.name for path in root.rglob("*")}
    assert names == {STORE_NAME, HASHES_NAME, f"{LOCK_NAME}-models"}
