"""Pictures that are not finite: the part of the model that is damaged is named."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from render.diffusion.not_finite import cause
from render.errors import NOT_FINITE


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("unet", "the weights of the model's unet hold values that are not finite (conv_in.weight"),
        ("vae", "the weights of the model's vae hold values that are not finite (decoder.conv_in."),
        ("text_encoder", "the model's text encoder gave values that are not finite; use compute"),
    ],
)
def test_the_part_of_a_model_that_is_damaged_is_named(place, part, said):
    damaged = place.folder / "damaged"
    shutil.copytree(place.model, damaged)
    (file,) = (damaged / part).glob("*.safetensors")
    weights = load_file(file)
    name = next(k for k in weights if k.endswith(("conv_in.weight", "token_embedding.weight")))
    name = "decoder.conv_in.weight" if part == "vae" else name
    weights[name][:] = torch.inf if part == "vae" else torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    place.model = damaged
    ended = place.render("+timeline=t", "output.fps=1", "output=frames")
    assert ended.code == 3
    assert said in ended.err
    assert ended.out.count(said) == 2  # each frame says so


def test_a_sound_model_is_not_blamed():
    sound = {"unet": torch.nn.Linear(1, 1), "scheduler": object(), "safety_checker": None}
    assert cause(sound, [torch.ones(2), torch.tensor([1, 2])]) == NOT_FINITE


def test_what_cant_be_asked_is_no_cause():
    part = torch.nn.Linear(1, 1, device="meta")
    assert cause({"unet": part}, [None]) == NOT_FINITE
