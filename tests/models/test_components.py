"""Another VAE, clip skip and learned words: the stock pipeline's pictures, and whose they are."""

import inspect
import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from films import composed
from pictures import difference
from safetensors.torch import load_file, save_file
from single_files import autoencoder

from render.config.model_group import ControlConfig
from render.config.parse import parse
from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.models.components import control_mark
from render.models.families import FAMILIES
from render.run.resolve import open_film
from render.run.survey import cut_texts
from render.timeline.spec import FrameSpec

CASTLE, CAT = "a red castle at night", "a photo of <cat> at night"
WEIGHTS = "diffusion_pytorch_model.safetensors"
WIDTH = 32


@pytest.fixture
def folder(tiny_sd1, family_folder):
    return lambda name: tiny_sd1 if name == "sd1" else family_folder(name)


@pytest.fixture
def film(folder, tmp_path):
    """The film of a tiny model with such keys."""

    def film(name="sd1", **model):
        changes = {f"model.{key}": value for key, value in model.items()}
        return open_film(composed(folder(name), tmp_path / "out", changes), "", str)

    return film


def refused(film, *name, **model):
    with pytest.raises(ConfigError) as error:
        film(*name, **model)
    (line,) = str(error.value).splitlines()
    return line


def identity(film):
    return film.plan.recipe.model


def picture(film, text=CASTLE, negative=""):
    spec = FrameSpec(((text, 1.0),), ((negative, 1.0),), ((1, 1.0),), 3.0)
    diffusion = open_diffusion(film.model.source, film.plan.recipe, "cpu")
    return diffusion.render([spec], lambda done, total: None).all()[0]


def stock_picture(film, text=CASTLE, negative="", change=lambda pipeline: None, **options):
    """The stock pipeline's own, after a change to it."""
    family, recipe = film.model.family, film.plan.recipe
    kind = getattr(diffusers, family.pipeline)
    pipeline = kind.from_pretrained(film.model.source.folder, **family.loading)
    change(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    return np.asarray(
        pipeline(
            prompt=text,
            negative_prompt=negative or None,
            generator=torch.Generator().manual_seed(1),
            num_inference_steps=recipe.steps,
            height=recipe.height,
            width=recipe.width,
            guidance_scale=3.0,
            **options,
        ).images[0]
    )


# --- latents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "key", "count"), [("unet", "in_channels", 9), ("vae", "latent_channels", 8)]
)
def test_a_u_net_that_wants_more_than_the_autoencoder_gives_is_refused(
    tiny_sd1, tmp_path, part, key, count
):
    """Models for inpainting and editing; each frame failed three times."""
    model = shutil.copytree(tiny_sd1, tmp_path / "model")
    config = json.loads((model / part / "config.json").read_text())
    (model / part / "config.json").write_text(json.dumps({**config, key: count}))
    with pytest.raises(ConfigError) as error:
        open_film(composed(model, tmp_path / "out", {}), "", str)
    pair = (9, 4) if part == "unet" else (4, 8)
    assert str(error.value).startswith(
        "model: the U-Net takes {} channels and the autoencoder gives {}".format(*pair)
    )


@pytest.mark.parametrize("kind", ["AsymmetricAutoencoderKL", "ConsistencyDecoderVAE"])
def test_an_autoencoder_that_keeps_no_frame_the_same_is_refused_by_name(tiny_sd1, tmp_path, kind):
    model = shutil.copytree(tiny_sd1, tmp_path / "model")
    config = json.loads((model / "vae" / "config.json").read_text())
    (model / "vae" / "config.json").write_text(json.dumps({**config, "_class_name": kind}))
    with pytest.raises(ConfigError, match=f"model: an {kind} .*; use one with an AutoencoderKL"):
        open_film(composed(model, tmp_path / "out", {}), "", str)


# --- VAE -----------------------------------------------------------------------------------------


@pytest.fixture
def vae(tiny_sd1, tmp_path):
    """The folder of a VAE with weights of its own, and its file in the authors' layout."""
    folder, file = shutil.copytree(tiny_sd1 / "vae", tmp_path / "vae"), tmp_path / "ft.safetensors"
    weights = load_file(folder / WEIGHTS)
    save_file({name: 1.1 * weight for name, weight in weights.items()}, folder / WEIGHTS)
    weights = autoencoder(diffusers.AutoencoderKL.from_pretrained(folder))
    save_file({name: weight.clone() for name, weight in weights.items()}, file)
    return {"folder": folder, "file": file}


