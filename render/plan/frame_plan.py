"""The frame plan: one `FrameSpec` a frame with its digest, what a shard renders, and plan.json.

A digest is the identity of a picture: equal digest, equal picture. It covers what the picture
means (the frame's spec and the recipe all frames share) and nothing of how it is computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from math import ceil, floor
from typing import Any

from render.config.schema import RunConfig
from render.errors import ConfigError, Mistake
from render.models.controlnet_inputs import followed
from render.models.families import STABLE_DIFFUSION, Guidance
from render.models.prompt_weights import has_weights, reader_name
from render.models.resolve import Model
from render.models.scheduler_signatures import filled_in, is_stochastic, option_mistakes
from render.plan.approximations import NONE, Shortcuts, shortcuts
from render.timeline.keyframe_anchors import early, held
from render.timeline.timeline import FrameSpec as FrameSpec
from render.timeline.timeline import Timeline, frame_times, values_at

RECIPE_VERSION = 1  # raised by hand when the same spec would give another picture
INLINE_FRAMES = 20_000  # longer plans keep their frames in a file beside plan.json
NEXT = "plan.next"  # the plan of `mode=plan` beside the one by which frames were rendered

# Encoders made once: a long plan has hundreds of thousands of lines.
ONE_SPELLING = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
READABLE = json.JSONEncoder(ensure_ascii=False)

NEARLY = 0.05  # of a frame: so near to a keyframe no one sees that it is not met
LARGEST_PART = 16  # of a rate that is suggested: 64/5 has 5

PICTURE_FIELDS = ("images", "strength", "control")

Weighted = tuple[tuple[Any, float], ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all frames of a run share and what is part of every frame's identity."""

    model: str
    """The model's identity: the hub's commit, or the hash of a folder's files."""
    scheduler: str
    """Name of a diffusers class, or `model` for the scheduler the model's folder holds."""
    scheduler_options: Mapping[str, Any]
    steps: int
    width: int
    height: int
    dtype: str
    """`float32`, `float16` or `bfloat16`."""
    blend: str
    """`noise` or `embedding`."""
    version: int = RECIPE_VERSION
    shortcuts: Shortcuts = NONE

    def entry(self) -> dict[str, Any]:
        """As digests and plan.json have it; shortcuts only where there are any."""
        entry = asdict(self)
        del entry["shortcuts"]
        taken = self.shortcuts.in_recipe()
        return entry | ({"shortcuts": taken} if taken else {})


@dataclass(frozen=True, slots=True)
class PlannedFrame:
    """A frame's place in the film (`time` in seconds), its spec and its identity."""

    index: int
    time: Fraction
    spec: FrameSpec
    digest: str


@dataclass(frozen=True, slots=True)
class FramePlan:
    """All frames of a run, in order."""

    fps: Fraction
    recipe: Recipe
    frames: tuple[PlannedFrame, ...]
    warnings: tuple[str, ...] = ()
    loras: Mapping[str, str] = field(default_factory=dict)
    """The model's LoRAs: identity by name."""
    keyframes: tuple[int, ...] = ()
    """Places of the frames at which keyframes stand."""

    @property
    def digest(self) -> str:
        """Identity of the film: its rate and its frames' digests."""
        total = hashlib.sha256(f"{self.fps}\n".encode())
        for frame in self.frames:
            total.update(frame.digest.encode())
        return total.hexdigest()


def make_recipe(config: RunConfig, model: Model, dtype: str) -> Recipe:
    """Everything left open in the config filled in from the model.

    Raises:
        ConfigError: a size that is no multiple of the model's factor, a scheduler option that the
            diffusers class does not take; all of them at once.
    """
    left_out = shortcuts(config.sampling)
    width, height = config.output.width or model.width, config.output.height or model.height
    multiple = model.multiple * left_out.shrink
    mistakes = [
        Mistake(f"output.{side}", multiple_hint(length, multiple))
        for side, length in (("width", width), ("height", height))
        if length % multiple
    ]
    class_name = config.scheduler.class_name or model.scheduler
    if class_name and (config.scheduler.class_name or config.scheduler.options):
        mistakes += option_mistakes(class_name, config.scheduler.options)
    if mistakes:
        raise ConfigError(mistakes)
    return Recipe(
        model=model.identity,
        scheduler=config.scheduler.class_name or "model",
        scheduler_options=scheduler_options(config, model),
        steps=max(round((config.scheduler.steps or config.model.steps) * left_out.fewer_steps), 1),
        width=width // left_out.shrink,
        height=height // left_out.shrink,
        dtype=dtype,
        blend=config.sampling.blend,
        shortcuts=left_out,
    )


def scheduler_options(config: RunConfig, model: Model) -> dict[str, Any]:
    """What the config sets, with what the stock pipeline fills in for the folder's own scheduler.

    Not for models of the hub, whose JSON is not there before the first frame is rendered.
    """
    options = config.scheduler.options
    class_name = config.scheduler.class_name or model.scheduler
    if model.source.folder and class_name and class_name == model.scheduler:
        filled = filled_in(class_name, model.scheduler_config, options, model.family)
        options = {**filled, **options}
    return dict(sorted(options.items()))


