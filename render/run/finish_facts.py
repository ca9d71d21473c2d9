"""The finish of a film, from what a person wrote: every mistake in it, before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from render.config.output_group import NONE, OutputConfig
from render.config.schema import RunConfig
from render.engines.inbetween_files import called, identity_of, way_of
from render.engines.upscalers import KEY, upscaler_for
from render.errors import ConfigError, Mistake
from render.plan.finish import Finish, Upscaler
from render.run.spared_warnings import libraries_spared
from render.store.frame_png import LARGEST_PIXELS
from render.store.upscale_factors import remember, remembered
from render.video.inbetweens import INBETWEENS

if TYPE_CHECKING:
    from render.run.facts import Facts

MOST_PICTURES = 10_000  # for each rendered frame; a plan names them all on its line


def finish_of(config: RunConfig, hashes: dict[str, Any], store: Path) -> Finish | None:
    """The finish that a config asks for; None if the film shows its frames as they are.

    Args:
        hashes: of big files; those of new ones are added.
        store: where the factors of upscalers are remembered.

    Raises:
        ConfigError: everything wrong in it.
    """
    output, upscaler, wrong = config.output, None, list(mistakes_in_rates(config))
    try:
        upscaler = upscaler_of(config, hashes, store)
    except ConfigError as error:
        wrong += error.mistakes
    method = ""
    try:
        wrong += mistakes_in_package(output)
        method = identity_of(output, hashes)
    except ConfigError as error:
        wrong += error.mistakes
    if wrong:
        raise ConfigError(wrong)
    times = int(output.fps / output.planned_fps)
    if times == 1 and upscaler is None:
        return None
    return Finish(output.fps, times, called(output), method, upscaler)


def upscaler_of(config: RunConfig, hashes: dict[str, Any], store: Path) -> Upscaler | None:
    """The upscaler that a config asks for, or that its model has."""
    factors = remembered(store)
    with libraries_spared():
        found = upscaler_for(config.output, config.model.upscaler, hashes, factors)
    remember(store, factors)
    return found


def mistakes_in_rates(config: RunConfig) -> Iterator[Mistake]:
    """Rates that do not go with each other, or with the pictures in between."""
    output = config.output
    fps, rendered, between = output.fps, output.planned_fps, output.inbetween != NONE
    if rendered > fps:
        what = f"{rendered} frames a second are more than the {fps} of output.fps; give fewer"
        yield Mistake("output.rendered_fps", what)
    elif (fps / rendered).denominator > 1:
        near = " or ".join(str(each) for each in multiples(rendered, fps))
        what = f"{fps} is no whole multiple of output.rendered_fps={rendered}; use {near}"
        yield Mistake("output.fps", what)
    elif fps / rendered > MOST_PICTURES:
        what = f"{fps / rendered} pictures for each rendered frame are more than {MOST_PICTURES:,}"
        yield Mistake("output.rendered_fps", f"{what}; render more frames a second")
    elif rendered < fps and not between:
        what = f"something has to lie between the {rendered} frames a second that are rendered"
        yield Mistake("output.inbetween", f"{what}; give dissolve or flow")
    elif rendered == fps and between and not may_bridge(config):
        what = f"nothing lies in between while all {fps} frames a second are rendered"
        fewer = f"output.rendered_fps={fps / 2}"
        yield Mistake("output.inbetween", f"{what}; give {fewer}, or leave it out")


def may_bridge(config: RunConfig) -> bool:
    """Whether pictures in between may bridge jumps: of a plain path at an even pace."""
    paces = (frame.pace or config.timeline.pace for frame in config.timeline.keyframes.values())
    return config.sampling.path == "plain" and any(pace == "even" for pace in paces)


def bridging_of(config: RunConfig, hashes: dict[str, Any]) -> tuple[str, str]:
    """Name and identity of the way to make pictures that bridge a jump: the one that is asked for,
    else a dissolve."""
    if config.output.inbetween == NONE:
        return "dissolve", f"dissolve {INBETWEENS['dissolve'].version}"
    return called(config.output), identity_of(config.output, hashes)


def multiples(rendered: Fraction, fps: Fraction) -> list[Fraction]:
    """The whole multiples of a rate that are nearest to another one."""
    below = fps // rendered
    return [rendered * times for times in (below, below + 1) if times > 0]


def mistakes_in_package(output: OutputConfig) -> Iterator[Mistake]:
    """A package that a way to make pictures in between needs, and that is not installed."""
    way = way_of(output)
    if way and way.module and find_spec(way.module) is None:
        package = way.package or way.module
        what = f"{called(output)} needs {package}, which is not here: pip install {package}"
        yield Mistake("output.inbetween", f"{what}; dissolve needs nothing")


def size_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Pictures that become too large to be stored."""
    recipe, finish = facts.recipe, facts.finish
    if recipe is None or finish is None or finish.upscaler is None:
        return
    width, height = recipe.width * finish.factor, recipe.height * finish.factor
    if width * height > LARGEST_PIXELS:
        what = f"{finish.factor} times {recipe.width}×{recipe.height} are {width}×{height} pixels"
        yield Mistake(KEY, f"{what}, more than a picture may have; give a smaller factor or none")
