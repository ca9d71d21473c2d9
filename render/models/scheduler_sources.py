"""diffusers' scheduler classes, read from their source: a plan never imports torch."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ENUM_OF_TEXTS = "Literal"


@cache
def class_named(class_name: str) -> ast.ClassDef | None:
    """The parsed scheduler class of that name, or None: diffusers has none."""
    found = importlib.util.find_spec("diffusers")
    folder = Path(found.origin).parent / "schedulers" if found and found.origin else Path()
    for source in sorted(folder.glob("**/scheduling_*.py")):
        text = source.read_text(encoding="utf-8")
        if f"class {class_name}(SchedulerMixin" in text:
            classes = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef))
            return next(node for node in classes if node.name == class_name)
    return None


def method(class_name: str, name: str) -> ast.FunctionDef | None:
    """A method of a scheduler class, or None where there is none."""
    whole = class_named(class_name)
    for item in whole.body if whole else ():
        if isinstance(item, ast.FunctionDef) and item.name == name:
            return item
    return None


def arguments(function: ast.FunctionDef) -> list[ast.arg]:
    """Everything that a method takes, without `self`."""
    return function.args.args[1:] + function.args.kwonlyargs


@cache
def signature(class_name: str, name: str = "__init__") -> dict[str, str] | None:
    """Name and annotation of everything a class's method takes, or None: no such class."""
    if class_named(class_name) is None:
        return None
    found = method(class_name, name)
    return {
        given.arg: ast.unparse(given.annotation) if given.annotation else ""
        for given in (arguments(found) if found else ())
    }


def defaults(class_name: str, name: str = "__init__") -> dict[str, Any]:
    """The defaults of a class's method, where they are plain values."""
    found = method(class_name, name)
    if found is None:
        return {}
    named = found.args.args[len(found.args.args) - len(found.args.defaults) :]
    pairs = [*zip(named, found.args.defaults, strict=True)]
    pairs += [
        (given, value)
        for given, value in zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True)
        if value is not None
    ]
    return {
        given.arg: ast.literal_eval(value)
        for given, value in pairs
        if isinstance(value, ast.Constant | ast.Tuple | ast.List)
    }


# --- the texts that an argument may be -----------------------------------------------------------


@cache
def choices(class_name: str, key: str) -> tuple[str, ...]:
    """The texts that a class knows for one of its settings, or none: it may be any.

    They are those of its annotation, and those that the code compares the setting with.
    """
    annotation = (signature(class_name) or {}).get(key, "")
    if not ("str" in annotation or ENUM_OF_TEXTS in annotation):
        return ()
    found = {*literals(annotation), *compared_texts(class_name).get(key, ())}
    own = defaults(class_name).get(key)
    return tuple(sorted(found | ({own} if isinstance(own, str) else set())))


@cache
def compared_texts(class_name: str) -> Mapping[str, set[str]]:
    """The texts that a class's code compares each of its settings with."""
    found: dict[str, set[str]] = {}
    whole = class_named(class_name)
    for node in ast.walk(whole) if whole else ():
        if isinstance(node, ast.Compare) and (name := setting_named(node.left)):
            texts = {text for side in node.comparators for text in texts_in(side)}
            found.setdefault(name, set()).update(texts)
    return found


