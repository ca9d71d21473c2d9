"""Frames that follow a ControlNet, against the stock ControlNet pipelines, on tiny models."""

import hashlib
import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from films import composed
from pictures import difference, render
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_families import SIDE as FAMILY_SIDE
from tiny_models import SIDE

from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.kernels.cpu_chunked_attention import ChunkedAttention
from render.models.model_source import ModelSource
from render.plan.conditioning import rows
from render.plan.frame_plan import Recipe
from render.run.resolve import open_film
from render.timeline.spec import FrameSpec

CASTLE, FOREST = "a red castle at night", "a green forest with many little birds"
STEPS, SCALE, STRENGTH = 4, 3.0, 0.8
VISIBLE = 8  # of 255
POOLED = "_pooled"
WEIGHTS = "diffusion_pytorch_model.safetensors"

both = pytest.mark.parametrize("name", ["sd1", "sdxl"])


@pytest.fixture(scope="module")
def folder_of(family_folder, tiny_sd1):
    return lambda name: tiny_sd1 if name == "sd1" else family_folder(name)


@pytest.fixture(scope="module")
def net_of(folder_of, tmp_path_factory):
    """The folder of a ControlNet of a tiny model, which leads somewhere from its first day on."""
    made = {}

    def folder(name):
        if name.endswith(POOLED) and name not in made:
            made[name] = pooled(folder(name.removesuffix(POOLED)), tmp_path_factory)
        if name not in made:
            unet = diffusers.UNet2DConditionModel.from_pretrained(folder_of(name) / "unet")
            torch.manual_seed(0)
            widths = (4, 8, 8, 8) if name == "sd1" else (4, 8)  # pixels a latent pixel: 8, 2
            net = diffusers.ControlNetModel.from_unet(
                unet, conditioning_embedding_out_channels=widths
            )
            made[name] = tmp_path_factory.mktemp("control") / name
            net.save_pretrained(made[name])
            weights = load_file(made[name] / WEIGHTS)
            noise = torch.Generator().manual_seed(1)
            for key, value in weights.items():
                if not value.any():  # they begin as zeros and would add nothing
                    weights[key] = torch.randn(value.shape, generator=noise)
                if key.startswith("controlnet_cond_embedding"):  # the picture counts
                    weights[key] = weights[key] * 3
            save_file(weights, made[name] / WEIGHTS, {"format": "pt"})
        return made[name]

    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of three pictures, larger than the frames."""
    folder = tmp_path_factory.mktemp("edges")
    rng = np.random.default_rng(5)
    for number in range(3):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((96, 96), Image.Resampling.NEAREST).save(folder / f"{number}.png")
    return folder


def pooled(net, tmp_path_factory):
    """The same ControlNet, which adds its mean over the picture."""
    target = tmp_path_factory.mktemp("control") / "pooled"
    shutil.copytree(net, target)
    config = json.loads((net / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | {"global_pool_conditions": True}))
    return target


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def side_of(name):
    return SIDE if name == "sd1" else FAMILY_SIDE


@pytest.fixture(scope="module")
def opened(folder_of, net_of, pictures):
    kept = {}

    def get(name, blend="noise", kind=""):
        if (name, blend, kind) not in kept:
            net = (net_of(f"{name}{kind}"), STRENGTH)
            source = ModelSource(folder_of(name), None, None, None, None, controlnet=net)
            side = side_of(name)
            recipe = Recipe("tiny", "model", {}, STEPS, side, side, "float32", blend)
            images = {digest_of(path): path for path in pictures.iterdir()}
            kept[name, blend, kind] = open_diffusion(source, recipe, "cpu", images=images)
        return kept[name, blend, kind]

    return get


def spec(picture, prompts=((CASTLE, 1.0),), seed=1, scale=SCALE, negative="fog"):
    return FrameSpec(
        tuple(prompts), ((negative, 1.0),), ((seed, 1.0),), scale, control=digest_of(picture)
    )


def stock_picture(folder, net, family, picture, side, scale=SCALE, negative="fog"):
    """The stock ControlNet pipeline's own picture."""
    kind = getattr(diffusers, family.pipeline.replace("Pipeline", "ControlNetPipeline"))
    control = diffusers.ControlNetModel.from_pretrained(net)
    given = {key: value for key, value in family.loading.items() if key != "image_encoder"}
    pipeline = kind.from_pretrained(folder, controlnet=control, **given)
    pipeline.set_progress_bar_config(disable=True)
    shown = Image.open(picture).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(
        pipeline(
            CASTLE,
            image=shown,
            negative_prompt=negative,
            controlnet_conditioning_scale=STRENGTH,
            generator=torch.Generator().manual_seed(1),
            num_inference_steps=STEPS,
            guidance_scale=scale,
            height=side,
            width=side,
        ).images[0]
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_laid_out_as_the_denoiser_is(folder_of, net_of, dtype):
    control = (net_of("sd1"), STRENGTH)
    source = ModelSource(folder_of("sd1"), None, None, None, None, controlnet=control)
    recipe = Recipe("tiny", "model", {}, 2, SIDE, SIDE, dtype, "noise")
    net = open_diffusion(source, recipe, "cpu").residuals.net
    chunked = {type(processor) is ChunkedAttention for processor in net.attn_processors.values()}
    assert chunked == {dtype == "bfloat16"}
    convolution = net.down_blocks[0].resnets[0].conv1.weight
    assert convolution.is_contiguous(memory_format=torch.channels_last)


@both
def test_one_prompt_is_the_stock_pipelines_picture(opened, folder_of, net_of, pictures, name):
    diffusion, picture = opened(name), pictures / "0.png"
    (frame,) = render(diffusion, spec(picture))
    side = side_of(name)
    stock = stock_picture(folder_of(name), net_of(name), diffusion.family, picture, side)
    assert difference(frame, stock) <= 1


@both
@pytest.mark.parametrize(("scale", "negative"), [(SCALE, "fog"), (7.5, CASTLE), (1.0, "fog")])
def test_a_control_net_that_pools_leaves_the_negative_alone(
    opened, folder_of, net_of, pictures, name, scale, negative
):
    """As the stock pipelines do; a negative that is the prompt has a row of its own then."""
    diffusion, picture = opened(name, kind=POOLED), pictures / "0.png"
    (frame,) = render(diffusion, spec(picture, scale=scale, negative=negative))
    net, side = net_of(f"{name}{POOLED}"), side_of(name)
    stock = stock_picture(folder_of(name), net, diffusion.family, picture, side, scale, negative)
    assert difference(frame, stock) <= 1


@both
@pytest.mark.parametrize("blend", ["noise", "embedding"])
def test_neighbours_of_a_frame_beside_a_control_net_that_pools(opened, pictures, name, blend):
    diffusion, mix = opened(name, blend, POOLED), ((CASTLE, 0.4), (FOREST, 0.6))
    specs = [
        spec(pictures / f"{k}.png", mix, k, scale) for k, scale in ((0, 3.0), (1, 1.0), (2, 7.0))
    ]
    together = render(diffusion, *specs)
    alone = [render(diffusion, one)[0] for one in specs]
    assert all(map(np.array_equal, together, alone))


@both
def test_each_picture_shows(opened, pictures, name):
    frames = render(opened(name), *[spec(pictures / f"{k}.png") for k in range(3)])
    assert difference(frames[0], frames[1]) >= VISIBLE
    assert difference(frames[1], frames[2]) >= VISIBLE


@both
@pytest.mark.parametrize("blend", ["noise", "embedding"])
def test_at_its_ends_a_blend_is_one_prompt(opened, pictures, name, blend):
    picture, diffusion = pictures / "0.png", opened(name, blend)
    ends = [((CASTLE, 1.0), (FOREST, 0.0)), ((CASTLE, 0.0), (FOREST, 1.0))]
    blended = render(diffusion, *[spec(picture, end) for end in ends])
    alone = render(diffusion, *[spec(picture, ((text, 1.0),)) for text in (CASTLE, FOREST)])
    assert all(map(np.array_equal, blended, alone))


@both
def test_a_frame_does_not_depend_on_its_neighbours(opened, pictures, name):
    mix = ((CASTLE, 0.4), (FOREST, 0.6))
    specs = [spec(pictures / f"{k}.png", mix, seed=k) for k in (0, 1, 2, 0)]
    together = render(opened(name), *specs)
    alone = [render(opened(name), one)[0] for one in specs]
    assert all(map(np.array_equal, together, alone))


# --- the plan ------------------------------------------------------------------------------------


@pytest.fixture
def film(folder_of, net_of, pictures, tmp_path):
    """The film of the tiny model with this ControlNet."""

    def film(name="sd1", net="sd1", fps=1, **control):
        given = {"path": str(net_of(net)), "image": str(pictures / "0.png"), **control}
        changes = {"model.controlnet": given, "output.fps": fps}
        return open_film(composed(folder_of(name), tmp_path / "out", changes), "", str)

    return film


def refused(film, *name, **control):
    with pytest.raises(ConfigError) as error:
        film(*name, **control)
    (line,) = str(error.value).splitlines()
    return line


def digests(film):
    return [frame.digest for frame in film.plan.frames]


def test_a_folders_pictures_are_followed_in_their_order(film, pictures):
    frames = film(image=str(pictures)).plan.frames
    assert [frame.spec.control for frame in frames] == [
        digest_of(pictures / f"{k}.png") for k in range(len(frames))
    ]
    assert len(frames) == 3


@pytest.fixture
def numbered(pictures, tmp_path):
    """A folder with a picture under each of these names, in this order of content."""

    def numbered(*names):
        folder = tmp_path / "numbered"
        folder.mkdir()
        for number, name in enumerate(names):
            shade = Image.new("RGB", (8, 8), (number, 0, 0))
            shade.save(folder / name, format="png")
        return folder

    return numbered


def order(film, folder, fps):
    """Which of a folder's pictures the frames follow, by the order in which they were made."""
    names = {digest_of(path): Image.open(path).getpixel((0, 0))[0] for path in folder.iterdir()}
    return [names[frame.spec.control] for frame in film(image=str(folder), fps=fps).plan.frames]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["frame1.png", "frame2.png", "frame10.png"],
            "not by letter: frame2.png before frame10.png",
        ),
        (["7.png", "12.png", "100.png"], "by number, not by letter: 7.png before 100.png"),
        (["a_9_x.png", "a_10_x.png", "a_11_x.png"], "a_9_x.png before a_10_x.png"),
        (["B.png", "a.png", "c.png"], None),
        (["f008.png", "f009.png", "f010.png"], None),
        (["f1.png", "f2.png", "f5.png"], "numbers are missing between f2.png and f5.png"),
        (["f1.png", "f01.jpg", "f2.png"], "f01.jpg and f1.png have the same number"),
        (["a10.png", "b2.png", "b3.png"], "disagree: a10.png comes before b2.png"),
    ],
)
def test_numbers_in_names_count_as_numbers(film, numbered, names, said):
    folder = numbered(*names)
    warned = film(image=str(folder)).plan.warnings
    if said is None:
        assert warned == ()
    else:
        assert said in warned[0]
        assert warned[0].startswith("model.controlnet.image: frame k follows the k-th picture")
    assert sorted(order(film, folder, 1)) == [0, 1, 2]
    if "same" not in (said or ""):
        assert order(film, folder, 1) == [0, 1, 2]


