"""One list of checks finds every mistake of a config."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import render
from render.config.schema import RunConfig
from render.run import mistakes
from render.run.facts import Facts, Learnt
from render.run.mistakes import CHECKS

PACKAGE = Path(render.__file__).parent
OTHERS = {"all_mistakes", "check"}
"""Asks all checks; the check of each fact that could not be learnt."""


def functions_called_mistakes():
    """(file, name) of every function of the package that is called so or takes what checks take."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (
                node.name.endswith(("_mistake", "_mistakes"))
                or [argument.arg for argument in node.args.args] == ["config", "facts"]
            ):
                yield path.relative_to(PACKAGE).as_posix(), node.name


def functions_that_find_mistakes():
    """(name, whether it finds several) of every function whose answer holds a `Mistake`."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            answer = ast.unparse(node.returns or node) if isinstance(node, ast.FunctionDef) else ""
            if re.search(r"\bMistake\b", answer.partition("\n")[0]):
                yield node.name, "[" in answer


def test_a_function_that_finds_mistakes_is_called_so():
    """A check is `NAME_mistakes`, its helpers `mistakes_in_NAME` or `mistakes_with_NAME`, and an
    engine's method `mistakes`; a `flaw` is a text."""
    found = list(functions_that_find_mistakes())
    assert len(found) > 40
    plural = [name for name, several in found if several and name not in OTHERS]
    pattern = r"\w+_mistakes|mistakes_(in|with)_\w+|mistakes"
    assert [name for name in plural if not re.fullmatch(pattern, name)] == []
    assert [name for name, _ in found if "flaw" in name] == []


def test_every_function_called_so_is_in_the_list():
    listed = {(check.__module__, check.__name__) for check in CHECKS}
    found = {
        (f"render.{path.removesuffix('.py').replace('/', '.')}", name)
        for path, name in functions_called_mistakes()
        if name not in OTHERS
    }
    assert found == {(module, name) for module, name in listed if name != "check"}
    assert len(found) > 10


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_all_have_one_signature(check):
    assert list(inspect.signature(check).parameters) == ["config", "facts"]


def test_every_fact_that_can_be_missing_is_checked_once(monkeypatch):
    asked = []
    facts = {name for name, value in vars(Facts).items() if isinstance(value, Learnt)}
    monkeypatch.setattr(Learnt, "__get__", lambda fact, *_: asked.append(fact.name))
    here = Facts(None, "", str)
    here.reasons = dict.fromkeys(facts, ())
    for check in CHECKS:
        if check.__name__ == "check":
            list(check(None, here))
    assert sorted(asked) == sorted(facts)


def test_a_fact_is_learnt_once_and_its_reason_kept():
    config = RunConfig.model_validate(
        {
            "name": "film",
            "model": {"name": "local", "path": "there/is/none", "steps": 2},
            "scheduler": {"name": "model"},
            "timeline": {"keyframes": [{"at": 0, "prompt": "A castle"}]},
        }
    )
    facts = Facts(config, "", str)
    assert facts.model is None
    first = facts.reasons["model"]
    assert "is no diffusers folder" in str(first[0])
    assert facts.model is None
    assert facts.reasons["model"] is first
    assert [facts.loras, facts.recipe, facts.reasons["recipe"]] == [None, None, ()]
    assert [str(found) for found in mistakes.all_mistakes(config, facts)] == [str(first[0])]
