"""In-betweens by optical flow: what moved from the one picture to the other is shown on its way.

The flow is OpenCV's DIS (Kroeger et al. 2016), in both directions. Where the two directions agree
and the motion explains what differs, a pixel between is taken from where it came from and from
where it goes to. Elsewhere (the picture changed and did not move, or something is hidden in one of
the two) the pixel is that of a dissolve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.video.inbetweens import Between, Inbetween
from render.video.linear_light import Light, RgbPicture, in_codes, in_light

Field = NDArray[np.float32]
"""RgbPicture to the right and down, (height, width, 2)."""
Plane = NDArray[np.float32]
"""(height, width)"""

LEAST_SIDE = 16  # pixels; a smaller picture has no patches to follow
SMALL_SIDE = 256  # pixels; up to here it is quick to follow each one
ROUNDS = 4  # in which the source of a pixel is found
AGREE = 0.5  # pixels by which the two directions may differ …
SHARE = 0.05  # … and this part of the way
WHOLLY = 0.5  # of the difference that may be left where motion explains it
AROUND = 2.0  # pixels over which differences are looked at
SOFT = 1.5  # pixels by which trust is smoothed


@dataclass(frozen=True, slots=True)
class PairWithFlows:
    """Two pictures with the flow from each to the other."""

    first: Light
    last: Light
    forward: Field
    backward: Field


def opened(device: str) -> Between:
    """The function, with OpenCV imported. It computes on the CPU, whatever the device."""
    import cv2

    def between(before: RgbPicture, after: RgbPicture, places: Sequence[float]) -> list[RgbPicture]:
        if min(before.shape[:2]) < LEAST_SIDE:
            pair = PairWithFlows(in_light(before), in_light(after), *([no_flow(before)] * 2))
        else:
            flows = flow(cv2, before, after), flow(cv2, after, before)
            pair = PairWithFlows(in_light(before), in_light(after), *flows)
        return [in_codes(picture_at(cv2, pair, place)) for place in places]

    return between


def no_flow(picture: RgbPicture) -> Field:
    """Nothing moves."""
    return np.zeros((*picture.shape[:2], 2), np.float32)


def flow(cv2: ModuleType, before: RgbPicture, after: RgbPicture) -> Field:
    """How far each pixel of a picture moves to where it is in the other."""
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder.setPatchStride(2)  # denser than usual: large motions of small things are found
    if max(before.shape[:2]) <= SMALL_SIDE:
        finder.setFinestScale(0)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before, after)]
    found: Field = finder.calc(*grey, None)
    return found


def picture_at(cv2: ModuleType, pair: PairWithFlows, place: float) -> Light:
    """The picture at a place between the two."""
    from_first, trust_first = carried(cv2, pair.first, pair.forward, pair.backward, place)
    from_last, trust_last = carried(cv2, pair.last, pair.backward, pair.forward, 1 - place)
    weights = (1 - place) * trust_first, place * trust_last
    either: Plane = np.maximum(trust_first, trust_last)
    trust = (either * explained(cv2, pair, from_first, from_last))[..., None]
    total = np.maximum(weights[0] + weights[1], 1e-6)[..., None]
    moved = (weights[0][..., None] * from_first + weights[1][..., None] * from_last) / total
    dissolve = (1 - place) * pair.first + place * pair.last
    made: Light = trust * moved + (1 - trust) * dissolve
    return made


def carried(
    cv2: ModuleType, picture: Light, there: Field, back: Field, share: float
) -> tuple[Light, Plane]:
    """A picture carried along its flow by a share of it, and how far each pixel can be trusted,
    from 0 to 1.

    A pixel x of the result comes from y with y + share · there(y) = x, which is found by steps from
    x. It is not trusted where none is found, or where the flow back from y's end leads elsewhere.
    """
    height, width = picture.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    source, moves = grid, there
    for _ in range(ROUNDS):
        source = grid - share * moves
        moves = sampled(cv2, there, source, cv2.INTER_LINEAR)
    missed = length(source + share * moves - grid)
    returned = length(moves + sampled(cv2, back, source + moves, cv2.INTER_LINEAR))
    allowed = AGREE + SHARE * length(moves)
    outside = ((source < -0.5) | (source > np.array([width, height]) - 0.5)).any(-1)
    trust = np.exp(-((returned / allowed) ** 2) - (missed / AGREE) ** 2) * ~outside
    trust = cv2.GaussianBlur(trust.astype(np.float32), (0, 0), SOFT)
    return sampled(cv2, picture, source, cv2.INTER_CUBIC), trust  # linear ones would be softer


def explained(cv2: ModuleType, pair: PairWithFlows, from_first: Light, from_last: Light) -> Plane:
    """How far the motion explains what differs between the two pictures, from 0 to 1: wholly where
    less than a part of the difference is left between them when both are carried to one time, and
    not at all where as much is left. A picture that changes without moving is not to be bent."""
    left, before = (
        cv2.GaussianBlur(np.abs(one - other).mean(-1), (0, 0), AROUND)
        for one, other in ((from_first, from_last), (pair.first, pair.last))
    )
    share = left / np.maximum(before, 1e-6)
    found: Plane = ((1 - share) / (1 - WHOLLY)).clip(0, 1)
    return found


def sampled(cv2: ModuleType, values: Any, places: Field, how: int) -> Any:
    """Values at places between pixels; beyond the edge the nearest.

    Args:
        how: OpenCV's number of an interpolation.
    """
    columns, rows = (np.ascontiguousarray(places[..., axis]) for axis in (0, 1))
    return cv2.remap(values, columns, rows, how, borderMode=cv2.BORDER_REPLICATE)


def length(field: Field) -> Plane:
    """The length of each of a field's vectors."""
    found: Plane = np.sqrt((field * field).sum(-1))
    return found


FLOW = Inbetween(opened, module="cv2", package="opencv-python-headless")