def test_what_is_no_picture_is_passed_over_with_a_word(film, numbered):
    folder = numbered("1.png", "2.png", "3.png")
    before = digests(film(image=str(folder)))
    for name in ("Thumbs.db", ".DS_Store", "notes.txt"):
        (folder / name).write_bytes(b"\0\1\2")
    with_strays = film(image=str(folder))
    assert digests(with_strays) == before
    (warned,) = with_strays.plan.warnings
    assert warned.startswith("model.controlnet.image: .DS_Store, Thumbs.db, notes.txt in ")
    assert warned.endswith("are no picture, so passed over")
    (folder / "4.png").write_bytes(b"broken")
    assert refused(film, image=str(folder)).startswith(
        f"model.controlnet.image: {folder / '4.png'} "
    )


def test_one_picture_is_followed_by_all_frames(film, pictures):
    wanted = digest_of(pictures / "0.png")
    assert {frame.spec.control for frame in film().plan.frames} == {wanted}


def test_too_few_pictures_are_reported(film, pictures):
    line = refused(film, image=str(pictures), fps=2)
    assert line.startswith("model.controlnet.image: 3 pictures for 5 frames")


def test_pictures_weights_and_scale_are_part_of_the_identity(film, pictures, net_of, tmp_path):
    """By content; another picture in one frame is another frame and no more."""
    before = digests(film(image=str(pictures)))
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in pictures.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    assert digests(film(image=str(copied))) == before
    (copied / "1.png").write_bytes((pictures / "2.png").read_bytes())
    changed = digests(film(image=str(copied)))
    assert [a == b for a, b in zip(before, changed, strict=True)] == [True, False, True]
    assert not set(digests(film(image=str(pictures), scale=0.5))) & set(before)