def multiple_hint(length: int, multiple: int) -> str:
    """Why a side does not fit, and the nearest that do."""
    below = length - length % multiple
    near = f"{below} or {below + multiple}" if below else str(multiple)
    return f"{length} is no multiple of {multiple}, the model's factor; use {near}"


def make_plan(
    timeline: Timeline,
    recipe: Recipe,
    fps: Fraction,
    scheduler: str,
    guidance: Guidance = STABLE_DIFFUSION.guidance,
    loras: Mapping[str, str] | None = None,
    control: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> FramePlan:
    """One planned frame for every k/fps.

    Args:
        scheduler: class name of the scheduler in use, to warn of noise that flickers.
        guidance: the model's, which says whether a frame's negatives matter.
        loras: identities of the model's LoRAs by name.
        control: the digest of the picture that a ControlNet follows, or of one for each frame.
        settings: the scheduler's, the model's own among them; None: those of the recipe.

    Raises:
        ConfigError: fewer pictures to follow than frames.
    """
    shared, whole = recipe_bytes(recipe), recipe_bytes(without_anchors(recipe))
    frames = []
    times = list(frame_times(timeline, fps))
    taken = recipe.shortcuts
    noisy = is_stochastic(scheduler, recipe.scheduler_options if settings is None else settings)
    for index, time in enumerate(times):
        rendered = held(timeline, time, fps, taken.every)
        spec = values_at(timeline, rendered)
        if taken.anchors and not spec.start:
            anchors = early(timeline, rendered, taken.anchors)
            spec = spec if noisy and seeds_differ(anchors) else replace(spec, early=anchors)
        if control:
            spec = following(spec, followed(control, index, len(times)))
        digest = frame_digest(shared if spec.early else whole, spec, guidance, loras or {})
        frames.append(PlannedFrame(index, time, spec, digest))
    warnings = (*grid_warnings(timeline, fps), *noise_warnings(timeline, noisy, scheduler, taken))
    shown = keyframe_places(timeline, times)
    return FramePlan(fps, recipe, tuple(frames), warnings, loras or {}, shown)


def seeds_differ(anchors: Sequence[tuple[FrameSpec, float]]) -> bool:
    """Whether anchors start from different noise. A scheduler that adds noise adds the frame's own,
    and predictions blended by slerp would take away another one, so noise would be left over."""
    return len({anchor.seeds for anchor, _ in anchors}) > 1


def following(spec: FrameSpec, control: str) -> FrameSpec:
    """The spec with a picture that a ControlNet follows; its anchors follow the same."""
    anchors = tuple((replace(anchor, control=control), weight) for anchor, weight in spec.early)
    return replace(spec, control=control, early=anchors)


def without_anchors(recipe: Recipe) -> Recipe:
    """The recipe of frames that take nothing from anchors, as keyframes and the anchors themselves:
    they are, bit for bit, those of a film without anchors, and so are their digests."""
    return replace(recipe, shortcuts=replace(recipe.shortcuts, anchors=0))


def recipe_bytes(recipe: Recipe) -> bytes:
    """The recipe's share of every digest."""
    return canonical(recipe.entry())


def frame_digest(
    shared: bytes,
    spec: FrameSpec,
    guidance: Guidance = STABLE_DIFFUSION.guidance,
    loras: Mapping[str, str] | None = None,
) -> str:
    """A frame's identity: sha256 over its recipe and its spec, whatever order texts stand in.

    LoRAs count by what they are and not by what they are called (`loras`: identities by name).
    """
    mine = identity(spec, guidance, loras or {})
    if spec.early:
        anchors = [[identity(of, guidance, loras or {}), weight] for of, weight in spec.early]
        mine["early"] = sorted(anchors, key=canonical)
    return hashlib.sha256(shared + b"\0" + canonical(mine)).hexdigest()


def identity(spec: FrameSpec, guidance: Guidance, loras: Mapping[str, str]) -> dict[str, Any]:
    """What a spec means, with nothing that has no effect."""
    negatives = sorted(spec.negatives) if guidance.leads_away(spec.guidance) else []
    mine = {
        "prompts": sorted(spec.prompts),
        "negatives": negatives,
        "seeds": sorted(spec.seeds),
        "guidance": float(spec.guidance if guidance.taken else guidance.off),
    }
    mine |= picture_entry(spec)
    if any(has_weights(text) for text, _ in (*spec.prompts, *negatives)):
        mine["weights"] = reader_name()
    if spec.loras:
        mine["loras"] = sorted((loras[name], weight) for name, weight in spec.loras)
    return mine


def canonical(value: object) -> bytes:
    """JSON with one spelling for one meaning."""
    return ONE_SPELLING.encode(value).encode()


def grid_warnings(timeline: Timeline, fps: Fraction) -> Iterator[str]:
    """Keyframes that fall between two frames are never shown exactly."""
    times = [frame.time for frame in timeline.keyframes]
    off = [time for time in times if not is_met(float(time), float(fps), NEARLY)]
    if off:
        shown = ", ".join(f"{float(time):g}" for time in off[:5]) + (" …" if len(off) > 5 else "")
        rate = meeting_rate([float(time) for time in times], float(fps))
        way_out = f"output.fps={rate} meets them all" if rate else "choose another output.fps"
        yield (
            f"keyframes at {shown} s fall between frames at {float(fps):g} fps and are not shown "
            f'exactly; {way_out}, or give their times in frames ("36f")'
        )


def keyframe_places(timeline: Timeline, times: Sequence[Fraction]) -> tuple[int, ...]:
    """Places of the frames, whose times these are, at which keyframes stand."""
    keyframes = {keyframe.time for keyframe in timeline.keyframes}
    return tuple(place for place, time in enumerate(times) if time in keyframes)


def is_met(time_s: float, fps: float, within: float) -> bool:
    """Whether a frame stands at a time, to within a part of a frame."""
    return abs(time_s * fps - round(time_s * fps)) <= within


def meeting_rate(times_s: Sequence[float], fps: float) -> Fraction | None:
    """The rate nearest to `fps` at which a frame stands at each of the times: one that meets them
    exactly, else one that meets them nearly, as where beats are rounded."""
    rates = {
        Fraction(count, part)
        for part in range(1, LARGEST_PART + 1)
        for count in range(ceil(fps * part * 3 / 4), floor(fps * part * 3 / 2) + 1)
    }
    near = sorted(rates, key=lambda rate: abs(float(rate) - fps))
    for within in (1e-6, NEARLY / 5):
        for rate in near:
            if all(is_met(time, float(rate), within) for time in times_s):
                return rate
    return None


def noise_warnings(
    timeline: Timeline, noisy: bool, scheduler: str, taken: Shortcuts
) -> Iterator[str]:
    """A scheduler with noise of its own can't follow seeds that are slerped."""
    walks = len({frame.values.seeds for frame in timeline.keyframes}) > 1
    if walks and noisy:
        slower = " and take nothing from anchors" if taken.anchors else ""
        yield (
            f"{scheduler} adds noise of its own at every step: frames between two seeds jump half "
            f"way{slower}; a deterministic scheduler (dpmpp_2m, euler, lms) walks smoothly"
        )


def shard_of(plan: FramePlan, shard: tuple[int, int] | None) -> tuple[PlannedFrame, ...]:
    """The frames this run renders: every n-th from the i-th, so that shards end together."""
    return plan.frames if shard is None else plan.frames[shard[0] :: shard[1]]


def plan_files(plan: FramePlan, name: str, stem: str = "plan") -> dict[str, bytes]:
    """plan.json (and, for a long film, the file of its frames), byte-identical for equal plans.

    Args:
        name: the film's.
        stem: the files', without suffix.
    """
    long = len(plan.frames) > INLINE_FRAMES
    frames_name = f"{stem}.jsonl"
    lines = [READABLE.encode(entry(frame)) for frame in plan.frames]
    head = {
        "name": name,
        "fps": as_number(plan.fps),
        "rate": str(plan.fps),
        "count": len(plan.frames),
        "digest": plan.digest,
        "recipe": plan.recipe.entry(),
        **({"loras": dict(plan.loras)} if plan.loras else {}),
    }
    frames = json.dumps(frames_name) if long else "[\n  " + ",\n  ".join(lines) + "\n ]"
    opened = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    files = {f"{stem}.json": f'{opened},\n "frames": {frames}\n}}\n'.encode()}
    return files | ({frames_name: ("\n".join(lines) + "\n").encode()} if long else {})


def entry(frame: PlannedFrame) -> dict[str, Any]:
    """A frame as programs read it. `negative` is a text, or texts with weights while it changes."""
    spec = frame.spec
    alone = len(spec.negatives) == 1
    return {
        "index": frame.index,
        "time": float(frame.time),
        "prompts": [list(pair) for pair in spec.prompts],
        "negative": spec.negatives[0][0] if alone else [list(pair) for pair in spec.negatives],
        "seeds": [list(pair) for pair in spec.seeds],
        "guidance": spec.guidance,
        **picture_entry(spec),
        **({"early": early_entry(spec)} if spec.early else {}),
        **({"loras": [list(pair) for pair in spec.loras]} if spec.loras else {}),
        "digest": frame.digest,
    }


def picture_entry(spec: FrameSpec) -> dict[str, Any]:
    """The pictures that a frame starts from and follows; nothing where there are none."""
    start = {"images": [list(pair) for pair in sorted(spec.start)], "strength": spec.strength}
    return (start if spec.start else {}) | ({"control": spec.control} if spec.control else {})


def early_entry(spec: FrameSpec) -> list[dict[str, Any]]:
    """The anchors whose early predictions a frame takes, with their weights."""
    return [
        {
            "weight": weight,
            "prompts": [list(pair) for pair in anchor.prompts],
            "seeds": [list(pair) for pair in anchor.seeds],
        }
        for anchor, weight in spec.early
    ]


def as_number(value: Fraction) -> int | float:
    """12 for 12/1, 29.97… for 30000/1001."""
    return value.numerator if value.denominator == 1 else float(value)
