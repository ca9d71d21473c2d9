"""Ten small films are planned and rendered as they were recorded."""

import json

import numpy as np
import pytest
from goldens import FILMS, HERE, close, kept_plan, render
from PIL import Image

ADVICE = (
    "if a picture was meant to change, raise the recipe's version and record the goldens again "
    "(tests/golden/goldens.py)"
)


@pytest.mark.parametrize("name", FILMS)
def test_a_recorded_film_is_planned_and_rendered_the_same(name, tmp_path):
    plan, pictures = render(name, tmp_path)
    known = json.loads((HERE / f"{name}.json").read_text())
    assert kept_plan(plan, FILMS[name].exact) == known, ADVICE
    assert close(HERE / f"{name}.png", np.concatenate(pictures, axis=1)), ADVICE


def test_a_changed_picture_is_noticed(tmp_path):
    kept = HERE / "noise_blend.png"
    pictures = np.asarray(Image.open(kept)).astype(int)
    assert close(kept, pictures)
    assert not close(kept, pictures + 1)
    one_spot = pictures.copy()
    one_spot[3, 3] = 255 - one_spot[3, 3]
    assert not close(kept, one_spot)
