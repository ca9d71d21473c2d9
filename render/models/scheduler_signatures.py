"""Which of diffusers' scheduler classes serve here, what they are made of, and what they refuse.

Without torch: scheduler_sources.py reads the classes' source.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from render.config.values import nearest, shown
from render.errors import Mistake
from render.models.family import Family
from render.models.scheduler_sources import defaults, signature

# Schedulers that add noise at every step: with a seed walk their frames flicker or jump.
STOCHASTIC = frozenset(
    {
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "DPMSolverSDEScheduler",
        "EulerAncestralDiscreteScheduler",
        "FlowMatchLCMScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "LCMScheduler",
        "SASolverScheduler",
        "TCDScheduler",
    }
)
NOISE = frozenset(
    {
        "DDIMParallelScheduler",
        "DDIMScheduler",
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSDEScheduler",
        "DPMSolverSinglestepScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "LCMScheduler",
        "LMSDiscreteScheduler",
        "PNDMScheduler",
        "SASolverScheduler",
        "TCDScheduler",
        "UniPCMultistepScheduler",
    }
)
"""Classes for models that predict noise (or v); some serve flows too, with `use_flow_sigmas`."""
FLOW = frozenset(
    {
        "FlowMatchEulerDiscreteScheduler",
        "FlowMatchHeunDiscreteScheduler",
        "FlowMatchLCMScheduler",
    }
)
ELSEWHERE = {
    "AmusedScheduler": "models of tokens (aMUSEd)",
    "BlockRefinementScheduler": "models of text",
    "CMStochasticIterativeScheduler": "consistency models of pixels",
    "CogVideoXDDIMScheduler": "CogVideoX",
    "CogVideoXDPMScheduler": "CogVideoX",
    "ConsistencyDecoderScheduler": "the consistency decoder",
    "CosineDPMSolverMultistepScheduler": "Stable Audio",
    "DDIMInverseScheduler": "the way from a picture back to its noise",
    "DDPMWuerstchenScheduler": "Wuerstchen and Stable Cascade",
    "DPMSolverMultistepInverseScheduler": "the way from a picture back to its noise",
    "DiscreteDDIMScheduler": "models of tokens",
    "EDMDPMSolverMultistepScheduler": "models of the EDM formulation",
    "EDMEulerScheduler": "models of the EDM formulation",
    "EntropyBoundScheduler": "models of text",
    "FlowMapEulerDiscreteScheduler": "models that predict flow maps",
    "HeliosDMDScheduler": "Helios",
    "HeliosScheduler": "Helios",
    "IPNDMScheduler": "Dance Diffusion",
    "KarrasVeScheduler": "models of the variance-exploding kind",
    "LTXEulerAncestralRFScheduler": "LTX-Video",
    "MiniMaxH3Scheduler": "MiniMax",
    "PiflowScheduler": "models that predict policies (pi-Flow)",
    "RFD4ProteinaScheduler": "proteins",
    "RePaintScheduler": "inpainting (RePaint)",
    "SCMScheduler": "Sana Sprint",
    "ScoreSdeVeScheduler": "models of the variance-exploding kind",
    "ScoreSdeVpScheduler": "score models of pixels",
    "UnCLIPScheduler": "unCLIP",
    "VQDiffusionScheduler": "models of tokens (VQ Diffusion)",
}
"""Classes of diffusers for other tasks, and for which."""
PACKAGES = {"DPMSolverSDEScheduler": "torchsde"}
"""The package that a class needs beside diffusers."""
LATENT_DEFAULTS = {"clip_sample": False, "skip_prk_steps": True}
"""Settings that every latent diffusion model has and diffusers' defaults, made for pixels, have
not; for a class that the model does not come with."""
METHOD_KEYS = frozenset({"algorithm_type", "solver_type"})
"""Settings of one solver that mean nothing to another, though diffusers would hand them on."""
FLOW_SETTINGS = (True, "flow_prediction")
PLAIN_TYPES: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "int": int,
    "float": (int, float),
    "str": str,
}
TYPES = {
    "None": "null",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
}
"""Python's names of types in words."""


def is_stochastic(class_name: str, options: Mapping[str, object]) -> bool:
    """Whether the scheduler draws noise of its own at every step."""
    sde = str(options.get("algorithm_type", "")).startswith("sde-")
    return class_name in STOCHASTIC or sde or bool(options.get("stochastic_sampling"))


