"""The import table of the house: a stage imports only what stands before it, and torch waits."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "render"

# The order of the flow. A file imports files above its own row, or earlier in its row.
TABLE = """
    words said errors values easing temps files received png ours emphasis reading weights tokens
    vocabulary config parsing documents shortcuts
    timeline anchors families sources schedulers scheduler_values singlefile models checkpoint
    colours images control parts
    lora_parts loras memory fit devices engines heap
    threads plan branches
    lock signals streams plan_json store cost arriving
    noise batches ahead starts leaves deepcache early prefix blend texts assemble attention layout
    upsampling winograd linear inplace residuals pipeline lora_layers adapters graphs compiled
    calibrated converted diffusion loading
    ffmpeg formats video_names sound encode
    progress sheet report
    word_list other_tools prompts unused film kept rendering behind survey record undone work
    run
    commandline sweep chosen overrides
    __main__
"""
ORDER = TABLE.split()
HEAVY = {"torch", "diffusers", "transformers"}
WITH_TORCH = {
    "noise", "batches", "ahead", "starts", "leaves", "deepcache", "early", "prefix", "blend",
    "texts", "assemble", "attention", "layout", "upsampling", "winograd", "linear", "inplace",
    "residuals", "pipeline", "lora_layers", "adapters", "graphs", "compiled", "calibrated",
    "converted", "diffusion", "loading",
}  # fmt: skip
ALONE = {
    "hydra": {"__main__"},
    "omegaconf": {"__main__"},
    "subprocess": {"ffmpeg"},
    "pydantic": {"config", "parsing"},
    "rich": {"progress", "report"},
    "tokenizers": {"tokens"},
    "compel": {"emphasis"},
    "openvino": {"converted"},
    "nncf": {"calibrated"},
    "fcntl": {"lock", "temps"},
}


def imports_of(name):
    """(what a file imports, whether it does so when it is itself imported) in the file's order."""
    tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    later = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) or is_for_types(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        for found in imported(node):
            yield found, node not in later


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        return inner if node.module == "render" else [node.module]
    return []


def test_every_file_stands_in_the_table():
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert files == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("name", ORDER)
def test_a_stage_imports_only_what_stands_before_it(name):
    before = set(ORDER[: ORDER.index(name)])
    ours = {
        found.split(".")[1]
        for found, at_once in imports_of(name)
        if at_once and found.startswith("render.") and found.split(".")[1] in ORDER
    }
    assert ours <= before


@pytest.mark.parametrize("name", sorted(set(ORDER) - WITH_TORCH))
def test_torch_stays_out_of_everything_else(name):
    at_once = {found.partition(".")[0] for found, now in imports_of(name) if now}
    assert not at_once & HEAVY
    reached = {found.split(".")[-1] for found, now in imports_of(name) if now}
    assert not reached & WITH_TORCH


@pytest.mark.parametrize("library", ALONE)
def test_a_library_stays_in_its_place(library):
    using = {
        name
        for name in ORDER
        if any(found.partition(".")[0] == library for found, _ in imports_of(name))
    }
    assert using == ALONE[library]


def test_only_the_entry_point_knows_the_conductor():
    using = {name for name in ORDER if any(f == "render.run" for f, _ in imports_of(name))}
    assert using == {"__main__"}


PROBE = """
import sys
sys.argv = ["render", *sys.argv[1:]]
from render.__main__ import main
code = main()
heavy = {"torch", "diffusers", "transformers", "scipy"} & set(sys.modules)
sys.exit(f"imported: {sorted(heavy)}" if heavy else code)
"""


def probe(folder, *arguments):
    """Exit code and stderr of a command in a fresh process that tells what it imported."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert "imported:" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["+timeline=t", "output.fbs=3"], 2), (["+timeline=t", "mode=plan"], 0)],
)
def test_torch_is_not_imported_by(place, arguments, code):
    assert probe(place.folder, *place.arguments(*arguments))[0] == code


def test_a_run_that_has_everything_imports_no_torch(place):
    place.render("+timeline=t")
    code, told = probe(place.folder, *place.arguments("+timeline=t"))
    assert code == 0
    assert "5 frames: all are there" in told
    assert place.counts("t") == (5, 0)