def test_another_vae_decodes_as_in_the_stock_pipeline(film, vae):
    def change(pipeline):
        pipeline.vae = diffusers.AutoencoderKL.from_pretrained(vae["folder"])

    plain = film()
    expected = stock_picture(plain, change=change)
    assert difference(expected, picture(plain)) > 8
    for path in vae.values():
        other = film(vae=path)
        assert difference(picture(other), expected) <= 1
        assert identity(other).startswith(f"{identity(plain)} vae:")


def test_a_vae_is_its_content(film, vae, tmp_path):
    before = identity(film(vae=vae["folder"]))
    moved = shutil.move(vae["folder"], tmp_path / "elsewhere")
    assert identity(film(vae=moved)) == before
    weights = load_file(moved / WEIGHTS)
    save_file({name: 2 * weight for name, weight in weights.items()}, moved / WEIGHTS)
    assert identity(film(vae=moved)) != before


def test_a_vae_of_another_shape_is_refused(film, family_folder, tiny_sd1, tmp_path):
    line = refused(film, vae=family_folder("sdxl") / "vae")
    assert line.endswith("has pixels a latent pixel 2, the model wants 8")
    line = refused(film, vae=family_folder("flux2") / "vae")
    assert "class AutoencoderKLFlux2, the model wants AutoencoderKL" in line
    assert "is no VAE: give a folder with config.json" in refused(film, vae=tmp_path)


def test_a_pickled_vae_is_refused(film, vae, tmp_path):
    (tmp_path / "vae.pt").write_bytes(b"")
    assert "is a pickle" in refused(film, vae=tmp_path / "vae.pt")
    (vae["folder"] / WEIGHTS).rename(vae["folder"] / "diffusion_pytorch_model.bin")
    assert "has diffusion_pytorch_model.bin but no .safetensors" in refused(film, vae=vae["folder"])


def test_a_file_that_is_no_whole_vae_is_reported(film, vae):
    weights = load_file(vae["file"])
    del weights["decoder.conv_out.bias"]
    save_file(weights, vae["file"])
    with pytest.raises(ConfigError, match=r"^model.vae: .*lacks 1 weights.*conv_out.bias"):
        picture(film(vae=vae["file"]))


# --- clip skip -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sd1", "sdxl", "sd3"])
def test_clip_skip_is_the_stock_pipelines(film, name):
    def reach(pipeline):  # as diffusers does, which transformers 5.6 moved
        if not hasattr(pipeline.text_encoder, "text_model"):
            vars(pipeline.text_encoder)["text_model"] = pipeline.text_encoder

    plain, skipping = film(name), film(name, clip_skip=1)
    for negative in ("", "blurry"):
        expected = stock_picture(plain, negative=negative, change=reach, clip_skip=1)
        assert difference(picture(skipping, negative=negative), expected) <= 1
        assert difference(picture(plain, negative=negative), expected) > 2
    assert identity(skipping) == f"{identity(plain)} clip_skip:1"


def test_clip_skip_where_there_is_nothing_to_skip(film):
    line = refused(film, "flux", clip_skip=1)
    assert line.startswith("model.clip_skip: FluxPipeline reads no prompts with CLIP's layers")
    assert refused(film, clip_skip=2) == "model.clip_skip: 2: this model's CLIP has 1 to skip"


def test_long_prompts_are_part_of_the_identity_and_cut_nothing(film):
    text = ", ".join(["a red fox"] * 60)
    plain, whole = film(), film(long_prompts=True)
    assert identity(whole).startswith(identity(plain) + " long_prompts:compel ")
    assert list(cut_texts(plain.model, [text]))
    assert not list(cut_texts(whole.model, [text]))


def test_long_prompts_where_they_can_not_be_read(film, folder, tmp_path):
    assert "FluxPipeline reads texts in one window" in refused(film, "flux", long_prompts=True)
    assert "goes without model.clip_skip" in refused(film, clip_skip=1, long_prompts=True)
    for group in ("sampling", "model"):
        changes = {"model.long_prompts": True, f"{group}.blend": "embedding"}
        with pytest.raises(ConfigError, match=rf"^{group}.blend: .*use sampling.blend=noise"):
            open_film(composed(folder("sd1"), tmp_path / "out", changes), "", str)


