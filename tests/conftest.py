"""Fixtures that several test files share."""

import gc
import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run beside each other on few cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test waits for a network

MANY = 200  # modules: about what a large library brings
HELD = {"modules": 0}


def pytest_runtest_setup():
    """Leave what large libraries hold out of garbage collections, of which each run makes some.

    With torch and diffusers loaded, a collection takes 0.3 s, nearly all of it over their objects.
    """
    if len(sys.modules) >= HELD["modules"] + MANY:
        HELD["modules"] = len(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def warnings_are_errors(monkeypatch):
    """A library's warning fails a test, though a render spares them where they are errors."""
    monkeypatch.setattr("render.run.spared_warnings.IS_ERROR", "never")


@pytest.fixture(scope="session")
def tiny_sd1(tmp_path_factory):
    """A tiny Stable Diffusion 1.x folder with random weights."""
    from tiny_models import save_tiny_sd1

    return save_tiny_sd1(tmp_path_factory.mktemp("models") / "sd1")


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory):
    """The folder of a tiny model of each family, made when it is first asked for."""
    from tiny_families import save_tiny_family

    root, made = tmp_path_factory.mktemp("families"), {}

    def folder(name):
        if name not in made:
            made[name] = save_tiny_family(name, root / name)
        return made[name]

    return folder


@pytest.fixture
def place(tmp_path, tiny_sd1):
    """An empty folder to call `render` in, with a timeline of five frames."""
    from command_line import Place

    place = Place(tmp_path, tiny_sd1)
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two"}])
    return place
