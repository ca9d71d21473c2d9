"""The recipe and the plan, made of a config, its model and its timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from math import ceil
from typing import Any

from render.config.schema import RunConfig
from render.errors import ConfigError, Mistake
from render.models.controlnet_inputs import followed
from render.models.families import STABLE_DIFFUSION
from render.models.guidance import Guidance
from render.models.resolve import Model
from render.models.scheduler_signatures import filled_in, is_stochastic, mistakes_in_options
from render.plan.approximations import Approximations, approximations_of
from render.plan.digest import frame_digest, path_digest, recipe_bytes
from render.plan.finish import Finish, cuts_of, spans_of_jumps, with_way
from render.plan.frame_plan import FramePlan, PlannedFrame, Recipe, Unmeasured
from render.plan.plan_warnings import (
    bridge_warnings,
    grid_warnings,
    held_warnings,
    is_met_nearly,
    keyframe_places,
    noise_warnings,
    open_warnings,
    pace_warnings,
    plain_warnings,
    span_warnings,
    trunk_warnings,
)
from render.timeline.interpolation import (
    Segment,
    frame_times,
    segment_at,
    segment_behind,
    values_at,
)
from render.timeline.keyframe_anchors import early, rendered_time, trunk_at
from render.timeline.pace import TimeMap, jumps
from render.timeline.smooth_path import path_of, smooth_spec
from render.timeline.spec import FrameSpec, OnPath, SmoothPath, Timeline


def make_recipe(config: RunConfig, model: Model, dtype: str) -> Recipe:
    """Everything left open in the config filled in from the model.

    Raises:
        ConfigError: a size that is no multiple of the model's factor, a scheduler option that the
            diffusers class does not take; all of them at once.
    """
    left_out = approximations_of(config.sampling)
    width, height = config.output.width or model.width, config.output.height or model.height
    multiple = model.multiple * left_out.shrink
    mistakes = [
        Mistake(f"output.{side}", multiple_hint(length, multiple))
        for side, length in (("width", width), ("height", height))
        if length % multiple
    ]
    most = model.longest and model.longest * left_out.shrink
    mistakes += [
        Mistake(f"output.{side}", f"{length} is more than {most}, the longest side of this model")
        for side, length in (("width", width), ("height", height))
        if most and length > most
    ]
    class_name = config.scheduler.class_name or model.scheduler
    if class_name and (config.scheduler.class_name or config.scheduler.options):
        mistakes += mistakes_in_options(class_name, config.scheduler.options)
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
        blend=config.blend,
        approximations=left_out,
        kernels=config.compute.kernels if dtype != "float32" else "auto",
    )


def scheduler_options(config: RunConfig, model: Model) -> dict[str, Any]:
    """The options that the config sets, with those that the stock pipeline fills in for the
    folder's own scheduler.

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
    time_maps: Mapping[str, TimeMap] | None = None,
    finish: Finish | None = None,
    bridging: tuple[str, str] = ("dissolve", "dissolve 1"),
) -> FramePlan:
    """One planned frame for every k/fps.

    Args:
        fps: frames a second that are rendered.
        scheduler: class name of the scheduler in use, to warn of noise that flickers.
        guidance: the model's, which says whether a frame's negatives matter.
        loras: identities of the model's LoRAs by name.
        control: the digest of the picture that a ControlNet follows, or of one for each frame.
        settings: the scheduler's, the model's own among them; None: those of the recipe.
        time_maps: of segments of even pace, by their digests.
        finish: how the pictures that are shown are made of the frames.
        bridging: name and identity of the way to make pictures in between where a plain path jumps
            and `finish` has none.

    Raises:
        ConfigError: fewer pictures to follow than frames.
    """
    shared, whole = recipe_bytes(recipe), recipe_bytes(without_anchors(recipe))
    digest_of = cache(partial(path_digest, whole, guidance=guidance, loras=loras or {}))
    follows = control[0] if len(set(control)) == 1 else ""
    taken = recipe.approximations
    noisy = is_stochastic(scheduler, recipe.scheduler_options if settings is None else settings)
    smooth = partial(path_of, parts=taken.path_parts, noisy=noisy)
    timeline, unmeasured = with_time_maps(
        timeline, fps, taken.every, time_maps or {}, smooth, digest_of, follows
    )
    frames, times = [], list(frame_times(timeline, fps))
    for index, time in enumerate(times):
        rendered = rendered_time(timeline, time, fps, taken.every)
        spec = rendered_spec(timeline, rendered, taken, noisy)
        if control:
            spec = following(spec, followed(control, index, len(times)))
        digest = frame_digest(shared if spec.early else whole, spec, guidance, loras or {})
        of_path = digest_of(spec.path.path) if spec.path else ""
        bridge = bool(spec.path) and bridges(timeline, rendered, spec.path)
        frames.append(PlannedFrame(index, time, spec, digest, of_path, bridge))
    shown = keyframe_places(timeline, times)
    met = [round(each.time * fps) for each in timeline.keyframes if is_met_nearly(each.time, fps)]
    spans = tuple(spans_of_jumps(timeline, times, met))
    bridged = spans if taken.every == 1 else ()
    if bridged:
        finish = with_way(finish or Finish(fps), *bridging)
        inside = {index for first, last in bridged for index in range(first + 1, last)}
        frames = [replace(each, bridge=True) if each.index in inside else each for each in frames]
    warnings = (
        *grid_warnings(timeline, fps, finish.fps if finish and finish.times > 1 else None),
        *noise_warnings(timeline, noisy, scheduler, taken),
        *trunk_warnings(taken),
        *pace_warnings(timeline),
        *plain_warnings(timeline, smooth, taken),
        *bridge_warnings(frames),
        *span_warnings(frames, spans, finish, taken.every),
        *open_warnings(timeline, finish),
        *held_warnings(taken, finish),
    )
    film = FramePlan(fps, recipe, tuple(frames), warnings, loras or {}, shown, timeline.loop)
    measured = {each.time: each.time_map for each in timeline.keyframes if each.even}
    paces = {time: found for time, found in measured.items() if found is not None}
    film = replace(film, unmeasured=unmeasured, paces=paces)
    cuts = cuts_of(timeline, times, max(len(times) / fps, timeline.duration)) if finish else ()
    return replace(film, open=timeline.open, cuts=tuple(cuts), bridged=bridged, finish=finish)


