"""Timeline files: YAML read as data and nothing else, with the line of every value.

Refused before anything is built from it: tags, anchors and aliases, merge keys, duplicate keys,
deep nesting, big files, and everything Hydra would act on (`_target_`, `defaults`, `hydra`, `#
@package`). Plain scalars follow YAML 1.1's yes/no (so that the error can ask for quotes) but know
no dates, no sexagesimals and no octals.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from render.config.parse import keys_at
from render.config.values import shown
from render.errors import ConfigError, Mistake
from render.files.atomic import opened_regular
from render.text import shortened

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
HEADER = re.compile(r"^[^\S\n]*#[^\S\n]*@package\b", re.MULTILINE)
REFUSED_KEYS = ("_target_", "_recursive_", "_convert_", "_partial_", "_args_", "<<")
REFUSED_AT_TOP = ("defaults", "hydra")
NULL = "tag:yaml.org,2002:null"

KNOWN_KEYS = frozenset(keys_at(["timeline"]) + keys_at(["timeline", "keyframes", "0"]))
TEXTS = ("prompt", "negative")  # keys whose values are texts
PROBLEMS = (
    (r"mapping values", "a text with a colon and a space in it needs quotes"),
    (r"tab character", "a tab stands where spaces belong; indent with spaces"),
    (r"alphabetic or numeric", "a text that begins with * or & needs quotes"),
    (r"hex|escape", "in double quotes a backslash begins an escape; use single quotes"),
    (r"cannot start any token", "a tab stands where spaces belong, or a text that begins with "
     "@ ` % or a tab needs quotes"),
    (r"expected ',' or|expected node content", "a bracket is not closed, or a text with brackets, "
     "a colon or # in it needs quotes"),
    (r"expected ':'", "a key without its colon, or a text that begins a new line"),
    (r"unexpected end of stream", "quotes are not closed"),
    (r"another document", "a second document begins here (---); a file holds one film"),
    (r"block end|block mapping|<block|'-' indicator", "the indentation of this line fits no line "
     "above"),
    (r"control characters|not allowed|unacceptable", "a control character stands in the file"),
)  # fmt: skip
"""A YAML parser's messages for common slips, each with its way out."""

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainLoader(Loader):  # type: ignore[misc]
    """A YAML loader that reads plain scalars as people mean them."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


def plain(tag: str, pattern: str, first: Iterable[str]) -> None:
    """Register one kind of plain scalar: its tag, its pattern, its first characters."""
    PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


plain("bool", r"(?i)^(?:yes|no|on|off|true|false)$", "yYnNtTfFoO")
plain("int", r"^[-+]?[0-9]{1,30}$", "-+0123456789")  # with more digits it is read as a float
plain("float", r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789")
plain("float", r"(?i)^[-+]?\.(?:inf|nan)$", "-+.")
plain("null", r"^(?:~|null|Null|NULL)?$", ["~", "n", "N", ""])
PlainLoader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))
PlainLoader.add_constructor(
    "tag:yaml.org,2002:float", lambda _, node: float(re.sub(r"\.(?=[iInN])", "", node.value))
)


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file, and the line of every dotted path in it."""

    path: Path
    content: dict[str, Any]
    lines: dict[str, int]

    def line(self, dotted: str) -> int:
        """The line of a dotted path, or of the nearest thing around it."""
        while dotted and dotted not in self.lines:
            dotted = dotted.rpartition(".")[0]
        return self.lines.get(dotted, 1)


def read_document(path: Path) -> Document:
    """Read a timeline file, or another one that has to be data.

    Raises:
        ConfigError: the file can't be read, is no YAML mapping, or holds something refused.
    """
    return document_of(read_text(path), path)


