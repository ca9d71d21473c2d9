"""LoRAs in the picture: the stock pipeline's own at the same weights, in any batch, at weight 0."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_family_pictures import difference, final_latents, render
from tiny_families import SIDE
from tiny_loras import as_kohya_writes, save_tiny_lora
from tiny_models import SIDE as SD_SIDE

from render.errors import ConfigError
from render.families import FAMILIES, ModelSource
from render.loading import open_diffusion
from render.loras import Lora
from render.plan import FrameSpec, Recipe

CASTLE, FOREST = "a red castle at night", "a green forest with many little birds"
STEPS, SCALE = 3, 3.0
VISIBLE = 8  # of 255: a difference that no rounding makes
ENCODERS = {
    "sd": ["text_encoder"],
    "sdxl": ["text_encoder", "text_encoder_2"],
    "sd3": ["text_encoder", "text_encoder_2"],
    "flux": ["text_encoder"],
}
"""The text encoders that each family's first LoRA changes; the second changes none."""
BOTH = (("paint", 0.7), ("ink", -0.4))

every_family = pytest.mark.parametrize("name", ENCODERS)


@pytest.fixture(scope="session")
def folder(family_folder, tiny_sd1):
    return lambda name: tiny_sd1 if name == "sd" else family_folder(name)


@pytest.fixture(scope="session")
def files(folder, tmp_path_factory):
    """The two LoRAs of a family, made when they are first asked for."""
    root, made = tmp_path_factory.mktemp("loras"), {}

    def of(name):
        if name not in made:
            made[name] = [
                save_tiny_lora(folder(name), root / f"{name}_1.safetensors", 5, *ENCODERS[name]),
                save_tiny_lora(folder(name), root / f"{name}_2.safetensors", 6),
            ]
        return made[name]

    return of


def lora(name, file):
    return Lora(name, "model.loras.0", f"sha256:{file.name}", file)


def opened_with(folder, name, *loras, blend="noise"):
    side = SD_SIDE if name == "sd" else SIDE
    recipe = Recipe("tiny", "model", {}, STEPS, side, side, "float32", blend)
    return open_diffusion(
        ModelSource(folder(name), None, None, None, None), recipe, "cpu", 4, loras=loras
    )


@pytest.fixture(scope="session")
def opened(folder, files):
    """A tiny model with both LoRAs, once for each family and blend."""
    kept = {}

    def get(name, blend="noise"):
        if (name, blend) not in kept:
            loras = map(lora, ("paint", "ink"), files(name))
            kept[name, blend] = opened_with(folder, name, *loras, blend=blend)
        return kept[name, blend]

    return get


def spec(*loras, prompts=((CASTLE, 1.0),), seed=1):
    return FrameSpec(prompts, (("", 1.0),), ((seed, 1.0),), SCALE, loras=loras)


def film():
    """Frames of different LoRAs, weights, texts and seeds."""
    half = ((CASTLE, 0.4), (FOREST, 0.6))
    return [
        spec(("paint", 1.0)),
        spec(prompts=half),
        spec(*BOTH, prompts=half),
        spec(*BOTH, seed=2),
    ]


def stock_picture(folder, files, name, weights):
    """The stock pipeline with both LoRAs loaded and set."""
    family = FAMILIES[type(diffusers.DiffusionPipeline.from_pretrained(folder(name))).__name__]
    pipeline = getattr(diffusers, family.pipeline).from_pretrained(folder(name), **family.loading)
    pipeline.set_progress_bar_config(disable=True)
    for adapter, file in zip(("paint", "ink"), files(name), strict=True):
        pipeline.load_lora_weights(file.parent, weight_name=file.name, adapter_name=adapter)
    pipeline.set_adapters([name for name, _ in weights], [weight for _, weight in weights])
    given = {key: value for key, value in family.call.items() if "scale" not in key}
    side = SD_SIDE if name == "sd" else SIDE
    return np.asarray(
        pipeline(
            prompt=CASTLE,
            generator=torch.Generator().manual_seed(1),
            num_inference_steps=STEPS,
            guidance_scale=SCALE,
            height=side,
            width=side,
            **given,
        ).images[0]
    )


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
@pytest.mark.parametrize("weights", [(("paint", 0.5),), BOTH])
@every_family
def test_a_frame_is_the_stock_pipelines_picture_at_the_same_weights(
    folder, files, opened, name, weights
):
    other = spec(("paint", 1.0), ("ink", 0.9))
    picture, _ = render(opened(name), spec(*weights), other)
    assert difference(picture, stock_picture(folder, files, name, weights)) <= 1
    plain = render(opened(name), spec())[0]
    assert difference(picture, plain) >= VISIBLE


