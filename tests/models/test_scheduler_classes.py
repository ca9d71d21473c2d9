"""Every scheduler class of diffusers keeps a frame the same in any batch, or is refused by name;
and a model's own scheduler is made of what its stock pipeline makes of it."""

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec

import diffusers
import numpy as np
import pytest
import torch
from films import composed
from tiny_families import SIDE as FAMILY_SIDE
from tiny_families import SIDES
from tiny_models import BETAS, SIDE

from render.config.model_group import ModelConfig
from render.diffusion.schedules import make_scheduler
from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.models.families import FAMILIES
from render.models.model_source import ModelSource
from render.models.resolve import resolve_model
from render.models.scheduler_signatures import ELSEWHERE, FLOW, NOISE, PACKAGES, filled_in, settings
from render.plan.frame_plan import Recipe
from render.run.resolve import open_film
from render.run.survey import missing_frames, summarise, survey
from render.timeline.spec import FrameSpec

FLOW_SIGMAS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
FLOW_TOO = sorted(name for name in NOISE if "use_flow_sigmas" in settings(
    name, None, {}, {}, FAMILIES["StableDiffusionPipeline"]))  # fmt: skip


def exported():
    """Names of all scheduler classes that diffusers exports, present or waiting for a package."""
    from diffusers import schedulers

    names = {name for module in (diffusers, schedulers) for name in dir(module)}
    names |= set(schedulers._import_structure.get("deprecated", ()))
    names |= {n for listed in schedulers._import_structure.values() for n in listed}
    no_class = {"SchedulerMixin", "KarrasDiffusionSchedulers", "AysSchedules"}
    return sorted(n for n in names - no_class if n.endswith("Scheduler"))


EXPORTED = exported()


def frame(text, *seeds, guidance=7.5):
    return FrameSpec(((text, 1.0),), (("", 1.0),), seeds, guidance)


FIRST, SECOND = frame("a castle", (1, 1.0)), frame("a forest", (2, 0.75), (3, 0.25), guidance=3.0)


def render(diffusion, *specs):
    pictures = diffusion.render(specs, lambda done, total: None)
    return [pictures.picture(place) for place in range(len(specs))]


def refused(config):
    """The lines that refuse a config; none if it is right."""
    try:
        open_film(config, "", lambda path: path)
    except ConfigError as error:
        return str(error).splitlines()
    return []


@pytest.fixture(scope="module")
def opened(tiny_sd1, family_folder):
    """A tiny model of Stable Diffusion 1 or 3, whose scheduler the tests choose."""
    kept = {}

    def get(name):
        if name not in kept:
            folder = tiny_sd1 if name == "sd1" else family_folder(name)
            side = SIDE if name == "sd1" else SIDES.get(name, FAMILY_SIDE)
            recipe = Recipe("tiny", "model", {}, 3, side, side, "float32", "noise")
            source = ModelSource(folder, None, None, None, None)
            kept[name] = open_diffusion(source, recipe, "cpu", 2)
        return kept[name]

    return get


def with_scheduler(diffusion, class_name, options):
    """The model with another scheduler, as a new process makes it."""
    recipe = replace(diffusion.recipe, scheduler=class_name, scheduler_options=options)
    diffusion.turn_to(recipe)
    return diffusion


def assert_kept_the_same(diffusion, class_name, options):
    together = render(with_scheduler(diffusion, class_name, options), FIRST, SECOND)
    alone = render(with_scheduler(diffusion, class_name, options), SECOND)
    assert np.array_equal(together[1], alone[0])
    assert np.array_equal(together[0], render(diffusion, FIRST)[0])
    assert min(picture.std() for picture in together) > 5


def wanted(name):
    package = PACKAGES.get(name)
    if package and find_spec(package) is None:
        pytest.skip(f"{package} is not here")


# --- every class ---------------------------------------------------------------------------------


def test_every_class_is_sorted():
    assert set(EXPORTED) == NOISE | FLOW | set(ELSEWHERE)
    assert not (NOISE | FLOW) & set(ELSEWHERE)


