"""Warnings about words in a film's texts that a model does not read as they are meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING

from render.config.schema import RunConfig
from render.config.values import shown
from render.errors import Locate, Mistake
from render.models.guidance import Guidance
from render.models.hub_cache import COMMIT
from render.models.other_tools import misread
from render.models.prompt_weights import weight_flaw, weighted_part
from render.models.resolve import Model
from render.models.word_list import LIST_NAME, known_words, unknown_words, with_nearest
from render.timeline.spec import Timeline

if TYPE_CHECKING:
    from render.run.facts import Facts

NAMED = 5  # keyframes or words that a warning names
MOST_WARNINGS = 8  # of words


def texts_of(config: RunConfig, locate: Locate) -> Iterator[tuple[str, str]]:
    """Every text of a film with its place; `sampling.negative` first."""
    yield "sampling.negative", config.sampling.negative
    for name, keyframe in config.timeline.keyframes.items():
        place = f"timeline.keyframes.{name}"
        for text in keyframe.prompt or {}:
            yield locate(f"{place}.prompt"), text
        yield locate(f"{place}.negative"), keyframe.negative or ""


def word_warnings(config: RunConfig, model: Model, locate: Locate) -> Iterator[str]:
    """Warnings about texts that a model reads otherwise than they may be meant, each at its first
    place."""
    weighted = model.family.weighted is not None and not model.source.clip_skip
    known = known_words(model.source.folder)
    learned = [word for _, word in model.source.words]
    places: dict[str, str] = {}
    for place, text in texts_of(config, locate):
        places.setdefault(text, place)
    names = (config.model.name, f"{model.source.folder}/{LIST_NAME}")
    odd = chain(misread_texts(places, weighted, learned), strange_texts(places, known, *names))
    found = list(islice(odd, MOST_WARNINGS + 1))  # a film may have tens of thousands
    yield from found[:MOST_WARNINGS]
    if len(found) > MOST_WARNINGS:
        yield "and more texts like these"


def misread_texts(
    places: Mapping[str, str], weighted: bool, learned: Collection[str]
) -> Iterator[str]:
    """Spellings of other tools, by the places of texts."""
    for text, place in places.items():
        for part, advice in misread(text, weighted, learned):
            yield f"{place}: {shown(part)} is read as words; {advice}"


def strange_texts(
    places: Mapping[str, str], known: frozenset[str], model: str, listed: str
) -> Iterator[str]:
    """Words that a model never learnt, by the places of texts; of a model without a list none."""
    for text, place in places.items() if known else ():
        if strange := unknown_words(text, known):
            words = ", ".join(with_nearest(word, known) for word in strange[:NAMED])
            more = " …" if len(strange) > NAMED else ""
            yield (
                f"{place}: {model} never learnt {words}{more} and reads past it; its words are in "
                f"{listed}"
            )


def size_warnings(config: RunConfig, model: Model) -> Iterator[str]:
    """A size that the model was not trained at, so that it repeats or loses what it paints."""
    width, height = config.output.width or model.width, config.output.height or model.height
    area = width * height / (model.width * model.height)
    side = max(width / model.width, height / model.height)
    smallest, largest = model.family.areas
    own = f"{model.width} × {model.height}"
    if area > largest or side >= model.family.longest:
        does, way_out = "repeats what it paints", "enlarge the film afterwards"
    elif area < smallest:
        does, way_out = "paints worse", "make the film smaller afterwards"
    else:
        return
    yield (
        f"output.width, output.height: {width} × {height} is far from {config.model.name}'s own "
        f"{own}: it {does}; leave the size out and {way_out}, or use a model of that size"
    )


def weight_mistakes(config: RunConfig, facts: Facts) -> Iterator[Mistake]:
    """Weights inside texts that this model can't be given."""
    model = facts.model
    for place, text in texts_of(config, facts.locate) if model else ():
        part = weighted_part(text)
        if part is None:
            continue
        wrong = weight_flaw(text)
        if model and (model.family.weighted is None or model.source.clip_skip):
            wrong = (
                "is a weight inside a text, which only Stable Diffusion 1, 2 and XL without "
                "model.clip_skip are given; leave brackets and number out, or blend two texts: "
                "{A town with a castle: 0.7, A town: 0.3}"
            )
        if wrong:
            yield Mistake(place, f"{shown(part)}: {wrong}")


def negative_warnings(timeline: Timeline, guidance: Guidance) -> Iterator[str]:
    """Negatives beside a guidance scale that is none."""
    without = [
        f"{float(keyframe.time):g}"
        for keyframe in timeline.keyframes
        if guidance.negatives
        and any(text for text, _ in keyframe.values.negatives)
        and not guidance.uses_negatives(keyframe.values.guidance)
    ]
    if without:
        times = ", ".join(without[:NAMED]) + (" …" if len(without) > NAMED else "")
        yield (
            f"negatives do nothing at {times} s, where guidance is {guidance.off:g} or less; "
            "raise guidance, or leave them out"
        )


def revision_warnings(model: Model, revision: str | None) -> Iterator[str]:
    """A branch or tag of the hub that may be another model tomorrow, so other frames."""
    repository, commit = model.source.repository, model.source.revision
    if repository and not COMMIT.fullmatch(revision or "main"):
        yield (
            f"model.revision={revision or 'main'} of {repository} may move, and all frames with "
            f"it; today it is model.revision={commit}"
        )
