"""Frames that start from pictures, against the stock image-to-image pipelines, on tiny models."""

import hashlib
from fractions import Fraction

import diffusers
import numpy as np
import pytest
import torch
from command_line import Place
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from pictures import difference, render, same_pictures
from PIL import Image
from tiny_families import SIDE as FAMILY_SIDE
from tiny_models import SIDE, randomised, save_tiny_sd2

from render.diffusion.start_images import strength_for
from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.models.model_source import ModelSource
from render.plan.conditioning import calls_of, rows, steps_done
from render.plan.cost import planned_rows
from render.plan.frame_plan import PlannedFrame, Recipe
from render.timeline.spec import FrameSpec
from training.storybook.painter import paint
from training.storybook.scene import Description, scene_of

CASTLE, FOREST = "a red castle at night", "a green forest with many little birds"
FAMILIES = ["sd1", "sd2", "sdxl", "sdxl_lcm", "sd3", "flux", "flux_schnell"]
STEPS, SCALE = 5, 3.0
VISIBLE = 8  # of 255
EULER_A, LCM = "EulerAncestralDiscreteScheduler", "LCMScheduler"
OF_NOISE = [
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "PNDMScheduler",
    "HeunDiscreteScheduler",
    "UniPCMultistepScheduler",
    EULER_A,
    LCM,
]
SCHEDULED = [*(("sd1", name) for name in OF_NOISE), ("sd3", "FlowMatchHeunDiscreteScheduler")]

every_family = pytest.mark.parametrize("name", FAMILIES)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Files of two pictures of other sizes and shapes than the frames, by their sha256."""
    folder, found = tmp_path_factory.mktemp("pictures"), {}
    rng = np.random.default_rng(3)
    for name, size in (("a", (5, 7, 3)), ("b", (9, 6, 3))):
        path = folder / f"{name}.png"
        coarse = Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8))
        coarse.resize((150, 120), Image.Resampling.BICUBIC).save(path)
        found[hashlib.sha256(path.read_bytes()).hexdigest()] = path
    return found


@pytest.fixture(scope="session")
def folder_of(family_folder, tiny_sd1, tmp_path_factory):
    sd2 = save_tiny_sd2(tmp_path_factory.mktemp("starts") / "sd2")
    own = {"sd1": tiny_sd1, "sd2": sd2}

    def folder(name):
        base, _, kind = name.partition("+")
        if kind and name not in own:
            target = tmp_path_factory.mktemp("starts") / name
            own[name] = with_autoencoder(folder(base), target, kind)
        return own[name] if name in own else family_folder(name)

    return folder


def with_autoencoder(folder, target, kind):
    """A model with a tiny autoencoder, or one of eight channels."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    before = pipeline.vae.config
    torch.manual_seed(6)
    if kind == "tiny":
        levels = len(before.block_out_channels)
        pipeline.vae = diffusers.AutoencoderTiny(
            latent_channels=before.latent_channels,
            encoder_block_out_channels=(8,) * levels,
            decoder_block_out_channels=(8,) * levels,
            num_encoder_blocks=(1,) * levels,
            num_decoder_blocks=(1,) * levels,
        )
    else:
        pipeline.vae = diffusers.AutoencoderKL.from_config({**before, "latent_channels": 8})
        settings = {**pipeline.unet.config, "in_channels": 8, "out_channels": 8}
        pipeline.unet = randomised(diffusers.UNet2DConditionModel.from_config(settings))
    pipeline.save_pretrained(target)
    return target


@pytest.fixture(scope="session")
def opened(folder_of, pictures):
    """Opens a tiny model, once for each recipe that the tests ask for."""
    kept = {}

    def get(name, scheduler="model", steps=STEPS):
        if (name, scheduler, steps) not in kept:
            source = ModelSource(folder_of(name), None, None, None, None)
            side = side_of(name)
            recipe = Recipe("tiny", scheduler, {}, steps, side, side, "float32", "noise")
            diffusion = open_diffusion(source, recipe, "cpu", images=pictures)
            kept[name, scheduler, steps] = diffusion
        return kept[name, scheduler, steps]

    return get