def test_the_families_that_skip_and_learn_are_those_of_diffusers():
    kinds = {name: getattr(diffusers, name) for name in FAMILIES}
    skipping = {
        n for n, k in kinds.items() if "clip_skip" in inspect.signature(k.__call__).parameters
    }
    assert skipping == {name for name, family in FAMILIES.items() if family.skips_clip}
    learning = {name for name, family in FAMILIES.items() if family.learned_words}
    assert learning == {"StableDiffusionPipeline", "StableDiffusionXLPipeline"}
    assert all(hasattr(kinds[name], "load_textual_inversion") for name in learning)


# --- learned words -------------------------------------------------------------------------------


def word(path, vectors=1, seed=5, names=("emb_params",)):
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: 3 * torch.randn(vectors, WIDTH, generator=generator) for name in names}
    save_file(tensors, path)
    return path


def as_written(path, token="<cat>"):
    return [{"path": str(path), "token": token}]


@pytest.mark.parametrize("vectors", [1, 3])
def test_a_learned_word_is_the_stock_pipelines(film, tmp_path, vectors):
    file = word(tmp_path / "cat.safetensors", vectors)

    def change(pipeline):
        pipeline.load_textual_inversion(str(file), token="<cat>")

    plain, learned = film(), film(embeddings=as_written(file))
    expected = stock_picture(plain, CAT, change=change)
    assert difference(picture(learned, CAT), expected) <= 1
    assert difference(picture(plain, CAT), expected) > 8
    assert np.array_equal(picture(learned, CASTLE), picture(plain, CASTLE))


def test_a_learned_word_of_sdxl_is_one_for_each_encoder(film, tmp_path):
    file = word(tmp_path / "cat.safetensors", 2, names=("clip_l", "clip_g"))

    def change(pipeline):
        pair = load_file(file)
        first = {"tokenizer": pipeline.tokenizer, "text_encoder": pipeline.text_encoder}
        second = {"tokenizer": pipeline.tokenizer_2, "text_encoder": pipeline.text_encoder_2}
        pipeline.load_textual_inversion(pair["clip_l"], token="<cat>", **first)
        pipeline.load_textual_inversion(pair["clip_g"], token="<cat>", **second)

    plain, learned = film("sdxl"), film("sdxl", embeddings=as_written(file))
    expected = stock_picture(plain, CAT, change=change)
    assert difference(picture(learned, CAT), expected) <= 1
    assert difference(picture(plain, CAT), expected) > 8


def test_words_are_their_content_and_their_tokens(film, tmp_path):
    cat, dog = word(tmp_path / "cat.safetensors"), word(tmp_path / "dog.safetensors", seed=6)
    one, two = as_written(cat), as_written(dog, "<dog>")
    both = identity(film(embeddings=one + two))
    assert identity(film(embeddings=two + one)) == both
    others = [[], one, as_written(cat, "<dog>"), as_written(dog)]
    assert len({both, *(identity(film(embeddings=other)) for other in others)}) == 5
    same = shutil.copy(cat, tmp_path / "same.safetensors")
    assert identity(film(embeddings=as_written(same))) == identity(film(embeddings=one))