@every_family
def test_a_frame_without_lora_is_the_picture_of_a_model_that_has_none(folder, opened, name):
    frame = spec(prompts=((CASTLE, 0.4), (FOREST, 0.6)))
    render(opened(name), spec(*BOTH))
    assert torch.equal(
        final_latents(opened(name), frame), final_latents(opened_with(folder, name), frame)
    )


@pytest.mark.parametrize("blend", ["noise", "embedding"])
@every_family
def test_a_frame_alone_is_the_frame_among_others_of_other_weights(opened, name, blend):
    diffusion = opened(name, blend)
    together = final_latents(diffusion, *film())
    alone = [final_latents(diffusion, frame) for frame in film()]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together, final_latents(diffusion, *reversed(film())).flip(0))
    assert len({picture.numpy().tobytes() for picture in together}) == 4


@every_family
def test_a_text_is_read_with_the_loras_weight(opened, name):
    diffusion = opened(name)
    render(diffusion, spec(("paint", 1.0)), spec(("paint", 0.5)), spec())
    texts = [text for text in diffusion.denoiser.texts if text.words == CASTLE]
    assert {text.loras for text in texts} >= {(("paint", 1.0),), (("paint", 0.5),), ()}
    read = [diffusion.denoiser.texts[text].values() for text in texts]
    assert len({b"".join(t.numpy().tobytes() for t in leaves) for leaves in read}) == len(texts)


def test_a_lora_that_changes_no_text_encoder_has_texts_read_once(opened):
    diffusion = opened("sd")
    render(diffusion, *[spec(("ink", weight), prompts=(("snow", 1.0),)) for weight in (0.1, 0.2)])
    assert len([text for text in diffusion.denoiser.texts if text.words == "snow"]) == 1


def test_the_order_of_loras_changes_no_bit(folder, files, opened):
    paint, ink = map(lora, ("paint", "ink"), files("sd"))
    turned = opened_with(folder, "sd", ink, paint)
    assert torch.equal(
        final_latents(turned, spec(*reversed(BOTH))), final_latents(opened("sd"), spec(*BOTH))
    )


def test_other_tools_spelling_and_alpha_are_understood(folder, files, tmp_path):
    file = files("sd")[1]
    other = as_kohya_writes(file, tmp_path / "kohya.safetensors")
    diffusion = opened_with(folder, "sd", lora("ink", file), lora("kohya", other))
    one, half = render(diffusion, spec(("ink", 1.0)), spec(("kohya", 2.0)))
    assert difference(one, half) <= 1
    assert difference(one, render(diffusion, spec(("ink", 2.0)))[0]) >= VISIBLE


def test_rows_of_frames_with_loras_fill_no_calls(opened):
    diffusion = opened("sd")
    before = diffusion.padded_rows
    render(diffusion, *[spec(("paint", weight)) for weight in (0.1, 0.2, 0.3)])
    assert diffusion.padded_rows == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda key, tensor: (key.replace("up_blocks.0", "up_blocks.9"), tensor), "layers that it"),
        (lambda key, tensor: (key, tensor.repeat(2, 1) if "lora_B" in key else tensor), "mismatch"),
        (lambda key, tensor: (key.replace("unet.", "vae."), tensor), "layers that it changes"),
    ],
)
def test_a_lora_is_loaded_whole_or_refused(folder, files, tmp_path, change, said):
    changed = tmp_path / "odd.safetensors"
    tensors = load_file(files("sd")[1])
    save_file(
        {k: t.contiguous() for k, t in (change(*item) for item in tensors.items())},
        changed,
        {"ss_base_model_version": "some_base"},
    )
    with pytest.raises(ConfigError) as error:
        opened_with(folder, "sd", replace(lora("odd", changed), where="model.loras.3"))
    told = str(error.value)
    assert told.startswith("model.loras.3: the LoRA 'odd' (")
    assert "is made for 'some_base' and does not fit this StableDiffusionPipeline" in told
    assert said in told
    assert "\n" not in told


@pytest.mark.parametrize("name", FAMILIES)
def test_the_table_says_which_families_take_loras(name):
    assert FAMILIES[name].loras == hasattr(getattr(diffusers, name), "load_lora_weights")
