"""Plot of a film's steps: how much each frame differs from the one before, with its keyframes, its
flashes and its jumps. Once as a PNG, drawn by Pillow, and once as an SVG, which is text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw, PngImagePlugin

from render.files.atomic import write_whole
from render.files.ownership import PLOT_MARK
from render.measurement.figures import Figures
from render.video.lettering import Letters, cut, letters_for
from render.video.value_curves import Colour

WIDTH, HEIGHT = 1200, 420  # pixels
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 64, 48
FINE = 2  # times as large a PNG is drawn before it is made smaller
MOST_MARKS = 24  # times that stand below the plot
HEADROOM = 1.08

BACKGROUND, INK, FAINT, RULE = (22, 23, 26), (234, 234, 230), (150, 152, 158), (60, 62, 68)
CURVE, FLASH, SNAP, CUT = (120, 190, 250), (250, 190, 70), (240, 90, 90), (150, 152, 158)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through points."""

    points: Sequence[Point]
    colour: Colour
    width: float = 1.0


@dataclass(frozen=True, slots=True)
class Disc:
    """A dot."""

    at: Point
    colour: Colour
    radius: float = 5.0


@dataclass(frozen=True, slots=True)
class Words:
    """A text that begins, ends or is centred at a point, which is on its middle line."""

    at: Point
    text: str
    colour: Colour
    anchor: str = "start"
    large: bool = False


Shape = Stroke | Disc | Words


def step_plot(figures: Figures, times: Sequence[float], title: str, target: Path) -> list[Path]:
    """Write the plot beside a target without a suffix; returns its PNG and its SVG.

    Args:
        times: when each frame is shown, in seconds.

    Raises:
        DiskFull: no room for it.
    """
    shapes = list(plotted(figures, times, title))
    png, svg = target.with_name(f"{target.name}.png"), target.with_name(f"{target.name}.svg")
    write_whole(png, as_png(shapes))
    write_whole(svg, as_svg(shapes))
    return [png, svg]


def plotted(figures: Figures, times: Sequence[float], title: str) -> Iterator[Shape]:
    """The shapes of the plot, those behind others first."""
    place = Placed(figures, times)
    yield Words((LEFT, 28), title, INK, large=True)
    yield from legend(figures)
    for height in (0.25, 0.5, 0.75, 1.0):
        level = height * place.highest
        yield Stroke([place(place.start, level), place(place.end, level)], RULE)
        yield Words((LEFT - 8, place(place.start, level)[1]), f"{level:.3f}", FAINT, "end")
    for frame in figures.keyframes:
        time = times[frame]
        yield Stroke([place(time, 0), place(time, place.highest)], FAINT)
    marked = figures.keyframes[:: 1 + len(figures.keyframes) // MOST_MARKS]
    for frame in marked:
        x, y = place(times[frame], 0)
        yield Words((x, y + 20), f"{times[frame]:.2f} s", FAINT, "middle")
    median = [place(place.start, figures.median), place(place.end, figures.median)]
    yield Stroke(median, INK)
    shown = [(place.time(frame + 1), step) for frame, step in enumerate(figures.steps)]
    yield Stroke([place(time, step) for time, step in shown], CURVE, 2)
    for frames, colour in marks(figures):
        for frame in frames:
            yield Disc(place(place.time(frame), figures.steps[frame - 1]), colour)


def legend(figures: Figures) -> Iterator[Shape]:
    """The names of the marks that the plot may have, on the right above it."""
    right = WIDTH - RIGHT
    names = [("keyframe", FAINT), ("median", INK), ("step", CURVE), ("flash", FLASH)]
    for name, colour in [("jump", SNAP), *reversed(names)]:
        yield Words((right, 28), name, colour, "end")
        right -= 12 + 9 * len(name)


def marks(figures: Figures) -> Iterator[tuple[Sequence[int], Colour]]:
    """The frames that are marked, with their colours."""
    yield figures.cuts, CUT
    yield figures.flashes, FLASH
    yield figures.snaps, SNAP


class Placed:
    """Turns a time and a step into a place on the plot.

    Attributes:
        start, end: the times at its left and right edges.
        highest: the step at its top.
    """

    def __init__(self, figures: Figures, times: Sequence[float]) -> None:
        self.times = times
        self.start, self.end = times[0], self.time(len(figures.steps))
        self.highest = max(*figures.steps, 1e-6) * HEADROOM

    def time(self, frame: int) -> float:
        """When a frame is shown; in a loop the first one once more after the last."""
        if frame < len(self.times):
            return self.times[frame]
        return self.times[-1] + (self.times[-1] - self.times[0]) / max(1, len(self.times) - 1)

    def __call__(self, time: float, step: float) -> Point:
        across = (time - self.start) / max(1e-9, self.end - self.start)
        up = step / self.highest
        x = LEFT + across * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def as_png(shapes: Sequence[Shape]) -> bytes:
    """The plot as a PNG, with the mark by which render knows its own."""
    page = Image.new("RGB", (FINE * WIDTH, FINE * HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(page)
    for shape in shapes:
        if isinstance(shape, Stroke):
            points = [(FINE * x, FINE * y) for x, y in shape.points]
            draw.line(points, shape.colour, round(FINE * shape.width), joint="curve")
        elif isinstance(shape, Disc):
            x, y, radius = (FINE * value for value in (*shape.at, shape.radius))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), shape.colour)
    page = page.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    draw_words(page, [shape for shape in shapes if isinstance(shape, Words)])
    proof, encoded = PngImagePlugin.PngInfo(), io.BytesIO()
    proof.add_text(PLOT_MARK, "1")
    page.save(encoded, "PNG", pnginfo=proof)
    return encoded.getvalue()


def draw_words(page: Image.Image, words: Sequence[Words]) -> None:
    """Write texts, at the size at which they are read."""
    letters, draw = letters_for([word.text for word in words]), ImageDraw.Draw(page)
    anchors = {"start": "lm", "middle": "mm", "end": "rm"}
    for word in words:
        spelled = fitting(word, letters)
        font = letters.large if word.large else letters.small
        draw.text(word.at, spelled, word.colour, font, anchor=anchors[word.anchor])


def fitting(word: Words, letters: Letters) -> str:
    """A text in the font's characters; a title ends before the legend begins."""
    spelled = letters.spell(word.text)
    return cut(spelled, letters.large, WIDTH / 2) if word.large else spelled


def as_svg(shapes: Sequence[Shape]) -> bytes:
    """The plot as an SVG, which begins with the mark by which render knows its own."""
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">',
        f"<!-- {PLOT_MARK} -->",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{web(BACKGROUND)}"/>',
        *map(in_svg, shapes),
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def in_svg(shape: Shape) -> str:
    """One shape as an element of an SVG."""
    if isinstance(shape, Stroke):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        look = f'fill="none" stroke="{web(shape.colour)}" stroke-width="{shape.width:g}"'
        return f'<polyline points="{points}" {look}/>'
    x, y = shape.at
    if isinstance(shape, Disc):
        radius, colour = shape.radius, web(shape.colour)
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'
    size, at = (20 if shape.large else 14), f'x="{x:.1f}" y="{y + 5:.1f}"'
    look = f'font-size="{size}" text-anchor="{shape.anchor}" fill="{web(shape.colour)}"'
    text = "".join(letter if letter.isprintable() else " " for letter in shape.text)
    return f"<text {at} {look}>{escape(text)}</text>"


def web(colour: Colour) -> str:
    """#rrggbb"""
    return "#{:02x}{:02x}{:02x}".format(*colour)
