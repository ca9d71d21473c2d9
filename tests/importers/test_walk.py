"""stable-diffusion-videos: prompts and seeds with the frames between them."""

import json

import pytest
from imported_files import import_of, refusal_of, survives_odd_values


def walk(**more):
    return {
        "prompts": ["a town", "a wood", "a lake"],
        "seeds": [42, 1337, 7],
        "num_interpolation_steps": [60, 90],
        "fps": 30,
        "num_inference_steps": 50,
        "guidance_scale": 8.5,
        "eta": 0.0,
        "upsample": False,
        "height": 512,
        "width": 768,
        "audio_filepath": None,
        "audio_start_sec": 0,
        "negative_prompt": None,
        **more,
    }


def test_each_segment_has_its_frames():
    kind, found = import_of(walk())
    assert kind == "walk"
    assert found.keyframes == [
        {"at": 0, "prompt": "a town", "seed": 42},
        {"at": "60f", "prompt": "a wood", "seed": 1337},
        {"at": "150f", "prompt": "a lake", "seed": 7},
    ]
    assert found.timeline == {}
    assert found.settings == {
        "output.fps": 30,
        "output.width": 768,
        "output.height": 512,
        "scheduler.steps": 50,
        "sampling.guidance": 8.5,
    }


def test_one_number_of_steps_is_for_all_segments():
    found = import_of(walk(num_interpolation_steps=5, negative_prompt="fog"))[1]
    assert [k["at"] for k in found.keyframes] == [0, "5f", "10f"]
    assert found.settings["sampling.negative"] == "fog"


def test_sound_is_carried_over_where_it_begins_with_the_film(tmp_path):
    sound = tmp_path / "song.mp3"
    sound.write_bytes(b"x")
    found = import_of(walk(audio_filepath=str(sound)))[1]
    assert found.settings["output.audio"] == str(sound)
    assert any("beats" in each for each in found.lost)
    later = import_of(walk(audio_filepath=str(sound), audio_start_sec=146))[1]
    assert "output.audio" not in later.settings
    assert any("146 s" in each for each in later.lost)


def test_other_losses():
    lost = "\n".join(import_of(walk(upsample=True, eta=0.5, scheduler="k_dpm_2"))[1].lost)
    assert "output.upscale=4" in lost
    assert "eta" in lost
    assert "k_dpm_2" in lost
    assert "other: timelines" in "\n".join(import_of(walk(other=7))[1].lost)


def test_a_thousand_prompts():
    found = import_of(
        walk(
            prompts=[f"text {number}" for number in range(1000)],
            seeds=list(range(1000)),
            num_interpolation_steps=[12] * 999,
        )
    )[1].keyframes
    assert found[-1] == {"at": "11988f", "prompt": "text 999", "seed": 999}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"seeds": [1, 2]}, "seeds"),
        ({"seeds": [1, "2", 3]}, "seeds.1"),
        ({"seeds": [1, 2, -3]}, "seeds.2"),
        ({"prompts": ["a", 7, "b"]}, "prompts.1"),
        ({"prompts": "a"}, "prompts"),
        ({"prompts": ["a", "\ud83d", "b"]}, "prompts.1"),
        ({"num_interpolation_steps": [5]}, "num_interpolation_steps"),
        ({"num_interpolation_steps": [5, 0]}, "num_interpolation_steps.1"),
        ({"fps": "30p"}, "fps"),
        ({"prompts": [], "seeds": [], "num_interpolation_steps": []}, ""),
    ],
)
def test_broken_files_name_the_key(more, named):
    assert refusal_of(walk(**more)).startswith(f"film.json: {named}")


def test_a_file_that_breaks_off_names_the_line():
    text = json.dumps(walk(), indent=2)
    assert "line 1" in refusal_of(text[: text.index('"fps"') - 4])


def test_odd_values_end_in_a_line():
    survives_odd_values(walk(audio_filepath="a.mp3", scheduler="ddim"), "walk")
