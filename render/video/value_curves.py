"""The curves of a film's values at the foot of its contact sheet, where they change by themselves:
guidance, strength, weights of LoRAs and of texts that follow the time or the sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from PIL import Image, ImageDraw

from render.text import one_line
from render.timeline.spec import FrameSpec
from render.video.lettering import Letters, cut, line_height

MOST = 6  # curves
HEIGHT = 46  # pixels of a curve
GAP = 14
TICK = (70, 72, 78)  # of a keyframe
SMOOTH = 2  # lines are drawn so many times larger, and then made smaller

Colour = tuple[int, int, int]
ValueCurves = Mapping[str, Sequence[float]]
"""Values in each frame, by their names."""


def curves_of(specs: Sequence[FrameSpec]) -> ValueCurves:
    """All values of a film that are not the same in all frames."""
    loras = dict.fromkeys(name for spec in specs for name, _ in spec.loras)
    texts = dict.fromkeys(text for spec in specs for text, _ in spec.prompts)
    found: dict[str, list[float]] = {
        "guidance": [spec.guidance for spec in specs],
        "strength": [spec.strength for spec in specs],
        **{f"lora {name}": [dict(spec.loras).get(name, 0.0) for spec in specs] for name in loras},
        **{text: [dict(spec.prompts).get(text, 0.0) for spec in specs] for text in texts},
    }
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def foot_height(curves: ValueCurves) -> int:
    """The height of all curves that are drawn, in pixels."""
    more = HEIGHT // 2 if len(curves) > MOST else 0
    return min(len(curves), MOST) * (HEIGHT + GAP) + more


def draw_curves(
    page: Image.Image,
    curves: ValueCurves,
    box: tuple[int, int, int],
    letters: Letters,
    colours: Mapping[str, Colour],
    faint: Colour,
    keyframes: Sequence[int] = (),
) -> None:
    """Draw curves below each other, the first ones if they are many.

    Args:
        box: left, top and width in pixels.
        colours: of the texts; other values are drawn in `faint`.
        keyframes: places of the frames at which keyframes stand, which are marked.
    """
    left, top, width = box
    beside = width // 5
    draw = ImageDraw.Draw(page)
    for name, values in list(curves.items())[:MOST]:
        ink = colours.get(name, faint)
        middle = top + (HEIGHT - 2 * line_height(letters.small)) // 2
        lines = (cut(one_line(name), letters.small, beside - GAP), span(values))
        for place, line in enumerate(lines):
            draw.text(
                (left, middle + place * line_height(letters.small)), line, faint, letters.small
            )
        strip = curve(values, (width - beside, HEIGHT), ink)
        page.paste(strip, (left + beside, top), strip)
        for place in keyframes:
            x = left + beside + round(place / max(1, len(values) - 1) * (width - beside - 1))
            draw.line((x, top, x, top + HEIGHT), TICK)
        top += HEIGHT + GAP
    if len(curves) > MOST:
        draw.text((left, top), f"and {len(curves) - MOST} more", faint, letters.small)


def span(values: Sequence[float]) -> str:
    """The least and the largest value."""
    return f"{min(values):.3g} to {max(values):.3g}"


def curve(values: Sequence[float], size: tuple[int, int], ink: Colour) -> Image.Image:
    """A curve on nothing, from its least to its largest value."""
    large = Image.new("RGBA", (SMOOTH * size[0], SMOOTH * size[1]), (*ink, 0))
    draw = ImageDraw.Draw(large)
    draw.line(list(points(values, large.size)), (*ink, 255), 2 * SMOOTH, joint="curve")
    return large.resize(size, Image.Resampling.LANCZOS)


def points(values: Sequence[float], size: tuple[int, int]) -> Iterator[tuple[float, float]]:
    """The places of values in a picture of this width and height, one for each of its columns."""
    least, most = min(values), max(values)
    edge = 2 * SMOOTH
    for column in range(size[0]):
        value = values[min(len(values) - 1, column * len(values) // size[0])]
        share = (value - least) / ((most - least) or 1)
        yield column, edge + (1 - share) * (size[1] - 2 * edge)
