"""An imported timeline as a file that a person can read, with what could not be carried over."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from render.importers.imported import Imported

WIDTH = 100
NUMBER_LIKE = re.compile(r"[-+]?[.\d_]*\d[.\d_]*(?:e[-+]?\d+)?", re.IGNORECASE | re.ASCII)


class PlainDumper(yaml.SafeDumper):
    """Writes what is there twice twice: a timeline holds no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text_node(dumper: PlainDumper, text: str) -> yaml.ScalarNode:
    """A text, in quotes where a timeline's file would read a number, as in 1e5, and PyYAML not."""
    style = "'" if NUMBER_LIKE.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


PlainDumper.add_representer(str, text_node)


def timeline_text(found: Imported, name: str, origin: str, command: str) -> str:
    """The text of the timeline's file.

    Args:
        name: of the film.
        origin: the file and its kind, for the first line.
        command: that renders it.
    """
    lines = [*comment(f"Imported from {origin}."), *comment(f"Render it with: {command}")]
    if found.lost:
        lines += ["# Not carried over:", *(one for each in found.lost for one in item(each))]
    content = found.content(name)
    keyframes = content.pop("keyframes")
    lines += [as_yaml(content).rstrip("\n"), "keyframes:"]
    for place, keyframe in enumerate(keyframes):
        for each in found.lost_at.get(place, ()):
            lines += comment(f"not carried over: {each}", "  # ")
        lines.append(textwrap.indent(as_yaml([keyframe]).rstrip("\n"), "  "))
    return "\n".join(lines) + "\n"


def comment(text: str, mark: str = "# ") -> Iterator[str]:
    """Lines of a comment. Line ends in a text don't end it."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    yield from textwrap.wrap(
        plain, WIDTH, initial_indent=mark, subsequent_indent=mark,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def item(text: str) -> Iterator[str]:
    """A sentence of a list, as lines of a comment."""
    first, *more = comment(text, "#   ")
    yield "# - " + first.removeprefix("#   ")
    yield from more


def as_yaml(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Plain data as YAML."""
    text: str = yaml.dump(
        value, Dumper=PlainDumper, allow_unicode=True, sort_keys=False, width=WIDTH
    )
    return text


def setting(key: str, value: object) -> str:
    """A setting as an override of the command line."""
    return f"{key}={written(value)}"


def written(value: object) -> str:
    """A value as Hydra's grammar takes it: texts in quotes unless they are plain."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str) or re.fullmatch(r"[A-Za-z_][\w./-]*", value, re.ASCII):
        return str(value)
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f'"{escaped}{escaped[len(escaped) - trailing :]}"'
