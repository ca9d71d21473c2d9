"""Expressions of a timeline: numbers that follow the time, the beat and the sound.

A small language with a grammar of its own, read by recursive descent. Nothing of it is Python, so
an expression can do nothing but compute one number:

    comparison = sum [ ("<" | "<=" | ">" | ">=" | "==" | "!=") sum ]
    sum        = product { ("+" | "-") product }
    product    = sign { ("*" | "/" | "%") sign }
    sign       = [ "+" | "-" ] sign | power
    power      = atom [ "^" sign ]
    atom       = number | name [ "(" comparison { "," comparison } ")" ] | "(" comparison ")"
"""

from __future__ import annotations

import hashlib
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from render.config.values import mistake, nearest, shown

MOST_LETTERS = 2000
DEEPEST = 40
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,3})?)"
    r"|(?P<name>[A-Za-z_]\w{0,40}(?:\.[A-Za-z_]\w{0,40})?)"
    r"|(?P<sign><=|>=|==|!=|\*\*|[-+*/%^(),<>×÷−·]))",
    re.ASCII,
)
SPELLINGS = {"×": "*", "·": "*", "÷": "/", "−": "-", "**": "^"}
OF_TIME = ("t", "frame", "beat", "bar")
"""Names that an expression knows whatever the sound is: seconds, the number of the picture, and the
beats and bars that have gone by, counted from 1."""


def noise(seed: float, place: float) -> float:
    """Smooth noise from -1 to 1: a random number at every whole place, and a smooth way between."""
    below = math.floor(place)
    share = place - below
    share = share * share * (3 - 2 * share)
    return (1 - share) * at_random(seed, below) + share * at_random(seed, below + 1)


@lru_cache(maxsize=4096)
def at_random(seed: float, place: int) -> float:
    """A number from -1 to 1 that a seed and a place determine, on every machine the same."""
    content = hashlib.sha256(f"{seed!r} {place}".encode()).digest()
    return int.from_bytes(content[:6], "big") / (1 << 47) - 1


