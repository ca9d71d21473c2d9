"""The painter: a storybook picture of a Scene, the same for the same scene and size.

Parts are painted from far to near. Each has random numbers of its own that do not depend on what
is shown, and everything shown grows evenly with its amount, so that a path of scenes is a film.
"""

import numpy as np
from numpy.typing import NDArray

from training.storybook import (
    castle,
    cityscape,
    countryside,
    hills,
    mountains,
    plants,
    seaside,
    sky,
    towers,
    town,
    water,
)
from training.storybook.canvas import SIDE, Canvas
from training.storybook.composition import Composition, Relief, compose, relief_of
from training.storybook.palette import WHITE, light_of, mix
from training.storybook.scene import Scene

SIZE = 256


def paint(scene: Scene, size: int = SIZE) -> NDArray[np.uint8]:
    """The picture of `scene`, (size, size, 3)."""
    plan = compose(scene.seed)
    light_from = -1.0 if plan.sun_x < SIDE / 2 else 1.0  # by night as well: shades do not jump
    canvas = Canvas(size, light_of(scene), light_from)
    sky.paint_sky(canvas, scene, plan)
    if scene.sprawl < 0.995:
        _country(canvas, scene, plan, relief_of(plan, scene))
    cityscape.paint_sprawl(canvas, scene, plan)
    sky.paint_birds(canvas, scene, plan)
    _fog(canvas, scene, plan.below(30), 0.5)
    sky.paint_rain(canvas, scene, plan)
    return canvas.pixels()


def _country(canvas: Canvas, scene: Scene, plan: Composition, relief: Relief) -> None:
    """Everything below the sky, from far to near."""
    mountains.paint_mountains(canvas, scene, plan)
    _fog(canvas, scene, plan.horizon - 16, 0.9)
    hills.paint_far(canvas, scene, plan, relief)
    water.paint_sea(canvas, scene, plan, relief)
    seaside.paint_lighthouse(canvas, scene, plan)
    seaside.paint_sea_boats(canvas, scene, plan)
    _fog(canvas, scene, plan.below(8), 0.62)
    towers.paint_city(canvas, scene, plan, relief)
    hills.paint_middle(canvas, scene, plan, relief)
    plants.paint_forest(canvas, scene, plan, relief, back=True)
    countryside.paint_windmill(canvas, scene, plan, relief)
    castle.paint_castle(canvas, scene, plan, relief)
    _fog(canvas, scene, plan.below(18), 0.4)
    hills.paint_near(canvas, scene, plan, relief)
    plants.paint_country(canvas, scene, plan, relief)
    hills.paint_paths(canvas, scene, plan, relief)
    water.paint_river(canvas, scene, plan, relief)
    seaside.paint_harbour(canvas, scene, plan, relief)
    town.paint_town(canvas, scene, plan, relief)
    countryside.paint_bridge(canvas, scene, plan, relief)
    water.paint_lake(canvas, scene, plan)
    seaside.paint_boats(canvas, scene, plan, relief)
    countryside.paint_market(canvas, scene, plan, relief)
    plants.paint_meadow(canvas, scene, plan, relief)
    countryside.paint_ruins(canvas, scene, plan, relief)
    plants.paint_forest(canvas, scene, plan, relief, back=False)


def _fog(canvas: Canvas, scene: Scene, height: float, thick: float) -> None:
    """A bank of mist at a height, behind what is painted after it."""
    if scene.fog > 0.01:
        colour = mix(canvas.light.horizon, WHITE, 0.25 * (1 - canvas.light.stars))
        alpha = thick * scene.fog
        stops = [
            (height - 52, 0.0),
            (height - 6, alpha),
            (height + 22, alpha * 0.75),
            (height + 70, 0.0),
        ]
        canvas.veil(colour, stops)
