"""A composed config, as a plain mapping, made into a `RunConfig`; or every mistake in it at once.

The mistakes that pydantic finds are reported in plain words, with the keys that are known at that
place.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from render.config.schema import RunConfig
from render.config.values import near_name, nearest, not_text, shown
from render.errors import ConfigError, Mistake, Place
from render.text import shortened

GROUPS = ("output", "sampling", "scheduler", "compute", "timeline", "model")
"""Where a key that stands elsewhere is looked for, in this order."""
OTHER_NAMES = {
    "cfg": "sampling.guidance",
    "cfg_scale": "sampling.guidance",
    "codec": "output",
    "denoising_strength": "timeline.keyframes.0.strength",
    "frame_rate": "output.fps",
    "framerate": "output.fps",
    "guidance_scale": "sampling.guidance",
    "image": "timeline.keyframes.0.image",
    "init_image": "timeline.keyframes.0.image",
    "length": "timeline.duration",
    "lora": "model.loras",
    "music": "output.audio",
    "negative_prompt": "sampling.negative",
    "num_inference_steps": "scheduler.steps",
    "out": "root",
    "output_dir": "root",
    "prompt": "timeline.keyframes.0.prompt",
    "sampler": "scheduler",
    "seconds": "timeline.duration",
    "size": "output.width",
    "sound": "output.audio",
    "strength": "timeline.keyframes.0.strength",
}
"""Keys of other tools, each with ours."""
CONTINUES = "the same command continues where it stopped, so leave it out"
RENDERS_AGAIN = "what changed is rendered again, and the rest is kept, so leave it out"
DONE_ANYWAY = {
    "continue": CONTINUES,
    "resume": CONTINUES,
    "clobber": RENDERS_AGAIN,
    "force": RENDERS_AGAIN,
    "overwrite": RENDERS_AGAIN,
    "dry_run": "did you mean mode=plan",
    "help": "did you mean --help",
    "quiet": "did you mean report=none",
    "verbose": "did you mean report=plain",
    "version": "did you mean --version",
}
"""Keys and options of other tools for what has another way here, or needs none."""
IN_OUTPUT = {
    "crf": "output.quality",
    "factor": "output.upscale",
    "file": "root=FOLDER and name=NAME, by which the video is called",
    "filename": "root=FOLDER and name=NAME, by which the video is called",
    "interpolate": "output.inbetween",
    "interpolation": "output.inbetween",
    "loop": "output.repeat for a gif, or timeline.loop",
    "path": "root=FOLDER and name=NAME, by which the video is called",
    "resolution": "output.width and output.height",
    "scale": "output.upscale",
    "size": "output.width and output.height",
    "upscaler": "output.upscale",
}
"""Keys that other tools have beside the video's, each with ours."""
IN_KEYFRAMES = {
    "cfg": "guidance",
    "easing": "ease",
    "frame": "at",
    "negative_prompt": "negative",
    "t": "at",
    "text": "prompt",
    "time": "at",
    "weight": "prompt, as texts with weights",
}
"""Keys of keyframes elsewhere, each with ours."""
KEYFRAMES = ("timeline", "keyframes")
IDLE_WITHOUT = {
    "image": "strength",
    "loras": "lora",
    "anchors": "early_steps",
    "guidance": "guidance_interval",
}
"""Values without which others, in keyframes or in `sampling`, change nothing."""
OF_RATES = ("fps", "rendered_fps", "inbetween")
"""Values of `output` that have to go with each other."""
SHORT = 30  # letters of a value that a suggestion repeats


def keys_at(path: Sequence[str | int]) -> list[str]:
    """The keys that the config knows where an unknown one stands, from the types themselves."""
    return list(fields_of(type_at(path)))


def type_at(path: Sequence[str | int]) -> Any:
    """The type of what stands at a path, or None inside of a value and where nothing is known."""
    here: Any = RunConfig
    for part in path:
        field = fields_of(here).get(str(part))
        kinds = {dict: 1, tuple: 0}  # which of its types is that of what it holds
        held = kinds.get(get_origin(here))
        inside = None if held is None else get_args(here)[held]
        here = listed(field.annotation) if field else inside
    return here