def bridges(timeline: Timeline, time: Fraction, place: OnPath | None) -> bool:
    """Whether the frame at a time, at that place of its path, bridges a jump that was measured."""
    segment = segment_at(timeline, time)
    if place is None or segment is None or segment.start.time_map is None:
        return False
    parts = place.path.parts
    return int(place.place * parts) in jumps(segment.start.time_map, parts)


def with_time_maps(
    timeline: Timeline,
    fps: Fraction,
    every: int,
    known: Mapping[str, TimeMap],
    smooth: Callable[[Segment], SmoothPath | None],
    digest_of: Callable[[SmoothPath], str],
    control: str,
) -> tuple[Timeline, tuple[Unmeasured, ...]]:
    """The timeline with the maps of its segments of even pace, and the segments whose maps are not
    known.

    Args:
        every: which frames are rendered.
        known: maps by their digests.
        smooth: the smooth path of a segment; None where it is plain.
        control: the picture that all frames follow.
    """
    keyframes, unmeasured = [], []
    for place, keyframe in enumerate(timeline.keyframes):
        segment = segment_behind(timeline, place)
        if segment and keyframe.even and has_frames_of_its_own(segment, fps, every):
            path = smooth(segment) or SmoothPath(keyframe.values, segment.end.values, 0)
            path = following_all_along(path, control)
            digest = digest_of(path)
            keyframe = replace(keyframe, time_map=known.get(digest))
            if digest not in known:
                unmeasured.append(Unmeasured(path, digest, keyframe.time, segment.until))
        keyframes.append(keyframe)
    return replace(timeline, keyframes=tuple(keyframes)), tuple(unmeasured)


def has_frames_of_its_own(segment: Segment, fps: Fraction, every: int) -> bool:
    """Whether a segment shows pictures that are neither of its keyframes'.

    Args:
        every: which frames are rendered; those between show the picture before them.
    """
    start, end = segment.start, segment.end
    first = ceil(start.time * fps)
    first += every if first == start.time * fps else 0
    changes = start.ease != "hold" and start.values != end.values and not segment.follows
    return changes and first < segment.until * fps


def frame_of(
    recipe: Recipe,
    index: int,
    time: Fraction,
    spec: FrameSpec,
    guidance: Guidance,
    loras: Mapping[str, str],
) -> PlannedFrame:
    """A planned frame of a spec that takes nothing from anchors."""
    whole = recipe_bytes(without_anchors(recipe))
    of_path = path_digest(whole, spec.path.path, guidance, loras) if spec.path else ""
    return PlannedFrame(index, time, spec, frame_digest(whole, spec, guidance, loras), of_path)


def rendered_spec(
    timeline: Timeline, time: Fraction, taken: Approximations, noisy: bool
) -> FrameSpec:
    """The spec of the frame at a time, with its place on a smooth path or the anchors that it takes
    its early predictions from.

    Args:
        noisy: whether the scheduler adds noise of its own.
    """
    spec = values_at(timeline, time)
    if taken.path_parts:
        return smooth_spec(timeline, time, taken.path_parts, noisy) or spec
    if taken.trunk and not spec.start:
        return replace(spec, early=trunk_at(timeline, time, noisy))
    if taken.anchors and not spec.start:
        anchors = early(timeline, time, taken.anchors)
        return spec if noisy and seeds_differ(anchors) else replace(spec, early=anchors)
    return spec


def seeds_differ(anchors: Sequence[tuple[FrameSpec, float]]) -> bool:
    """Whether anchors start from different noise. A scheduler that adds noise adds the frame's own,
    and predictions blended by slerp would take away another one, so noise would be left over."""
    return len({anchor.seeds for anchor, _ in anchors}) > 1


def following(spec: FrameSpec, control: str) -> FrameSpec:
    """The spec with a picture that a ControlNet follows; its anchors and its path follow the
    same."""
    anchors = tuple((replace(anchor, control=control), weight) for anchor, weight in spec.early)
    place = spec.path and replace(spec.path, path=following_all_along(spec.path.path, control))
    return replace(spec, control=control, early=anchors, path=place)


def following_all_along(path: SmoothPath, control: str) -> SmoothPath:
    """The same path, all along which a ControlNet follows one picture."""
    start, end = (replace(spec, control=control) for spec in (path.start, path.end))
    return SmoothPath(start, end, path.parts)


def without_anchors(recipe: Recipe) -> Recipe:
    """The recipe of frames that take nothing from anchors, as keyframes and the anchors themselves:
    they are, bit for bit, those of a film without anchors, and so are their digests."""
    return replace(recipe, approximations=replace(recipe.approximations, anchors=0, trunk=0.0))