@pytest.mark.parametrize("name", EXPORTED)
def test_a_frame_is_the_same_in_any_batch_and_after_a_stop_or_the_class_is_refused(
    opened, tiny_sd1, tmp_path, name
):
    lines = refused(composed(tiny_sd1, tmp_path, {"scheduler.class": name}))
    if name in NOISE and not (name in PACKAGES and find_spec(PACKAGES[name]) is None):
        assert lines == []
        assert_kept_the_same(opened("sd1"), name, {})
    else:
        (line,) = lines
        assert line.startswith((f"scheduler.class: {name} ", f"scheduler: {name} "))


@pytest.mark.parametrize("name", [*sorted(FLOW), *FLOW_TOO])
def test_so_it_is_for_flows(opened, family_folder, tmp_path, name):
    options = {} if name in FLOW else FLOW_SIGMAS
    written = {f"scheduler.{key}": value for key, value in options.items()}
    config = composed(family_folder("sd3"), tmp_path, {"scheduler.class": name, **written})
    assert refused(config) == []
    assert_kept_the_same(opened("sd3"), name, options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("DPMSolverSinglestepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("SASolverScheduler", {"use_karras_sigmas": True}),
    ],
)
def test_so_it_is_with_noise_of_the_steps(opened, name, options):
    assert_kept_the_same(opened("sd1"), name, options)


def test_a_brownian_motion_is_the_frames_own(opened):
    wanted("DPMSolverSDEScheduler")
    diffusion = with_scheduler(opened("sd1"), "DPMSolverSDEScheduler", {})
    walked, other = render(diffusion, FIRST, replace(FIRST, seeds=((5, 1.0),)))
    assert not np.array_equal(walked, other)


def test_what_a_class_lacks_is_said(tiny_sd1, tmp_path, monkeypatch):
    monkeypatch.setattr("render.models.scheduler_signatures.find_spec", lambda name: None)
    (line,) = refused(composed(tiny_sd1, tmp_path, {"scheduler.class": "DPMSolverSDEScheduler"}))
    assert line.endswith("needs torchsde, which is not here: pip install torchsde")


