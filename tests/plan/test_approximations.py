"""The approximations on tiny models: each leaves out what it should, and nothing else."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction

import diffusers
import numpy as np
import pytest
import torch
from films import composed, write_model
from pictures import difference, render, same_pictures
from tiny_models import BETAS, SIDE, save_tiny_sd1

from render.config.schema import SamplingConfig
from render.diffusion.noise import slerp_weights, starting_noise
from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.models.families import STABLE_DIFFUSION
from render.models.model_source import ModelSource
from render.plan.approximations import NONE, PRESETS, Approximations, approximations_of
from render.plan.build import make_plan
from render.plan.cost import planned_rows
from render.plan.frame_plan import PlannedFrame, Recipe
from render.run.resolve import open_film
from render.timeline.interpolation import values_at
from render.timeline.keyframe_anchors import early, rendered_time
from render.timeline.spec import FrameSpec, Keyframe, Timeline

STEPS = 6
DDIM = "DDIMScheduler"


def shown(*prompts, seeds=((1, 1.0),), guidance=5.0):
    return FrameSpec(tuple(prompts), (("", 1.0),), tuple(seeds), guidance)


A, B, C = (shown((text, 1.0)) for text in ("a castle", "a forest", "a lake"))


def film(*values, seconds=1, ease="linear", loop=False):
    frames = tuple(Keyframe(Fraction(k * seconds), v, ease) for k, v in enumerate(values))
    length = frames[-1].time + (seconds if loop else 0)
    return Timeline(frames, length, loop)


# --- presets and keys -----------------------------------------------------------------------------


def test_exact_is_the_default_and_leaves_nothing_out():
    assert approximations_of(SamplingConfig()) == NONE == PRESETS["exact"]


@pytest.mark.parametrize("speed", PRESETS)
def test_a_single_key_wins_over_the_preset(speed):
    taken = approximations_of(SamplingConfig(speed=speed, every=7))
    assert taken == replace(PRESETS[speed], every=7)


# --- anchors and held frames ----------------------------------------------------------------------


def test_anchors_divide_each_way_between_keyframes_and_are_themselves_exact():
    timeline = film(A, B, C)
    times = [Fraction(k, 12) for k in range(25)]
    found = {time: early(timeline, time, 4) for time in times}
    assert [time for time in times if not found[time]] == [Fraction(k, 4) for k in range(9)]
    (before, near), (after, far) = found[Fraction(14, 12)]
    assert (before, after) == (
        values_at(timeline, Fraction(1)),
        values_at(timeline, Fraction(5, 4)),
    )
    assert (near, far) == pytest.approx((1 / 3, 2 / 3))


def test_frames_of_twelve_a_second_are_among_those_of_twenty_four():
    timeline = film(A, B)
    recipe = Recipe(
        "m", DDIM, {}, 4, 64, 64, "float32", "noise", approximations=Approximations(anchors=5)
    )
    slow, fast = (make_plan(timeline, recipe, Fraction(fps), DDIM).frames for fps in (12, 24))
    assert [frame.digest for frame in slow] == [frame.digest for frame in fast[::2]]


def test_a_way_that_stands_still_needs_no_anchors():
    assert early(film(A, A, B), Fraction(1, 3), 2) == ()
    assert early(film(A, B, ease="hold"), Fraction(1, 3), 2) == ()
    assert early(film(A, B), Fraction(7, 3), 2) == ()


def test_weights_between_anchors_follow_the_easing():
    timeline = film(A, B, ease="smooth")
    time = Fraction(1, 8)
    (_, _), (after, share) = early(timeline, time, 2)
    whole = dict(after.prompts)["a forest"]
    assert share * whole == pytest.approx(dict(values_at(timeline, time).prompts)["a forest"])


def test_a_loop_leads_back_to_its_first_keyframe():
    (before, _), (after, _) = early(film(A, B, loop=True), Fraction(15, 8), 2)
    assert before == values_at(film(A, B, loop=True), Fraction(3, 2))
    assert after == A


def test_every_nth_frame_is_held_and_keyframes_begin_anew():
    timeline = film(A, B, C)
    shown_at = [rendered_time(timeline, Fraction(k, 4), Fraction(4), 3) * 4 for k in range(9)]
    assert shown_at == [0, 0, 0, 3, 4, 4, 4, 7, 8]


# --- identity -------------------------------------------------------------------------------------

RECIPE = Recipe("m", DDIM, {}, 4, 64, 64, "float32", "noise")


def digests(taken):
    plan = make_plan(film(A, B), replace(RECIPE, approximations=taken), Fraction(6), DDIM)
    return [frame.digest for frame in plan.frames]


@pytest.mark.parametrize(
    "taken",
    [
        Approximations(guidance_interval=(0.0, 0.5)),
        Approximations(deep_cache=2),
        Approximations(shrink=2),
        Approximations(anchors=2),
        Approximations(anchors=2, early_steps=0.75),
        Approximations(anchors=3),
    ],
)
def test_what_changes_a_picture_changes_its_digest(taken):
    others = [NONE, Approximations(guidance_interval=(0.1, 0.5)), Approximations(deep_cache=3)]
    for other in [*others, Approximations(anchors=2, early_steps=0.7), Approximations(anchors=4)]:
        assert digests(taken)[1] != digests(other)[1]


def test_what_is_not_used_is_in_no_digest():
    assert digests(Approximations(early_steps=0.9)) == digests(NONE)
    assert "shortcuts" not in RECIPE.entry()


def test_held_frames_are_one_picture():
    assert digests(Approximations(every=2))[::2] == digests(NONE)[::2]
    assert digests(Approximations(every=2))[1] == digests(NONE)[0]


BETWEEN = [1, 2, 4, 5, 7, 8]  # of films with a keyframe at every third frame and one anchor there


@pytest.mark.parametrize(
    ("taken", "same"),
    [
        ({"anchors": 1, "early_steps": 1.0}, {}),
        ({"anchors": 1}, {}),
        ({"anchors": 1, "deep_cache": 2}, {"deep_cache": 2}),
        ({"anchors": 1, "guidance_interval": (0.0, 0.5)}, {"guidance_interval": (0.0, 0.5)}),
        ({"anchors": 1, "shrink": 2}, {"shrink": 2}),
    ],
)
def test_keyframes_between_anchors_are_those_of_a_film_without(taken, same):
    plans = [
        make_plan(
            film(A, B, C, A),
            replace(RECIPE, approximations=Approximations(**keys)),
            Fraction(3),
            DDIM,
        )
        for keys in (taken, same)
    ]
    pairs = zip(*([frame.digest for frame in plan.frames] for plan in plans), strict=True)
    assert [place for place, (one, other) in enumerate(pairs) if one != other] == BETWEEN


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        ({}, ["4f1bbe901137101c", "7dbe5c6c4750d1d6", "b9e77113851f64a4", "0d3fdc236412d3e5"]),
        ({"anchors": 1, "early_steps": 1.0}, ["36f17d7d641299d4", "cc31b77fcd1709b7"]),
        ({"anchors": 1}, ["4ec09b8d23f24f51", "f906aa35c011c007"]),
        ({"deep_cache": 2}, ["f5dfd47f2d03b088", "c1009991b72c8ce8", "a11c2618388bd788"]),
        ({"guidance_interval": (0.0, 0.5)}, ["8ed3b090adebe9b6", "a7ec86250b26756f"]),
    ],
)
def test_frames_that_are_in_the_world_are_known_again(taken, wanted):
    """Digests of films of recipe version 1: apart from that number the way to them is the same."""
    recipe = replace(RECIPE, version=1, approximations=Approximations(**taken))
    frames = make_plan(film(A, B), recipe, Fraction(3), DDIM).frames
    first = 1 if "anchors" in taken else 0
    assert [frame.digest[:16] for frame in frames[first:]][: len(wanted)] == wanted


@pytest.mark.parametrize("speed", ["balanced", "draft"])
def test_anchors_for_no_step_are_none(speed):
    taken = approximations_of(SamplingConfig(speed=speed, early_steps=0))
    assert taken == replace(PRESETS[speed], early_steps=0, anchors=0)
    every = {"every": taken.every}
    assert digests(taken) == digests(Approximations(**every))


# --- pictures -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_sd1(tmp_path_factory.mktemp("models") / "sd1")


def opened(folder, scheduler=DDIM, side=SIDE, blend="noise", **taken):
    source = ModelSource(folder, None, None, None, None)
    left_out = Approximations(**taken)
    recipe = Recipe(
        "t", scheduler, {}, STEPS, side, side, "float32", blend, approximations=left_out
    )
    return open_diffusion(source, recipe, "cpu")


def specs(timeline, fps, **taken):
    recipe = replace(RECIPE, approximations=Approximations(**taken))
    return [frame.spec for frame in make_plan(timeline, recipe, Fraction(fps), DDIM).frames]


class Plain:
    """The same with a plain loop, a frame at a time, on the stock parts."""

    def __init__(self, folder):
        self.pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
        config = self.pipeline.scheduler.config
        self.scheduler = getattr(diffusers, DDIM).from_config(config, clip_sample=False)
        self.scheduler.set_timesteps(STEPS)

    def text(self, words):
        return self.pipeline.encode_prompt(words, "cpu", 1, False)[0]

    def prediction(self, spec, latents, timestep, guided=True):
        def row(text):
            given = {"encoder_hidden_states": self.text(text)}
            return self.pipeline.unet(latents, timestep, **given).sample

        wanted = sum(weight * row(text) for text, weight in spec.prompts)
        return row("") + spec.guidance * (wanted - row("")) if guided else wanted

    @torch.no_grad()
    def latents(self, spec, steps=STEPS, latents=None, guided=lambda number: True):
        noise = starting_noise(spec.seeds, (1, 4, SIDE // 8, SIDE // 8))
        latents = noise if latents is None else latents
        for number in range(STEPS)[steps] if isinstance(steps, slice) else range(steps):
            timestep = self.scheduler.timesteps[number]
            prediction = self.prediction(spec, latents, timestep, guided(number))
            latents = self.scheduler.step(prediction, timestep, latents).prev_sample
        return latents

    @torch.no_grad()
    def picture(self, latents):
        decoded = self.pipeline.vae.decode(latents / self.pipeline.vae.config.scaling_factor)
        pixels = (decoded.sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()[0]
        return (pixels * 255).round().astype("uint8")


@pytest.mark.parametrize("other", [B, shown(("a forest", 1.0), seeds=((7, 1.0),))])
def test_a_frame_between_anchors_goes_on_from_their_latents_slerped(folder, other):
    plain = Plain(folder)
    diffusion = opened(folder, anchors=1, early_steps=0.5)
    frames = specs(film(A, other), 4, anchors=1)
    pictures = render(diffusion, *frames)
    start, end = (plain.latents(spec, 3) for spec in (A, other))
    noise = [starting_noise(spec.seeds, (1, 4, SIDE // 8, SIDE // 8)) for spec in (A, other)]
    for share, spec, picture in zip((0.25, 0.5, 0.75), frames[1:], pictures[1:], strict=False):
        before, after = slerp_weights(*noise, share)
        wanted = plain.latents(spec, slice(3, None), before * start + after * end)
        assert difference(picture, plain.picture(wanted)) <= 1
    diffusion.close()


def test_keyframes_stay_exact_and_frames_are_the_same_alone_and_together(folder):
    frames = specs(film(A, B, C), 4, anchors=2)
    together = opened(folder, anchors=2)
    pictures = render(together, *frames)
    exact = opened(folder)
    for index in (0, 4, 8):
        assert np.array_equal(pictures[index], render(exact, frames[index])[0])
    for index in (3, 8, 5, 1):
        alone = opened(folder, anchors=2)
        assert np.array_equal(pictures[index], render(alone, frames[index])[0])
        alone.close()
    together.close()
    exact.close()


WALK = film(A, shown(("a forest", 1.0), seeds=((2, 1.0),), guidance=2.0), C)
BALANCED, DRAFT = ({"anchors": n, "early_steps": 1.0} for n in (6, 2))


@pytest.mark.parametrize(
    ("taken", "options"),
    [
        (BALANCED, {}),
        (DRAFT, {"scheduler": "EulerAncestralDiscreteScheduler"}),
        (DRAFT, {"scheduler": "HeunDiscreteScheduler", "blend": "embedding"}),
        (DRAFT | {"guidance_interval": (0.2, 0.7)}, {"scheduler": "PNDMScheduler"}),
        (DRAFT | {"deep_cache": 2}, {"scheduler": "LMSDiscreteScheduler"}),
        ({"anchors": 2, "early_steps": 0.5, "deep_cache": 2}, {}),
        ({"anchors": 2, "deep_cache": 3, "guidance_interval": (0.4, 0.8)}, {}),
    ],
)
def test_frames_of_one_digest_are_one_picture_with_anchors_and_without(folder, taken, options):
    """However they are asked for: all frames of a film with anchors in odd batches, and those
    whose digests a film without anchors has, alone."""
    alone = {key: value for key, value in taken.items() if key not in ("anchors", "early_steps")}
    plans = [
        make_plan(WALK, replace(RECIPE, approximations=Approximations(**keys)), Fraction(6), DDIM)
        for keys in (taken, alone)
    ]
    film_of = [{frame.digest: frame.spec for frame in plan.frames} for plan in plans]
    both = film_of[0].keys() & film_of[1].keys()
    assert len(both) == {6: 13, 2: 5}[taken["anchors"]]
    fast, plain = opened(folder, **options, **taken), opened(folder, **options, **alone)
    order = list(film_of[0])
    fast.expect([film_of[0][digest] for digest in order])
    pictures = {}
    for first in range(0, len(order), 3):
        part = order[first : first + 3]
        pictures |= zip(part, render(fast, *(film_of[0][digest] for digest in part)), strict=True)
    for digest in both:
        assert np.array_equal(pictures[digest], render(plain, film_of[1][digest])[0])
    fast.close()
    plain.close()


OWN_SDE = {
    "_class_name": "DPMSolverMultistepScheduler",
    **BETAS,
    "algorithm_type": "sde-dpmsolver++",
}


@pytest.mark.parametrize(
    "chosen",
    [
        ["scheduler=euler_a"],
        ["scheduler.class=DDPMParallelScheduler"],
        ["scheduler=dpmpp_2m", "+scheduler.algorithm_type=sde-dpmsolver++"],
        [],
    ],
)
def test_between_two_seeds_a_scheduler_that_adds_noise_takes_no_anchors(place, tmp_path, chosen):
    """Its frames there are the exact ones; where the seed stays it takes them as others do."""
    place.model = shutil.copytree(place.model, tmp_path / "model")
    if not chosen:  # the model's own
        index = place.model / "model_index.json"
        named = {"scheduler": ["diffusers", OWN_SDE["_class_name"]]}
        index.write_text(json.dumps(json.loads(index.read_text()) | named))
        (place.model / "scheduler" / "scheduler_config.json").write_text(json.dumps(OWN_SDE))
    place.timeline("walk", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1.25, "seed": 2}])
    place.timeline("stay", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1.25, "prompt": "two"}])
    fast = ["output=frames", *chosen, "sampling.anchors=1", "sampling.early_steps=1"]
    ended = place.render("+timeline=walk", *fast)
    assert ended.code == 0, ended.err
    assert "jump half way and take nothing from anchors" in ended.out + ended.err
    ended = place.render("+timeline=walk", "output=frames", *chosen, "name=exact")
    assert ended.code == 0, ended.err
    assert place.counts("exact") == (6, 0)
    assert same_pictures(place.pictures("walk"), place.pictures("exact"))
    ended = place.render("+timeline=stay", "mode=plan", *fast)
    assert ended.code == 0, ended.err
    plan = json.loads((place.folder / "outputs" / "stay" / "plan.json").read_text())
    assert [len(frame.get("early", [])) for frame in plan["frames"]] == [0, 2, 2, 2, 2, 0]


@pytest.mark.parametrize("blend", ["noise", "embedding"])
@pytest.mark.parametrize(
    "taken",
    [
        {"anchors": 2},
        {"anchors": 1, "early_steps": 1.0},
        {"anchors": 3, "guidance_interval": (0.0, 0.7)},
        {"guidance_interval": (0.3, 0.7), "deep_cache": 2},
        {"anchors": 2, "deep_cache": 3},
    ],
)
def test_rows_computed_are_rows_planned(folder, taken, blend):
    diffusion = opened(folder, blend=blend, **taken)
    frames = specs(film(A, B, shown(("a lake", 1.0), seeds=((2, 1.0),))), 6, **taken)
    for first in range(0, len(frames), 4):
        render(diffusion, *frames[first : first + 4])
    planned = [PlannedFrame(0, Fraction(0), spec, "") for spec in frames]
    assert diffusion.rows == planned_rows(planned, diffusion.recipe, DDIM, STABLE_DIFFUSION)
    exact = replace(diffusion.recipe, approximations=NONE)
    assert diffusion.rows < planned_rows(planned, exact, DDIM, STABLE_DIFFUSION)
    diffusion.close()


def test_anchors_that_come_next_fill_the_batch_and_change_nothing(folder):
    frames = specs(film(A, B, C), 6, anchors=3)
    foresighted, plain = (opened(folder, anchors=3) for _ in range(2))
    foresighted.expect(frames)
    begun = []
    begin = foresighted.begin_anchors
    foresighted.begin_anchors = lambda part, *more: (begun.append(len(part)), begin(part, *more))[1]
    pairs = [[render(one, frame)[0] for frame in frames] for one in (foresighted, plain)]
    assert begun == [4, 3]
    assert all(np.array_equal(one, other) for one, other in zip(*pairs, strict=True))
    assert foresighted.rows == plain.rows
    foresighted.close()
    plain.close()


def test_outside_of_the_interval_there_is_no_guidance(folder):
    plain = Plain(folder)
    diffusion = opened(folder, guidance_interval=(0.34, 0.67))
    spec = shown(("a castle", 0.25), ("a lake", 0.75))
    wanted = plain.picture(plain.latents(spec, guided=lambda number: 2 <= number < 4))
    assert difference(render(diffusion, spec)[0], wanted) <= 1
    assert difference(render(opened(folder), spec)[0], wanted) > 1
    diffusion.close()


def test_steps_of_an_evaluation_are_reported(folder):
    progress = []
    diffusion = opened(folder, anchors=2)
    frames = specs(film(A, B), 4, anchors=2)
    diffusion.render(frames, lambda done, total: progress.append((done, total)))
    total = progress[-1][1]
    assert progress == [(k + 1, total) for k in range(total)]
    diffusion.close()


# --- deep features --------------------------------------------------------------------------------


def test_deep_features_of_this_very_evaluation_change_nothing(folder):
    """The shallow layers are given the features of the same latents, timestep and text."""
    diffusion = opened(folder, deep_cache=2)
    plan = diffusion.denoiser.plan
    given = torch.randn(2, 4, 8, 8), 500, torch.randn(2, 16, 32)
    rows = ["one", "other"]
    with torch.no_grad(), plan.deep.computing(rows, shallow=False):
        whole = plan.compute(*given).sample
    for order in (rows, rows[::-1]):
        with torch.no_grad(), plan.deep.computing(order, shallow=True):
            assert torch.equal(plan.compute(*given).sample, whole) == (order == rows)
    diffusion.close()


def test_between_whole_evaluations_only_the_last_layer_is_computed(folder):
    diffusion = opened(folder, deep_cache=3)
    entered = []
    unet = diffusion.pipeline.unet
    unet.mid_block.resnets[0].register_forward_pre_hook(lambda *_: entered.append("deep"))
    unet.conv_out.register_forward_pre_hook(lambda *_: entered.append("out"))
    render(diffusion, shown(("a castle", 1.0)))
    shared, whole, shallow = ["deep", "out"], ["deep", "out"], ["out"]
    assert entered == [*shared, *whole, *shallow, *shallow, *whole, *shallow]
    diffusion.close()


def test_frames_with_deep_features_are_the_same_alone_and_together(folder):
    frames = specs(film(A, B), 4)
    diffusion = opened(folder, deep_cache=2)
    together = render(diffusion, *frames)
    for frame, picture in zip(frames, together, strict=True):
        assert np.array_equal(render(diffusion, frame)[0], picture)
    diffusion.close()


# --- smaller pictures -----------------------------------------------------------------------------


def test_noise_of_a_smaller_picture_is_the_averaged_noise_of_the_large_one():
    large = starting_noise(((3, 0.4), (4, 0.6)), (1, 4, 64, 64))
    small = starting_noise(((3, 0.4), (4, 0.6)), (1, 4, 32, 32), shrink=2)
    assert small.std().item() == pytest.approx(1, abs=0.05)
    means = torch.nn.functional.avg_pool2d(large, 8), torch.nn.functional.avg_pool2d(small, 4)
    torch.testing.assert_close(2 * means[0], means[1], atol=0.05, rtol=0)


def test_a_shrunk_picture_begins_with_the_large_ones_noise(folder):
    diffusion = opened(folder, side=SIDE // 2, shrink=2)
    large = starting_noise(A.seeds, (1, 4, SIDE // 8, SIDE // 8))
    assert torch.equal(diffusion.noise(A), 2 * torch.nn.functional.avg_pool2d(large, 2))
    assert render(diffusion, A)[0].shape == (SIDE // 2, SIDE // 2, 3)
    diffusion.close()


# --- what can't be followed is refused ------------------------------------------------------------


def refused(place, changes):
    config = composed(write_model(place / "model"), place / "outputs", changes)
    with pytest.raises(ConfigError) as error:
        open_film(config, "", lambda path: path)
    return [str(mistake) for mistake in error.value.mistakes]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("guidance_interval", [0.7, 0.2], "holds no step"),
        ("guidance_interval", [0.1], "sampling.guidance_interval"),
        ("anchors", -1, "sampling.anchors"),
        ("early_steps", 1.5, "sampling.early_steps"),
        ("deep_cache", 0, "sampling.deep_cache"),
        ("fewer_steps", 0, "sampling.fewer_steps"),
        ("speed", "drafty", "did you mean 'draft'"),
        ("every", 1.5, "not a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, key, value, why):
    lines = refused(tmp_path, {f"sampling.{key}": value})
    assert any(why in line and f"sampling.{key}" in line for line in lines)


def test_a_size_that_can_not_be_divided_is_refused(tmp_path):
    lines = refused(tmp_path, {"sampling.shrink": 3})
    assert any("64 is no multiple of 24" in line for line in lines)
