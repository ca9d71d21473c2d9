"""The names of videos: the plain one is `<name>.mp4`, others have their codec, speed or size in it.

Codec and speed always show in the name. The size shows only where the plain name is that of another
size: a film of the model's own size takes it over, and the other one is renamed.
"""

from __future__ import annotations

from pathlib import Path

from render.config.output_group import OutputConfig
from render.config.schema import SamplingConfig
from render.plan.approximations import PRESETS, Approximations
from render.text import digits
from render.video.codecs import CODECS, Size, suffix


def usual_name(name: str, output: OutputConfig, sampling: SamplingConfig) -> str:
    """city.mp4, city.av1.mp4, city.draft.mp4, city.draft.deep_cache-2.webm"""
    chroma = [str(output.chroma)] if output.chroma == 444 else []
    kinds = [CODECS[output.format].called, *chroma, *speed_labels(sampling)]
    return ".".join([name, *filter(None, kinds)]) + suffix(output.format)


def speed_labels(sampling: SamplingConfig) -> list[str]:
    """The speed, unless it is exact, and the keys that a person set beside it."""
    preset = PRESETS[sampling.speed]
    labels: list[str] = [] if sampling.speed == "exact" else [sampling.speed]
    for key in Approximations.__dataclass_fields__:
        value = getattr(sampling, key)
        if value is not None and value != getattr(preset, key):
            parts = value if isinstance(value, tuple) else (value,)
            labels.append(f"{key}-{'-'.join(map(digits, parts))}")
    return labels


def sized(usual: Path, size: Size) -> Path:
    """city.64x48.mp4 for city.mp4"""
    return usual.with_name(f"{usual.stem}.{size[0]}x{size[1]}{usual.suffix}")


def size_of(record: object) -> Size | None:
    """The size that run.json gives a video; None where it gives none that can be."""
    if not isinstance(record, list) or len(record) != 2:
        return None
    width, height = record
    sides = all(type(side) is int and 0 < side < 1 << 20 for side in record)
    return (width, height) if sides else None