def side_of(name):
    return SIDE if name.startswith(("sd1", "sd2")) else FAMILY_SIDE


def spec(images, strength=0.6, prompt=CASTLE, seed=1, guidance=SCALE):
    given = ((images, 1.0),) if isinstance(images, str) else tuple(images)
    texts = ((prompt, 1.0),) if isinstance(prompt, str) else prompt
    return FrameSpec(texts, (("", 1.0),), ((seed, 1.0),), guidance, given, strength)


def covered(path, side):
    """The middle square of a picture at the frame's size."""
    picture = Image.open(path)
    width, height = picture.size
    short = min(width, height)
    box = ((width - short) / 2, (height - short) / 2, (width + short) / 2, (height + short) / 2)
    return picture.resize((side, side), Image.Resampling.LANCZOS, box=box)


@pytest.fixture
def most_likely(monkeypatch):
    """Stock pipelines encode to a sample; here to its mode, so that the first draw is the noise."""
    monkeypatch.setattr(
        DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode()
    )


@pytest.fixture(scope="session")
def stock(folder_of):
    """The stock image-to-image pipeline of a family, loaded once."""
    kept = {}

    def get(name, family):
        if name not in kept:
            kind = getattr(diffusers, family.from_image)
            kept[name] = kind.from_pretrained(folder_of(name), **family.loading)
            kept[name].set_progress_bar_config(disable=True)
        return kept[name]

    return get


def stock_picture(pipeline, diffusion, path, strength):
    """The stock image-to-image pipeline with its own noise, guidance and decoding."""
    family, recipe, scheduler = diffusion.family, diffusion.recipe, diffusion.pipeline.scheduler
    pipeline.scheduler = type(scheduler).from_config(scheduler.config)
    given = {key: value for key, value in family.call.items() if "scale" not in key}
    if family.flow:
        given |= {"height": recipe.height, "width": recipe.width}
    return np.asarray(
        pipeline(
            prompt=CASTLE,
            image=covered(path, recipe.width),
            strength=strength,
            guidance_scale=SCALE,
            num_inference_steps=recipe.steps,
            generator=torch.Generator().manual_seed(1),
            **given,
        ).images[0]
    )


# --- the stock pipelines -------------------------------------------------------------------------


@pytest.mark.usefixtures("most_likely")
@every_family
def test_a_frame_from_a_picture_is_the_stock_pipelines(opened, stock, pictures, name):
    diffusion, strengths = opened(name), (0.25, 0.6, 0.9)
    digest, path = next(iter(pictures.items()))
    frames = render(diffusion, *[spec(digest, strength) for strength in strengths])
    for ours, strength in zip(frames, strengths, strict=True):
        wanted = stock_picture(stock(name, diffusion.family), diffusion, path, strength)
        assert difference(ours, wanted) <= 1


@pytest.mark.usefixtures("most_likely")
@pytest.mark.parametrize("name", ["sd1+tiny", "sd1+eight", "sdxl+eight", "flux+tiny"])
def test_other_autoencoders_start_as_the_stock_pipelines_do(opened, stock, pictures, name):
    """A tiny one, which gives latents at once; one whose latents no pipeline takes for latents."""
    diffusion, (digest, path) = opened(name), next(iter(pictures.items()))
    ours, nearer = render(diffusion, spec(digest, 0.6), spec(digest, 0.0))
    wanted = stock_picture(stock(name, diffusion.family), diffusion, path, 0.6)
    assert difference(ours, wanted) <= 1
    assert difference(ours, nearer) >= VISIBLE / 4
    assert "encode" not in vars(diffusion.pipeline.vae)


@pytest.mark.usefixtures("most_likely")
@pytest.mark.parametrize(("name", "scheduler"), SCHEDULED)
def test_every_scheduler_goes_on_from_a_picture(opened, stock, pictures, name, scheduler):
    diffusion, (digest, path) = opened(name, scheduler), next(iter(pictures.items()))
    wanted = stock_picture(stock(name, diffusion.family), diffusion, path, 0.6)
    assert difference(render(diffusion, spec(digest))[0], wanted) <= 1