def is_flow(class_name: str, settings: Mapping[str, object]) -> bool:
    """Whether the scheduler, with its settings, is for models that predict a flow."""
    if class_name.startswith("FlowMatch"):
        return True
    made_so = settings.get("use_flow_sigmas"), settings.get("prediction_type")
    return "use_flow_sigmas" in (signature(class_name) or {}) and made_so == FLOW_SETTINGS


def kind_flaw(class_name: str, settings: Mapping[str, object], family: Family) -> str | None:
    """Why a scheduler can't serve a model of a family, with the way out, or None."""
    takes = signature(class_name) or {}
    if is_flow(class_name, settings) and not family.flow:
        way = "use scheduler=model, euler or dpmpp_2m"
        return f"{class_name} is for models that predict a flow and this one does not; {way}"
    if family.flow and not is_flow(class_name, settings):
        settings_known = " scheduler.use_flow_sigmas=true scheduler.prediction_type=flow_prediction"
        way = f", or add{settings_known}" if "use_flow_sigmas" in takes else ""
        return (
            f"{class_name} is for models that predict noise and this one ({family.pipeline}) "
            f"predicts a flow; use scheduler=model, flow_euler or flow_lcm{way}"
        )
    handed = family.sigmas == "always" or (
        family.sigmas == "unless_flow_sigmas" and not settings.get("use_flow_sigmas")
    )
    if handed and "sigmas" not in (signature(class_name, "set_timesteps") or {}):
        return (
            f"{class_name} takes no sigmas, which {family.pipeline} hands its scheduler; use "
            "scheduler=model, flow_euler or flow_lcm"
        )
    return None


def noising_flaw(class_name: str, family: Family) -> str | None:
    """Why frames can't start from pictures with a scheduler, with the way out, or None."""
    if signature(class_name, "scale_noise" if family.flow else "add_noise"):
        return None
    way = "scheduler=model or flow_euler" if family.flow else "scheduler=model, euler or dpmpp_2m"
    return f"{class_name} can't noise the pictures that keyframes name; use {way}"


# --- which class ---------------------------------------------------------------------------------


def class_flaw(class_name: str) -> str | None:
    """Why a scheduler class can't be used here, with the way out, or None."""
    if class_name in ELSEWHERE:
        way = "use scheduler=model, or a class that docs/models.md names"
        return f"{class_name} is for {ELSEWHERE[class_name]} and serves no model here; {way}"
    if signature(class_name) is None:
        near = nearest_class(class_name)
        way = f"did you mean {near}?" if near else "docs/models.md names those that serve"
        return f"diffusers has no scheduler {class_name!r}; {way}"
    if class_name not in NOISE | FLOW:
        way = f"these are: {', '.join(sorted(NOISE | FLOW))}"
        return f"{class_name} is not known to keep a frame's picture the same in any batch; {way}"
    package = PACKAGES.get(class_name)
    if package and find_spec(package) is None:
        return f"{class_name} needs {package}, which is not here: pip install {package}"
    return None


def nearest_class(name: str) -> str | None:
    """The class that a wrong name may mean, by what stands before `Scheduler`."""
    stems = {known.removesuffix("Scheduler").lower(): known for known in sorted(NOISE | FLOW)}
    wrong = name.removesuffix("Scheduler").lower()
    near = difflib.get_close_matches(wrong, stems, 1, 0.7)
    begun = [known for stem, known in stems.items() if wrong and stem.startswith(wrong)]
    return next((stems[stem] for stem in near), begun[0] if begun else None)


# --- what a scheduler is made of -----------------------------------------------------------------


def settings(
    class_name: str,
    own_class: str | None,
    own: Mapping[str, Any],
    options: Mapping[str, Any],
    family: Family,
) -> dict[str, Any]:
    """All settings of the scheduler that a run makes, as pipeline.make_scheduler makes it.

    Args:
        own_class: of the model's own scheduler; None if it is not on this machine yet.
        own: its JSON.
        options: what the config sets.
    """
    usual = defaults(class_name)
    settings_known = {
        key: value for key, value in own.items() if key in (signature(class_name) or {})
    }
    if class_name == own_class:
        made = usual | settings_known
        return made | dict(family.settled(made)) | dict(options)
    settings_known = {key: value for key, value in settings_known.items() if key not in METHOD_KEYS}
    settings_known |= {
        key: value for key, value in family.settled(settings_known).items() if key in settings_known
    }
    latents = {key: value for key, value in LATENT_DEFAULTS.items() if key in usual}
    return usual | latents | settings_known | dict(options)


