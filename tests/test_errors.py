"""The tree of errors is the one that is drawn, and its exit codes are the contract's."""

import signal

import pytest

from render import errors
from render.errors import ConfigError, Interrupted, Mistake, RenderError

# README and `render --help` name these.
CONTRACT = {
    "ConfigError": 2,
    "FramesFailed": 3,
    "NonFiniteFrames": 3,
    "OutOfMemory": 3,
    "EncodeError": 4,
    "DiskFull": 28,
    "FolderBusy": 75,
}


def leaves(base):
    return [base, *(leaf for kind in base.__subclasses__() for leaf in leaves(kind))]


def test_exit_codes_are_those_of_the_contract():
    assert {name: getattr(errors, name).exit_code for name in CONTRACT} == CONTRACT
    assert RenderError("x").exit_code == 1
    assert Interrupted(signal.SIGINT).exit_code == 130
    assert Interrupted(signal.SIGTERM).exit_code == 143


def test_the_drawing_shows_every_error_under_its_parent_with_its_code():
    rows = [row for row in errors.__doc__.splitlines() if "── " in row]
    drawn, parents = {}, {0: "RenderError"}
    for row in rows:
        depth = row.index("── ") // 4 + 1
        name, *rest = row.partition("── ")[2].split()
        parents[depth] = name
        drawn[name] = (parents[depth - 1], rest[0] if rest[0].isdigit() else None)
    ours = [kind for kind in leaves(RenderError)[1:] if kind.__module__ == errors.__name__]
    assert set(drawn) == {kind.__name__ for kind in ours}
    for kind in ours:
        parent, code = drawn[kind.__name__]
        assert kind.__bases__[0].__name__ == parent
        assert code is None or kind is Interrupted or int(code) == kind.exit_code


def test_no_other_module_adds_an_error_of_an_unknown_code():
    known = {1, *CONTRACT.values()}
    assert {kind.exit_code for kind in leaves(RenderError)} <= known


def test_all_mistakes_are_reported_a_line_each():
    error = ConfigError([Mistake("city.yaml:3", "is missing"), Mistake("", "no timeline")])
    assert str(error).splitlines() == ["city.yaml:3: is missing", "no timeline"]
    assert len(error.mistakes) == 2


def test_one_text_is_one_mistake():
    assert ConfigError("no timeline").mistakes == (Mistake("", "no timeline"),)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_never_called_a_failure(number):
    said = str(Interrupted(number))
    assert "the same command continues" in said
    assert "fail" not in said