def literals(annotation: str) -> Iterator[str]:
    """The texts in an annotation."""
    for node in ast.walk(ast.parse(annotation, mode="eval")):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def texts_in(node: ast.expr) -> Iterator[str]:
    """A text, or the texts of a list of some."""
    for part in node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def setting_named(node: ast.expr) -> str | None:
    """The setting that an expression reads: `timestep_spacing`, `self.config.timestep_spacing`,
    or, by the name of the attribute, `self.timestep_spacing`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self.config":
        return node.attr
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
        return ast.unparse(node)
    return None


# --- what a method refuses, followed through its source ------------------------------------------


class Unknown(Exception):
    """An expression whose value the source and the settings do not give."""


COMPARE: Mapping[type[ast.cmpop], Any] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Is: lambda a, b: a is b,
    ast.IsNot: lambda a, b: a is not b,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
ARITHMETIC: Mapping[type[ast.operator], Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
}
CALLS: Mapping[str, Any] = {
    "int": int,
    "sum": sum,
    "is_scipy_available": lambda: find_spec("scipy") is not None,
}


def value_of(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """An expression's value by the values of names and settings.

    Raises:
        Unknown: it depends on something else.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name | ast.Attribute):
        name = setting_named(node)
        if name is None or name not in values:
            raise Unknown
        return values[name]
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [value_of(part, values) for part in node.elts]
    if isinstance(node, ast.BoolOp):
        return any_or_all(node, values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not value_of(node.operand, values)
    if isinstance(node, ast.IfExp):
        chosen = node.body if value_of(node.test, values) else node.orelse
        return value_of(chosen, values)
    return computed(node, values)


def computed(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of a comparison, a sum or a call of one of `CALLS`."""
    try:
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            compare = COMPARE[type(node.ops[0])]
            return compare(value_of(node.left, values), value_of(node.comparators[0], values))
        if isinstance(node, ast.BinOp):
            work = ARITHMETIC[type(node.op)]
            return work(value_of(node.left, values), value_of(node.right, values))
        if isinstance(node, ast.Call) and not node.keywords:
            given = [value_of(argument, values) for argument in node.args]
            return CALLS[ast.unparse(node.func)](*given)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        raise Unknown from None
    raise Unknown


def any_or_all(node: ast.BoolOp, values: Mapping[str, Any]) -> bool:
    """`and` and `or`, whose value one known part may decide."""
    decisive = isinstance(node.op, ast.Or)
    known = []
    for part in node.values:
        try:
            known.append(bool(value_of(part, values)))
        except Unknown:
            continue
        if known[-1] is decisive:
            return decisive
    if len(known) < len(node.values):
        raise Unknown
    return not decisive


Refusal = tuple[ast.stmt, frozenset[str]]
"""The statement that refuses, and the names that led to it."""


def refusal(body: list[ast.stmt], values: dict[str, Any]) -> Refusal | None:
    """The `raise`, the failing `assert` or the setting replaced by another value that statements
    come to for certain, or None.

    Branches whose condition can't be known are passed over. Names that statements set on the way
    are set in `values`.
    """
    for node in body:
        if isinstance(node, ast.Raise) or replaces(node):
            return node, frozenset()
        if isinstance(node, ast.If):
            found = in_branch(node, values)
        elif isinstance(node, ast.Assert):
            found = in_branch(ast.If(invert(node.test), [ast.Raise()], []), values)
        else:
            found = None
            learn(node, values)
        if found:
            return found
    return None


def replaces(node: ast.stmt) -> bool:
    """Whether a statement puts another value in the place of a setting."""
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) == "self.register_to_config"


def invert(test: ast.expr) -> ast.expr:
    """The condition's opposite."""
    return ast.UnaryOp(ast.Not(), test)


def in_branch(node: ast.If, values: dict[str, Any]) -> Refusal | None:
    """The refusal in the branch that is taken, if any."""
    try:
        taken = node.body if value_of(node.test, values) else node.orelse
    except Unknown:
        for part in ast.walk(node):
            if isinstance(part, ast.stmt) and part is not node:
                learn(part, values, forget=True)
        return None
    found = refusal(taken, values)
    return (found[0], found[1] | settings_read(node.test)) if found else None


def settings_read(test: ast.expr) -> frozenset[str]:
    """The settings that a condition reads."""
    parts = (setting_named(part) for part in ast.walk(test) if isinstance(part, ast.expr))
    return frozenset(name.removeprefix("self.") for name in parts if name and name != "self")


def learn(node: ast.stmt, values: dict[str, Any], forget: bool = False) -> None:
    """Set the name that a statement assigns; forget it where its value can't be known."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return
    name = node.targets[0].id
    try:
        if forget:
            raise Unknown
        values[name] = value_of(node.value, values)
    except Unknown:
        values.pop(name, None)
