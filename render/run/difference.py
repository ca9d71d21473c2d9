"""The difference of two runs: of their configs, and of their frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from render.config.timeline_file import read_document
from render.errors import ConfigError, Mistake
from render.files.ownership import read_head
from render.run.film_recipe import LEFT_OUT
from render.store.plan_digests import digest_of, frames_in
from render.store.store import frame_path


@dataclass(frozen=True, slots=True)
class Difference:
    """The settings and the frames that differ between two runs.

    Attributes:
        settings: dotted key of the config, its value in the one run and in the other.
        frames: places of the frames that are not the same picture.
        absent: places of the frames that one of the runs does not show as its plan has them.
        counts: how many frames each has.
        times_s: of the longer one's frames, in seconds.
    """

    settings: tuple[tuple[str, object, object], ...]
    frames: tuple[int, ...]
    absent: tuple[int, ...]
    counts: tuple[int, int]
    times_s: tuple[float, ...]


def difference(one: Path, other: Path) -> Difference:
    """The difference of the runs in two folders.

    Raises:
        ConfigError: one has no plan, or its files can't be read.
    """
    plans = [plan_of(folder) for folder in (one, other)]
    digests = [[digest for digest, _ in plan] for plan in plans]
    pairs = list(enumerate(zip_longest(*digests)))
    longer = max(plans, key=len)
    there = [
        [shows(folder, place, digest) for place, digest in enumerate(mine)]
        for folder, mine in zip((one, other), digests, strict=True)
    ]
    lacking = {place for mine in there for place, shown in enumerate(mine) if not shown}
    configs = [dict(leaves(config_of(folder))) for folder in (one, other)]
    return Difference(
        tuple(changed(*configs)),
        tuple(place for place, (a, b) in pairs if a != b and place not in lacking),
        tuple(sorted(lacking)),
        (len(plans[0]), len(plans[1])),
        tuple(time_s for _, time_s in longer),
    )


def shows(folder: Path, place: int, digest: str) -> bool:
    """Whether a run's folder shows the frame of its plan."""
    try:
        return digest.encode() in read_head(frame_path(folder / "frames", place))
    except OSError:
        return False


def plan_of(folder: Path) -> list[tuple[str, float]]:
    """Digest and time of every frame of a run."""
    try:
        frames = list(frames_in(folder / "plan.json"))
        return [(digest_of(frame), float(frame["time"])) for frame in frames]  # type: ignore[index]
    except OSError as error:
        raise ConfigError([Mistake(str(folder), f"has no plan: {error.strerror}")]) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError([Mistake(str(folder / "plan.json"), f"is no plan: {error}")]) from None


def config_of(folder: Path) -> Mapping[str, Any]:
    """The config of a run; empty if it can't be read."""
    try:
        content = read_document(folder / "config.yaml").content
        return {key: value for key, value in content.items() if key not in (*LEFT_OUT, "name")}
    except ConfigError:
        return {}


def leaves(value: Any, dotted: str = "") -> Iterator[tuple[str, object]]:
    """Every value of nested data by its dotted key."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{dotted}.{key}" if dotted else str(key))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from leaves(item, f"{dotted}.{place}")
    else:
        yield dotted, value


def changed(
    one: Mapping[str, object], other: Mapping[str, object]
) -> Iterator[tuple[str, object, object]]:
    """Keys that have another value in the other one; one that is not there is null."""
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            yield key, one.get(key), other.get(key)