def with_own(folder, tmp_path, class_name, **written):
    """A copy of a model's folder with another scheduler of its own."""
    copy = shutil.copytree(folder, tmp_path / "model")
    index = json.loads((copy / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", class_name]
    (copy / "model_index.json").write_text(json.dumps(index))
    content = json.dumps({"_class_name": class_name, **written})
    (copy / "scheduler" / "scheduler_config.json").write_text(content)
    return copy


def test_a_models_own_scheduler_of_another_task_is_refused(tiny_sd1, tmp_path):
    folder = with_own(tiny_sd1, tmp_path, "RePaintScheduler")
    (line,) = refused(composed(folder, tmp_path))
    assert line.startswith(f"{folder}/model_index.json: RePaintScheduler is for inpainting")
    assert refused(composed(folder, tmp_path, {"scheduler.class": "DDIMScheduler"})) == []


@pytest.mark.parametrize("name", ["RePaintScheduler", "HeliosScheduler", "DDPMWuerstchenScheduler"])
def test_the_command_line_refuses_it_in_the_plan(place, name):
    before = place.tree()
    ended = place.render("+timeline=t", "mode=plan", f"scheduler.class={name}")
    assert ended.code == 2
    assert f"scheduler.class: {name} is for " in ended.err
    assert place.tree() == before


@pytest.mark.parametrize("name", ["DEISMultistepScheduler", "KDPM2DiscreteScheduler"])
def test_a_class_in_place_of_a_choice_is_refused_with_its_place(place, name):
    ended = place.render("+timeline=t", "mode=plan", f"scheduler={name}")
    assert ended.code == 2
    assert f"scheduler.class={name}" in ended.err
    assert place.render("+timeline=t", "mode=plan", f"scheduler.class={name}").code == 0


def test_other_unknown_choices_name_the_key_for_classes(place):
    ended = place.render("+timeline=t", "mode=plan", "scheduler=deis")
    assert ended.code == 2
    assert "scheduler.class=" in ended.err


# --- what a model's own scheduler is made of -----------------------------------------------------

BARE = [
    ("sd1", "PNDMScheduler", {**BETAS, "skip_prk_steps": True, "clip_sample": False}),
    ("sd1", "PNDMScheduler", BETAS),
    ("sd1", "DDIMScheduler", {**BETAS, "clip_sample": False}),
    ("sd1", "DDIMScheduler", {}),
    ("sd1", "DDIMScheduler", {**BETAS, "clip_sample": True, "steps_offset": 0}),
    ("sd1", "EulerDiscreteScheduler", {**BETAS, "timestep_spacing": "leading"}),
    ("sdxl", "DDIMScheduler", {}),
    ("sdxl", "DDIMScheduler", {**BETAS, "set_alpha_to_one": False}),
    ("sdxl", "PNDMScheduler", BETAS),
    ("sdxl", "DDPMScheduler", {**BETAS, "steps_offset": 1}),
    ("pixart", "DDIMScheduler", {}),
]
STEPS = 5


def stock_picture(folder, family, side):
    """The stock pipeline's picture of `FIRST`'s text and seed, as the folder is."""
    kind = getattr(diffusers, family.pipeline)
    pipeline = kind.from_pretrained(folder, use_safetensors=True, **family.loading)
    pipeline.set_progress_bar_config(disable=True)
    given = {k: v for k, v in family.call.items() if k != "guidance_scale"}
    given |= {"num_inference_steps": STEPS, "height": side, "width": side}
    given["negative_prompt"] = None if "XL" in family.pipeline else ""
    generator = torch.Generator("cpu").manual_seed(1)
    picture = pipeline("a castle", guidance_scale=4.0, generator=generator, **given).images[0]
    return np.asarray(picture)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # stock pipelines warn of old configs
@pytest.mark.parametrize(("name", "own", "written"), BARE)
def test_a_json_that_leaves_values_out_gives_the_stock_pipelines_picture(
    tiny_sd1, family_folder, tmp_path, name, own, written
):
    source = tiny_sd1 if name == "sd1" else family_folder(name)
    side = SIDE if name == "sd1" else SIDES.get(name, FAMILY_SIDE)
    folder = with_own(source, tmp_path, own, **written)
    changes = {"model.steps": STEPS, "output.width": side, "output.height": side}
    film = open_film(composed(folder, tmp_path, changes), "", str)
    diffusion = open_diffusion(film.model.source, film.plan.recipe, "cpu", 1)
    spec = replace(FIRST, guidance=4.0)
    (ours,) = render(diffusion, spec)
    stock = stock_picture(folder, film.model.family, side)
    assert np.abs(ours.astype(int) - stock).max() <= 1
    alone = [replace(film.plan.frames[0], spec=spec)]
    verdicts = [replace(v, frame=alone[0]) for v in survey(film, film.plan.frames[:1])]
    assert missing_frames(verdicts) == alone
    assert summarise(film, verdicts).rows == diffusion.rows


def test_frames_of_a_json_that_left_out_what_counts_have_another_digest(tiny_sd1, tmp_path):
    whole = {**BETAS, "clip_sample": False, "skip_prk_steps": True, "steps_offset": 1}
    sd1 = FAMILIES["StableDiffusionPipeline"]
    sdxl = FAMILIES["StableDiffusionXLPipeline"]
    assert filled_in("PNDMScheduler", whole, {}, sd1) == {}
    assert filled_in("PNDMScheduler", BETAS, {}, sd1) == {
        "skip_prk_steps": False,
        "steps_offset": 1,
    }
    assert filled_in("PNDMScheduler", BETAS, {"skip_prk_steps": True}, sdxl) == {}
    assert filled_in("DDIMScheduler", BETAS, {}, sdxl) == {"clip_sample": True}
    assert filled_in("DDIMScheduler", BETAS, {}, sd1) == {"steps_offset": 1}
    assert filled_in("EulerDiscreteScheduler", BETAS, {}, sd1) == {}
    digests = set()
    for place, written in enumerate([whole, BETAS]):
        folder = with_own(tiny_sd1, tmp_path / str(place), "PNDMScheduler", **written)
        digests.add(open_film(composed(folder, tmp_path), "", str).plan.frames[0].digest)
    assert len(digests) == 2


def test_options_win_over_what_is_put_right():
    own = diffusers.DDIMScheduler(**BETAS)
    recipe = Recipe("tiny", "model", {"steps_offset": 0}, 4, 64, 64, "float32", "noise")
    assert make_scheduler(own, recipe).config.steps_offset == 0


@pytest.mark.parametrize(
    ("version", "sample_size", "width", "height"),
    [
        ("0.8.1", 8, 512, 512),
        ("0.6.0.dev0", 32, 512, 512),
        ("0.8.0", 96, 768, 768),
        ("0.9.0", 32, 256, 256),
        ("0.42.1", 32, 256, 256),
        (None, 32, 256, 256),
        ("0.8.1", [48, 32], 256, 384),
    ],
)
def test_a_unet_saved_before_0_9_has_the_size_that_its_pipeline_gives_it(
    tiny_sd1, tmp_path, version, sample_size, width, height
):
    folder = shutil.copytree(tiny_sd1, tmp_path / "model")
    path = folder / "unet" / "config.json"
    unet = {**json.loads(path.read_text()), "sample_size": sample_size}
    unet.pop("_diffusers_version")
    path.write_text(json.dumps(unet | ({"_diffusers_version": version} if version else {})))
    written = {"name": "tiny", "path": folder, "steps": 4, "guidance": 3.0}
    model = resolve_model(ModelConfig.model_validate(written), {}, folder)
    assert (model.width, model.height) == (width, height)


def test_the_class_is_the_indexs_whatever_the_json_says(tiny_sd1, tmp_path):
    folder = with_own(tiny_sd1, tmp_path, "DDIMScheduler", **BETAS)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**BETAS, "_class_name": "PNDMScheduler"}))
    film = open_film(composed(folder, tmp_path), "", str)
    assert film.scheduler == "DDIMScheduler"


