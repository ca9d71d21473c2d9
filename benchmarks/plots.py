"""The plots' common look. matplotlib is an extra: it is imported only when something is drawn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BLUE, ORANGE, GREY = "#1f5f99", "#d9822b", "#6b7280"
BESIDE = (
    ((9, 0), "left", "center"), ((-9, 0), "right", "center"), ((0, 9), "center", "bottom"),
    ((0, -9), "center", "top"), ((9, 9), "left", "bottom"), ((-9, -9), "right", "top"),
    ((-9, 9), "right", "bottom"), ((9, -9), "left", "top"), ((0, 22), "center", "bottom"),
)  # fmt: skip
"""Where a label may stand, in points from its mark, and how it is aligned there."""
WIDTH = 1100  # pixels: what a page of the docs shows


def figure(columns: int = 1, height: float = 4.6) -> tuple[Any, Any]:
    """An empty figure and its axes; ends the program with a line where matplotlib is missing."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        sys.exit("the plot needs matplotlib: pip install -e '.[bench]'; the tables are complete")
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "font.size": 12,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": GREY,
            "axes.labelcolor": "#1f2937",
            "axes.titlesize": 12,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e5e7eb",
            "xtick.color": GREY,
            "ytick.color": GREY,
        }
    )
    return plt.subplots(1, columns, figsize=(WIDTH / 100, height), layout="constrained")


def label(axes: Any, points: Sequence[tuple[float, float]], texts: Sequence[Any]) -> None:
    """Put each text beside its point, where it covers neither a point nor another text."""
    from matplotlib.transforms import Bbox

    renderer = axes.figure.canvas.get_renderer()
    axes.figure.draw_without_rendering()  # places are pixels only after this
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in axes.transData.transform(points)]
    for text in texts:
        for offset, across, up in BESIDE:
            text.set(position=offset, horizontalalignment=across, verticalalignment=up)
            box = text.get_window_extent(renderer)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def save(drawn: Any, target: Path) -> None:
    """Write a figure as a small picture, on white so that a dark page does not swallow it."""
    drawn.canvas.draw()
    shown = Image.fromarray(np.asarray(drawn.canvas.buffer_rgba())).convert("RGB")
    target.parent.mkdir(parents=True, exist_ok=True)
    shown.save(target, lossless=True, quality=100, method=6)
    print(f"\n{target}: {target.stat().st_size / 1000:.0f} kB")
