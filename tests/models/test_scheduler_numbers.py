"""Numbers in a scheduler's settings that can't be right end a plan, in the JSON and as options."""

import json

import pytest
from films import composed, write_model

from render.errors import ConfigError
from render.models.families import BUILT_IN
from render.models.scheduler_numbers import mistakes_in_numbers
from render.models.scheduler_sources import defaults
from render.models.scheduler_values import Made
from render.run.resolve import open_film

OWN = "scheduler/scheduler_config.json"
RIGHT = {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012}
RIGHT |= {"beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "steps_offset": 1}
DPM, DDPM = "DPMSolverMultistepScheduler", "DDPMScheduler"
EQUAL, TWICE = {"in_channels": 4, "out_channels": 4}, {"in_channels": 4, "out_channels": 8}


@pytest.fixture
def lines(tmp_path):
    """The lines by which a plan refuses a model with such a scheduler of its own."""
    folder = write_model(tmp_path / "model")

    def of(own=None, options=None, unet=EQUAL):
        written = {**RIGHT, **(own or {})}
        (folder / OWN).write_text(json.dumps(written))
        index = json.loads((folder / "model_index.json").read_text())
        index["scheduler"] = ["diffusers", written["_class_name"]]
        (folder / "model_index.json").write_text(json.dumps(index))
        (folder / "unet" / "config.json").write_text(json.dumps({"sample_size": 8, **unet}))
        changes = {f"scheduler.{key}": value for key, value in (options or {}).items()}
        try:
            open_film(composed(folder, tmp_path, changes), "", str)
        except ConfigError as error:
            return str(error).splitlines()
        return []

    return of


WRONG = [
    ({"num_train_timesteps": 1}, "num_train_timesteps", "1 is no number of timesteps to train at"),
    ({"num_train_timesteps": 0}, "num_train_timesteps", "0 is no number"),
    ({"trained_betas": [0.01] * 7}, "trained_betas", "has 7 numbers, and num_train_timesteps is"),
    ({"num_train_timesteps": 8, "trained_betas": [0.01] * 7 + [1.5]}, "trained_betas", "has 1.5"),
    ({"num_train_timesteps": 8, "trained_betas": [0.01] * 7 + [-1]}, "trained_betas", "has -1"),
    ({"beta_start": -0.1}, "beta_start", "-0.1 is no part of noise"),
    ({"beta_end": float("nan")}, "beta_end", "nan is no part of noise"),
    ({"_class_name": DPM, "solver_order": 0}, "solver_order", "0 is below 1"),
    ({"_class_name": "LCMScheduler", "original_inference_steps": 0}, "original_inference_steps",
     "0 is below 1"),
    ({"_class_name": "LCMScheduler", "original_inference_steps": 10**9}, "original_inference_steps",
     "1,000,000,000 is far more than"),
    ({"beta_end": 1}, "beta_end", "1 is no part of noise from 0 to below 1"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "key", "said"), WRONG)
def test_a_number_that_can_not_be_right_is_refused_where_it_stands(
    lines, tmp_path, written, key, said
):
    (line,) = lines(written)
    assert line.startswith(f"{tmp_path}/model/{OWN}: {key}: ")
    assert said in line
    assert f"mend it, or set scheduler.{key}" in line
    own = {"_class_name": written.get("_class_name", "DDIMScheduler")}
    options = {name: value for name, value in written.items() if name not in own}
    (line,) = lines(own, options)
    assert line.startswith(f"scheduler.{key}: ")
    assert said in line
    mended = defaults(own["_class_name"])[key]
    assert lines(written, {key: RIGHT.get(key, mended)}) == []


@pytest.mark.parametrize("offset", [-1, 1000])
def test_an_offset_beyond_the_timesteps_is_refused(lines, offset):
    """Stable Diffusion's pipeline puts right what its own JSON says of it."""
    (line,) = lines(options={"steps_offset": offset})
    assert line.startswith(f"scheduler.steps_offset: {offset} leads beyond the 1000 timesteps ")
    assert lines({"steps_offset": offset}) == []


@pytest.mark.parametrize("shift", [0, -3, float("nan")])
def test_a_shift_that_leaves_no_sigmas_is_refused(shift):
    def wrong(**more):
        settings = {**defaults("FlowMatchEulerDiscreteScheduler"), "shift": shift, **more}
        sd3 = BUILT_IN["StableDiffusion3Pipeline"]
        made = Made("FlowMatchEulerDiscreteScheduler", settings, {}, 4, sd3)
        return [str(mistake) for mistake in mistakes_in_numbers(made, "here.json")]

    (line,) = wrong()
    assert line.startswith(f"here.json: shift: {shift} is no factor of sigmas; it is a number")
    assert wrong(use_dynamic_shifting=True) == wrong(shift=3.0) == []


def test_timesteps_fewer_than_the_steps_are_refused_of_every_class(lines, tmp_path):
    """Some classes refuse it themselves; others paint with one timestep many times."""
    for name in ("EulerDiscreteScheduler", DPM, "LMSDiscreteScheduler", "DDIMScheduler"):
        (line,) = lines({"_class_name": name, "num_train_timesteps": 3})
        assert line.startswith(f"{tmp_path}/model/{OWN}: num_train_timesteps: 3 is fewer than the ")
        assert "(steps=4)" in line


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"num_train_timesteps": 4},
        {"beta_start": 0},
        {"steps_offset": 0},
        {"beta_end": 7, "beta_schedule": "squaredcos_cap_v2"},
        {"beta_end": 7, "num_train_timesteps": 8, "trained_betas": [0.01] * 8},
    ],
)
def test_numbers_that_are_right_or_are_not_read_pass(lines, written):
    assert lines(written) == []


@pytest.mark.parametrize(
    ("written", "unet", "wrong"),
    [
        ({"_class_name": DDPM}, EQUAL, True),
        ({"_class_name": DDPM}, TWICE, False),
        ({"_class_name": DDPM}, {}, False),
        ({"_class_name": DPM}, EQUAL, True),
        ({"_class_name": DPM, "prediction_type": "v_prediction"}, EQUAL, False),
        ({"_class_name": "DDIMScheduler"}, EQUAL, False),
    ],
)
def test_a_variance_that_no_denoiser_predicts_is_refused(lines, tmp_path, written, unet, wrong):
    found = lines({"variance_type": "learned_range", **written}, unet=unet)
    assert len(found) == wrong
    if wrong:
        assert found[0].startswith(f"{tmp_path}/model/{OWN}: variance_type: learned_range wants a")
        assert "predicts 4 channels" in found[0]
