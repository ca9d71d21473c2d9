"""Plans: a digest says what a picture means and nothing of how it is computed."""

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import pytest
from films import SIDE, composed, write_model

from render.config.parse import parse
from render.errors import ConfigError
from render.models.resolve import Model, ModelSource
from render.plan import plan_json
from render.plan.blends import EMBEDDING, NOISE
from render.plan.build import make_recipe
from render.plan.digest import frame_digest, recipe_bytes
from render.plan.frame_plan import RECIPE_VERSION, FramePlan, PlannedFrame, Recipe, shard_of
from render.plan.plan_json import INLINE_FRAMES, as_number, plan_files
from render.run.resolve import open_film
from render.store.plan_digests import digests_in
from render.timeline.spec import FrameSpec

RECIPE = Recipe("tiny", "LMSDiscreteScheduler", {}, 4, 64, 64, "float32", "noise")
SPEC = FrameSpec((("a", 0.25), ("b", 0.75)), (("", 1.0),), ((1, 1.0),), 7.5)
SOURCE = ModelSource(None, "org/model", None, None, "StableDiffusionPipeline")
MODEL = Model(SOURCE, "tiny", 512, 512, 8, "PNDMScheduler", None)

PLAN = """
import json, sys
from render.run.resolve import open_film
from render.plan.plan_json import (plan_files)
film = open_film(json.loads(sys.argv[1]), "", str)
sys.stdout.buffer.write(plan_files(film.plan, film.config.name)["plan.json"])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def digests(model, tmp_path):
    """The digests of a film's frames, with changes to its config."""

    def of(changes=None):
        film = open_film(composed(model, tmp_path, changes), "", str)
        return [frame.digest for frame in film.plan.frames]

    return of


@pytest.mark.parametrize(
    ("times", "fps", "places"),
    [((0, 3, 6), 12, (0, 36, 72)), ((0, 0.5, 2), 1, (0, 2)), ((0, 1), "64/5", (0,))],
)
def test_a_plan_says_at_which_frames_keyframes_stand(model, tmp_path, times, fps, places):
    keyframes = [{"at": time, "prompt": f"text {time}"} for time in times]
    film = open_film(
        composed(model, tmp_path, {"timeline.keyframes": keyframes, "output.fps": fps}), "", str
    )
    assert film.plan.keyframes == places


def digest(recipe=RECIPE, **changes):
    return frame_digest(recipe_bytes(recipe), replace(SPEC, **changes))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"scheduler": "PNDMScheduler"},
        {"scheduler_options": {"use_karras_sigmas": True}},
        {"steps": 5},
        {"width": 72},
        {"height": 72},
        {"dtype": "bfloat16"},
        {"blend": "embedding"},
        {"version": RECIPE_VERSION + 1},
    ],
)
def test_each_field_of_the_recipe_is_part_of_a_frames_identity(change):
    assert digest(replace(RECIPE, **change)) != digest()


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": (("a", 0.3), ("b", 0.7))},
        {"prompts": (("a", 0.25), ("c", 0.75))},
        {"negatives": (("dark", 1.0),)},
        {"seeds": ((2, 1.0),)},
        {"seeds": ((1, 0.5), (2, 0.5))},
        {"guidance": 7.0},
    ],
)
def test_each_field_of_the_spec_is_part_of_a_frames_identity(change):
    assert digest(**change) != digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("mine", 2), ("mine 2", 1)),
        (("mine 2", 3), ("mine 2 3", 1)),
        (("mine 1", 2), ("mine", 12)),
        (("mine", 12), ("mine1", 2)),
    ],
)
def test_blends_whose_names_and_versions_look_alike_are_apart(one, other):
    identities = [replace(NOISE, version=v).identity(name) for name, v in (one, other)]
    assert len(set(identities)) == 2


def test_usual_blends_are_known_by_their_names():
    assert NOISE.identity("noise") == "noise"
    assert EMBEDDING.identity("embedding") == "embedding"
    assert replace(NOISE, version=2).identity("counted-2") == "counted-2 2"


