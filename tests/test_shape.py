"""The shape of the code: few files at the top, none too long, and short functions."""

import ast
import statistics
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "render"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 350  # lines


def function_lengths():
    """Lines of every function, docstring and decorators among them."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
                yield node.end_lineno - first + 1


def test_a_newcomer_sees_at_most_twelve_files_at_the_top():
    assert len(list(PACKAGE.glob("*.py"))) <= 12


def test_no_file_is_too_long():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert [str(path) for path, lines in lengths.items() if lines > LONGEST_FILE] == []


def test_functions_are_short():
    lengths = sorted(function_lengths())
    assert len(lengths) > 1000
    assert statistics.median(lengths) <= 10
    assert lengths[len(lengths) * 9 // 10] <= 30
