"""The place that every fault test calls `render` in."""

import os
from contextlib import ExitStack, contextmanager

import pytest
from commands import Commands
from outside import CHECKOUT, Site
from rounds import Rounds
from traps import trap_torch


@pytest.fixture
def site(tmp_path):
    """Afterwards no process may be left and nothing outside of the site's folder changed."""
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture(scope="session")
def calls(tmp_path_factory):
    """A place for many commands without torch: importing it drops a canary and fails."""
    site = Site(tmp_path_factory.mktemp("site"))
    trap = trap_torch(site)
    commands = Commands(site, {"PYTHONPATH": f"{trap}{os.pathsep}{CHECKOUT}"})
    yield commands
    commands.close()


@pytest.fixture(scope="module")
def film_site(tmp_path_factory):
    """Makes a site with a film and quick rounds of the stand-in; closed after the module."""
    with ExitStack() as made:
        yield lambda *film, **faults: made.enter_context(site_of(tmp_path_factory, *film, **faults))


@contextmanager
def site_of(tmp_path_factory, keyframes, *command, **faults):
    site = Site(tmp_path_factory.mktemp("film"))
    site.timeline("film", keyframes)
    site.rounds = Rounds(site, *command, **faults)
    yield site
    site.rounds.close()
    site.close()


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """A place for quick rounds of the storybook model itself: nine small frames of two steps."""
    keyframes = [
        {"at": 0, "prompt": {"A castle": 0.7, "A town": 0.3}, "seed": 1},
        {"at": 1, "prompt": "A green landscape at night", "seed": 2},
        {"at": 2, "prompt": "A city", "negative": "winter"},
    ]
    small = ["output=frames", "output.fps=4", "output.width=64", "output.height=64"]
    command = ["+timeline=film", "scheduler.steps=2", *small]
    with site_of(tmp_path_factory, keyframes, *command, model="real") as site:
        yield site