def test_spelling_is_no_part_of_it():
    assert digest(prompts=SPEC.prompts[::-1]) == digest()
    assert digest(guidance=7) == digest(guidance=7.0)
    assert digest(guidance=1.0, negatives=(("dark", 1.0),)) == digest(guidance=1.0)
    options = {"use_karras_sigmas": True, "lower_order_final": False}
    turned = dict(reversed(options.items()))
    assert digest(replace(RECIPE, scheduler_options=options)) == digest(
        replace(RECIPE, scheduler_options=turned)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"output.format": "webm", "output.quality": 10},
        {"compute.batch": 7},
        {"compute.dtype": "float32"},
        {"shard": "1/3"},
        {"mode": "plan"},
        {"sampling.seed": 5},  # every keyframe has one
        {"scheduler.steps": 4},  # the model's
        {"sampling.blend": "noise"},  # the model's
        {"sampling.blend": "noise", "model.blend": "embedding"},
        {"output.width": SIDE, "output.height": SIDE},  # the model's
        {"timeline.keyframes.2.prompt": {"A forest": 1, "A castle": 3}},
        {"timeline.keyframes.2.prompt": {"A castle": 0.75, "A forest": 0.25}},
        {"timeline.keyframes.1": {"prompt": "A town", "at": "12f", "ease": "linear"}},
    ],
)
def test_what_does_not_change_the_pictures_changes_no_digest(digests, changes):
    assert digests(changes) == digests()


@pytest.mark.parametrize(
    "changes",
    [
        {"scheduler.class": "LMSDiscreteScheduler"},
        {"scheduler.steps": 5},
        {"sampling.guidance": 3},
        {"sampling.negative": "blurry"},
        {"sampling.blend": "embedding"},
        {"compute.dtype": "bfloat16"},
        {"model.variant": "fp16"},
        {"output.width": SIDE + 8},
    ],
)
def test_what_changes_every_picture_changes_every_digest(digests, changes):
    assert not set(digests(changes)) & set(digests())


def test_a_blend_makes_the_same_frames_whether_the_model_or_the_film_names_it(digests):
    assert digests({"model.blend": "embedding"}) == digests({"sampling.blend": "embedding"})


def test_an_edited_prompt_changes_only_frames_in_which_it_has_weight(digests):
    before, after = digests(), digests({"timeline.keyframes.0.prompt": "A lake"})
    assert [index for index in range(25) if before[index] != after[index]] == list(range(12))


def test_twice_the_rate_reuses_every_frame(digests):
    assert digests({"output.fps": 24})[::2] == digests()


@pytest.mark.parametrize("keep", [True, False])
def test_plan_json_is_byte_identical_for_equal_configs(model, tmp_path, keep):
    changes = {"scheduler.class": "LMSDiscreteScheduler", "scheduler.use_karras_sigmas": True}
    config = composed(model, tmp_path, changes | {"scheduler.beta_end": 0.01})
    film = open_film(config, "", str)
    expected = plan_files(film.plan, "film")["plan.json"]
    if not keep:  # another order of keys is the same config
        config = {key: config[key] for key in reversed(config)}
        config["scheduler"] = dict(reversed(config["scheduler"].items()))
    other = {"PYTHONHASHSEED": "7", "LANG": "de_DE", "LC_ALL": "POSIX", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", PLAN, json.dumps(config)],
        env={**os.environ, **other},
        capture_output=True,
        check=False,
    )
    assert done.stdout == expected, done.stderr.decode()


def test_plan_json_is_what_programs_read(model, tmp_path):
    film = open_film(composed(model, tmp_path, {"sampling.negative": "dark"}), "", str)
    plan = json.loads(plan_files(film.plan, "film")["plan.json"])
    assert (plan["fps"], plan["name"], plan["count"]) == (12, "film", 25)
    assert [frame["index"] for frame in plan["frames"]] == list(range(25))
    assert plan["frames"][3] == {
        "index": 3,
        "time": 0.25,
        "prompts": [["A landscape", 0.75], ["A town", 0.25]],
        "negative": "dark",
        "seeds": [[1, 1.0]],
        "guidance": 7.5,
        "digest": film.plan.frames[3].digest,
    }


def test_a_negative_on_its_way_is_texts_with_weights(model, tmp_path):
    changes = {"timeline.keyframes.1.negative": "dark"}
    film = open_film(composed(model, tmp_path, changes), "", str)
    frames = json.loads(plan_files(film.plan, "film")["plan.json"])["frames"]
    assert frames[3]["negative"] == [["", 0.75], ["dark", 0.25]]


def long_plan(count, text=""):
    digests = [hashlib.sha256(f"{text}{i}".encode()).hexdigest() for i in range(count)]
    frames = tuple(PlannedFrame(i, Fraction(i, 12), SPEC, d) for i, d in enumerate(digests))
    return FramePlan(Fraction(12), RECIPE, frames)


