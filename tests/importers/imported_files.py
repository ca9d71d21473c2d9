"""Files of other tools, made in a test and imported as data."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from render.errors import ConfigError
from render.importers.imported import imported
from render.importers.source import Source

BROKEN = ["", "{", "[", "null", "[1, 2]", '"a"', "{}", "\0\1\2", '{"a": NaN}', "[" * 10_000]
"""Texts that are no file of any tool."""
ODD_VALUES = [
    [],
    [[]],
    {},
    {"a": []},
    "x",
    "7",
    True,
    -1,
    0.5,
    1e300,
    10**30,
    "\ud83d",
    None,
    [None],
]


def source_of(content, name="film.json"):
    if isinstance(content, bytes):
        return Source(Path(name), content)
    text = content if isinstance(content, str) else json.dumps(content)
    return Source(Path(name), text.encode(errors="replace"))


def import_of(content, kind=None, name="film.json"):
    """The kind and the timeline of a file."""
    return imported(source_of(content, name), kind)


def refusal_of(content, kind=None):
    """The one line with which an import ends."""
    with pytest.raises(ConfigError) as caught:
        import_of(content, kind)
    (mistake,) = caught.value.mistakes
    return f"{mistake.where}: {mistake.what}"


def is_read_or_refused(content, kind):
    """An import ends with a timeline or with an error of a person's config, and nothing else."""
    lines = []
    try:
        import_of(content, kind)
    except ConfigError as error:
        lines = [mistake.what for mistake in error.mistakes]
    assert not any("\n" in line for line in lines)


@dataclass(frozen=True)
class FileKind:
    """A kind of file, tried under a file's name. `named` is whether errors are looked for with the
    kind named, as by `as=KIND`."""

    kind: str
    name: str
    named: bool = True

    def film(self, content):
        """The film of a file that is recognised as of this kind."""
        kind, found = import_of(content, name=self.name)
        assert kind == self.kind
        return found

    def attempted(self, content):
        """The error about a file; empty if it can be imported."""
        try:
            import_of(content, self.kind if self.named else None, self.name)
        except ConfigError as error:
            return str(error)
        return ""

    def error(self, content):
        """The one line about a file that can't be imported."""
        said = self.attempted(content)
        assert said
        assert "\n" not in said
        return said


def survives_odd_values(whole, kind):
    """Each key of a file, and each inside of its objects and lists, with values of other kinds."""
    for odd in ODD_VALUES:
        for changed in replaced(whole, odd):
            is_read_or_refused(changed, kind)
    for text in BROKEN:
        is_read_or_refused(text, kind)
    text = json.dumps(whole)
    for part in range(1, 10):
        is_read_or_refused(text[: len(text) * part // 10], kind)


def replaced(whole, odd):
    """The same with one value replaced, for each value in it."""
    pairs = whole.items() if isinstance(whole, dict) else enumerate(whole)
    for key, value in list(pairs):
        copy = dict(whole) if isinstance(whole, dict) else list(whole)
        copy[key] = odd
        yield copy
        if isinstance(value, dict | list):
            for inner in replaced(value, odd):
                copy = dict(whole) if isinstance(whole, dict) else list(whole)
                copy[key] = inner
                yield copy