Function = Callable[..., float]
FUNCTIONS: Mapping[str, tuple[Function, int, int]] = {
    "+": (operator.add, 2, 2),
    "-": (operator.sub, 2, 2),
    "*": (operator.mul, 2, 2),
    "/": (operator.truediv, 2, 2),
    "%": (operator.mod, 2, 2),
    "^": (math.pow, 2, 2),
    "<": (operator.lt, 2, 2),
    "<=": (operator.le, 2, 2),
    ">": (operator.gt, 2, 2),
    ">=": (operator.ge, 2, 2),
    "==": (operator.eq, 2, 2),
    "!=": (operator.ne, 2, 2),
    "min": (min, 1, 20),
    "max": (max, 1, 20),
    "abs": (abs, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "exp": (math.exp, 1, 1),
    "log": (math.log, 1, 1),
    "log10": (math.log10, 1, 1),
    "floor": (math.floor, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "sin": (math.sin, 1, 1),
    "cos": (math.cos, 1, 1),
    "tan": (math.tan, 1, 1),
    "asin": (math.asin, 1, 1),
    "acos": (math.acos, 1, 1),
    "atan": (math.atan, 1, 1),
    "sinh": (math.sinh, 1, 1),
    "cosh": (math.cosh, 1, 1),
    "tanh": (math.tanh, 1, 1),
    "fmod": (math.fmod, 2, 2),
    "clip": (lambda a, low, high: min(max(a, low), high), 3, 3),
    "lerp": (lambda a, b, share: (1 - share) * a + share * b, 3, 3),
    "where": (lambda condition, a, b: a if condition else b, 3, 3),
    "noise": (noise, 1, 2),
}
"""Operators and functions by name, with the least and the most numbers that they take.
`noise(seed)` changes once a second; `noise(seed, 4 * t)` four times. Where one has no number it
raises ArithmeticError or ValueError."""
WHERE = "; a choice is where(low > 0.5, 5, 7)"
WAYS_OUT = {
    "if": WHERE, "else": WHERE, "?": WHERE,
    "and": "; multiply comparisons: (low > 0.5) * (t > 4)", "&": "; multiply comparisons",
    "or": "; take the larger one: max(low > 0.5, t > 4)", "|": "; take the larger one: max(a, b)",
    "not": "; subtract it from 1: 1 - (t > 4)", "!": "; subtract it from 1: 1 - (t > 4)",
    "=": "; a comparison is ==",
}  # fmt: skip
"""The end of a line about something that other languages have."""
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
CONSTANTS = {"pi": math.pi, "e": math.e}


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression: a number, a name, or a function of others."""

    value: float = 0.0
    name: str = ""
    function: str = ""
    of: tuple[Node, ...] = ()

    def at(self, names: Mapping[str, float]) -> float:
        """The number that it is, where names have these values.

        Raises:
            ArithmeticError, ValueError: it has none there.
        """
        if self.function == "where":  # only the part that counts has to have a number
            return self.of[1 if self.of[0].at(names) else 2].at(names)
        if self.function:
            value = float(FUNCTIONS[self.function][0](*(each.at(names) for each in self.of)))
        else:
            value = names[self.name] if self.name else self.value
        if math.isnan(value):
            raise ArithmeticError
        return value

    def names(self) -> Iterator[str]:
        """The names in it."""
        if self.name:
            yield self.name
        for each in self.of:
            yield from each.names()


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression as it was written, and what it computes.

    Attributes:
        written: its text.
        node: the whole of it.
        uses: the names in it, each once.
    """

    written: str
    node: Node
    uses: tuple[str, ...]

    def at(self, names: Mapping[str, float]) -> float:
        """Its number where the names have these values; not a number where it has none."""
        try:
            return self.node.at(names)
        except (ArithmeticError, ValueError):
            return math.nan


def expression(written: str) -> Expression:
    """Read an expression; a mistake says what can't be read."""
    if len(written) > MOST_LETTERS:
        raise mistake(f"an expression has at most {MOST_LETTERS} letters")
    reader = ExpressionReader(written)
    node = reader.comparison(0)
    if reader.kind:
        raise reader.unexpected()
    return Expression(written, node, tuple(dict.fromkeys(node.names())))


class ExpressionReader:
    """Reads an expression from left to right.

    Attributes:
        kind: of the next token, `number`, `name` or `sign`; empty at the end.
        token: its text.
    """

    def __init__(self, written: str) -> None:
        self.written, self.place = written, 0
        self.kind, self.token = self.following()

    def following(self) -> tuple[str, str]:
        """The kind and the text of the next token."""
        if not self.written[self.place :].strip():
            return "", ""
        found = TOKEN.match(self.written, self.place)
        if not found or not found.lastgroup:
            rest = self.written[self.place :].strip()
            hint = WAYS_OUT.get(rest[:1], "")
            what = f"is no expression; {shown(rest)} can't be read{hint}"
            raise mistake(f"{shown(self.written)} {what}")
        self.place = found.end()
        token = found[found.lastgroup]
        return found.lastgroup, SPELLINGS.get(token, token)

    def take(self) -> str:
        """The next token, which is read now."""
        token = self.token
        self.kind, self.token = self.following()
        return token

    def takes(self, sign: str) -> bool:
        """Whether the next token is this sign, which is read then."""
        if self.kind != "sign" or self.token != sign:
            return False
        self.take()
        return True

    def unexpected(self) -> Exception:
        """The mistake about the next token."""
        what = f"{shown(self.token)} is not expected there" if self.kind else "its end is missing"
        hint = WAYS_OUT.get(self.token.lower(), "")
        if not hint and self.kind in ("name", "number") and self.place > len(self.token):
            hint = "; a product has its sign: 2 * pi"
        return mistake(f"{shown(self.written)} is no expression; {what}{hint}")

    def comparison(self, depth: int) -> Node:
        """A comparison, or a sum."""
        if depth > DEEPEST:
            raise mistake(f"an expression is nested at most {DEEPEST} deep")
        return self.chain(self.sum, COMPARISONS, depth, most=1)

    def sum(self, depth: int) -> Node:
        """Products that are added."""
        return self.chain(self.product, ("+", "-"), depth)

    def product(self, depth: int) -> Node:
        """Parts that are multiplied."""
        return self.chain(self.sign, ("*", "/", "%"), depth)

    def chain(
        self,
        part: Callable[[int], Node],
        signs: tuple[str, ...],
        depth: int,
        most: int = MOST_LETTERS,
    ) -> Node:
        """Parts with signs between them, from left to right."""
        node, count = part(depth), 0
        while self.kind == "sign" and self.token in signs and count < most:
            count += 1
            if count > 4 * DEEPEST:
                raise mistake(f"an expression has at most {4 * DEEPEST} parts in a row")
            node = Node(function=self.take(), of=(node, part(depth)))
        return node

    def sign(self, depth: int) -> Node:
        """A part with a sign before it, or without."""
        if depth > DEEPEST:
            raise mistake(f"an expression is nested at most {DEEPEST} deep")
        if self.takes("-"):
            return Node(function="-", of=(Node(), self.sign(depth + 1)))
        if self.takes("+"):
            return self.sign(depth + 1)
        atom = self.atom(depth)
        if self.takes("^"):
            return Node(function="^", of=(atom, self.sign(depth + 1)))
        return atom

    def atom(self, depth: int) -> Node:
        """A number, a name, a function or brackets."""
        if self.kind == "number":
            return Node(float(self.take()))
        if self.takes("("):
            node = self.comparison(depth + 1)
            if not self.takes(")"):
                raise self.unexpected()
            return node
        if self.kind != "name":
            raise self.unexpected()
        name = self.take()
        if self.takes("("):
            return self.call(name, depth)
        return Node(CONSTANTS[name]) if name in CONSTANTS else Node(name=name)

    def call(self, name: str, depth: int) -> Node:
        """A function of the parts up to the closing bracket."""
        known = [each for each in FUNCTIONS if each[0].isalpha()]
        if name not in known:
            raise mistake(f"no function {shown(name)}{nearest(name, known)}")
        parts = [self.comparison(depth + 1)]
        while self.takes(","):
            parts.append(self.comparison(depth + 1))
        if not self.takes(")"):
            raise self.unexpected()
        _, least, most = FUNCTIONS[name]
        if not least <= len(parts) <= most:
            count = str(least) if least == most else f"{least} to {most}"
            raise mistake(f"{name} takes {count} numbers in its brackets, not {len(parts)}")
        if name == "noise" and len(parts) == 1:
            parts.append(Node(name="t"))
        return Node(function=name, of=tuple(parts))
