"""Schedulers' options, read from diffusers' source, are those of the real classes."""

import inspect

import diffusers
import pytest
import torch

from render.models.scheduler_signatures import (
    FLOW,
    NOISE,
    PACKAGES,
    STOCHASTIC,
    fits,
    is_stochastic,
    mistakes_in_options,
)
from render.models.scheduler_sources import signature

# diffusers hands tensors to numpy in ways that numpy 2 asks torch to change

OFFERED = [
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "UniPCMultistepScheduler",
]


@pytest.mark.parametrize("name", OFFERED)
def test_a_signature_is_the_real_classs(name):
    real = list(inspect.signature(getattr(diffusers, name).__init__).parameters)
    assert list(signature(name)) == real[1:]


@pytest.mark.parametrize("name", OFFERED)
def test_the_real_defaults_fit_their_own_annotations(name):
    parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    assert len(defaults) > 4
    assert mistakes_in_options(name, defaults) == []


@pytest.mark.parametrize("name", ["OddScheduler", "DDIMSchedulerOutput", "SchedulerMixin", "", "."])
def test_what_is_no_scheduler_is_refused_by_name(name):
    (mistake,) = mistakes_in_options(name, {})
    expected = f"scheduler.class: diffusers has no scheduler {name!r}; "
    assert str(mistake) == f"{expected}docs/models.md names those that serve"


def test_a_class_that_is_spelled_wrong_is_reported_with_the_nearest():
    (mistake,) = mistakes_in_options("DEISMultstepScheduler", {})
    assert str(mistake).endswith("; did you mean DEISMultistepScheduler?")


def test_an_unknown_option_is_reported_with_the_nearest():
    (mistake,) = mistakes_in_options("LMSDiscreteScheduler", {"use_karas_sigmas": True})
    assert str(mistake) == (
        "scheduler.use_karas_sigmas: LMSDiscreteScheduler has no such option; did you mean "
        "'use_karras_sigmas'?"
    )


def test_an_option_of_another_type_is_reported():
    (mistake,) = mistakes_in_options("LMSDiscreteScheduler", {"use_karras_sigmas": "yes"})
    assert str(mistake) == (
        "scheduler.use_karras_sigmas: 'yes' does not fit; LMSDiscreteScheduler takes true or false"
    )


def test_all_mistakes_are_reported():
    options = {"beta_start": "low", "num_train_timesteps": 1.5, "x": 1, "beta_end": 0.02}
    assert [m.where for m in mistakes_in_options("DDIMScheduler", options)] == [
        "scheduler.beta_start",
        "scheduler.num_train_timesteps",
        "scheduler.x",
    ]


@pytest.mark.parametrize(
    ("value", "annotation", "right"),
    [
        (1, "int", True),
        (1, "float", True),
        (1.5, "int", False),
        (True, "int", False),
        (True, "bool | None", True),
        (None, "bool | None", True),
        (None, "Optional[bool]", True),
        (None, "bool", False),
        ("x", "Optional[str]", True),
        (3, "Optional[str]", False),
        ([1, 2], "Optional[Union[np.ndarray, List[float]]]", True),
        ("x", "Literal['x', 'y']", True),
        (3, "", True),
    ],
)
def test_values_and_annotations(value, annotation, right):
    assert fits(value, annotation) is right


def test_every_scheduler_called_stochastic_is_one_of_diffusers():
    missing = STOCHASTIC - {name for name in STOCHASTIC if signature(name)}
    assert missing == set()


@pytest.mark.filterwarnings("ignore:The `scale_model_input`")
@pytest.mark.parametrize("name", sorted((NOISE | FLOW) - PACKAGES.keys()))
def test_whatever_draws_noise_is_called_stochastic(name):
    scheduler = getattr(diffusers, name)()
    scheduler.set_timesteps(4)
    generator = torch.Generator().manual_seed(1)
    takes = inspect.signature(scheduler.step).parameters
    given = {"generator": generator} if "generator" in takes else {}
    latents = torch.zeros(1, 4, 8, 8)
    for time in scheduler.timesteps[:3]:
        latents = scheduler.step(torch.zeros_like(latents), time, latents, **given).prev_sample
    drawn = not torch.equal(generator.get_state(), torch.Generator().manual_seed(1).get_state())
    assert is_stochastic(name, {}) == drawn


def test_noise_of_its_own():
    assert is_stochastic("EulerAncestralDiscreteScheduler", {})
    assert not is_stochastic("EulerDiscreteScheduler", {})
    sde = {"algorithm_type": "sde-dpmsolver++"}
    assert is_stochastic("DPMSolverMultistepScheduler", sde)
    assert not is_stochastic("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"})