@every_family
def test_steps_and_calls_are_the_stock_pipelines(opened, pictures, name):
    diffusion, digest = opened(name), next(iter(pictures))
    stock = diffusion.starts.pipeline
    scheduler = diffusion.pipeline.scheduler
    for steps in (1, 4, 25, 49, 50):
        given = {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {}
        scheduler.set_timesteps(steps, **given)
        for strength in (0.03, 0.2, 0.5, 0.58, 0.75, 0.999):
            frame = spec(digest, strength)
            done = steps_done(frame, steps, diffusion.family)
            calls = calls_of(frame, type(scheduler).__name__, steps, {}, diffusion.family)
            if done:
                assert len(stock.get_timesteps(steps, strength, "cpu")[0]) == calls
            ours = strength_for(max(done, 1), steps, diffusion.family)
            assert len(stock.get_timesteps(steps, ours, "cpu")[0]) == calls
    scheduler.set_timesteps(STEPS, **given)


# --- strength ------------------------------------------------------------------------------------


@every_family
def test_strength_one_is_text_to_image(opened, pictures, name):
    a, _ = pictures
    plain, full, less = render(opened(name), spec([]), spec(a, 1.0), spec(a, 0.6))
    assert same_pictures([plain], [full])
    assert difference(plain, less) >= VISIBLE


@every_family
def test_strength_zero_is_the_picture_through_the_autoencoder(opened, pictures, name):
    diffusion = opened(name)
    digest, path = next(iter(pictures.items()))
    autoencoder = diffusion.pipeline.vae
    pixels = torch.from_numpy(np.array(covered(path, side_of(name)))).permute(2, 0, 1)[None]
    with torch.no_grad():
        latents = autoencoder.encode(pixels / 127.5 - 1).latent_dist.mode()
        decoded = autoencoder.decode(latents).sample[0]
    wanted = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    ours = render(diffusion, spec(digest, 0.0))[0]
    assert difference(ours, wanted) <= 1
    assert same_pictures([ours], render(diffusion, spec(digest, 0.0, FOREST, seed=2)))


def test_a_strength_too_small_for_a_step_is_the_picture(opened, pictures):
    a, _ = pictures
    assert same_pictures(*[render(opened("sd1"), spec(a, strength)) for strength in (0.0, 0.19)])


# --- neighbours ----------------------------------------------------------------------------------


def film(a, b):
    """Frames with other pictures, strengths (so numbers of steps), prompts; one without."""
    texts = ((CASTLE, 0.25), (FOREST, 0.75))
    return [
        spec(a, 0.9),
        spec([(a, 0.3), (b, 0.7)], 0.4, texts, seed=2),
        spec([], 1.0, FOREST, guidance=5.0),
        spec(b, 0.4, texts, guidance=0.0),
        spec(b, 0.0),
    ]


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [*((name, "model") for name in FAMILIES), ("sd1", EULER_A), ("sd3", "FlowMatchLCMScheduler")],
)
def test_a_frame_alone_is_the_frame_among_others(opened, pictures, name, scheduler):
    diffusion, frames = opened(name, scheduler), film(*pictures)
    together = render(diffusion, *frames)
    torch.manual_seed(99)
    assert same_pictures(together, [render(diffusion, frame)[0] for frame in frames])
    assert same_pictures(together, render(diffusion, *reversed(frames))[::-1])
    assert len({picture.tobytes() for picture in together}) == len(frames)


@pytest.mark.parametrize("name", ["sd1", "flux"])
def test_rows_computed_are_rows_planned(opened, pictures, name):
    diffusion, frames, progress = opened(name), film(*pictures), []
    diffusion.denoiser.forget_first_rows()
    before = diffusion.rows
    diffusion.render(frames, lambda done, total: progress.append((done, total)))
    scheduler = type(diffusion.pipeline.scheduler).__name__
    planned = [PlannedFrame(0, Fraction(0), frame, "") for frame in frames]
    of = diffusion.recipe, scheduler, diffusion.family
    assert diffusion.rows - before == planned_rows(planned, *of)
    each = [
        calls_of(f, scheduler, STEPS, {}, diffusion.family) * rows(f, "noise", diffusion.family)
        for f in frames
    ]
    shared = [rows(f, "noise", diffusion.family) for f in frames if not f.start]
    assert sum(each) - sum(shared) <= planned_rows(planned, *of) <= sum(each)
    assert progress == [(done, len(progress)) for done in range(1, len(progress) + 1)]


