"""Settings of a scheduler that its class refuses, or that change nothing in its place.

Found when the film is planned: the class's source is followed (scheduler_sources.py), torch is not
loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from render.config.values import nearest, shown
from render.errors import Mistake
from render.models.family import Family
from render.models.scheduler_sources import choices, defaults, method, refusal

DYNAMIC = ("use_dynamic_shifting", True)
OF_NOISE = ("use_flow_sigmas", False)
NEEDS: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "base_image_seq_len": (DYNAMIC,),
    "base_shift": (DYNAMIC,),
    "beta_end": (OF_NOISE, ("trained_betas", None)),
    "beta_schedule": (OF_NOISE, ("trained_betas", None)),
    "beta_start": (OF_NOISE, ("trained_betas", None)),
    "clip_sample_range": (("clip_sample", True),),
    "dynamic_thresholding_ratio": (("thresholding", True),),
    "euler_at_final": (("final_sigmas_type", "sigma_min"),),
    "flow_shift": (("use_flow_sigmas", True), ("use_dynamic_shifting", False)),
    "lambda_min_clipped": (OF_NOISE,),
    "max_image_seq_len": (DYNAMIC,),
    "max_shift": (DYNAMIC,),
    "rescale_betas_zero_snr": (OF_NOISE,),
    "sample_max_value": (("thresholding", True),),
    "shift": (("use_dynamic_shifting", False),),
    "steps_offset": (OF_NOISE, ("timestep_spacing", "leading")),
    "time_shift_type": (DYNAMIC,),
    "timestep_spacing": (OF_NOISE,),
    "timestep_type": (("prediction_type", "v_prediction"),),
    "trained_betas": (OF_NOISE,),
}
"""Settings that have an effect only beside others, in all classes that take both."""
UNREAD: Mapping[str, frozenset[str]] = {
    "DPMSolverMultistepScheduler": frozenset({"variance_type"}),
    "DPMSolverSDEScheduler": frozenset({"noise_sampler_seed"}),
    "DPMSolverSinglestepScheduler": frozenset({"variance_type"}),
    "FlowMatchLCMScheduler": frozenset({"scale_factors", "upscale_mode"}),
    "LCMScheduler": frozenset({"set_alpha_to_one", "steps_offset"}),
    "SASolverScheduler": frozenset({"tau_func", "variance_type"}),
    "TCDScheduler": frozenset(
        {
            *("clip_sample", "clip_sample_range", "dynamic_thresholding_ratio"),
            *("sample_max_value", "set_alpha_to_one", "steps_offset", "thresholding"),
            "timestep_scaling",
        }
    ),
    "UniPCMultistepScheduler": frozenset({"solver_p"}),
}
"""Settings that a class takes and does not read, or that are of no use to any model here."""
NOISE_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
"""Spacings that replace the usual one. Those below have an effect beside one of them only."""
OF_NOISE_SIGMAS = frozenset({"sigma_max", "sigma_min"})
FLOWS, TO_ZERO = ("use_flow_sigmas", True), ("final_sigmas_type", "zero")
SPACED = dict.fromkeys((*NOISE_SIGMAS, "use_lu_lambdas"), (True, FLOWS))
OF_EPSILON = {"rescale_betas_zero_snr": (True, ("prediction_type", "epsilon"))}
LARGE_LOG = {"variance_type": ("fixed_large_log", ("variance_type", "fixed_large_log"))}
COSINE = {"beta_schedule": ("squaredcos_cap_v2", ("beta_schedule", "squaredcos_cap_v2"))}
NOT_FINITE: Mapping[str, Mapping[str, tuple[Any, tuple[str, Any]]]] = {
    "DDPMParallelScheduler": LARGE_LOG,
    "DDPMScheduler": LARGE_LOG,
    "DEISMultistepScheduler": SPACED,
    "DPMSolverMultistepScheduler": SPACED,
    "DPMSolverSinglestepScheduler": SPACED,
    "KDPM2AncestralDiscreteScheduler": COSINE,
    "LCMScheduler": OF_EPSILON,
    "SASolverScheduler": SPACED,
    "TCDScheduler": OF_EPSILON,
    "UniPCMultistepScheduler": {
        "lower_order_final": (False, TO_ZERO),
        "predict_x0": (False, TO_ZERO),
        "solver_type": ("bh1", TO_ZERO),
        "use_beta_sigmas": (True, FLOWS),
        "use_exponential_sigmas": (True, FLOWS),
    },
}
"""By class and setting: a value, and the setting (it alone, perhaps) beside which it gives no
finite picture."""
BY_SETTINGS = frozenset({"base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift"})
"""Settings from which a pipeline computes the shift for the picture's size."""
FOLLOWED = ("__init__", "set_timesteps", "step", "convert_model_output")
"""Methods in which classes look at their settings."""
HANDED = frozenset({"device", "generator", "sample", "model_output", "timestep", "mu", "sigmas"})
"""Arguments whose values pipelines decide."""


class Made(NamedTuple):
    """A scheduler as a run makes it."""

    class_name: str
    settings: Mapping[str, Any]
    """All of them, the class's defaults too."""
    options: Mapping[str, Any]
    """Those that the config sets."""
    steps: int
    family: Family
    json: str = ""
    """Where the model's own settings stand."""
    known: bool = True
    """Whether the model's own settings are on this machine."""


def mistakes_in_values(made: Made) -> list[Mistake]:
    """Values that the class doesn't know, or refuses beside one another."""
    unknown = list(mistakes_in_texts(made))
    return (
        unknown
        or list(mistakes_in_combinations(made))
        or [*mistakes_in_divisions(made), *mistakes_in_variance(made)]
    )


