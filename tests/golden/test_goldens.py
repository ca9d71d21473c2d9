"""Small films, and a sweep, are planned and rendered as they were recorded."""

import json

import numpy as np
import pytest
from goldens import FILMS, HERE, close, kept_plans, render
from PIL import Image

ADVICE = (
    "if a picture was meant to change, raise the recipe's version and record the goldens again "
    "(tests/golden/goldens.py)"
)


@pytest.mark.parametrize("name", FILMS)
def test_a_recorded_film_is_planned_and_rendered_the_same(name, tmp_path):
    plans, pictures = render(name, tmp_path)
    known = json.loads((HERE / f"{name}.json").read_text())
    assert kept_plans(plans, FILMS[name].exact) == known, ADVICE
    assert close(HERE / f"{name}.png", np.concatenate(pictures, axis=1)), ADVICE


def test_the_jobs_of_the_sweep_are_films_of_their_own():
    known = json.loads((HERE / "sweep.json").read_text())
    frames = [job["frames"] for job in known["jobs"]]
    assert sorted([frame["guidance"] for frame in job] for job in frames) == [[3, 3], [7, 7]]
    assert len({frame["digest"] for job in frames for frame in job}) == 4


def test_a_changed_picture_is_noticed(tmp_path):
    kept = HERE / "noise_blend.png"
    pictures = np.asarray(Image.open(kept)).astype(int)
    assert close(kept, pictures)
    assert not close(kept, pictures + 1)
    one_spot = pictures.copy()
    one_spot[3, 3] = 255 - one_spot[3, 3]
    assert not close(kept, one_spot)
