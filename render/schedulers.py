"""What a diffusers scheduler class accepts, read from its source: a plan never imports torch."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from render.errors import Mistake
from render.families import Family
from render.values import nearest

# Schedulers that add noise at every step: with a seed walk their frames flicker or jump.
STOCHASTIC = frozenset(
    {
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
FLOW_SETTINGS = (True, "flow_prediction")
PLAIN_TYPES: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "int": int,
    "float": (int, float),
    "str": str,
}


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


def kind_mistake(class_name: str, settings: Mapping[str, object], family: Family) -> str | None:
    """Why a scheduler can't serve a model of a family, with the way out, or None."""
    takes = signature(class_name) or {}
    if is_flow(class_name, settings) and not family.flow:
        way = "use scheduler=model, euler or dpmpp_2m"
        return f"{class_name} is for models that predict a flow and this one does not; {way}"
    if family.flow and not is_flow(class_name, settings):
        told = " scheduler.use_flow_sigmas=true scheduler.prediction_type=flow_prediction"
        way = f", or add{told}" if "use_flow_sigmas" in takes else ""
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


def noising_mistake(class_name: str, family: Family) -> str | None:
    """Why frames can't start from pictures with a scheduler, with the way out, or None."""
    if signature(class_name, "scale_noise" if family.flow else "add_noise"):
        return None
    way = "scheduler=model or flow_euler" if family.flow else "scheduler=model, euler or dpmpp_2m"
    return f"{class_name} can't noise the pictures that keyframes name; use {way}"


@cache
def signature(class_name: str, method: str = "__init__") -> dict[str, str] | None:
    """Name and annotation of everything a class's method takes, or None: no such class."""
    found = importlib.util.find_spec("diffusers")
    folder = Path(found.origin).parent / "schedulers" if found and found.origin else Path()
    for source in sorted(folder.glob("scheduling_*.py")):
        text = source.read_text(encoding="utf-8")
        if f"class {class_name}(SchedulerMixin" in text:
            return arguments_of(ast.parse(text), class_name, method)
    return None


def arguments_of(module: ast.Module, class_name: str, method: str) -> dict[str, str]:
    """The arguments of one class's method in a parsed module."""
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == method:
                    given = item.args.args[1:] + item.args.kwonlyargs
                    return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in given}
    return {}


def option_mistakes(class_name: str, options: Mapping[str, object]) -> list[Mistake]:
    """Options that the class does not take, or takes as another type; and an unknown class."""
    known = signature(class_name)
    if known is None:
        return [Mistake("scheduler.class", f"diffusers has no scheduler {class_name!r}")]
    found = []
    for key, value in options.items():
        if key not in known:
            what = f"{class_name} has no such option{nearest(key, list(known))}"
            found.append(Mistake(f"scheduler.{key}", what))
        elif not fits(value, known[key]):
            what = f"{value!r} does not fit; {class_name} takes {known[key]}"
            found.append(Mistake(f"scheduler.{key}", what))
    return found


def fits(value: object, annotation: str) -> bool:
    """Whether a value suits an annotation made of plain types; others are left to diffusers."""
    parts = [part.strip() for part in annotation.removeprefix("Optional[").rstrip("]").split("|")]
    if any(part not in PLAIN_TYPES and part != "None" for part in parts):
        return True
    if value is None:
        return "None" in parts or annotation.startswith("Optional")
    if isinstance(value, bool):
        return "bool" in parts
    return any(isinstance(value, PLAIN_TYPES[part]) for part in parts if part in PLAIN_TYPES)
