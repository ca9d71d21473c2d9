"""An engine says what it can do; nobody asks for it by its name."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import render
from render.config.schema import ComputeConfig
from render.engines import process_settings
from render.engines.protocol import Abilities
from render.engines.registry import abilities_named
from render.models.model_source import ModelSource
from render.plan.frame_plan import Recipe
from render.run import kept_model

PACKAGE = Path(render.__file__).parent
ENGINES = ("torch", "compiled", "openvino")
BY_NAME = re.compile(r"\bengine\b(\.name)?\)?\s*(==|!=|in\s*[(\[{\"'])")


def test_no_code_asks_for_an_engine_by_its_name():
    asked = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if BY_NAME.search(line)
    ]
    assert asked == []


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ('if compute.engine == "compiled":', True),
        ('x = config.compute.engine != "torch" or y', True),
        ('if compute.engine in ("torch", "mine"):', True),
        ("engine = engine or engine_named(compute.engine)", False),
        ("if engine is None:", False),
    ],
)
def test_such_a_line_is_found(line, asks):
    assert (BY_NAME.search(line) is not None) == asks


def test_the_defaults_promise_nothing():
    assert Abilities() == Abilities("", False, False, False, False)


def film(steps, engine, controlnet=None):
    source = ModelSource(Path("model"), None, None, None, None, controlnet=controlnet)
    recipe = Recipe("m", "DDIMScheduler", {}, steps, 64, 64, "float32", "noise")
    return SimpleNamespace(
        config=SimpleNamespace(compute=ComputeConfig(engine=engine)),
        plan=SimpleNamespace(recipe=recipe),
        model=SimpleNamespace(source=source),
        device="cpu",
        images={},
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sweep_over_steps_keeps_the_model_where_the_engine_serves_them(engine):
    few, many = (kept_model.what_is_loaded(film(steps, engine), ()) for steps in (3, 4))
    assert (few == many) == abilities_named(engine).serves_other_recipes == (engine == "torch")
    assert kept_model.what_is_loaded(film(3, engine), ()) == few


@pytest.mark.parametrize("engine", ENGINES)
def test_a_place_for_machine_code_is_set_where_torch_compiles(engine, monkeypatch):
    set_up = []
    monkeypatch.setattr(process_settings, "keep_compiled", lambda: set_up.append(engine))
    monkeypatch.setattr(process_settings, "threads_for", lambda asked: None)
    with process_settings.applied(ComputeConfig(engine=engine), "cuda"):
        pass
    assert set_up == (["compiled"] if engine == "compiled" else [])


def test_libraries_say_nothing_while_a_command_imports_them(monkeypatch, caplog):
    def noisy(name):
        logging.getLogger("torchao").warning("no part of %s for this machine", name)

    monkeypatch.setattr(process_settings.importlib, "import_module", noisy)
    with process_settings.applied(ComputeConfig(threads=1), "cuda"):
        logging.getLogger("torchao").warning("of the model")
    assert caplog.messages == ["of the model"]
    assert logging.root.manager.disable == logging.NOTSET