def document_of(text: str, path: Path) -> Document:
    """A text as the file of this path would hold it; errors as `read_document` raises them."""
    header = HEADER.search(text)
    if header:
        line = text.count("\n", 0, header.end()) + 1
        raise refusal(path, line, "`# @package` has no meaning here; a timeline file is data")
    try:
        check_events(path, text)
        root = yaml.compose(text, Loader=PlainLoader)
        if not isinstance(root, yaml.MappingNode):
            raise refusal(path, 1, "a timeline is a mapping with `keyframes`")
        root = with_joined_texts(path, root, text)
        check_comments(path, root, text)
        lines = dict(walk(path, root, ""))
        loader = PlainLoader("")
        return Document(path, loader.construct_document(root), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = slip(str(error.problem), text, line)
        raise refusal(path, line, f"broken YAML: {what}") from None
    except yaml.YAMLError as error:
        what = f"broken YAML: {in_our_words(str(error).splitlines()[0])}"
        raise refusal(path, 1, what) from None


def slip(problem: str, text: str, line: int) -> str:
    """The cause of a parser's message, by the line at which it stands."""
    lines = text.split("\n")
    here = lines[line - 1] if line <= len(lines) else ""
    if here.lstrip(" -").startswith("\u00a0"):
        return "a non-breaking space stands where a plain one belongs"
    if re.match(r" *-[^\s\d.-]", here):
        return "a dash needs a space behind it"
    if "expected key" in problem and re.search(r"[:,\[{-] *'", here):
        return "a ' inside of single quotes ends them; put the text in double quotes"
    if "mapping values" in problem and here.count(": ") < 2:
        return (
            "this line is indented further than the key above it, or a `-` above has no space "
            "behind it; a text with a colon and a space in it needs quotes"
        )
    return in_our_words(problem)


def in_our_words(problem: str) -> str:
    """The message of a YAML parser in plain words, with the way out."""
    return next((ours for theirs, ours in PROBLEMS if re.search(theirs, problem)), problem)


def read_text(path: Path) -> str:
    """The file as text; UTF-8 and of a sensible size."""
    try:
        with opened_regular(path.resolve()) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_BYTES:
                raise refusal(path, 1, f"{size:,} bytes; a timeline has at most {MAX_BYTES:,}")
            raw = stream.read()
    except (OSError, RuntimeError) as error:  # a circle of links is a RuntimeError
        why = getattr(error, "strerror", None) or "its links lead in a circle"
        raise refusal(path, 1, f"can't be read: {why}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise refusal(path, line, "is not UTF-8 text") from None


def check_events(path: Path, text: str) -> None:
    """Refuse what must not even be built: aliases, tags, deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=PlainLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise refusal(path, line, "anchors and aliases (& and *) are refused; repeat the text")
        if tag:
            raise refusal(path, line, f"the tag {tag!r} is refused; a timeline file is data")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise refusal(path, line, f"nested more than {MAX_DEPTH} deep")


def with_joined_texts(path: Path, node: yaml.Node, text: str) -> yaml.Node:
    """The node, with texts in one piece that YAML took apart at their commas:
    `{at: 0, prompt: a castle, old}`.

    What stands between a text and the next key that is known can be nothing else.

    Raises:
        ConfigError: a word without a colon that is no part of a text beyond doubt.
    """
    marks = node.start_mark, node.end_mark
    if isinstance(node, yaml.SequenceNode):
        items = [with_joined_texts(path, item, text) for item in node.value]
        return yaml.SequenceNode(node.tag, items, *marks, node.flow_style)
    if not isinstance(node, yaml.MappingNode):
        return node
    pairs: list[tuple[yaml.Node, yaml.Node]] = []
    for key, value in node.value:
        if node.flow_style and is_word(key, value, text):
            before = pairs[-1] if pairs else None
            follows = before is not None and before[0].value in TEXTS and is_unquoted(before[1])
            if before and follows and key.value not in KNOWN_KEYS:
                pairs[-1] = (before[0], with_word(before[1], key, text))
                continue
            if before and is_number(before[1]) and is_number(key):
                what = f"a decimal point is a dot: {before[1].value}.{key.value}"
                raise refusal(path, key.start_mark.line + 1, what)
            if re.match(rf"(?:{'|'.join(sorted(KNOWN_KEYS))}):", key.value):
                what = f"a colon needs a space behind it: {key.value.replace(':', ': ', 1)}"
                raise refusal(path, key.start_mark.line + 1, shortened(what, 120))
            if follows or key.value not in KNOWN_KEYS:
                what = (
                    f"{shown(key.value)} stands here without a value; if it is part of a text or "
                    "an expression, put the whole of that in quotes: with a comma it needs them in "
                    "{ }"
                )
                raise refusal(path, key.start_mark.line + 1, what)
        pairs.append((key, with_joined_texts(path, value, text)))
    return yaml.MappingNode(node.tag, pairs, *marks, node.flow_style)


def check_comments(path: Path, node: yaml.Node, text: str) -> None:
    """Refuse a text that ends at ` #1`: for YAML the rest is a comment, for a person hardly.

    Raises:
        ConfigError: a `#` without a space behind it follows a text without quotes.
    """
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            check_comments(path, item, text)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        check_comments(path, value, text)
        rest = text[value.end_mark.index :].partition("\n")[0]
        if key.value in TEXTS and is_unquoted(value) and re.match(r"[ \t]+#[^\s#]", rest):
            what = (
                f"YAML takes {shown(rest.strip())} for a comment; put the whole text in quotes, "
                "or a space behind the #"
            )
            raise refusal(path, value.end_mark.line + 1, what)


def is_unquoted(node: yaml.Node) -> bool:
    """Whether a scalar stands without quotes and is not empty."""
    return isinstance(node, yaml.ScalarNode) and node.style in (None, "") and node.value != ""


def is_number(node: yaml.Node) -> bool:
    """Whether a scalar consists of digits, without quotes."""
    return is_unquoted(node) and node.value.isdigit()


def is_word(key: yaml.Node, value: yaml.Node, text: str) -> bool:
    """Whether what YAML takes for a key is a word without a colon."""
    if not is_unquoted(key) or not isinstance(value, yaml.ScalarNode) or value.value != "":
        return False
    return ":" not in text[key.end_mark.index : value.end_mark.index]


def with_word(before: yaml.Node, word: yaml.Node, text: str) -> yaml.ScalarNode:
    """A text with what stands behind its comma."""
    gap = text[before.end_mark.index : word.start_mark.index].strip(" ")
    space = "" if text[word.start_mark.index - 1] == "," and gap == "," else " "
    whole = f"{before.value},{space}{word.value}"
    return yaml.ScalarNode("tag:yaml.org,2002:str", whole, before.start_mark, word.end_mark)


def walk(path: Path, node: yaml.Node, dotted: str) -> Iterator[tuple[str, int]]:
    """Every dotted path with its line; keys are checked on the way."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag == NULL:
                raise refusal(path, line, "a key is a text or a number")
            if key.value in REFUSED_KEYS or (not dotted and key.value in REFUSED_AT_TOP):
                raise refusal(path, line, f"`{key.value}` has no meaning here; a timeline is data")
            if key.value in seen:
                raise refusal(path, line, f"{key.value!r} stands twice here; keep one")
            seen.add(key.value)
            inner = f"{dotted}.{key.value}" if dotted else key.value
            yield inner, line
            yield from walk(path, value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield f"{dotted}.{place}", value.start_mark.line + 1
            yield from walk(path, value, f"{dotted}.{place}")


def refusal(path: Path, line: int, what: str) -> ConfigError:
    """One mistake with its file and line."""
    return ConfigError([Mistake(f"{path}:{line}", what)])