def test_a_control_net_that_pools_has_frames_of_its_own(film, net_of):
    """Earlier versions let it control the negative too. Rows are counted as they are computed."""
    plan, pools = film(), film(path=str(net_of(f"sd1{POOLED}")))
    assert pools.model.identity.endswith("*1 prompts only")
    assert not plan.model.identity.endswith("prompts only")
    alike = spec_rows(pools, CASTLE, CASTLE), spec_rows(plan, CASTLE, CASTLE)
    assert alike == (2, 1)


def spec_rows(film, prompt, negative):
    one = FrameSpec(((prompt, 1.0),), ((negative, 1.0),), ((1, 1.0),), SCALE)
    return rows(one, "noise", film.model.family)


def test_what_is_no_control_net_is_refused(film, tiny_sd1, tmp_path):
    assert "is no ControlNet" in refused(film, path=str(tiny_sd1 / "unet"))
    assert "is no ControlNet" in refused(film, path=str(tmp_path))


def test_a_control_net_for_pictures_of_other_channels_is_refused(film, net_of, tmp_path):
    folder = shutil.copytree(net_of("sd1"), tmp_path / "net")
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"conditioning_channels": 4}))
    assert "follows pictures of 4 channels" in refused(film, path=str(folder))


def test_a_control_net_of_another_model_is_refused(film):
    assert "it is for another one" in refused(film, "sdxl", "sd1")


def test_a_pickled_control_net_is_refused(film, net_of, tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_bytes((net_of("sd1") / "config.json").read_bytes())
    (folder / "diffusion_pytorch_model.bin").write_bytes(b"pickled")
    assert "pickled weights can run code" in refused(film, path=str(folder))


def test_a_family_without_is_refused_by_name(film):
    assert "FluxPipeline follows no ControlNet" in refused(film, "flux", "sd1")


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_picture_that_can_not_be_read_is_reported(film, tmp_path, content):
    path = tmp_path / "bad.png"
    if content:
        path.write_bytes(content)
    assert refused(film, image=str(path)).startswith(f"model.controlnet.image: {path} ")


def test_an_empty_folder_is_reported(film, tmp_path):
    assert "holds no pictures" in refused(film, image=str(tmp_path))