def listed(kind: Any) -> Any:
    """A type, or of one that may be left out a list of objects: `TempoChange` in tempo."""
    for inner in get_args(kind) if get_origin(kind) in (UnionType, Union) else ():
        plain = get_args(inner)[0] if get_origin(inner) is Annotated else inner
        if get_origin(plain) is tuple and fields_of(get_args(plain)[0]):
            return plain
    return kind


def fields_of(model: Any) -> dict[str, FieldInfo]:
    """The fields of a pydantic model; of anything else none."""
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}


def worded(error: ErrorDetails, where: tuple[str | int, ...]) -> str:
    """One of pydantic's errors in a person's words."""
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "render":
        return error["msg"]
    if kind == "extra_forbidden":
        return unknown_key(where, given)
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        expected = context.get("expected", "")
        texts = re.findall(r"'([^']*)'", expected)
        close = nearest(str(given), texts) if texts else f"; known: {expected}"  # numbers
        return f"{shown(given)} is not known{close}"
    if kind == "string_type":
        return not_text(given)
    if kind == "int_type" or kind == "int_from_float":
        return f"{shown(given)} is not a whole number"
    if kind == "bool_type":
        return f"{shown(given)} is neither true nor false"
    if kind == "tuple_type":
        listed = get_origin(type_at(where)) is tuple
        wanted = "a list belongs, as [{path: FILE}]" if listed else "two numbers belong: [0, 0.8]"
        return f"{shown(given)} stands where {wanted}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        file = isinstance(given, str) and "path" in keys_at(where)
        keys = f", as {{path: {shortened(str(given), SHORT)}}}" if file else ""
        return f"{shown(given)} stands where keys with values belong{keys}"
    message = error["msg"][:1].lower() + error["msg"][1:]
    return f"{shown(given)}: {message}"


def unknown_key(where: tuple[str | int, ...], given: object) -> str:
    """The message for a key that is not known at its place."""
    name, known = str(where[-1]), keys_at(where[:-1])
    top = len(where) == 1
    if top and (way := done_anyway(name)):
        return f"unknown key; {way}"
    if ours := other_name(where, known):
        return f"unknown key; did you mean {ours}"
    if where[0] == "timeline" and name in fields_of(RunConfig):
        return setting_in_timeline(name)
    exactly = dotted_key(name) or (top and name in OTHER_NAMES)
    close = near_name(name, [*leaves(), *known]) if top and len(name) > 2 else None
    elsewhere = meant(name, given) if exactly or (close and close not in known) else None
    if elsewhere:
        return f"unknown key; did you mean {elsewhere}"
    return f"unknown key{nearest(name, known)}"


def other_name(where: tuple[str | int, ...], known: Sequence[str]) -> str | None:
    """Ours for a key that other tools have at this place."""
    name = str(where[-1]).lower()
    if where[:-1] == ("output",):
        return IN_OUTPUT.get(name)
    return IN_KEYFRAMES.get(name) if "prompt" in known else None


def done_anyway(name: str) -> str | None:
    """The way to what a key or an option of another tool does."""
    return DONE_ANYWAY.get(name.lower().replace("-", "_"))


def setting_in_timeline(name: str) -> str:
    """The message for a setting of the run that stands in a timeline."""
    if name == "timeline":
        return "a timeline's file begins with its `keyframes`; they need no key around them"
    ways = f"{name}.KEY=VALUE" if name in GROUPS else f"{name}=VALUE"
    return f"is no key of a timeline but a setting of the run; put it on the command line, {ways}"


def meant(name: str, given: object) -> str | None:
    """The override that a key without its group, or of another tool, stands for."""
    spelled = name[:60].lower().replace("-", "_")
    close = near_name(spelled, [*leaves(), *OTHER_NAMES]) if len(spelled) > 2 else None
    dotted = dotted_key(spelled) or OTHER_NAMES.get(spelled) or (close and meant_by(close))
    if not dotted:
        return None
    plain = isinstance(given, int | float) or (
        isinstance(given, str) and re.fullmatch(rf"[\w./-]{{1,{SHORT}}}", given, re.ASCII)
    )
    value = str(given).lower() if isinstance(given, bool) else given
    return f"{dotted}={value}" if plain and "." in dotted else dotted


def meant_by(name: str) -> str | None:
    """The dotted key of a name that is known, here or in another tool."""
    return dotted_key(name) or OTHER_NAMES.get(name)


