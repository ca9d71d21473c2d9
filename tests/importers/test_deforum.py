"""Deforum's settings: prompts, seeds and schedules as sd-webui-deforum counts them."""

import json

import pytest
from imported_files import import_of, refusal_of, survives_odd_values

PROMPTS = {"0": "a town --neg fog", "30": "a wood --neg fog", "60": "a lake --neg fog"}


def settings(**more):
    """The keys that Deforum always saves, and others."""
    base = {"prompts": PROMPTS, "animation_mode": "2D", "max_frames": 120, "fps": 15, "seed": 7}
    return {**base, "seed_behavior": "fixed", "strength_schedule": "0:(0.65)", **more}


def keyframes(**more):
    return import_of(settings(**more))[1].keyframes


def test_prompts_of_2d_begin_at_once():
    kind, found = import_of(settings(W=517, H=512, steps=25, sampler="DPM++ 2M Karras"))
    assert kind == "deforum"
    assert found.keyframes == [
        {"at": 0, "prompt": "a town", "seed": 7, "ease": "hold"},
        {"at": "30f", "prompt": "a wood", "ease": "hold"},
        {"at": "60f", "prompt": "a lake", "ease": "hold"},
    ]
    assert found.timeline == {"duration": "120f", "end": "open"}
    assert found.settings == {
        "output.fps": 15,
        "output.width": 512,
        "output.height": 512,
        "sampling.guidance": 7,
        "scheduler": "dpmpp_2m",
        "scheduler.use_karras_sigmas": True,
        "scheduler.steps": 25,
        "sampling.negative": "fog",
    }


def test_prompts_of_interpolation_are_blended():
    found = import_of(settings(animation_mode="Interpolation"))[1]
    assert [keyframe.get("ease") for keyframe in found.keyframes] == [None] * 3
    assert found.keyframes[1] == {"at": "30f", "prompt": "a wood"}


def test_a_blend_beyond_the_end_is_cut_where_the_film_ends():
    """From frame 60 to 160 in a film of 111 frames: at frame 110 half of the way is done."""
    prompts = {"0": "a town", "60": "a wood", "160": "a lake"}
    found = import_of(settings(animation_mode="Interpolation", prompts=prompts, max_frames=111))[1]
    assert found.keyframes[-1] == {"at": "110f", "prompt": {"a wood": 0.5, "a lake": 0.5}}
    assert "prompts at frames that the film has not: 160" in found.lost


def test_keys_are_arithmetic_and_the_first_prompt_begins_the_film():
    """`max_f` is 120 in the keys of prompts: 40 is a third, and the first is drawn to 0."""
    prompts = {"max_f/2": "b", "max_f/3": "a", "100": "c"}
    assert [(k["at"], k["prompt"]) for k in keyframes(prompts=prompts)] == [
        (0, "a"),
        ("60f", "b"),
        ("100f", "c"),
    ]


def test_texts_around_all_prompts():
    found = keyframes(
        prompts={"0": "a town", "9": "a wood --neg rain"},
        animation_prompts_positive="painting,",
        animation_prompts_negative="--neg fog",
    )
    assert found[0]["prompt"] == "painting, a town"
    assert (found[0]["negative"], found[1]["negative"]) == ("fog", "rain fog")


def test_texts_that_a_run_has_put_into_prompts_are_not_put_there_twice():
    found = keyframes(positive_prompts="painting,", prompts={"0": "painting, a town"})
    assert found[0]["prompt"] == "painting, a town"


def test_composed_prompts_have_weights_and_arithmetic():
    """`t` is the frame, `max_f` 119, the last one's number."""
    text = "a town :`1-t/max_f` AND a wood :`t/max_f` AND a lake :0.5"
    assert keyframes(prompts={"0": text})[0]["prompt"] == {
        "a town": "1 - frame / 119",
        "a wood": "frame / 119",
        "a lake": 0.5,
    }


def test_a_weight_inside_of_a_text_is_that_of_its_keyframe():
    found = import_of(settings(prompts={"0": "a town", "30": "a (wood:`t/20`)"}))[1]
    assert found.keyframes[1]["prompt"] == "a (wood:1.5)"
    assert "weight inside a text" in found.lost_at[1][0]