# --- between two pictures ------------------------------------------------------------------------


def test_the_ends_between_two_pictures_are_each_alone(opened, pictures):
    a, b = pictures
    diffusion = opened("sd1")
    ends = render(diffusion, spec(a), spec(b))
    assert same_pictures(
        ends, render(diffusion, spec([(a, 1.0), (b, 0.0)]), spec([(a, 0.0), (b, 1.0)]))
    )
    middle = render(diffusion, spec([(a, 0.5), (b, 0.5)]))[0]
    assert min(difference(middle, end) for end in ends) >= VISIBLE / 4


def test_each_picture_is_encoded_once(opened, pictures, monkeypatch):
    diffusion, encoded = opened("sd2"), []
    autoencoder, digest = diffusion.pipeline.vae, next(iter(pictures))
    diffusion.starts.known.clear()
    stock = autoencoder.encode
    monkeypatch.setattr(autoencoder, "encode", lambda x: (encoded.append(x), stock(x))[1])
    for strength in (0.3, 0.6, 0.9):
        render(diffusion, spec(digest, strength))
    assert len(encoded) == 1


def test_pictures_leave_the_scheduler_as_it_was_asked_for(folder_of, pictures):
    source = ModelSource(folder_of("sd1"), None, None, None, None)
    options = {"steps_offset": 0}  # which the class of the image-to-image pipeline would set to 1
    recipe = Recipe("tiny", "DDIMScheduler", options, STEPS, SIDE, SIDE, "float32", "noise")
    diffusion = open_diffusion(source, recipe, "cpu", images=pictures)
    assert diffusion.starts.pipeline.scheduler is diffusion.pipeline.scheduler
    assert diffusion.pipeline.scheduler.config.steps_offset == 0


def test_a_picture_that_was_changed_ends_the_rendering(folder_of, tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 20), "red").save(path)
    source = ModelSource(folder_of("sd1"), None, None, None, None)
    recipe = Recipe("tiny", "model", {}, STEPS, SIDE, SIDE, "float32", "noise")
    diffusion = open_diffusion(source, recipe, "cpu", images={"0" * 64: path})
    with pytest.raises(ConfigError, match=r"a\.png: was changed while the film rendered"):
        render(diffusion, spec("0" * 64))


# --- a film between two pictures -----------------------------------------------------------------


def likeness(frame, path):
    """PSNR in dB between a frame and the middle of a picture."""
    error = np.mean((frame.astype(float) - np.asarray(covered(path, len(frame)))) ** 2)
    return 10 * np.log10(255**2 / error)


def test_a_film_between_two_pictures_begins_and_ends_near_them(tmp_path):
    place, films = Place(tmp_path, tmp_path), {"plain": [], "near": []}
    texts = "A landscape with a castle", "A snowy landscape with a town at night"
    shown = (
        scene_of(Description("castle"), 5),
        scene_of(Description("town", "night", "snow"), 9),
    )
    for at, (text, scene) in enumerate(zip(texts, shown, strict=True)):
        Image.fromarray(paint(scene, 384)).save(tmp_path / f"{at}.png")
        films["plain"].append({"at": at, "prompt": text, "seed": at})
        films["near"].append({**films["plain"][at], "image": f"{at}.png", "strength": 0.2})
    for name, keyframes in films.items():
        place.timeline(name, keyframes)
        ended = place.call(f"+timeline={name}", "output=frames", "output.fps=1", "compute=cpu")
        assert ended.code == 0, ended.err
    for at in (0, -1):
        path = tmp_path / f"{-at}.png"
        near, plain = (likeness(place.pictures(name)[at], path) for name in ("near", "plain"))
        assert near >= 20
        assert near >= plain + 6
