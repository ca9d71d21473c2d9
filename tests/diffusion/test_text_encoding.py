"""Texts are encoded once, before the first frame, and then their encoders are gone."""

import hashlib
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from pictures import render, same_pictures
from PIL import Image
from tiny_families import BUILDERS, SIDE, SIDES
from tiny_loras import save_tiny_lora

from render.diffusion.text_encoding import Placeholder, texts_of
from render.engines.open_model import open_diffusion
from render.models.lora_files import Lora
from render.models.model_source import ModelSource
from render.plan.conditioning import RowText
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed`:FutureWarning")  # by Chroma

CASTLE, FOREST, SNOW = "a red castle at night", "a green forest", "snow"


def spec(*texts, seed=1, negative="blurry", **more):
    prompts = tuple((text, 1 / len(texts)) for text in texts)
    return FrameSpec(prompts, ((negative, 1.0),), ((seed, 1.0),), 3.0, **more)


FILM = [spec(CASTLE), spec(CASTLE, FOREST, seed=2), spec(FOREST, SNOW, seed=3), spec(SNOW)]


def opened(folder, specs, name="", **options):
    side = SIDES.get(name, SIDE) if name else 64
    recipe = Recipe("tiny", "model", {}, 2, side, side, "float32", "noise")
    source = ModelSource(folder, None, None, None, None)
    diffusion = open_diffusion(source, recipe, "cpu", **options)
    if specs:
        diffusion.expect(specs)
    return diffusion


def encoders(diffusion):
    """The text encoders by name."""
    parts = diffusion.pipeline.components.items()
    return {name: part for name, part in parts if name.startswith("text_encoder") and part}


def film_in_two_calls(diffusion):
    return render(diffusion, *FILM[:1]) + render(diffusion, *FILM[1:])


@pytest.mark.parametrize("name", sorted(set(BUILDERS) - {"sdxl_lcm", "flux_schnell"}))
def test_after_the_first_frame_the_encoders_are_gone_and_no_pixel_is_another(family_folder, name):
    kept, diffusion = (opened(family_folder(name), specs, name) for specs in ((), FILM))
    gone = [weakref.ref(part) for encoder in encoders(diffusion).values()
            for part in (encoder, *encoder.parameters())]  # fmt: skip
    assert len(gone) > 2
    assert same_pictures(film_in_two_calls(kept), film_in_two_calls(diffusion))
    assert not any(part() is not None for part in gone)
    assert encoders(kept)


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux", "qwen_image"])
def test_each_text_is_encoded_once_and_the_placeholder_for_one_row_and_for_two(family_folder, name):
    reported, calls = [], Counter()
    diffusion = opened(family_folder(name), FILM, name)
    diffusion.expect(FILM, on_text=lambda *progress: reported.append(progress))

    def counting(encoder):
        return lambda *_: calls.update([encoder])

    for encoder, part in encoders(diffusion).items():
        part.register_forward_hook(counting(encoder))
    names = list(encoders(diffusion))
    film_in_two_calls(diffusion)
    count = 4 if diffusion.family.guidance.negatives else 3
    assert reported == [(done, count) for done in range(1, count + 1)]
    assert calls == dict.fromkeys(names, count + 2)


def test_encoders_that_a_lora_changes_stay(tiny_sd1, tmp_path):
    file = save_tiny_lora(tiny_sd1, tmp_path / "reads.safetensors", 5, "text_encoder")
    loras = [Lora("reads", "model.loras.0", "sha256:1", file)]
    film = [spec(CASTLE, loras=(("reads", weight),)) for weight in (0.5, 0.8)]
    kept, diffusion = (opened(tiny_sd1, specs, loras=loras) for specs in ((), film))
    assert same_pictures(render(kept, *film), render(diffusion, *film))
    assert list(encoders(diffusion)) == ["text_encoder"]


def test_frames_that_start_from_pictures_need_no_encoder_either(tiny_sd1, tmp_path):
    path = tmp_path / "start.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    started = [spec(SNOW, seed=s, images=((digest, 1.0),), strength=0.6) for s in (1, 2)]
    film = [spec(CASTLE), *started]
    kept, diffusion = (opened(tiny_sd1, specs, images={digest: path}) for specs in ((), film))
    gone = weakref.ref(diffusion.pipeline.text_encoder)
    assert same_pictures(render(kept, *film), render(diffusion, *film))
    assert gone() is None


def test_texts_that_are_too_many_to_keep_are_read_as_they_come(tiny_sd1, monkeypatch):
    monkeypatch.setattr("render.diffusion.text_encoding.REMEMBERED_TEXTS", 3)
    diffusion = opened(tiny_sd1, FILM)
    render(diffusion, FILM[0])
    assert sorted(text.text for text in diffusion.denoiser.texts.known) == [CASTLE, "blurry"]
    assert encoders(diffusion)


def test_encoders_stay_where_parts_wait_in_main_memory(tiny_sd1):
    diffusion = opened(tiny_sd1, FILM)
    diffusion.expect(FILM, last=False)
    render(diffusion, FILM[0])
    known = {text.text for text in diffusion.denoiser.texts.known}
    assert known == {CASTLE, FOREST, SNOW, "blurry"}
    assert encoders(diffusion)


def test_the_placeholders_answer_has_as_many_rows_as_are_asked_for():
    def answered(rows):
        return torch.ones(rows, 2), None, [torch.zeros(3)] * rows, torch.arange(4)

    made = Placeholder(answered(1), answered(2)).answer(5)
    for part, wanted in zip(made, answered(5), strict=True):
        assert type(part) is type(wanted)
        assert wanted is None or len(part) == len(wanted)
        assert wanted is None or all(map(torch.equal, part, wanted))


def test_texts_of_frames_are_those_of_their_rows_and_of_their_anchors(tiny_sd1):
    read = opened(tiny_sd1, ()).frame_rows
    assert texts_of(FILM[:2], read) == {RowText(CASTLE), RowText(FOREST), RowText("blurry")}
    anchored = spec(CASTLE, early=((spec(SNOW), 1.0),))
    assert texts_of([anchored], read) == {RowText(CASTLE), RowText(SNOW), RowText("blurry")}
    assert texts_of([], read) == frozenset()
