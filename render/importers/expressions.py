"""Arithmetic in schedules of other tools, `7 + 2*sin(t/10)`: read by the grammar of a timeline's
expressions, as a number at one frame or as the text of such an expression. Python evaluates nothing
of it.

It is numexpr's there: a rest has the sign of what is divided, arc functions are spelled out, and
`^` is no power.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from pydantic_core import PydanticCustomError

from render.config.expression import Node, expression

LEVELS = ({"<", "<=", ">", ">=", "==", "!="}, {"+", "-"}, {"*", "/", "%"})
SIGNED, POWER, ATOM = len(LEVELS), len(LEVELS) + 1, len(LEVELS) + 2
"""How tightly operators bind, above those of `LEVELS`."""
ARC = re.compile(r"\barc(?=(?:sin|cos|tan)\b)", re.ASCII)
NOTHING = Node()


def read_expression(text: str) -> Node:
    """The expression that a text is.

    Raises:
        ValueError: it is none, with what is wrong.
    """
    if "^" in text:
        raise ValueError("holds '^', which is no power there; powers are **")
    try:
        return with_their_rests(expression(ARC.sub("a", text)).node)
    except PydanticCustomError as error:
        raise ValueError(str(error)) from None


def with_their_rests(node: Node) -> Node:
    """The same with rests that have the sign of what is divided."""
    of = tuple(with_their_rests(each) for each in node.of)
    return replace(node, function="fmod" if node.function == "%" else node.function, of=of)


def number_of(node: Node, names: Mapping[str, float]) -> float:
    """The number that an expression is.

    Args:
        names: the values of the names in it.

    Raises:
        ValueError: it has none.
    """
    check_names(node, names)
    try:
        number = node.at(names)
    except (ArithmeticError, ValueError):
        raise ValueError("is no number everywhere") from None
    if not math.isfinite(number):
        raise ValueError("is no number everywhere")
    return number


def check_names(node: Node, known: Mapping[str, object]) -> None:
    """Refuse a name that is not known.

    Raises:
        ValueError: there is one.
    """
    unknown = next((name for name in node.names() if name not in known), None)
    if unknown is not None:
        raise ValueError(f"has a name {unknown!r}, which is not known")


def is_constant(node: Node, names: Mapping[str, float]) -> bool:
    """Whether an expression has no other names than these."""
    return all(name in names for name in node.names())


def timeline_expression(node: Node, names: Mapping[str, str]) -> str:
    """The text of an expression as timelines have it, with brackets where they are needed.

    Args:
        names: the text for each name, as `{"t": "frame"}`.

    Raises:
        ValueError: it has another name.
    """
    check_names(node, names)
    return written(node, names, 0)


def written(node: Node, names: Mapping[str, str], least: int) -> str:
    """The text of a part of an expression.

    Args:
        least: how tightly its operator has to bind to need no brackets.
    """
    level, text = operation(node, names) if node.function else (ATOM, names.get(node.name, ""))
    if not node.function and not node.name:
        text = decimal(node.value)
    return f"({text})" if level < least else text


def operation(node: Node, names: Mapping[str, str]) -> tuple[int, str]:
    """(how tightly it binds, text) of an operation or a function."""
    sign, (left, *others) = node.function, node.of
    if sign == "fmod" and not left.function:  # of a number or a name, which is not below 0
        sign = "%"
    if sign[0].isalpha():
        return ATOM, f"{sign}({', '.join(written(each, names, 0) for each in node.of)})"
    if sign == "-" and left == NOTHING:
        return SIGNED, "-" + written(others[0], names, ATOM)
    if sign == "^":
        return POWER, f"{written(left, names, ATOM)}^{written(others[0], names, ATOM)}"
    level = next(place for place, signs in enumerate(LEVELS) if sign in signs)
    below = level + (level == 0)  # comparisons are not chained
    return level, f"{written(left, names, below)} {sign} {written(others[0], names, level + 1)}"


def decimal(number: float) -> str:
    """A number in plain digits: 100000 and 0.0000001, never 1e5."""
    short = float(f"{number:.10g}")
    text = str(int(short)) if short == int(short) else repr(short)
    return f"{short:.20f}".rstrip("0") if "e" in text else text
