"""LoRAs in the picture: the stock pipeline's own at the same weights, in any batch, at weight 0."""

import json
import re
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_family_pictures import difference, final_latents, render
from tiny_families import SIDE
from tiny_loras import (
    ATTENTION,
    add_by_hand,
    as_kohya_writes,
    linear_layers,
    save_tiny_lora,
    save_uneven_lora,
)
from tiny_models import SIDE as SD_SIDE

from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.models.families import FAMILIES
from render.models.lora_files import Lora
from render.models.lora_parts import parts_of
from render.models.lora_places import place_flaw
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe
from render.timeline.spec import FrameSpec

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


def opened_with(folder, name, *loras, blend="noise", **more):
    side = SD_SIDE if name == "sd" else SIDE
    recipe = Recipe("tiny", "model", {}, STEPS, side, side, "float32", blend)
    return open_diffusion(
        ModelSource(folder(name), None, None, None, None, **more), recipe, "cpu", 4, loras=loras
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
    texts = [text for text in diffusion.denoiser.texts.known if text.text == CASTLE]
    assert {text.loras for text in texts} >= {(("paint", 1.0),), (("paint", 0.5),), ()}
    read = [diffusion.denoiser.texts.known[text].values() for text in texts]
    assert len({b"".join(t.numpy().tobytes() for t in leaves) for leaves in read}) == len(texts)


def test_a_lora_that_changes_no_text_encoder_has_texts_read_once(opened):
    diffusion = opened("sd")
    render(diffusion, *[spec(("ink", weight), prompts=(("snow", 1.0),)) for weight in (0.1, 0.2)])
    assert len([text for text in diffusion.denoiser.texts.known if text.text == "snow"]) == 1


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


def test_dropout_that_a_lora_was_trained_with_leaves_no_gaps(folder, files, opened, tmp_path):
    """peft makes layers for training, where each call would leave out others of the file."""
    settings = {"r": 2, "lora_alpha": 2, "target_modules": ATTENTION, "lora_dropout": 0.5}
    header = json.dumps({f"unet.{name}": value for name, value in settings.items()})
    file = tmp_path / "drops.safetensors"
    save_file(load_file(files("sd")[1]), file, {"lora_adapter_metadata": header})
    diffusion = opened_with(folder, "sd", lora("ink", file))
    whole = final_latents(opened("sd"), spec(("ink", 1.0)))
    assert torch.equal(final_latents(diffusion, spec(("ink", 1.0))), whole)


@every_family
def test_a_plan_finds_the_places_of_every_layer_that_loads(folder, files, tmp_path, name):
    model = folder(name)
    family = FAMILIES[json.loads((model / "model_index.json").read_text())["_class_name"]]
    written = list(files(name))
    if name in ("sd", "sdxl"):
        written.append(as_kohya_writes(files(name)[1], tmp_path / "kohya.safetensors"))
        written.append(save_uneven_lora(model, tmp_path / "uneven.safetensors", UNEVEN))
    assert [place_flaw(parts_of(file), family, model) for file in written] == [None] * len(written)
    tensors = load_file(files(name)[1])
    lost = {re.sub(r"blocks\.\d", "blocks.9", key): tensor for key, tensor in tensors.items()}
    save_file(lost, tmp_path / "lost.safetensors")
    why = place_flaw(parts_of(tmp_path / "lost.safetensors"), family, model)
    assert "changes a layer that this model has not (" in why


HALVES = [(rank, rank / 2) for rank in (2, 3, 5, 8)]  # 60 of 80 layers came at other strengths
UNEVEN = [(2, 1.0), (3, None), (5, 10.0), (8, 2.0), (4, 0.0)]


@pytest.mark.parametrize(
    ("name", "strengths", "dtype"),
    [
        ("sd", HALVES, torch.float32),
        ("sd", UNEVEN, torch.bfloat16),
        ("sd", [(4, 1.0), (4, 4.0)], torch.float16),
        ("sd", [(2, None), (6, None)], torch.float32),
        ("sdxl", HALVES, torch.float32),
        ("sdxl", UNEVEN, torch.float16),
    ],
)
def test_every_layer_counts_by_its_own_alpha_and_rank(folder, tmp_path, name, strengths, dtype):
    file = save_uneven_lora(folder(name), tmp_path / "resized.safetensors", strengths, dtype)
    diffusion = opened_with(folder, name, lora("resized", file))
    picture, plain = render(diffusion, spec(("resized", 0.6)), spec())
    assert difference(picture, picture_by_hand(folder(name), diffusion.family, file)) <= 1
    assert difference(picture, plain) >= VISIBLE


def picture_by_hand(folder, family, file, **more):
    """The stock pipeline's picture with a LoRA written into its weights, at .6."""
    stock = getattr(diffusers, family.pipeline).from_pretrained(folder, **family.loading)
    stock.set_progress_bar_config(disable=True)
    add_by_hand(stock, file, 0.6)
    encoder = stock.text_encoder
    vars(encoder).setdefault("text_model", encoder)  # where it looks for a norm with clip_skip
    side = SIDE if hasattr(stock, "text_encoder_2") else SD_SIDE
    given = {"num_inference_steps": STEPS, "guidance_scale": SCALE, "height": side, "width": side}
    generator = torch.Generator().manual_seed(1)
    return np.asarray(stock(prompt=CASTLE, generator=generator, **given, **more).images[0])


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_a_text_encoders_layers_are_found_beside_clip_skip(folder, tmp_path, name):
    file = save_uneven_lora(folder(name), tmp_path / "resized.safetensors", UNEVEN)
    diffusion = opened_with(folder, name, lora("resized", file), clip_skip=1)
    picture, plain = render(diffusion, spec(("resized", 0.6)), spec())
    by_hand = picture_by_hand(folder(name), diffusion.family, file, clip_skip=1)
    assert difference(picture, by_hand) <= 1
    assert difference(picture, plain) >= VISIBLE


def scales_of(folder, name, file):
    """The scale of every layer that a file's LoRA changes, by component and path."""
    diffusion = opened_with(folder, name, lora("paint", file))
    diffusion.stock.adapters.apply((("paint", 1.0),))
    return {
        f"{component}.{path}": layer.scaling["lora0"]
        for component, part in diffusion.pipeline.components.items()
        if isinstance(part, torch.nn.Module)
        for path, layer in part.named_modules()
        if hasattr(layer, "lora_alpha")
    }


def matrices(layer, rank):
    return torch.ones(rank, layer.in_features), torch.ones(layer.out_features, rank)


def test_alphas_hold_in_the_names_of_sdxls_own_blocks(folder, tmp_path):
    """Its trainers count blocks and do not name them."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder("sdxl") / "unet")
    layers, tensors, wanted = linear_layers(unet), {}, {}
    blocks = {
        "down_blocks.1.attentions.0": "input_blocks_3_1",
        "mid_block.attentions.0": "middle_block_1",
        "up_blocks.0.attentions.1": "output_blocks_1_1",
    }
    for rank, (ours, theirs) in enumerate(blocks.items(), start=2):
        path = f"{ours}.transformer_blocks.0.attn2.to_k"
        name = f"lora_unet_{theirs}_transformer_blocks_0_attn2_to_k"
        down, up = matrices(layers[path], rank)
        tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"] = down, up
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
        wanted[f"unet.{path}"] = pytest.approx(1 / rank)
    save_file(tensors, tmp_path / "sgm.safetensors")
    assert scales_of(folder, "sdxl", tmp_path / "sgm.safetensors") == wanted


def test_alphas_hold_beside_a_transformers_layers(folder, tmp_path):
    transformer = diffusers.FluxTransformer2DModel.from_pretrained(folder("flux") / "transformer")
    paths = {f"transformer_blocks.0.attn.{name}": rank for name, rank in (("to_q", 2), ("to_k", 4))}
    paths |= {"single_transformer_blocks.0.attn.to_v": 3}
    tensors = {}
    for path, rank in paths.items():
        down, up = matrices(transformer.get_submodule(path), rank)
        name = f"transformer.{path}"
        tensors |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
        if rank != 3:
            tensors[f"transformer.{path}.alpha"] = torch.tensor(1.0)
    save_file(tensors, tmp_path / "flux.safetensors")
    assert scales_of(folder, "flux", tmp_path / "flux.safetensors") == {
        f"transformer.{path}": pytest.approx(1.0 if rank == 3 else 1 / rank)
        for path, rank in paths.items()
    }


def test_a_transformers_alpha_that_diffusers_multiplies_in_counts_once(folder, tmp_path):
    transformer = diffusers.FluxTransformer2DModel.from_pretrained(folder("flux") / "transformer")
    path = "transformer_blocks.0.attn.to_out.0"
    down, up = matrices(transformer.get_submodule(path), 4)
    name = "lora_unet_double_blocks_0_img_attn_proj"
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    save_file({**tensors, f"{name}.alpha": torch.tensor(1.0)}, tmp_path / "kohya.safetensors")
    diffusion = opened_with(folder, "flux", lora("paint", tmp_path / "kohya.safetensors"))
    diffusion.stock.adapters.apply((("paint", 1.0),))
    layer = diffusion.pipeline.transformer.get_submodule(path)
    both = layer.lora_B["lora0"].weight @ layer.lora_A["lora0"].weight
    torch.testing.assert_close(layer.scaling["lora0"] * both, up @ down / 4)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_magnitudes_in_pefts_spelling_are_the_stock_pipelines(folder, tmp_path):
    """DoRA (Liu et al. 2024) as diffusers saves it."""
    model = folder("sd")
    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
    tensors, generator = {}, torch.Generator().manual_seed(4)
    for path, layer in linear_layers(unet).items():
        down, up = matrices(layer, 2)
        tensors |= {f"unet.{path}.lora_A.weight": down, f"unet.{path}.lora_B.weight": up * 0.01}
        size = layer.weight.norm(dim=1) * (0.5 + torch.rand(len(up), generator=generator))
        tensors[f"unet.{path}.lora_magnitude_vector"] = size.detach()
    file = tmp_path / "dora.safetensors"
    save_file(tensors, file)
    diffusion = opened_with(folder, "sd", lora("paint", file))
    picture, plain = render(diffusion, spec(("paint", 1.0)), spec())
    stock = stock_picture(folder, lambda name: [file] * 2, "sd", (("paint", 1.0),))
    assert difference(picture, stock) <= 1
    assert difference(picture, plain) >= VISIBLE


def test_rows_of_frames_with_loras_fill_no_calls(opened):
    diffusion = opened("sd")
    before = diffusion.padded_rows
    render(diffusion, *[spec(("paint", weight)) for weight in (0.1, 0.2, 0.3)])
    assert diffusion.padded_rows == before


def test_a_file_that_a_loader_can_not_take_apart_is_refused_by_name(folder, tmp_path):
    """diffusers splits this layer by Flux's usual widths, and asserts that they are its own."""
    layer = "lora_unet_single_blocks_0_linear1"
    tensors = {
        f"{layer}.lora_down.weight": torch.ones(2, 32),
        f"{layer}.lora_up.weight": torch.ones(7 * 32, 2),
    }
    save_file(tensors, tmp_path / "narrow.safetensors")
    with pytest.raises(ConfigError) as error:
        opened_with(folder, "flux", lora("paint", tmp_path / "narrow.safetensors"))
    assert "does not fit this FluxPipeline: AssertionError" in str(error.value)


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
    message = str(error.value)
    assert message.startswith("model.loras.3: the LoRA 'odd' (")
    assert "is made for 'some_base' and does not fit this StableDiffusionPipeline" in message
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_lora_with_values_that_are_no_numbers_is_refused_by_its_layer(
    folder, files, tmp_path, value
):
    tensors = load_file(files("sd")[1])
    key = next(key for key in tensors if "lora_B" in key)
    tensors[key][0, 0] = value
    save_file(tensors, tmp_path / "diverged.safetensors")
    with pytest.raises(ConfigError) as error:
        opened_with(folder, "sd", lora("odd", tmp_path / "diverged.safetensors"))
    message = str(error.value)
    assert message.startswith("model.loras.0: the LoRA 'odd' (")
    layer = key.removesuffix(".lora_B.weight")
    assert f"holds values that are no finite numbers (lora_B of {layer}), so every" in message
    assert "get the file again" in message
    assert "does not fit" not in message


@pytest.mark.parametrize("name", FAMILIES)
def test_the_table_says_which_families_take_loras(name):
    assert FAMILIES[name].loras == hasattr(getattr(diffusers, name), "load_lora_weights")
