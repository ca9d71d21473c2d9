"""The smooth path between two keyframes: its nodes, and where a frame stands on it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from render.timeline.interpolation import Segment, between, progress_at, segment_at
from render.timeline.spec import FrameSpec, OnPath, SmoothPath, Timeline

PLACE_DIGITS = 9  # so that a digest never depends on a last bit


def path_of(segment: Segment, parts: int, noisy: bool) -> SmoothPath | None:
    """The smooth path of a segment; None where it stays plain.

    Nothing may change in it, or its values change by themselves, so that there is no one way, or
    its frames start from pictures: each of them then has steps of its own, so they can't be
    denoised in step. Noise that a scheduler adds belongs to one seed, so a
    path between two seeds would jump half-way.

    Args:
        parts: into how many the path is divided; 0: no path is smooth.
        noisy: whether the scheduler adds noise of its own.
    """
    start, end = segment.start.values, segment.end.values
    if not parts or start == end or start.start or end.start or segment.follows:
        return None
    return None if noisy and start.seeds != end.seeds else SmoothPath(start, end, parts)


def smooth_spec(timeline: Timeline, time: Fraction, parts: int, noisy: bool) -> FrameSpec | None:
    """The values at a time with their place on the smooth path; None where the path is plain."""
    segment = segment_at(timeline, time)
    path = path_of(segment, parts, noisy) if segment else None
    return spec_at(path, progress_at(segment, time)) if segment and path else None


def spec_on(path: SmoothPath, place: float) -> FrameSpec:
    """The frame at a place of the way from one keyframe to the next: on the smooth path, or
    rendered by itself where the path has no parts."""
    if path.parts:
        return spec_at(path, place)
    return path.start if place == 0 else between(path.start, path.end, place)


def spec_at(path: SmoothPath, place: float) -> FrameSpec:
    """The frame at a place of a path, from 0 (its start) to 1: a keyframe at its ends."""
    place = round(place, PLACE_DIGITS)
    if place <= 0 or place >= 1:
        return path.start if place <= 0 else path.end
    return replace(between(path.start, path.end, place), path=OnPath(path, place))


def nodes(path: SmoothPath) -> list[FrameSpec]:
    """The values at the nodes of a path: its keyframes, and those that divide it into equal
    parts."""
    inner = [between(path.start, path.end, node / path.parts) for node in range(1, path.parts)]
    return [path.start, *inner, path.end]
