"""Films of known steps, as small copies: no pictures are needed to plant faults in them."""

from __future__ import annotations

import numpy as np

from render.measurement.figures import Figures, Known, figures
from render.measurement.reading import SIDE, Readings, read_pixels


def dissolve(weights) -> np.ndarray:
    """Small copies of a blend of two pictures; a step is as large as the weight's change."""
    first, last = ends()
    weights = np.asarray(weights, np.float32)[:, None, None, None]
    return ((1 - weights) * first + weights * last).astype(np.float32)


def ends():
    """Two small copies whose distance is about .2."""
    draw = np.random.default_rng(7)
    return (0.2 + 0.5 * draw.random((2, SIDE, SIDE, 3))).astype(np.float32)


def moving_shape(places) -> np.ndarray:
    """Small copies of a picture with a soft disc at each of these places."""
    down, across = np.mgrid[0:SIDE, 0:SIDE]
    films = []
    for place in places:
        away = np.hypot(down - 16, across - 6 - 20 * place)
        disc = 1 / (1 + np.exp(away - 5))
        films.append(0.1 + 0.7 * disc[..., None] * np.array([1.0, 0.6, 0.3]))
    return np.array(films, np.float32)


def measured(small, **known) -> Figures:
    """The figures of small copies, with sharpness and contrast 1."""
    ones = np.ones(len(small))
    return figures(Readings(small, ones, ones), Known(**known))


def read_all(pictures) -> Readings:
    return Readings.of([read_pixels(picture) for picture in pictures])
