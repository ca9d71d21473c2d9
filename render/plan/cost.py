"""The cost of a run: denoiser rows, time by this machine's earlier runs, and disk space."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Hashable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from render.files.atomic import HOST, write_whole
from render.files.lock import adding_to
from render.files.ownership import make_way, unsaid
from render.files.received_json import read_memory
from render.models.family import Family
from render.plan.conditioning import beginning, calls_of, frame_rows, prompt_rows
from render.plan.finish import Finish
from render.plan.frame_plan import PlannedFrame, Recipe
from render.timeline.smooth_path import nodes
from render.timeline.spec import FrameSpec

TIMINGS_NAME = "timings.json"
UNMEASURED_BYTES_PER_PIXEL = 1.6  # a PNG of a photograph; flat pictures take less
LARGEST_BYTES_PER_PIXEL = 3.1  # of noise, with what a PNG has beside the pixels
NODE_BYTES_PER_PIXEL = 1
MOST = 1e15  # seconds or bytes; no frame takes so much
SMALL_PLAN_BYTES = 2_000  # plan, log and the like, a frame
PLAIN = FrameSpec((), (), (), 0.0)  # starts from no pictures, so it does the whole schedule


@dataclass(frozen=True, slots=True)
class Timing:
    """The seconds that frames of one kind took on this machine."""

    seconds_per_row: float
    """All of rendering, with decoding and writing, by denoiser row."""
    bytes_per_frame: float


def planned_rows(
    frames: Sequence[PlannedFrame],
    recipe: Recipe,
    scheduler: str,
    family: Family,
    stored: Container[str] = (),
) -> int:
    """Denoiser rows that rendering these frames computes.

    First evaluations are counted once for all frames that begin alike, early ones once an anchor,
    and a smooth path's nodes once for all of its frames.

    Args:
        stored: identities of smooth paths whose nodes are there.
    """
    total = calls_of(PLAIN, scheduler, recipe.steps, recipe.scheduler_options, family)
    early = recipe.approximations.evaluations(total)
    anchors = dict.fromkeys(anchor for frame in frames for anchor, _ in frame.spec.early)
    known: set[Hashable] = set()
    count = sum(evaluated(anchor, range(early), total, recipe, family, known) for anchor in anchors)
    paths = {frame.spec.path.path: frame.path for frame in frames if frame.spec.path}
    for path, digest in paths.items():
        for node in nodes(path) if digest not in stored else ():
            count += evaluated(node, range(total), total, recipe, family, known)
    on_paths = {end for path in paths for end in (path.start, path.end)}
    for frame in frames:
        spec = frame.spec
        if spec.path or spec in on_paths:  # made from nodes
            continue
        calls = calls_of(spec, scheduler, recipe.steps, recipe.scheduler_options, family)
        given = spec.early or (spec in anchors and recipe.approximations.own_early)
        own = range(early if given else 0, calls)
        count += evaluated(spec, own, total, recipe, family, known)
    return count


def evaluated(
    spec: FrameSpec,
    own: range,
    total: int,
    recipe: Recipe,
    family: Family,
    known: set[Hashable],
) -> int:
    """Rows that a frame computes in its own evaluations, of so many that the schedule has.

    Args:
        known: first rows that were counted before; this frame's are added.
    """
    frame = frame_rows(spec, recipe.blend, family)
    guided = recipe.approximations.guided(total, total - own.stop if spec.start else 0)
    rows, fewer = frame.rows, prompt_rows(frame)
    begin = beginning(spec, family)
    count = 0
    if own and own.start == 0 and begin is not None:
        first = {(begin, row) for row in (rows if 0 in guided else fewer)}
        count = len(first - known)
        known |= first
        own = own[1:]
    with_guidance, without = whole_evaluations(own, guided, recipe.approximations.deep_cache)
    return count + with_guidance * len(rows) + without * len(fewer)


@lru_cache
def whole_evaluations(own: range, guided: range, deep_every: int) -> tuple[int, int]:
    """How many of a frame's own evaluations compute the whole denoiser, with guidance and without.

    Every n-th does, counted anew when guidance begins or ends for the first time.
    """
    counted = {True: 0, False: 0}
    seen: set[bool] = set()
    passed = 0
    for number in own:
        inside = number in guided
        if inside not in seen:
            seen.add(inside)
            passed = 0
        counted[inside] += passed % deep_every == 0
        passed += 1
    return counted[True], counted[False]


def kind(recipe: Recipe, device: str) -> str:
    """The kind of run that a timing holds for: machine, device, model, size and dtype."""
    size = f"{recipe.width}x{recipe.height}"
    return f"{HOST} {device} {recipe.model} {size} {recipe.dtype}"


def earlier_timing(store: Path, recipe: Recipe, device: str) -> Timing | None:
    """The timing of such frames in the last run, or None if there was none."""
    return as_timing(read_memory(store / TIMINGS_NAME).get(kind(recipe, device)))


def scaled_timing(store: Path, recipe: Recipe, device: str) -> Timing | None:
    """The timing of frames of the nearest other size, scaled by their pixels; None if there was
    no run of this model here."""
    before, after = kind(recipe, device).split(f"{recipe.width}x{recipe.height}", 1)
    sized = re.compile(rf"{re.escape(before)}(\d{{1,6}})x(\d{{1,6}}){re.escape(after)}")
    pixels = recipe.width * recipe.height
    found = []
    for name, entry in read_memory(store / TIMINGS_NAME).items():
        if (timing := as_timing(entry)) and (size := sized.fullmatch(name)):
            scale = pixels / max(int(size[1]) * int(size[2]), 1)
            found.append((abs(math.log(scale)), scale, timing))
    if not found:
        return None
    _, scale, timing = min(found, key=lambda each: each[0])
    return Timing(timing.seconds_per_row * scale, timing.bytes_per_frame * scale)


def as_timing(entry: object) -> Timing | None:
    """A timing from a file's entry; None if the entry is none."""
    if not isinstance(entry, dict) or entry.keys() != set(Timing.__slots__):
        return None
    if not all(type(value) in (int, float) and 0 < value < MOST for value in entry.values()):
        return None
    return Timing(**entry)


