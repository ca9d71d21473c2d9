"""The config: it is checked as a whole, and all mistakes are reported at once."""

import math
from fractions import Fraction
from pathlib import Path

import pytest
from films import composed

from render.config.fields import MAX_SIDE
from render.config.parse import parse
from render.errors import ConfigError


def parsed(changes=None):
    return parse(composed(Path("model"), Path("outputs"), changes))


def mistakes(changes):
    with pytest.raises(ConfigError) as error:
        parsed(changes)
    return {mistake.where: mistake.what for mistake in error.value.mistakes}


def test_a_config_is_read_and_frozen():
    config = parsed({"output.fps": 23.976, "shard": "1/4", "scheduler.use_karras_sigmas": True})
    assert config.output.fps == Fraction(24_000, 1001)
    assert config.shard == (1, 4)
    assert config.scheduler.options == {"use_karras_sigmas": True}
    assert list(config.timeline.keyframes) == ["0", "1", "2"]
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"


KEYFRAME = "timeline.keyframes.1"
WRONG = [
    # unknown keys, with the nearest right name
    ("fps", 12, "unknown key"),
    ("output.fsp", 24, "did you mean 'fps'"),
    ("sampling.guidence", 3, "did you mean 'guidance'"),
    ("compute.xyz", 3, "known: device, dtype, batch"),
    ("timeline.lop", True, "did you mean 'loop'"),
    (f"{KEYFRAME}.sede", 1, "did you mean 'seed'"),
    (f"{KEYFRAME}.guidance-scale", 7, "did you mean 'guidance'"),
    (f"{KEYFRAME}.str", 7, "unknown key"),
    ("model.my(key)", 7, "unknown key"),
    # wrong types
    ("output.quality", "high", "not a whole number"),
    ("output.quality", 1.5, "not a whole number"),
    ("output.fps", "fast", "not a finite number"),
    ("output.width", 64.5, "not a whole number"),
    ("scheduler.steps", True, "not a whole number"),
    ("timeline.loop", "maybe", "neither true nor false"),
    ("sampling.negative", False, "put it in quotes"),
    ("sampling.guidance", "7", "not a number"),
    ("sampling", 3, "keys with values belong"),
    ("output", [1], "keys with values belong"),
    (KEYFRAME, 3, "keys with values belong"),
    (KEYFRAME, None, "keys with values belong"),
    ("timeline.keyframes", "all", "a list or a mapping"),
    ("timeline.keyframes", [], "at least one keyframe"),
    ("timeline.keyframes", {}, "at least one keyframe"),
    (f"{KEYFRAME}.prompt", False, "put it in quotes"),
    (f"{KEYFRAME}.prompt", ["a"], "several texts have weights"),
    (f"{KEYFRAME}.prompt", "\udc80", "not Unicode"),
    (f"{KEYFRAME}.negative", "\udc80", "not Unicode"),
    ("sampling.negative", "\udc80", "not Unicode"),
    # choices
    ("mode", "rendr", "did you mean 'render'"),
    ("sampling.blend", "noize", "did you mean 'noise'"),
    ("output.format", "mp5", "did you mean 'mp4'"),
    ("output.chroma", 422, "422 is not known; known: 420 or 444"),
    ("compute.dtype", "int8", "known: auto"),
    ("compute.device", "gpu", "auto, cpu, mps, cuda or cuda:1"),
    ("compute.batch", "all", "or auto, not 'all'"),
    (f"{KEYFRAME}.ease", "smoth", "did you mean 'smooth'"),
    # ranges
    ("scheduler.steps", 0, "greater than or equal to 1"),
    ("compute.batch", 0, "from 1 to 1024"),
    ("compute.batch", True, "from 1 to 1024"),
    ("compute.batch", 1025, "from 1 to 1024"),
    ("output.fps", 0, "give 0.01 to 1000"),
    ("output.fps", -12, "give 0.01 to 1000"),
    ("output.fps", math.nan, "finite"),
    ("output.fps", math.inf, "finite"),
    ("output.width", MAX_SIDE + 1, str(MAX_SIDE)),
    ("sampling.guidance", -1, "0"),
    ("sampling.guidance", math.nan, "finite"),
    ("sampling.guidance", math.inf, "finite"),
    ("sampling.guidance", 10**400, "finite"),
    ("sampling.seed", -1, "0"),
    (f"{KEYFRAME}.seed", -1, "not between 0"),
    (f"{KEYFRAME}.seed", 1.5, "a whole number"),
    (f"{KEYFRAME}.at", -1, "negative"),
    (f"{KEYFRAME}.at", "-3f", "negative"),
    (f"{KEYFRAME}.at", math.nan, "not a time"),
    (f"{KEYFRAME}.at", math.inf, "not a time"),
    (f"{KEYFRAME}.at", "soon", "not a time"),
    (f"{KEYFRAME}.guidance", math.nan, "finite"),
    (f"{KEYFRAME}.prompt", {}, "no text"),
    (f"{KEYFRAME}.prompt", {"a": 0, "b": 0}, "all zero"),
    (f"{KEYFRAME}.prompt", {"a": -1}, "not negative"),
    (f"{KEYFRAME}.prompt", {"a": math.nan}, "finite"),
    (f"{KEYFRAME}.prompt", {"a": math.inf}, "finite"),
    ("timeline.duration", "long", "not a time"),
    # shards, names, folders, models
    ("shard", "4/4", "0/4 … 3/4"),
    ("shard", "-1/4", "0/4 … 3/4"),
    ("shard", 3, "0/4 … 3/4"),
    ("root", "", "can't be a folder"),
    ("root", "a\nb", "can't be a folder"),
    ("root", "a\0b", "can't be a folder"),
    ("model.path", None, "give model.path"),
    ("model.repository", "org/model", "exclude each other"),
]