def leaves() -> list[str]:
    """The names of all keys in groups."""
    return [name for group in GROUPS for name in keys_at([group])]


def dotted_key(name: str) -> str | None:
    """A key with its group, of the first group that has it."""
    own = ("name", "class", "class_name", "format", "options")  # said of a group by choosing it
    if name in own:
        return None
    if name in GROUPS:
        return name
    return next((f"{group}.{name}" for group in GROUPS if name in keys_at([group])), None)


def place(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Pydantic's path up to a value; the union branches it tried lie behind that."""
    for depth in range(1, len(location)):
        kind = type_at(location[:depth])
        if not (fields_of(kind) or get_origin(kind) in (dict, tuple)):
            return location[:depth]
    return location


def parse(
    composed: Mapping[str, Any], locate: Callable[[str], str] = lambda path: path
) -> RunConfig:
    """The composed config as a frozen `RunConfig`.

    Args:
        composed: plain dicts, lists and scalars, interpolations resolved.
        locate: turns a dotted path into the place a person should look at (file:line).

    Raises:
        InvalidConfig: every mistake pydantic found, a line each.
    """
    try:
        return RunConfig.model_validate(dict(composed))
    except ValidationError as invalid:
        found: dict[tuple[str | int, ...], Mistake] = {}
        for error in invalid.errors():
            where = place(error["loc"])
            dotted = ".".join(map(str, where))
            place_of = locate(dotted)
            what = worded(error, where)
            if error["type"] == "missing" and isinstance(place_of, Place):
                what = f"`{where[-1]}` {what}"
            found.setdefault(where, Mistake(place_of, what))
        raise InvalidConfig(list(found.values()), without(composed, list(found))) from None


class InvalidConfig(ConfigError):
    """Mistakes of form. `rest` is the config without them, if that is one: it may be searched for
    mistakes of meaning, so that all mistakes are reported at once."""

    def __init__(self, mistakes: Sequence[Mistake], rest: RunConfig | None) -> None:
        super().__init__(mistakes)
        self.rest = rest


def without(
    composed: Mapping[str, Any], paths: Sequence[tuple[str | int, ...]]
) -> RunConfig | None:
    """The config with these values taken out, or None if it is none without them.

    What would seem to lack one of them is taken out too: a value that is there is not missing.
    """
    rest = copy.deepcopy(dict(composed))
    for path in paths:
        if len(path) == 3 and path[:2] == KEYFRAMES:
            return None  # without a whole keyframe it is another film
        holder: Any = rest
        for part in path[:-1]:
            inner = holder.get(str(part)) if isinstance(holder, dict) else holder
            holder = (
                holder[int(part)] if isinstance(holder, list) and str(part).isdigit() else inner
            )
        if isinstance(holder, dict):
            holder.pop(path[-1] if path else "", None)
            settle(rest, path, holder)
    try:
        return RunConfig.model_validate(rest)
    except ValidationError:
        return None


def settle(rest: dict[str, Any], path: tuple[str | int, ...], holder: dict[str, Any]) -> None:
    """Take out what has no meaning without the value at a path, which was taken out."""
    key = str(path[-1])
    misspelled = key not in keys_at(path[:-1])
    timeline, sampling = rest.get("timeline"), rest.get("sampling")
    if path[:2] == KEYFRAMES and (key == "prompt" or misspelled):
        holder.setdefault("prompt", "")
    elif path[:1] == KEYFRAMES[:1] and (key == "duration" or misspelled):
        holder.pop("loop", None)
    if path[:1] == ("output",) and (key in OF_RATES or misspelled):
        for rate in OF_RATES:
            holder.pop(rate, None)
    for wrong, idle in IDLE_WITHOUT.items():
        if key == wrong or (path[:2] == ("model", "loras") and wrong == "loras"):
            for each in (sampling, *keyframes_of(timeline)):
                if isinstance(each, dict):
                    each.pop(idle, None)


def keyframes_of(timeline: object) -> Sequence[object]:
    """The keyframes of a timeline as written, if it has any."""
    found = timeline.get("keyframes") if isinstance(timeline, dict) else None
    return list(found.values()) if isinstance(found, dict) else found or ()