# --- values --------------------------------------------------------------------------------------

WRONG = [
    ("lms", {"timestep_spacing": "foo"}, "timestep_spacing", "known: leading, linspace, trailing"),
    ("ddim", {"timestep_spacing": "trailling"}, "timestep_spacing", "did you mean 'trailing'"),
    ("pndm", {"prediction_type": "v"}, "prediction_type", "v_prediction"),
    ("dpmpp_2m", {"use_karras_sigmas": True, "use_beta_sigmas": True}, "use_beta_sigmas",
     "beside use_exponential_sigmas=false and use_karras_sigmas=true"),
    ("euler", {"use_karras_sigmas": True, "use_exponential_sigmas": True},
     "use_exponential_sigmas", "does not work with use_exponential_sigmas=true beside"),
    ("dpmpp_2m", {"algorithm_type": "dpmsolver"}, "algorithm_type", "final_sigmas_type=zero"),
    ("dpmpp_2m", {"solver_type": "odd"}, "solver_type", "known: bh1, bh2, heun"),
    ("dpmpp_2m", {"solver_type": "bh1"}, "solver_type", "takes another value in place of"),
    ("heun", {"beta_schedule": "cubic"}, "beta_schedule", "scaled_linear"),
    ("unipc", {"shift_terminal": 0.1}, "shift_terminal", "use_flow_sigmas=false"),
    ("unipc", {"solver_type": "bh1"}, "solver_type", "gives no finite picture"),
    ("lcm", {"steps": 60}, "steps", "does not work with steps=60 and original_steps=50"),
    ("ddim", {"num_train_timesteps": 3}, "num_train_timesteps", "steps=4"),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "options", "key", "said"), WRONG)
def test_values_that_a_class_refuses_are_reported_in_the_plan(place, choice, options, key, said):
    before = place.tree()
    written = [f"scheduler.{name}={value}" for name, value in options.items()]
    chosen = ["mode=plan", "model.steps=4", f"scheduler={choice}"]
    ended = place.render("+timeline=t", *chosen, *written)
    assert ended.code == 2, ended.out
    (line,) = [text for text in ended.err.splitlines() if "scheduler" in text]
    assert f"scheduler.{key}: " in line
    assert said in line
    assert place.tree() == before


def test_a_models_own_json_with_such_a_value_is_named(tiny_sd1, tmp_path):
    folder = with_own(tiny_sd1, tmp_path, "DDIMScheduler", **BETAS, timestep_spacing="foo")
    (line,) = refused(composed(folder, tmp_path))
    assert line.startswith(f"{folder}/scheduler/scheduler_config.json: timestep_spacing: 'foo'")
    mended = {"scheduler.timestep_spacing": "leading"}
    assert refused(composed(folder, tmp_path, mended)) == []


@pytest.mark.parametrize("name", sorted(NOISE | FLOW))
def test_the_usual_values_are_right(tiny_sd1, family_folder, tmp_path, name):
    wanted(name)
    folder = tiny_sd1 if name in NOISE else family_folder("sd3")
    assert refused(composed(folder, tmp_path, {"scheduler.class": name})) == []
