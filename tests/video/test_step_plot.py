"""The plot of a film's steps, as a picture and as text."""

from __future__ import annotations

import xml.etree.ElementTree as Tree

import numpy as np
import pytest
from PIL import Image
from synthetic import dissolve, measured

from render.files.ownership import is_ours
from render.video.step_plot import CURVE, FLASH, SNAP, step_plot, web


def plot_of(tmp_path, weights, title="city", **known):
    found = measured(dissolve(weights), **known)
    times = [place / 12 for place in range(found.frames)]
    return found, step_plot(found, times, title, tmp_path / "measure")


def drawn(svg):
    """The shapes of an SVG: (kind, colour)."""
    elements = Tree.fromstring(svg.read_text())
    return [
        (element.tag.rpartition("}")[2], element.get("fill") or element.get("stroke"))
        for element in elements.iter()
    ]


def test_both_files_show_steps_flashes_and_jumps(tmp_path):
    weights = np.linspace(0, 0.8, 40)
    weights[10] += 0.15
    weights[25:] += 0.2
    found, (png, svg) = plot_of(tmp_path, weights)
    assert (found.flashes, found.snaps) == ((10,), (25,))
    shapes = drawn(svg)
    assert shapes.count(("circle", web(FLASH))) == 1
    assert shapes.count(("circle", web(SNAP))) == 1
    with Image.open(png) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {FLASH, SNAP, CURVE} <= colours
    assert is_ours(png)
    assert is_ours(svg)


def test_a_still_film_and_a_loop_have_a_plot(tmp_path):
    assert plot_of(tmp_path, [0.5, 0.5])[0].median == 0
    found, files = plot_of(tmp_path, np.linspace(0, 1, 9), loop=True)
    assert len(found.steps) == 9
    assert all(file.stat().st_size < 100_000 for file in files)


@pytest.mark.parametrize("title", ["<b>&\"'", "ü 中 \x1b[31m\x00", "x" * 500])
def test_any_title_is_only_text(tmp_path, title):
    _, (_, svg) = plot_of(tmp_path, [0, 0.5, 1], title)
    assert len(Tree.fromstring(svg.read_text())) > 5


def test_many_keyframes_do_not_write_over_each_other(tmp_path):
    _, (_, svg) = plot_of(tmp_path, np.linspace(0, 1, 200), keyframes=range(0, 200, 2))
    times = [text for text in svg.read_text().splitlines() if text.endswith(" s</text>")]
    assert len(times) <= 25