def test_weights_that_fall_below_zero_end_at_zero():
    found = import_of(settings(prompts={"0": "a :`cos(t/10)` AND b :1"}))[1]
    assert found.keyframes[0]["prompt"] == {"a": "max(0, cos(frame / 10))", "b": 1}
    assert any("below zero" in each for each in found.lost_at[0])


def test_guidance_over_time_is_a_curve():
    found = import_of(settings(cfg_scale_schedule="0:(7), 50:(7+2*sin(t/10))"))[1]
    assert found.timeline["curves"] == {
        "guidance": "where(frame < 50, lerp(7, 5.082151451, frame / 50), 7 + 2 * sin(frame / 10))"
    }
    assert "sampling.guidance" not in found.settings
    points = import_of(settings(cfg_scale_schedule="0:(5), 60:(9)"))[1].timeline["curves"]
    assert points["guidance"] == {"points": [{"at": 0, "value": 5}, {"at": "60f", "value": 9}]}


def test_an_init_image_stays_as_far_as_its_strength_says(tmp_path):
    """A strength of 0.65 keeps 0.65 of the picture: it is gone from by 0.35."""
    picture = tmp_path / "start.png"
    picture.write_bytes(b"x")
    first = keyframes(use_init=True, init_image=str(picture), strength_schedule="0:(0.65)")[0]
    assert (first["image"], first["strength"]) == (str(picture), 0.35)
    found = import_of(
        settings(use_init=True, init_image=str(picture), strength_schedule="0:(1), 50:(0.2)")
    )[1]
    assert found.timeline["curves"]["strength"]["points"] == [
        {"at": 0, "value": 0},
        {"at": "50f", "value": 0.8},
    ]
    lost = import_of(settings(use_init=True, init_image="https://a.b/c.png"))[1].lost
    assert any("https://a.b/c.png" in each for each in lost)


def test_seeds_of_a_schedule_are_whole_parts_of_a_line():
    """From 5 to 9 in 100 frames: 6 from frame 25 on, 7 from 50, 8 from 75, 9 from 100."""
    found = keyframes(
        seed_behavior="schedule", seed_schedule="0:(5), 100:(9)", prompts={"0": "a", "50": "b"}
    )
    assert [(k["at"], k.get("prompt"), k["seed"]) for k in found] == [
        (0, "a", 5),
        ("25f", None, 6),
        ("50f", "b", 7),
        ("75f", None, 8),
        ("100f", None, 9),
    ]


def test_seeds_that_change_rarely_are_keyframes():
    """The first frame has the seed 7; 8 comes at the second, and stays for 40 frames."""
    found = keyframes(seed_behavior="iter", seed_iter_N=40, prompts={"0": "a"})
    assert [(k["at"], k["seed"]) for k in found] == [(0, 7), ("1f", 8), ("41f", 9), ("81f", 10)]


@pytest.mark.parametrize("behaviour", ["iter", "ladder", "alternate", "random"])
def test_seeds_of_every_frame_are_lost(behaviour):
    found = import_of(settings(seed_behavior=behaviour))[1]
    assert found.keyframes[0]["seed"] == 7
    assert any(f"seed_behavior {behaviour}" in each for each in found.lost)
    assert "seed" not in keyframes(seed_behavior=behaviour, seed=-1)[0]


def test_a_seed_between_blended_prompts_has_their_mixture():
    found = keyframes(
        animation_mode="Interpolation",
        prompts={"0": "a", "100": "b"},
        seed_behavior="schedule",
        seed_schedule="0:(1), 74:(1), 75:(2)",
    )
    assert found == [
        {"at": 0, "prompt": "a", "seed": 1},
        {"at": "75f", "prompt": {"a": 0.25, "b": 0.75}, "seed": 2},
        {"at": "100f", "prompt": "b"},
    ]


def test_the_camera_is_lost_in_one_sentence_and_one_that_rests_is_none():
    found = import_of(
        settings(zoom="0: (1.02)", angle="0:(0)", translation_x="0:(10*sin(t))", fov="0: (70)")
    )[1]
    assert "zoom and translation_x: render moves no camera" in found.lost
    assert not any("camera" in each for each in import_of(settings(zoom="0: (1)"))[1].lost)