def filled_in(
    own_class: str, own: Mapping[str, Any], options: Mapping[str, Any], family: Family
) -> dict[str, Any]:
    """Settings that the JSON of the model's own scheduler leaves out and that its stock pipeline
    fills in otherwise than other latent diffusion models do, where that shows in the picture.

    It stands in the recipe, so that these frames are not taken for those of a JSON that says so.
    """
    made = settings(own_class, own_class, own, options, family)
    usual = defaults(own_class) | LATENT_DEFAULTS
    left_out = {"clip_sample", "skip_prk_steps", "steps_offset"} - {*own, *options}
    if made.get("timestep_spacing") != "leading":
        left_out.discard("steps_offset")
    return {key: made[key] for key in sorted(left_out) if key in made and made[key] != usual[key]}


# --- options -------------------------------------------------------------------------------------


def mistakes_in_options(class_name: str, options: Mapping[str, object]) -> list[Mistake]:
    """Options that the class does not take, or takes as another type; and an unknown class."""
    known = signature(class_name)
    if known and "shift_terminal" in known:
        known = {**known, "shift_terminal": "float | None"}  # UniPC's source says bool
    if known is None:
        return [Mistake("scheduler.class", str(class_flaw(class_name)))]
    found = []
    for key, value in options.items():
        if key not in known:
            what = f"{class_name} has no such option{nearest(key, list(known))}"
            found.append(Mistake(f"scheduler.{key}", what))
        elif not fits(value, known[key]):
            what = f"{value!r} does not fit; {class_name} takes {spoken(known[key])}"
            found.append(Mistake(f"scheduler.{key}", what))
    return found


def spoken(annotation: str) -> str:
    """A type in words, as far as there are some."""
    return " or ".join(TYPES.get(part.strip(), part.strip()) for part in annotation.split("|"))


def mistakes_in_json(path: str, class_name: str, own: Mapping[str, Any]) -> list[Mistake]:
    """Settings in a model's own JSON that can't be what the class takes, as a text in place of a
    number; shades that diffusers reads all the same (1.0 for 1, 1 for true) are none.

    Args:
        path: of the JSON.
        class_name: of the scheduler that takes them over.
    """
    usual, found = defaults(class_name), []
    for key, annotation in (signature(class_name) or {}).items():
        if key in own and not could_be(own[key], annotation, usual.get(key)):
            what = f"{key}: {shown(own[key])} does not fit; {class_name} takes {annotation}"
            found.append(Mistake(path, f"{what}; mend it, or download the file again"))
    return found


def could_be(value: object, annotation: str, usual: object) -> bool:
    """Whether a value of a JSON can serve for an annotation, whose default is given."""
    numbers = re.search(r"\b(int|float)\b", annotation) and "list" not in annotation
    if value is None:
        return usual is None or not numbers
    if re.search("str|Literal", annotation) and not re.search(r"bool|int|float|list", annotation):
        return isinstance(value, str)
    if isinstance(value, list):
        usable = all(isinstance(part, int | float) for part in value) or "float" not in annotation
        return usable and fits(value, annotation)
    if isinstance(value, bool | int) and re.search(r"\b(bool|int|float)\b", annotation):
        return True
    if isinstance(value, float) and value.is_integer():
        return fits(int(value), annotation) or fits(value, annotation)
    return fits(value, annotation)


def fits(value: object, annotation: str) -> bool:
    """Whether a value suits an annotation made of plain types, or may suit another; a text suits
    none that does not speak of texts."""
    if isinstance(value, str) and annotation and not re.search("str|Literal", annotation):
        return False
    parts = [part.strip() for part in annotation.removeprefix("Optional[").rstrip("]").split("|")]
    if any(part not in PLAIN_TYPES and part != "None" for part in parts):
        return True
    if value is None:
        return "None" in parts or annotation.startswith("Optional")
    if isinstance(value, bool):
        return "bool" in parts
    return any(isinstance(value, PLAIN_TYPES[part]) for part in parts if part in PLAIN_TYPES)
