"""Parts that castles, houses and towers share: windows, arches, pointed roofs, flags."""

from training.storybook.canvas import Canvas
from training.storybook.composition import grown
from training.storybook.palette import (
    FLAG,
    GLASS,
    LAMP,
    SNOW,
    WOOD_DARK,
    Colour,
    mix,
)
from training.storybook.scene import Scene


def window_colour(canvas: Canvas, threshold: float, glass: Colour = GLASS) -> Colour:
    """A window's colour: lamps are lit one after another as it gets dark."""
    lit = grown(canvas.light.lamp, 0.8 * threshold, 0.8 * threshold + 0.2)
    return mix(canvas.lit(glass), LAMP, lit)


def cone(
    canvas: Canvas, scene: Scene, x: float, foot: float, half: float, height: float, colour: Colour
) -> None:
    """A pointed roof with a shaded side and snow on its tip."""
    if height < 1:
        return
    lit, away = canvas.lit(colour, 0.03), -canvas.light_from
    canvas.polygon([(x - half, foot), (x, foot - height), (x + half, foot)], lit)
    shade = canvas.dark(lit, 0.36)
    canvas.polygon(
        [(x, foot - height), (x + away * half, foot), (x + away * half * 0.1, foot)], shade
    )
    if scene.snow > 0.02:
        s = 0.62 * scene.snow
        y = foot - height * (1 - s)
        zig = [
            (x + half * s, y),
            (x + half * s * 0.3, y - height * 0.09),
            (x - half * s * 0.3, y + 1),
        ]
        canvas.polygon([(x, foot - height), *zig, (x - half * s, y)], canvas.lit(SNOW, 0.0, 0.35))


def flag(canvas: Canvas, x: float, y: float, grow: float) -> None:
    """A pole, and on it a pennant once the pole stands."""
    canvas.box(x - 0.6, y - 10 * grow, x + 0.6, y + 2, canvas.lit(WOOD_DARK))
    if grow > 0.4:
        length = 11 * grow
        top = y - 10 * grow
        canvas.polygon([(x, top), (x + length, top + 2.6), (x, top + 5.6)], canvas.lit(FLAG))


def arched(
    canvas: Canvas, x: float, top: float, half: float, height: float, colour: Colour
) -> None:
    """A window or door with a round top."""
    canvas.ellipse(x, top + half, half, half, colour)
    canvas.box(x - half, top + half, x + half, top + height, colour)
