"""The recipe that a film's file carries names no folder, whatever key a path is in."""

import typing
from pathlib import PurePath
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from render.config.schema import RunConfig
from render.run.film_recipe import LEFT_OUT, paths_in, shared_config, without_folders

SECRET = "/home/alice/client-x"


def test_every_text_that_leads_to_a_file_is_its_name_alone():
    nested = {"a": [f"{SECRET}/x.wav", {"b": f"{SECRET}/deep/model"}], "c": "a / b", "n": 3}
    found = without_folders(nested, {"x.wav", "model"})
    assert found == {"a": ["x.wav", {"b": "model"}], "c": "a / b", "n": 3}


WRITTEN = [f"{SECRET}/net", f"{SECRET}/net/", f"{SECRET}/net/sub/..", "../alice/net", "~/net"]


@pytest.mark.parametrize("written", WRITTEN)
def test_however_a_path_is_written(written):
    film = SimpleNamespace(
        config=SimpleNamespace(name="n", model_dump=lambda: {"p": PurePath(written)})
    )
    run = SimpleNamespace(film=film, composed={"model": {"path": written}, "root": SECRET})
    assert shared_config(run) == {"model": {"path": "net"}, "name": "n"}


def test_keys_of_how_a_run_is_done_are_left_out():
    assert {*LEFT_OUT} < {*RunConfig.model_fields}


def kinds_of(kind):
    """A type and all that it is made of."""
    yield kind
    for part in typing.get_args(kind):
        yield from kinds_of(part)


def paths_of(model, dotted=""):
    """Every key of a config whose value may be a path."""
    for name, field in model.model_fields.items():
        for kind in kinds_of(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from paths_of(kind, f"{dotted}{name}.")
            elif isinstance(kind, type) and issubclass(kind, PurePath):
                yield f"{dotted}{name}"


def test_paths_are_found_in_every_shape_of_value():
    nested = {"a": PurePath("x/y"), "b": [PurePath("z")], "c": ({"d": PurePath("w")},), "e": "f"}
    assert {path.name for path in paths_in(nested)} == {"y", "z", "w"}
    found = {*paths_of(RunConfig)}
    assert {"output.audio", "output.upscale", "model.path", "timeline.keyframes.image"} <= found
