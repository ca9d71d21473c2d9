"""`render export FILM KIND`: a film's timeline for another tool."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from render.api import Film
from render.cli.compose import compose
from render.cli.from_film import timeline_of, values_beside
from render.cli.recipes import CONFIG, read_recipe
from render.cli.verb_arguments import words_and_root
from render.config.values import nearest
from render.errors import ConfigError, Mistake
from render.exporters.outline import EXPORTERS
from render.files.atomic import is_there, says, write_whole
from render.files.ownership import set_aside
from render.run.outline import outline_of
from render.video.codecs import CODECS

USAGE = "needs a film and a kind: render export city srt"
ALL = "all"
TARGET = re.compile(r"to=(.*)", re.DOTALL)


def exported(arguments: Sequence[str]) -> Iterator[str]:
    """Write a film's timeline for another tool, and yield the lines to say.

    Args:
        arguments: the film, as a run's name or folder, a video or a timeline; the kind of file, or
            `all`; `to=` the file that is written, by default beside the film; overrides.

    Raises:
        ConfigError: there is no such film or kind, or the film can't be written so.
    """
    written, kind, target, overrides = words(arguments)
    film = film_of(written, overrides)
    outline = outline_of(film.resolved)
    if film.resolved.follows:
        yield "values that follow the sound or the time are written as they are at each keyframe"
    for exporter in [*EXPORTERS.values()] if kind == ALL else [EXPORTERS[kind]]:
        try:
            content = exporter.write(outline)
        except ConfigError as error:
            if kind != ALL:
                raise
            yield f"{exporter.called}: left out: {error}"  # a library that is not installed
            continue
        beside = film.folder / f"{film.config['name']}{exporter.suffix}"
        yield from kept(target or beside, content, is_asked_for=target is not None)
        yield f"{target or beside}: {exporter.called}"


def words(arguments: Sequence[str]) -> tuple[str, str, Path | None, list[str]]:
    """The film, the kind, the file of `to=` and the overrides.

    Raises:
        ConfigError: one is missing, or is none that can be.
    """
    targets = [found[1] for one in arguments if (found := TARGET.fullmatch(one))]
    rest = [one for one in arguments if not TARGET.fullmatch(one)]
    if len(rest) < 2 or any(one.startswith("-") for one in rest[:2]):
        kinds = ", ".join(EXPORTERS)
        raise ConfigError([Mistake("render export", f"{USAGE}; kinds: {kinds}, {ALL}")])
    written, kind, *overrides = rest
    if kind not in EXPORTERS and kind != ALL:
        what = f"no kind {kind!r}{nearest(kind, [*EXPORTERS, ALL])}"
        raise ConfigError([Mistake("render export", what)])
    if targets and (not targets[-1].strip() or Path(targets[-1]).expanduser().is_dir()):
        raise ConfigError([Mistake("to", f"{targets[-1]!r} is no file; give to=FILE")])
    if targets and kind == ALL:
        raise ConfigError([Mistake("to", "is one file, and all kinds are several; leave it out")])
    return written, kind, Path(targets[-1]).expanduser() if targets else None, overrides


def kept(target: Path, content: bytes, is_asked_for: bool) -> Iterator[str]:
    """Write a file, and yield a line if another one had to make way for it.

    Args:
        is_asked_for: whether a person named the file; then nothing makes way.

    Raises:
        ConfigError: a file that a person named is there and holds something else.
    """
    if is_there(target) and not says(target, content):
        if is_asked_for:
            what = f"{target} is there and holds something else; give another name with to=FILE"
            raise ConfigError([Mistake("to", what)])
        yield f"{target} was another one, which is now {set_aside(target).name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, content)


def film_of(written: str, overrides: Sequence[str]) -> Film:
    """A film by its run, its video or its timeline.

    Raises:
        ConfigError: there is none.
    """
    _, root = words_and_root(overrides)
    for file in (root / written, Path(written).expanduser()):
        if (file / CONFIG).is_file() or file.suffix in {codec.suffix for codec in CODECS.values()}:
            recipe = read_recipe(file)
            document = timeline_of(recipe)
            values = values_beside(recipe, document, overrides)
            composed = compose(document, overrides, values)
            return Film(composed.config, locate=composed.locate)
    composed = compose(written, overrides)
    return Film(composed.config, locate=composed.locate)