def test_the_sound_is_that_of_a_file_which_is_here(tmp_path):
    sound = tmp_path / "song.mp3"
    sound.write_bytes(b"x")
    found = import_of(settings(add_soundtrack="File", soundtrack_path=str(sound)))[1]
    assert found.settings["output.audio"] == str(sound)
    gone = import_of(settings(add_soundtrack="File", soundtrack_path="/no/song.mp3"))[1]
    assert any("/no/song.mp3" in each for each in gone.lost)


def test_the_notebook_s_names():
    found = import_of(
        {
            "animation_prompts": {"0": "a town", "20": "a wood"},
            "prompts": ["still pictures"],
            "animation_mode": "2D",
            "max_frames": 40,
            "sampler": "euler_ancestral",
        }
    )[1]
    assert [k["at"] for k in found.keyframes] == [0, "20f"]
    assert found.settings["scheduler"] == "euler_a"


def test_a_thousand_prompts():
    prompts = {str(10 * number): f"text {number}" for number in range(1000)}
    found = keyframes(prompts=prompts, max_frames=10_000)
    assert len(found) == 1000
    assert found[-1] == {"at": "9990f", "prompt": "text 999", "ease": "hold"}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"cfg_scale_schedule": "0:(7), 9"}, "cfg_scale_schedule"),
        ({"cfg_scale_schedule": [1]}, "cfg_scale_schedule"),
        ({"prompts": {"0": "a", "x+": "b"}}, "prompts.x+"),
        ({"prompts": {"0": "a :`open(1)` AND b"}}, "prompts.0"),
        ({"prompts": {"0": 7}}, "prompts.0"),
        ({"prompts": {"-5": "a"}}, "prompts.-5"),
        ({"prompts": {}}, "prompts"),
        ({"prompts": {"0": "half a pair \ud83d"}}, "prompts.0"),
        ({"max_frames": "120 f"}, "max_frames"),
        ({"max_frames": 10**9}, "max_frames"),
        ({"seed_behavior": "schedule", "seed_schedule": "0:(import)"}, "seed_schedule"),
        ({"seed": 10**30}, "seed"),
        ({"W": "wide"}, "W"),
    ],
)
def test_broken_settings_name_the_key(more, named):
    assert refusal_of(settings(**more)).startswith(f"film.json: {named}: ")


def test_a_file_that_breaks_off_names_the_line():
    text = json.dumps(settings(), indent=1)
    assert "line 8 " in refusal_of(text[: text.index("max_frames") + 15])


def test_odd_values_end_in_a_line():
    survives_odd_values(
        settings(
            use_init=True,
            init_image="a.png",
            add_soundtrack="File",
            soundtrack_path="a.mp3",
            seed_behavior="schedule",
            seed_schedule="0:(s)",
            cfg_scale_schedule="0:(7)",
            zoom="0:(1)",
            sampler="Euler a",
        ),
        "deforum",
    )


def test_words_that_are_none_to_render_are_named_once_for_all():
    """A LoRA in a prompt is no word; the same loss in more than three keyframes is one sentence."""
    text = "a ((red)) town <lora:paint:0.7> at night"
    prompts = {str(10 * number): f"{text} {number}" for number in range(5)}
    found = import_of(settings(prompts={**prompts, "90": "[a:b:0.5]"}))[1]
    assert found.keyframes[1]["prompt"] == "a ((red)) town at night 1"
    assert sum("LoRA paint" in each for each in found.lost) == 1
    assert sum("((a word))" in each for each in found.lost) == 1
    assert list(found.lost_at) == [5]
    assert "from step to step" in found.lost_at[5][0]


def test_parts_that_are_switched_on_are_named():
    found = import_of(
        settings(
            r_upscale_video=True, frame_interpolation_engine="FILM", cn_1_enabled=True,
            use_mask=True, parseq_manifest="{}", enable_steps_scheduling=True, tiling=False,
        )
    )[1]  # fmt: skip
    text = "\n".join(found.lost)
    for part in ("upscale", "inbetween", "ControlNet", "masks", "parseq_manifest", "steps_"):
        assert part in text
    assert "tiling" not in text