@pytest.mark.parametrize(("where", "written", "said"), WRONG)
def test_a_mistake_is_reported_with_its_place(where, written, said):
    ((place, what),) = mistakes({where: written}).items()
    assert place == ("model" if where in ("model.path", "model.repository") else where)
    assert said in what
    assert "\n" not in what
    assert len(what) < 300


@pytest.mark.parametrize(
    "name", ["../x", "/abs", "-x", ".x", "a/b", "a\nb", "a\0b", "x" * 101, "", "_", "ä", "a\\b"]
)
def test_a_name_is_one_plain_file_name(name):
    assert "can't name a folder" in mistakes({"name": name})["name"]


@pytest.mark.parametrize("name", ["city", "City 2 (new)", "a=1,b=2", "x" * 100])
def test_names_people_give(name):
    assert parsed({"name": name}).name == name


def test_what_is_missing_is_reported():
    config = composed(Path("model"), Path("outputs"))
    del config["timeline"], config["model"]["steps"]
    del config["scheduler"]
    with pytest.raises(ConfigError) as error:
        parse(config)
    assert str(error.value).splitlines() == [
        "model.steps: is missing",
        "scheduler: is missing",
        "timeline: is missing",
    ]


def test_everything_wrong_is_reported_at_once():
    once = {where: (written, said) for where, written, said in WRONG if where.count(".") == 1}
    once = {where: pair for where, pair in once.items() if not where.startswith("model.")}
    del once["timeline.keyframes"]
    found = mistakes({where: written for where, (written, _) in once.items()})
    assert set(found) == set(once)
    assert all(said in found[where] for where, (_, said) in once.items())


def test_a_mistake_beside_a_good_union_branch_is_reported_once():
    assert list(mistakes({"compute.batch": 1.5, f"{KEYFRAME}.ease": [1, 2]})) == [
        "compute.batch",
        f"{KEYFRAME}.ease",
    ]


def test_keyframes_may_have_any_name():
    frames = {"a-b": {"at": 0, "prompt": "x"}, "int": {"at": -1}, "c(d)": {"at": 1, "sede": 1}}
    found = mistakes({"timeline.keyframes": frames})
    assert set(found) == {"timeline.keyframes.int.at", "timeline.keyframes.c(d).sede"}
    frames = {"a": {"at": 0, "prompt": "x"}, "a-b": 3}
    assert list(mistakes({"timeline.keyframes": frames})) == ["timeline.keyframes.a-b"]


def test_the_reader_is_shown_the_place_in_the_file():
    config = composed(Path("model"), Path("outputs"), {f"{KEYFRAME}.sede": 1})
    with pytest.raises(ConfigError, match=r"^city\.yaml:4: unknown key; did you mean 'seed'\?$"):
        parse(config, lambda path: {f"{KEYFRAME}.sede": "city.yaml:4"}[path])
