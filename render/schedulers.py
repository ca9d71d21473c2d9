"""What a diffusers scheduler class accepts, read from its source: a plan never imports torch."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from render.errors import Mistake
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
PLAIN_TYPES: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "int": int,
    "float": (int, float),
    "str": str,
}


def is_stochastic(class_name: str, options: Mapping[str, object]) -> bool:
    """Whether the scheduler draws noise of its own at every step."""
    return class_name in STOCHASTIC or str(options.get("algorithm_type", "")).startswith("sde-")


@cache
def signature(class_name: str) -> dict[str, str] | None:
    """Name and annotation of everything the class's `__init__` takes, or None: no such class."""
    found = importlib.util.find_spec("diffusers")
    folder = Path(found.origin).parent / "schedulers" if found and found.origin else Path()
    for source in sorted(folder.glob("scheduling_*.py")):
        text = source.read_text(encoding="utf-8")
        if f"class {class_name}(SchedulerMixin" in text:
            return init_arguments(ast.parse(text), class_name)
    return None


def init_arguments(module: ast.Module, class_name: str) -> dict[str, str]:
    """The arguments of one class's `__init__` in a parsed module."""
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
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
