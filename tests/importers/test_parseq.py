"""Parseq's manifests: keyframes where the values of frames turn."""

import math
from itertools import pairwise

import pytest
from imported_files import import_of, refusal_of, survives_odd_values


def manifest(rows, **options):
    return {
        "meta": {"generated_by": "sd_parseq"},
        "options": {"output_fps": 20, "bpm": 120, **options},
        "keyframes": [{"frame": 0}],
        "managedFields": ["scale", "seed"],
        "rendered_frames": [{"frame": frame, **row} for frame, row in enumerate(rows)],
    }


def fade(frame, until):
    """The prompt of Parseq's composable diffusion."""
    return f"a town: {1 - frame / until:.5f} AND a wood: {frame / until:.5f} --neg fog AND fog"


def test_a_linear_fade_is_two_keyframes():
    rows = [{"deforum_prompt": fade(frame, 60), "scale": 7, "seed": 3} for frame in range(61)]
    kind, found = import_of(manifest(rows))
    assert kind == "parseq"
    assert found.keyframes == [
        {"at": 0, "prompt": "a town", "seed": 3},
        {"at": "60f", "prompt": "a wood"},
    ]
    assert found.timeline == {"duration": "61f", "end": "open"}
    assert found.settings == {
        "output.fps": 20,
        "sampling.guidance": 7,
        "sampling.negative": "fog",
    }


def test_prompts_that_follow_each_other_hold():
    rows = [{"deforum_prompt": "a town" if frame < 25 else "a wood"} for frame in range(50)]
    assert import_of(manifest(rows))[1].keyframes == [
        {"at": 0, "prompt": "a town", "ease": "hold"},
        {"at": "25f", "prompt": "a wood"},
    ]


def test_a_seed_between_two_is_their_noise():
    """The seed goes from 5 to 5.5 in ten frames: half of the way from seed 5 to seed 6."""
    rows = [
        {"deforum_prompt": "a", "seed": 5 + frame / 20, "subseed": 6, "subseed_strength": 0}
        for frame in range(11)
    ]
    assert import_of(manifest(rows))[1].keyframes == [
        {"at": 0, "prompt": "a", "seed": 5},
        {"at": "10f", "seed": {5: 0.5, 6: 0.5}},
    ]


def test_guidance_that_changes_is_points_where_it_turns():
    rows = [{"deforum_prompt": "a", "scale": 5 + min(frame, 30) / 10} for frame in range(100)]
    found = import_of(manifest(rows))[1]
    assert found.timeline["curves"]["guidance"] == {
        "points": [
            {"at": 0, "value": 5},
            {"at": "30f", "value": 8},
            {"at": "99f", "value": 8},
        ]
    }
    assert found.keyframes == [{"at": 0, "prompt": "a"}]


def test_every_frame_of_a_wave_is_met():
    """A sine of weights: between its keyframes a line meets each frame's weights closely."""
    weights = [0.5 + 0.5 * math.sin(frame / 40) for frame in range(400)]
    rows = [
        {"deforum_prompt": f"a town: {weight:.5f} AND a wood: {1 - weight:.5f}"}
        for weight in weights
    ]
    found = import_of(manifest(rows))[1].keyframes
    assert len(found) < 80
    turns = [(frame_of(k), share_of(k, "a town")) for k in found]
    for (begin, start), (end, stop) in pairwise(turns):
        for frame in range(begin, end + 1):
            line = start + (stop - start) * (frame - begin) / (end - begin)
            assert line == pytest.approx(weights[frame], abs=0.0025)


def frame_of(keyframe):
    return int(str(keyframe["at"]).removesuffix("f"))


def share_of(keyframe, text):
    prompt = keyframe["prompt"]
    return float(prompt == text) if isinstance(prompt, str) else prompt.get(text, 0)


def test_weights_count_by_their_ratios():
    rows = [{"deforum_prompt": "a: 1 AND b: 3"}, {"deforum_prompt": "a: 1 AND b: 3"}]
    found = import_of(manifest(rows))[1]
    assert found.keyframes == [{"at": 0, "prompt": {"a": 0.25, "b": 0.75}}]
    assert any("add up to 1" in each for each in found.lost)


def test_a_frame_that_leaves_out_a_value_has_that_of_the_one_before():
    rows = [{"deforum_prompt": "a", "scale": 7, "seed": 2}, {}, {"seed": 2}]
    assert import_of(manifest(rows))[1].keyframes == [{"at": 0, "prompt": "a", "seed": 2}]


def test_of_two_frames_of_one_number_the_later_counts():
    whole = manifest([{"deforum_prompt": "a"}, {"deforum_prompt": "a"}])
    whole["rendered_frames"].append({"frame": 0, "deforum_prompt": "b"})
    found = import_of(whole)[1].keyframes
    assert [keyframe["prompt"] for keyframe in found] == ["b", "a"]


def test_a_thousand_keyframes():
    rows = [{"deforum_prompt": f"text {frame // 4}"} for frame in range(4000)]
    found = import_of(manifest(rows))[1].keyframes
    assert len(found) == 1000
    assert found[500] == {"at": "2000f", "prompt": "text 500", "ease": "hold"}


def test_losses_are_grouped():
    rows = [
        {"deforum_prompt": "a", "zoom": 1 + frame, "zoom_delta": 1, "zoom_pc": 2, "angle": 0,
         "strength": 0.6, "noise": 0.1, "contrast": 1}
        for frame in range(3)
    ]  # fmt: skip
    assert import_of(manifest(rows))[1].lost == [
        "zoom: render moves no camera",
        "strength: there a frame begins with the picture of the one before",
        "noise and contrast: timelines have no such values",
    ]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([], "rendered_frames"),
        ([{"scale": 7}], "rendered_frames"),
        ([{"deforum_prompt": 7}], "rendered_frames.0.deforum_prompt"),
        ([{"deforum_prompt": "a"}, {"scale": "7;"}], "rendered_frames.1.scale"),
        ([{"deforum_prompt": "a", "seed": -3}], "rendered_frames.0.seed"),
        ([{"deforum_prompt": "a"}, {"frame": "x"}], "rendered_frames.1.frame"),
    ],
)
def test_broken_manifests_name_the_key(rows, named):
    assert refusal_of(manifest(rows)).startswith(f"film.json: {named}: ")


def test_a_document_that_was_not_rendered_says_what_to_do():
    whole = manifest([])
    del whole["rendered_frames"]
    assert "press Render" in refusal_of(whole)


def test_odd_values_end_in_a_line():
    rows = [
        {"deforum_prompt": fade(frame, 3), "scale": 7, "seed": 3, "zoom": 1} for frame in (0, 1)
    ]
    survives_odd_values(manifest(rows), "parseq")


def test_negatives_of_composed_prompts_are_joined_each_once():
    text = "a: 0.5 AND b: 0.5 --neg fog: 0.5 AND rain: 0.25 AND fog: 0.25"
    found = import_of(manifest([{"deforum_prompt": text}] * 2))[1]
    assert found.settings["sampling.negative"] == "fog, rain"
