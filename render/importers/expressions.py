"""Arithmetic in schedules of other tools, `7 + 2*sin(t/10)`: read by a grammar of its own, as a
number at one frame or as the text of a timeline's expression. Nothing is evaluated by Python."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

TOKEN = re.compile(
    r"\s*(?:\d+\.?\d*(?:[eE][-+]?\d{1,3})?|\.\d+|[A-Za-z_]\w*|\*\*|[<>=!]=|[-+*/%<>(),])", re.ASCII
)
LONGEST = 2000
DEEPEST = 40
KEPT = {"sin", "cos", "tan", "abs", "sqrt", "floor", "min", "max", "where"}
"""Functions that timelines have by the same name."""
FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan, "abs": abs, "sqrt": math.sqrt,
    "floor": math.floor, "ceil": math.ceil, "min": min, "max": max, "exp": math.exp,
    "log": math.log, "log10": math.log10, "arcsin": math.asin, "arccos": math.acos,
    "arctan": math.atan, "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh,
    "where": lambda condition, yes, no: yes if condition else no,
}  # fmt: skip
ARGUMENTS = {"min": (2, 9), "max": (2, 9), "where": (3, 3)}
OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b, "%": math.fmod, "**": math.pow,
    "<": lambda a, b: float(a < b), "<=": lambda a, b: float(a <= b),
    ">": lambda a, b: float(a > b), ">=": lambda a, b: float(a >= b),
    "==": lambda a, b: float(a == b), "!=": lambda a, b: float(a != b),
}  # fmt: skip
LEVELS = ({"<", "<=", ">", ">=", "==", "!="}, {"+", "-"}, {"*", "/", "%"})
SIGNED, POWER, ATOM = len(LEVELS), len(LEVELS) + 1, len(LEVELS) + 2
"""How tightly operators bind, above those of `LEVELS`."""


@dataclass(frozen=True, slots=True)
class Term:
    """A part of an expression.

    Attributes:
        kind: `number`, `name`, `call`, `sign` or `operation`.
        text: the number, the name, or the operator.
        parts: the operands or arguments.
    """

    kind: str
    text: str
    parts: tuple[Term, ...] = ()


def read_expression(text: str) -> Term:
    """The expression that a text is.

    Raises:
        ValueError: it is none, with what is wrong.
    """
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST:,} letters")
    reader = ExpressionReader(tokens(text))
    term = reader.operation(0, 0)
    if reader.rest:
        raise ValueError(f"goes on with {reader.rest[-1]!r} where it should end")
    return term


def tokens(text: str) -> list[str]:
    """Numbers, names and operators of an expression.

    Raises:
        ValueError: there is something else.
    """
    found, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = TOKEN.match(text, place)
        if not match:
            raise ValueError(f"holds {text[place:].lstrip()[:1]!r}, which is no arithmetic")
        found.append(match.group().strip())
        place = match.end()
    return found


class ExpressionReader:
    """Reads the tokens of one expression by recursive descent."""

    def __init__(self, found: list[str]) -> None:
        self.rest = found[::-1]

    def next_is(self, texts: set[str]) -> bool:
        """Whether the next token is one of these."""
        return bool(self.rest) and self.rest[-1] in texts

    def take(self, text: str) -> None:
        """Go past a token that has to be there."""
        if not self.next_is({text}):
            raise ValueError(f"lacks a {text!r}")
        self.rest.pop()

    def operation(self, level: int, depth: int) -> Term:
        """Operands of a level, joined from the left."""
        if depth > DEEPEST:
            raise ValueError("is nested too deeply")
        if level == SIGNED:
            return self.signed(depth)
        term = self.operation(level + 1, depth)
        while self.next_is(LEVELS[level]):
            operator = self.rest.pop()
            term = Term("operation", operator, (term, self.operation(level + 1, depth)))
        return term

    def signed(self, depth: int) -> Term:
        """An operand with its signs; a power binds more tightly than they do."""
        if depth > DEEPEST:
            raise ValueError("is nested too deeply")
        if self.next_is({"+", "-"}):
            sign, operand = self.rest.pop(), self.signed(depth + 1)
            return operand if sign == "+" else Term("sign", "-", (operand,))
        base = self.atom(depth)
        if not self.next_is({"**"}):
            return base
        self.rest.pop()
        return Term("operation", "**", (base, self.signed(depth + 1)))

    def atom(self, depth: int) -> Term:
        """A number, a name, a call or an expression in brackets."""
        if not self.rest:
            raise ValueError("ends where a number belongs")
        token = self.rest.pop()
        if token == "(":
            term = self.operation(0, depth + 1)
            self.take(")")
            return term
        if token[0].isdigit() or token[0] == ".":
            if not math.isfinite(float(token)):
                raise ValueError(f"has {token}, which is no finite number")
            return Term("number", token)
        if not token[0].isidentifier():
            raise ValueError(f"has {token!r} where a number belongs")
        return self.call(token, depth) if self.next_is({"("}) else Term("name", token)

    def call(self, name: str, depth: int) -> Term:
        """A function with its arguments."""
        self.take("(")
        arguments = [self.operation(0, depth + 1)]
        while self.next_is({","}):
            self.rest.pop()
            arguments.append(self.operation(0, depth + 1))
        self.take(")")
        least, most = ARGUMENTS.get(name, (1, 1))
        if name not in FUNCTIONS:
            raise ValueError(f"has a function {name!r}, which is not known")
        if not least <= len(arguments) <= most:
            raise ValueError(f"gives {name} {len(arguments)} numbers")
        return Term("call", name, tuple(arguments))


def number_of(term: Term, names: Mapping[str, float]) -> float:
    """The number that an expression is.

    Args:
        names: the values of the names in it.

    Raises:
        ValueError: it has none.
    """
    if term.kind == "number":
        return float(term.text)
    if term.kind == "name":
        if term.text not in names:
            raise ValueError(f"has a name {term.text!r}, which is not known")
        return names[term.text]
    numbers = [number_of(part, names) for part in term.parts]
    try:
        if term.kind == "sign":
            return -numbers[0]
        table = FUNCTIONS if term.kind == "call" else OPERATIONS
        number = float(table[term.text](*numbers))
    except (ArithmeticError, ValueError):
        raise ValueError("is no number everywhere") from None
    if not math.isfinite(number):
        raise ValueError("is no number everywhere")
    return number


def is_constant(term: Term, names: Mapping[str, float]) -> bool:
    """Whether an expression has no other names than these."""
    if term.kind == "name":
        return term.text in names
    return all(is_constant(part, names) for part in term.parts)


def timeline_expression(term: Term, names: Mapping[str, str], least: int = 0) -> str:
    """The text of an expression as timelines have it, with brackets where they are needed.

    Args:
        names: the text for each name, as `{"t": "frame"}`.
        least: how tightly its operator has to bind to need no brackets.

    Raises:
        ValueError: timelines have no word for it.
    """
    if term.kind in ("number", "name"):
        if term.kind == "name" and term.text not in names:
            raise ValueError(f"has a name {term.text!r}, which is not known")
        return names[term.text] if term.kind == "name" else decimal(float(term.text))
    if term.kind == "call":
        return call_text(term, names)
    level, text = operator_text(term, names)
    return f"({text})" if level < least else text


def decimal(number: float) -> str:
    """A number in plain digits: 100000 and 0.0000001, never 1e5."""
    short = float(f"{number:.10g}")
    text = str(int(short)) if short == int(short) else repr(short)
    return f"{short:.20f}".rstrip("0") if "e" in text else text


def call_text(term: Term, names: Mapping[str, str]) -> str:
    """A call as timelines have it."""
    arguments = [timeline_expression(part, names) for part in term.parts]
    if term.text == "ceil":
        inner = timeline_expression(term.parts[0], names, SIGNED)
        return f"(-floor(-{inner}))"
    if term.text not in KEPT:
        raise ValueError(f"has a function {term.text!r}, which timelines have not")
    return f"{term.text}({', '.join(arguments)})"


def operator_text(term: Term, names: Mapping[str, str]) -> tuple[int, str]:
    """(how tightly it binds, text) of an operation or a sign."""
    if term.kind == "sign":
        return SIGNED, "-" + timeline_expression(term.parts[0], names, ATOM)
    left, right = term.parts
    if term.text == "%" and left.kind not in ("number", "name"):  # of the sign of what is divided
        both = (timeline_expression(part, names) for part in term.parts)
        return ATOM, f"fmod({', '.join(both)})"
    if term.text == "!=":
        equal = Term("operation", "==", term.parts)
        return 1, f"1 - ({timeline_expression(equal, names)})"
    if term.text == "**":
        base = timeline_expression(left, names, ATOM)
        return POWER, f"{base}^{timeline_expression(right, names, ATOM)}"
    level = next(place for place, operators in enumerate(LEVELS) if term.text in operators)
    before = timeline_expression(left, names, level)
    after = timeline_expression(right, names, level + 1)
    return level, f"{before} {term.text} {after}"
