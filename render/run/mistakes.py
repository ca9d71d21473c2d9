"""Every mistake in a config, found before anything is written.

`CHECKS` is the one list: a check takes the config and the facts of its surroundings, and yields
what it finds. All are asked, even where others found something, so that everything wrong is
reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from render.config.schema import RunConfig
from render.engines.registry import engine_named
from render.errors import Mistake
from render.models.lpips_weights import mistakes_in_lpips
from render.run.facts import Check, Facts, unlearnt
from render.run.finish_facts import size_mistakes
from render.run.memory_checks import memory_mistakes
from render.run.model_checks import (
    approximation_mistakes,
    blend_mistakes,
    guidance_mistakes,
    image_mistakes,
    negative_mistakes,
    scheduler_mistakes,
)
from render.run.prompt_checks import weight_mistakes
from render.run.unused_keys import unused_mistakes
from render.video import codecs


def all_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """The mistakes that the checks find, in the order of the list."""
    for check in CHECKS:
        yield from check(config, facts)


def link_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Links below the root, which may itself lead anywhere: they could lead into someone else's
    folder."""
    root, folder, store = config.root, facts.folder, facts.store
    below = [folder / "frames", folder / "shown", folder, folder.parent, store]
    if store.is_dir() and not store.is_symlink():
        below += [Path(entry.path) for entry in os.scandir(store)]
    for path in sorted(set(below) - {root}):
        if path.is_symlink():
            yield Mistake(str(path), "is a link; remove it, or give another place with root=")


def engine_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Why the engine can't render this film on that device, with what is installed."""
    if facts.model:
        engine = engine_named(config.compute.engine)
        yield from engine.mistakes(config, facts.place, facts.model)


def output_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Keys of `output` that its format can't follow."""
    yield from codecs.mistakes_in_output(config.output)


def input_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Keys of `mode=measure` beside a timeline, whose film is measured by its own plan."""
    if config.input is not None:
        alone = "is measured without a timeline"
        other = "" if config.mode == "measure" else " and with mode=measure"
        yield Mistake("input", f"{alone}{other}; leave one of the two out")
    if config.measure.keyframes is not None:
        what = "is for an input without a plan; the timeline has its own keyframes, so leave it out"
        yield Mistake("measure.keyframes", what)
    if config.measure.lpips is not None:
        if config.mode != "measure":
            yield Mistake("measure.lpips", "goes with mode=measure; leave it out")
        else:
            yield from mistakes_in_lpips(config.measure.lpips)


CHECKS: tuple[Check, ...] = (
    link_mistakes,
    unlearnt("images"),
    unlearnt("control"),
    unlearnt("sounds"),
    unlearnt("timeline"),
    unlearnt("device"),
    unlearnt("model"),
    unlearnt("loras"),
    unlearnt("dtype"),
    unlearnt("recipe"),
    blend_mistakes,
    negative_mistakes,
    guidance_mistakes,
    unused_mistakes,
    scheduler_mistakes,
    approximation_mistakes,
    image_mistakes,
    weight_mistakes,
    memory_mistakes,
    engine_mistakes,
    output_mistakes,
    unlearnt("finish"),
    size_mistakes,
    input_mistakes,
    unlearnt("sound_s"),
)
"""In the order of reporting."""
