"""animatediff-cli's prompt travel: prompts that stay, then lead to the next, in a loop."""

import pytest
from imported_files import import_of, refusal_of, survives_odd_values


def config(**more):
    return {
        "name": "sample",
        "motion_module": "models/mm_sd_v15.ckpt",
        "seed": [341774366206100],
        "scheduler": "k_dpmpp_2m",
        "steps": 20,
        "guidance_scale": 10,
        "prompt_fixed_ratio": 0.5,
        "prompt_map": {"0": "a town", "32": "a wood", "64": "a lake"},
        "n_prompt": ["fog"],
        "output": {"format": "gif", "fps": 8},
        **more,
    }


def places(**more):
    """(time, prompt) of keyframes; None where the prompt stays."""
    return [(k["at"], k.get("prompt")) for k in import_of(config(**more))[1].keyframes]


def test_a_prompt_stays_for_its_part_of_the_way():
    """By 0.5 of 32 frames: 16 frames after each prompt, in the last segment, too."""
    kind, found = import_of(config())
    assert kind == "animatediff"
    assert [(k["at"], k.get("prompt")) for k in found.keyframes] == [
        (0, "a town"),
        ("16f", None),
        ("32f", "a wood"),
        ("48f", None),
        ("64f", "a lake"),
        ("80f", None),
    ]
    assert found.keyframes[0]["seed"] == 341774366206100
    assert found.timeline == {"duration": "96f", "loop": True}
    assert found.settings == {
        "output.fps": 8,
        "scheduler.steps": 20,
        "sampling.guidance": 10,
        "scheduler": "dpmpp_2m",
        "scheduler.use_karras_sigmas": True,
        "sampling.negative": "fog",
    }


def test_ratios_of_none_and_of_all():
    """By 1 a prompt stays until the frame before the next one; by 0 the blend begins at once."""
    assert places(prompt_fixed_ratio=0) == [(0, "a town"), ("32f", "a wood"), ("64f", "a lake")]
    assert [at for at, _ in places(prompt_fixed_ratio=1)] == [0, "31f", "32f", "63f", "64f", "95f"]


def test_halves_are_rounded_to_even_as_there():
    """Half of 5 frames is 2.5, which is 2; half of 7 is 3.5, which is 4."""
    found = places(prompt_map={"0": "a", "5": "b", "12": "c"})
    assert [at for at, _ in found] == [0, "2f", "5f", "9f", "12f", "16f"]


def test_texts_around_all_prompts():
    found = places(head_prompt="painting,", tail_prompt="at night", prompt_map={"0": "a town"})
    assert found[0] == (0, "painting, a town, at night")


def test_a_film_that_begins_inside_of_the_loop():
    """Keys at 8 and 24, so 40 frames. The last prompt stays until 32; 8 frames later the film ends,
    and 8 frames after its beginning comes the first: half of the way at frame 0."""
    found = places(prompt_map={"8": "a", "24": "b"})
    assert found[0] == (0, {"b": 0.5, "a": 0.5})
    assert found[1] == ("8f", "a")


def test_random_seeds_and_parts_that_are_switched_on_are_named():
    found = import_of(
        config(
            seed=[-1],
            lora_map={"share/Lora/a.safetensors": 1.0},
            controlnet_map={"is_loop": True, "controlnet_tile": {"enable": True}},
            ip_adapter_map={"enable": False},
            scheduler="dpmpp_sde",
        )
    )[1]
    assert "seed" not in found.keyframes[0]
    text = "\n".join(found.lost)
    for part in ("random seed", "a.safetensors", "ControlNet", "motion module", "dpmpp_sde", "-L"):
        assert part in text
    assert "IP-Adapter" not in text


def test_a_thousand_prompts():
    found = places(prompt_map={str(16 * number): f"text {number}" for number in range(1000)})
    assert len(found) == 2000
    assert found[-2:] == [("15984f", "text 999"), ("15992f", None)]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"prompt_map": {"0": "a", "x": "b"}}, "prompt_map.x"),
        ({"prompt_map": {"0": ["a"]}}, "prompt_map.0"),
        ({"prompt_map": {}}, "prompt_map"),
        ({"prompt_map": {"9" * 40: "a"}}, "prompt_map." + "9" * 40),
        ({"steps": "20x"}, "steps"),
        ({"prompt_fixed_ratio": "half"}, "prompt_fixed_ratio"),
        ({"output": []}, "output"),
    ],
)
def test_broken_configs_name_the_key(more, named):
    assert refusal_of(config(**more)).startswith(f"film.json: {named}: ")


def test_odd_values_end_in_a_line():
    survives_odd_values(config(head_prompt="x", lora_map={"a": 1}, clip_skip=2), "animatediff")