def test_words_that_can_not_be_learned(film, tmp_path):
    cat = word(tmp_path / "cat.safetensors")
    pair = word(tmp_path / "pair.safetensors", names=("clip_l", "clip_g"))
    line = refused(film, "flux", embeddings=as_written(cat))
    assert line.startswith("model.embeddings: FluxPipeline learns no words")
    assert "'<cat>' is given twice" in refused(film, embeddings=as_written(cat) * 2)
    assert "it was learned for another" in refused(film, embeddings=as_written(pair))
    assert "it was learned for another" in refused(film, "sdxl", embeddings=as_written(cat))
    save_file({"emb_params": torch.zeros(1, 48)}, tmp_path / "wide.safetensors")
    line = refused(film, embeddings=as_written(tmp_path / "wide.safetensors"))
    assert line.endswith("was learned for an encoder 48 wide, this model's is 32 wide")
    (tmp_path / "cat.pt").write_bytes(b"")
    assert "is a pickle" in refused(film, embeddings=as_written(tmp_path / "cat.pt"))


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (torch.zeros(0, 32), "no vector at all (emb_params has the shape (0, 32))"),
        (torch.ones(2, 1, 32), "no vectors in emb_params (F32 of shape (2, 1, 32))"),
        (torch.ones(1, 32, dtype=torch.int64), "no vectors in emb_params (I64 of shape (1, 32))"),
        (torch.tensor([[0.0] * 31 + [float("nan")]]), "are no finite numbers"),
        (torch.tensor([[float("-inf")] * 32], dtype=torch.float16), "are no finite numbers"),
        (torch.tensor([[float("nan")] * 32], dtype=torch.bfloat16), "are no finite numbers"),
        (torch.ones(32, dtype=torch.bfloat16), None),
        (torch.ones(2, 32, dtype=torch.float16), None),
    ],
)
def test_what_is_no_vector_is_refused_in_the_plan(film, tmp_path, vectors, said):
    save_file({"emb_params": vectors}, tmp_path / "odd.safetensors")
    written = as_written(tmp_path / "odd.safetensors")
    if said is None:
        assert film(embeddings=written)
    else:
        line = refused(film, embeddings=written)
        assert line.startswith(f"model.embeddings: {tmp_path / 'odd.safetensors'} holds ")
        assert line.endswith(f"{said}; get the file again, or leave it out")


@pytest.mark.parametrize(("count", "read"), [(13, True), (14, False)])
def test_the_plan_counts_every_vector_of_a_learned_word(place, tmp_path, count, read):
    """The tiny model reads 14 tokens of a text, and `a` is one."""
    save_file({"emb_params": torch.ones(count, 32)}, tmp_path / "cat.safetensors")
    place.timeline("cat", [{"at": 0, "prompt": "a <cat>", "seed": 1}])
    chosen = f'model.embeddings=[{{path: {tmp_path}/cat.safetensors, token: "<cat>"}}]'
    ended = place.render("cat", "mode=plan", chosen)
    assert ended.code == 0, ended.err
    cut = "17 tokens, the model reads 16, not '<cat>_13' at the end of: a <cat>"
    assert (cut not in ended.out) == read
    assert ("tokens" not in ended.out) == read


def test_a_learned_word_is_one_token_whatever_its_letters(place, tmp_path):
    save_file({"emb_params": torch.ones(1, 32)}, tmp_path / "cat.safetensors")
    place.timeline("cat", [{"at": 0, "prompt": "a <verylongword>", "seed": 1}])
    assert "17 tokens" in place.render("cat", "mode=plan").out
    chosen = f'model.embeddings=[{{path: {tmp_path}/cat.safetensors, token: "<verylongword>"}}]'
    ended = place.render("cat", "mode=plan", chosen)
    assert ended.code == 0
    assert "tokens" not in ended.out


def test_a_token_that_the_model_knows_is_reported(film, tmp_path):
    known = film(embeddings=as_written(word(tmp_path / "a.safetensors"), "a</w>"))
    with pytest.raises(ConfigError, match=r"^model.embeddings: .*already in tokenizer vocabulary"):
        picture(known)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"path": "a.safetensors"}, "model.embeddings.0.token: is missing"),
        ({"path": "a", "token": "two words"}, "model.embeddings.0.token: 'two words' is no single"),
        ({"path": "a", "token": "b", "tokn": 1}, "model.embeddings.0.tokn: unknown key"),
        (3, "model.embeddings.0: "),
    ],
)
def test_a_word_that_is_written_wrong(tmp_path, written, said):
    with pytest.raises(ConfigError) as error:
        parse(composed(tmp_path, tmp_path, {"model.embeddings": [written]}))
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("scale", "marked"), [(1.0, "*1"), (0.8, "*0.8"), (0.12345678, "*0.12345678"), (1e-7, "*1e-07")]
)
def test_a_control_nets_scale_is_part_of_the_identity_with_all_its_digits(tmp_path, scale, marked):
    """As few as earlier versions gave where they were enough."""
    (tmp_path / "config.json").write_text("{}")
    written = ControlConfig(path=tmp_path, image=tmp_path / "x.png", scale=scale)
    assert control_mark(written, {}).endswith(marked)
    close = written.model_copy(update={"scale": scale * (1 + 1e-9)})
    assert control_mark(close, {}) != control_mark(written, {})
