"""`render import FILE`: the timeline of another tool, written as a file that a person can read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from render.api import Film
from render.cli.chosen_timeline import is_file_name, plain_name
from render.cli.compose import compose
from render.cli.other_timelines import as_document
from render.config.values import nearest
from render.errors import ConfigError, Mistake
from render.files.atomic import is_there, says, write_whole
from render.importers.imported import IMPORTERS, Imported, imported
from render.importers.source import opened_source
from render.importers.timeline_text import setting, timeline_text
from render.text import plural

USAGE = "needs a file: render import settings.txt [to=NAME.yaml] [as=KIND]"
MANY = 2000  # keyframes, which take some seconds to check
OPTION = re.compile(r"(to|as)=(.*)", re.DOTALL)


def imported_file(arguments: Sequence[str]) -> Iterator[str]:
    """Write the timeline of a file of another tool, and yield the lines to say.

    Args:
        arguments: the file; `to=` the file that is written, by default of the same name in the
            current folder; `as=` the kind of file, by default recognised.

    Raises:
        ConfigError: the file can't be imported, its timeline makes no film, or another file has
            that name. Nothing is written.
    """
    file, options = words(arguments)
    if (kind := options.get("as")) is not None and kind not in IMPORTERS:
        raise ConfigError([Mistake("as", f"no kind {kind!r}{nearest(kind, [*IMPORTERS])}")])
    source = opened_source(file)
    kind, found = imported(source, kind)
    target = Path(options.get("to") or f"{plain_name(file.stem)}.yaml").expanduser()
    if not is_file_name(target.name):
        raise ConfigError([Mistake("to", f"{target.name} is no timeline's file; give NAME.yaml")])
    name = plain_name(target.stem)
    settings = [setting(key, value) for key, value in found.settings.items()]
    place = str(target) if target.is_absolute() else f"./{target}"
    command = shlex.join(["render", f"+timeline={place}", *settings])
    if len(found.keyframes) > MANY:
        yield f"{file.name}: {len(found.keyframes):,} keyframes, which are checked first"
    text = timeline_text(found, name, f"{file.name} ({IMPORTERS[kind].called})", command)
    check(found, name, source.path, settings)
    content = text.encode()
    if is_there(target) and not says(target, content):
        what = f"{target} is there and holds something else; give another name with to=NAME.yaml"
        raise ConfigError([Mistake("to", what)])
    write_whole(target, content)
    count = plural(len(found.keyframes), "keyframe")
    yield f"{target}: {count} of {file.name} ({IMPORTERS[kind].called})"
    places = len(found.lost) + sum(map(len, found.lost_at.values()))
    if places:
        yield f"not carried over: {places}, each in a comment of the file"
    yield f"render it with: {command}"


def words(arguments: Sequence[str]) -> tuple[Path, dict[str, str]]:
    """The file and the options of `render import`.

    Raises:
        ConfigError: there is no file, or something that is neither.
    """
    files = [one for one in arguments if not OPTION.fullmatch(one) or Path(one).exists()]
    pairs = [OPTION.fullmatch(one) for one in arguments if one not in files]
    if len(files) != 1 or files[0].startswith("-"):
        what = USAGE if not files else f"takes one file, and to= and as=; not {files[-1]}"
        raise ConfigError([Mistake("render import", what)])
    return Path(files[0]).expanduser(), {pair[1]: pair[2] for pair in pairs if pair}


def check(found: Imported, name: str, file: Path, settings: Sequence[str]) -> None:
    """Hold an imported timeline against all that a timeline has to be.

    Raises:
        ConfigError: it makes no film.
    """
    composed = compose(as_document(found, name, file), settings)
    try:
        Film({**composed.config, "mode": "plan"}, locate=composed.locate)
    except ConfigError as error:
        mistakes = [Mistake(f"{file}: {each.where}", each.what) for each in error.mistakes]
        raise ConfigError(mistakes) from None