def mistakes_in_variance(made: Made) -> Iterator[Mistake]:
    """A variance that the model would have to predict."""
    kind = made.options.get("variance_type")
    if str(kind).startswith("learned"):
        what = f"{kind}: no model here hands its scheduler a variance of its own; leave it out"
        yield Mistake("scheduler.variance_type", what)


def mistakes_in_divisions(made: Made) -> Iterator[Mistake]:
    """Values beside one another that give no finite picture."""
    for key, (value, (beside, its)) in NOT_FINITE.get(made.class_name, {}).items():
        written = key if key in made.options else beside
        both = made.settings.get(key) == value and made.settings.get(beside) == its
        if both and written in made.options:
            what = f"{made.class_name} gives no finite picture with {key}={as_written(value)}"
            others = f" beside {beside}={as_written(its)}" if beside != key else ""
            yield Mistake(f"scheduler.{written}", f"{what}{others}; use another value")


def mistakes_in_texts(made: Made) -> Iterator[Mistake]:
    """Texts that the class knows nothing of."""
    for key, value in made.settings.items():
        known = choices(made.class_name, key) if isinstance(value, str) else ()
        if not known or value in known:
            continue
        near = nearest(value, known)
        listed = "" if near.startswith("; known") else f" Known: {', '.join(known)}"
        what = f"{shown(value)} is not known to {made.class_name}{near}{listed}"
        if key in made.options:
            yield Mistake(f"scheduler.{key}", what)
        elif made.json:
            yield Mistake(made.json, f"{key}: {what}; set scheduler.{key}")


def mistakes_in_combinations(made: Made) -> Iterator[Mistake]:
    """Options that the class's own code refuses, or replaces with another value."""
    for name in FOLLOWED:
        found = method(made.class_name, name)
        if found is None:
            continue
        values = {**defaults(made.class_name, name), **made.settings}
        values = {key: value for key, value in values.items() if key not in HANDED}
        values |= {"num_inference_steps": made.steps, "mu": shift_handed(made)}
        values |= {f"self.{key}": value for key, value in made.settings.items()}
        refused = refusal(found.body, values)
        if refused is not None:
            yield from mistakes_in_refused(made, refused[1], values, refused[0])
            return


def shift_handed(made: Made) -> float | None:
    """A shift if the pipeline hands its scheduler one for the picture's size; 1 stands for any."""
    if made.family.mu == "dynamic":
        return 1.0 if made.settings.get("use_dynamic_shifting") else None
    return 1.0 if made.family.mu == "always" else None


def mistakes_in_refused(
    made: Made, names: frozenset[str], values: Mapping[str, Any], statement: ast.stmt
) -> Iterator[Mistake]:
    """A refusal in a line, at the option that led to it, else at the number of steps or in the
    model's own JSON."""
    written = sorted(names & set(made.options))
    of_steps = "num_inference_steps" in names
    if not (written or of_steps or made.json):
        return
    beside = {
        ("steps" if name == "num_inference_steps" else name): values[name]
        for name in sorted(names - set(written[:1]))
        if name in values and values[name] is not None
    }
    listed = " and ".join(f"{name}={as_written(value)}" for name, value in beside.items())
    own = f"{written[0]}={as_written(values[written[0]])}" if written else ""
    if isinstance(statement, ast.Expr):
        if written:
            what = f"{made.class_name} takes another value in place of {own}; leave it out"
            yield Mistake(f"scheduler.{written[0]}", what)
        return
    if written:
        what = f"{made.class_name} does not work with {own}" + (
            f" beside {listed}" if listed else ""
        )
        yield Mistake(f"scheduler.{written[0]}", f"{what}; change it or leave it out")
    elif of_steps:
        what = f"{made.class_name} does not work with {listed}; give another number of steps"
        yield Mistake("scheduler.steps", what)
    else:
        # A value that is null stands in no list; the names alone say where to look.
        named = listed or f"the values of {' and '.join(sorted(names & set(values)))}"
        what = f"{made.class_name} does not work with {named}; choose another: scheduler=euler"
        yield Mistake(made.json, what)


def as_written(value: object) -> str:
    """A value as the command line spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- settings that change nothing ----------------------------------------------------------------


def mistakes_in_idle_options(made: Made) -> Iterator[Mistake]:
    """Options that change no pixel where they stand."""
    for key in made.options:
        why = idle(made, key)
        if why:
            yield Mistake(f"scheduler.{key}", f"changes nothing here: {why}")


def idle(made: Made, key: str) -> str | None:
    """Why an option has no effect, with the way out, or None."""
    pipeline = made.family.pipeline
    if key in UNREAD.get(made.class_name, ()):
        return f"{made.class_name} makes no use of it; leave it out"
    if key in OF_NOISE_SIGMAS and not any(made.settings.get(name) for name in NOISE_SIGMAS):
        return f"it is for other spacings; leave it out, or add scheduler.{NOISE_SIGMAS[0]}=true"
    if key == "use_dynamic_shifting" and made.family.mu == "never":
        return f"{pipeline} hands its scheduler no shift for the picture's size; leave it out"
    if key in BY_SETTINGS and not made.family.mu_by_settings:
        return f"{pipeline} computes its shift from size and steps alone; leave it out"
    for gate, wanted in NEEDS.get(key, ()):
        known = made.known or gate in made.options
        if known and gate in made.settings and made.settings[gate] != wanted:
            now = as_written(made.settings[gate])
            way = f"leave it out, or set scheduler.{gate}={as_written(wanted)}"
            if wanted is None:
                way = f"leave it out, or leave scheduler.{gate} out"
            return f"{gate} is {now}; {way}"
    return None
