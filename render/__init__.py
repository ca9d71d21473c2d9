"""render: a timeline of keyframes becomes a smooth video with a latent diffusion model.

import render
film = render.load("city", "output.fps=24")
print(film.plan().summary)
for frame in film.render():
    show(frame.image)
film.encode("city.mp4")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from render.api import Film, Frame, Plan
    from render.cli.load import load
    from render.errors import (
        ConfigError,
        DiskFull,
        EncodeError,
        FolderBusy,
        FramesFailed,
        RenderError,
    )
    from render.run.measured_input import measure

__version__ = "0.2.0"
__all__ = [
    "ConfigError",
    "DiskFull",
    "EncodeError",
    "Film",
    "FolderBusy",
    "Frame",
    "FramesFailed",
    "Plan",
    "RenderError",
    "__version__",
    "load",
    "measure",
]
PLACES = {
    "Film": "render.api",
    "Frame": "render.api",
    "Plan": "render.api",
    "load": "render.cli.load",
    "measure": "render.run.measured_input",
}
"""Where those that are no errors come from."""


def __getattr__(name: str) -> Any:
    """The public names, each imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'render' has no attribute {name!r}")
    value = getattr(importlib.import_module(PLACES.get(name, "render.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