def test_a_long_plan_has_its_frames_in_a_file_beside_it():
    assert list(plan_files(long_plan(INLINE_FRAMES), "x")) == ["plan.json"]
    files = plan_files(long_plan(INLINE_FRAMES + 1), "x")
    assert json.loads(files["plan.json"])["frames"] == "plan.jsonl"
    lines = files["plan.jsonl"].splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(INLINE_FRAMES + 1))


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3), (1, 3), (3, 1), (0, 3)])
def test_a_plan_that_is_written_over_is_never_a_mixed_one(tmp_path, monkeypatch, before, after):
    """Plans of two frames and more are long; each call that changes a file is the last in turn."""
    monkeypatch.setattr(plan_json, "INLINE_FRAMES", 1)
    films = {count: long_plan(count, text=f"film of {count}") for count in (before, after) if count}
    known = {frozenset(frame.digest for frame in film.frames) for film in films.values()}
    for killed_at in range(1, 5):
        folder = tmp_path / str(killed_at)
        folder.mkdir()
        if before:
            plan_json.freeze(folder, films[before], "film", str)
        calls = []

        def write(target, content, real=plan_json.write_whole, calls=calls, last=killed_at):
            calls.append(target)
            if len(calls) == last:
                raise KeyboardInterrupt
            real(target, content)

        with monkeypatch.context() as during:
            during.setattr(plan_json, "write_whole", write)
            during.setattr("render.files.atomic.write_whole", write)
            with suppress(KeyboardInterrupt):
                plan_json.freeze(folder, films[after], "film", str)
        if (folder / "plan.json").exists():
            assert frozenset(digests_in(folder / "plan.json")) in known
            assert plan_json.shown_film(folder).digest in {f.digest for f in films.values()}
        plan_json.freeze(folder, films[after], "film", str)
        assert list(digests_in(folder / "plan.json")) == [f.digest for f in films[after].frames]


def test_a_hundred_thousand_frames(model, tmp_path):
    keyframes = [{"at": at, "prompt": f"Prompt {at}", "seed": 1} for at in range(0, 8335, 5)]
    changes = {"timeline.keyframes": keyframes, "timeline.duration": "100000f"}
    film = open_film(composed(model, tmp_path, changes), "", str)
    files = plan_files(film.plan, "film")
    assert len(film.plan.frames) == 100_001
    assert len({frame.digest for frame in film.plan.frames}) > 99_000
    assert files["plan.jsonl"].count(b"\n") == 100_001
    assert len(files["plan.jsonl"]) < 300 * 100_001
    assert len(files["plan.json"]) < 1000


def test_shards_are_all_frames_once_and_end_together():
    plan = long_plan(10)
    shards = [shard_of(plan, (place, 3)) for place in range(3)]
    assert [len(shard) for shard in shards] == [4, 3, 3]
    assert sorted(f.index for shard in shards for f in shard) == list(range(10))
    assert shard_of(plan, None) == plan.frames


def test_the_films_digest_is_its_frames_and_its_rate():
    plan = long_plan(3)
    assert plan.digest != replace(plan, fps=Fraction(24)).digest
    assert plan.digest != replace(plan, frames=plan.frames[::-1]).digest
    assert plan.digest == replace(plan, warnings=("x",)).digest


def test_a_recipe_takes_what_is_left_open_from_the_model(tmp_path):
    recipe = make_recipe(parse(composed(tmp_path, tmp_path)), MODEL, "float32")
    assert (recipe.scheduler, recipe.steps, recipe.width, recipe.height) == ("model", 4, 512, 512)


def test_sizes_and_options_that_do_not_fit_are_reported_together(tmp_path):
    changes = {"output.width": 100, "output.height": 9, "scheduler.use_karas_sigmas": True}
    with pytest.raises(ConfigError) as error:
        make_recipe(parse(composed(tmp_path, tmp_path, changes)), MODEL, "float32")
    assert str(error.value).splitlines()[:2] == [
        "output.width: 100 is no multiple of 8, the model's factor; use 96 or 104",
        "output.height: 9 is no multiple of 8, the model's factor; use 8 or 16",
    ]
    assert str(error.value).splitlines()[2].startswith("scheduler.use_karas_sigmas: PNDMScheduler")


@pytest.mark.parametrize(
    ("scheduler", "options", "warned"),
    [
        ("EulerAncestralDiscreteScheduler", {}, True),
        ("DPMSolverMultistepScheduler", {"scheduler.algorithm_type": "sde-dpmsolver++"}, True),
        ("DPMSolverMultistepScheduler", {}, False),
    ],
)
def test_a_seed_walk_under_a_noisy_scheduler_is_warned_of(
    model, tmp_path, scheduler, options, warned
):
    config = composed(model, tmp_path, {"scheduler.class": scheduler, **options})
    assert bool(open_film(config, "", str).plan.warnings) is warned
    del config["timeline"]["keyframes"][2]["seed"]
    assert not open_film(config, "", str).plan.warnings


def test_rates_as_programs_read_them():
    assert as_number(Fraction(12)) == 12
    assert as_number(Fraction(30000, 1001)) == pytest.approx(29.97003)