def finish_kind(finish: Finish, recipe: Recipe, device: str) -> str:
    """The kind of pictures that a timing of a finish holds for: machine, device, ways, size."""
    upscaler = finish.upscaler
    larger = f"{upscaler.identity} {upscaler.times}" if upscaler else ""
    ways = ", ".join(filter(None, [finish.method, larger]))
    return f"{HOST} {device} finish {ways} {recipe.width}x{recipe.height}"


def finish_timing(store: Path, finish: Finish, recipe: Recipe, device: str) -> Timing | None:
    """The timing of such finished pictures in the last run, each as a row; None if there was no
    run."""
    return as_timing(read_memory(store / TIMINGS_NAME).get(finish_kind(finish, recipe, device)))


def remember_timing(store: Path, recipe: Recipe, device: str, timing: Timing) -> None:
    """Keep a timing for the next plan."""
    remember_as(store, kind(recipe, device), timing)


def remember_as(store: Path, of: str, timing: Timing) -> None:
    """Keep a timing of a kind; a place that can't be written only costs an estimate."""
    path = store / TIMINGS_NAME
    with suppress(OSError), adding_to(path):
        earlier = {name: as_timing(entry) for name, entry in read_memory(path).items()}
        known = {name: asdict(entry) for name, entry in earlier.items() if entry}
        known[of] = asdict(timing)
        make_way(path, unsaid)
        write_whole(path, json.dumps(known, indent=1, sort_keys=True).encode())


def seconds_for(denoiser_rows: int, timing: Timing | None) -> float | None:
    """The estimate, or None when nothing like it ran here before."""
    return denoiser_rows * timing.seconds_per_row if timing else None


def bytes_of_nodes(frames: Sequence[PlannedFrame], recipe: Recipe, stored: AbstractSet[str]) -> int:
    """Disk that the nodes of smooth paths need, at most: latents of 16 channels, eight pixels wide,
    in float32.

    Args:
        stored: the identities of paths whose nodes are there.
    """
    parts = {frame.path: frame.spec.path.path.parts for frame in frames if frame.spec.path}
    nodes = sum(each + 1 for path, each in parts.items() if path not in stored)
    return nodes * recipe.width * recipe.height * NODE_BYTES_PER_PIXEL


def bytes_for(frames: int, recipe: Recipe, timing: Timing | None) -> int:
    """Disk that the frames to be rendered need, by earlier ones of the kind or by their pixels. A
    memory from elsewhere may say anything, but no picture takes more than its pixels do."""
    pixels = recipe.width * recipe.height
    each = timing.bytes_per_frame if timing else UNMEASURED_BYTES_PER_PIXEL * pixels
    each = min(each, LARGEST_BYTES_PER_PIXEL * pixels)
    return round(frames * (each + SMALL_PLAN_BYTES))
