"""The notebook of the documentation: its cells run in order, without jupyter."""

import ast
import json

from command_line import CHECKOUT
from PIL import Image

NOTEBOOK = json.loads((CHECKOUT / "docs" / "python.ipynb").read_text(encoding="utf-8"))


def cells(kind):
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == kind]


def run(source, names):
    """The value of a cell's last line, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_the_cells_run_in_order(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    _, picture, video = [run(source, names) for source in cells("code")]
    assert isinstance(picture, Image.Image)
    assert video.is_file()
    out, err = capfd.readouterr()
    assert out.splitlines()[0].split() == ["notebook", "3", "frames"]
    assert out.splitlines()[-3:] == [
        "0.00 s 100% A castle on a hill",
        "0.25 s 50% A castle on a hill 50% A town at the sea",
        "0.50 s 100% A town at the sea",
    ]
    assert err == ""


def test_it_is_a_notebook_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 4)
    assert [cell["cell_type"] for cell in NOTEBOOK["cells"]] == ["markdown", "code", "code", "code"]
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
