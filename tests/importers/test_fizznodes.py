"""FizzNodes' prompt schedules: linear blends between keys, alone and in a workflow of ComfyUI."""

import pytest
from imported_files import import_of, refusal_of, survives_odd_values

TEXT = '"0" :"a town --neg fog",\n"24" :"a wood --neg fog",\n"60" :"a lake --neg fog"\n'


def workflow(text=TEXT, kind="BatchPromptSchedule", **inputs):
    """A workflow as ComfyUI's API takes it."""
    schedule = {"text": text, "max_frames": 96, "clip": ["4", 1], **inputs}
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {"seed": 11, "steps": 22, "cfg": 6.5, "sampler_name": "dpmpp_2m",
                       "scheduler": "karras", "positive": ["7", 0], "latent_image": ["5", 0]},
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "anime.ckpt"}},
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 512, "height": 768, "batch_size": 96},
        },
        "7": {"class_type": kind, "inputs": schedule},
        "8": {"class_type": "VHS_VideoCombine", "inputs": {"frame_rate": 8}},
    }  # fmt: skip


def test_lines_are_blended_from_key_to_key():
    kind, found = import_of(TEXT, name="schedule.txt")
    assert kind == "fizznodes"
    assert found.keyframes == [
        {"at": 0, "prompt": "a town"},
        {"at": "24f", "prompt": "a wood"},
        {"at": "60f", "prompt": "a lake"},
    ]
    assert found.settings == {"sampling.negative": "fog"}
    assert any("frame rate" in each for each in found.lost)


def test_a_first_key_is_drawn_to_the_beginning_and_a_comma_may_end_the_text():
    found = import_of('"12": "b",\n"0": "a",\n\n')[1]
    assert [k["at"] for k in found.keyframes] == [0, "12f"]
    found = import_of('"12": "b", "24": "c",')[1]
    assert [(k["at"], k["prompt"]) for k in found.keyframes] == [
        (0, "b"), ("12f", "b"), ("24f", "c"),
    ]  # fmt: skip


def test_a_workflow_brings_its_settings():
    found = import_of(workflow())[1]
    assert found.keyframes[0] == {"at": 0, "prompt": "a town", "seed": 11}
    assert found.timeline == {"duration": "96f", "end": "open"}
    assert found.settings == {
        "output.fps": 8,
        "output.width": 512,
        "output.height": 768,
        "scheduler": "dpmpp_2m",
        "scheduler.use_karras_sigmas": True,
        "scheduler.steps": 22,
        "sampling.guidance": 6.5,
        "sampling.negative": "fog",
    }
    assert "the model, anime.ckpt: choose one (model=…)" in found.lost


def test_texts_around_and_inputs_from_other_nodes():
    graph = workflow(text=["9", 0], pre_text="painting,", app_text=["10", 0])
    graph["9"] = {"class_type": "PrimitiveStringMultiline", "inputs": {"value": '"0": "a"'}}
    graph["10"] = {"class_type": "Text", "inputs": {"text": "at night --neg rain"}}
    found = import_of(graph)[1]
    assert found.keyframes[0]["prompt"] == "painting, a at night"
    assert found.settings["sampling.negative"] == "rain"


def test_the_length_of_latents():
    graph = workflow(kind="BatchPromptScheduleLatentInput", num_latents=["5", 0])
    del graph["7"]["inputs"]["max_frames"]
    assert import_of(graph)[1].timeline["duration"] == "96f"


def test_keys_and_weights_of_arithmetic():
    """`max_f` is 96 in keys, so the second is at 48, and 95 in texts: 0.5 + 48/95 is 1.0053."""
    text = '"0": "a", "max_f/2": "(b:`0.5+t/max_f`)", "90": "(c:`pw_a*2`)"'
    found = import_of(workflow(text=text, pw_a=0.4))[1]
    assert [(k["at"], k["prompt"]) for k in found.keyframes] == [
        (0, "a"),
        ("48f", "(b:1.0053)"),
        ("90f", "(c:0.8)"),
    ]
    assert "weight inside a text" in found.lost_at[1][0]


def test_a_blend_beyond_the_film_s_end():
    """A key at 135 of 96 frames: from frame 55 on, at frame 95 half of the way is done."""
    found = import_of(workflow(text='"0": "a", "55": "b", "135": "c"'))[1]
    assert found.keyframes[-1] == {"at": "95f", "prompt": {"b": 0.5, "c": 0.5}}


def test_a_thousand_prompts():
    text = ",\n".join(f'"{8 * number}": "text {number}"' for number in range(1000))
    found = import_of(text)[1].keyframes
    assert len(found) == 1000
    assert found[-1] == {"at": "7992f", "prompt": "text 999"}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('"0": "a",\n"8": "b"\n"16": "c"', "film.json:2: "),
        ('"0": "a",\n\n"8": b', "film.json:3: "),
        ('"0": "a",\n"x": "b"', "film.json:2: "),
        ('"0": "a",\n"8": "(b:`open()`)"', "film.json:2: "),
        ('"0": "a", "99999999999": "b"', "film.json:1: "),
    ],
)
def test_broken_lines_are_named(text, where):
    assert refusal_of(text).startswith(where)


def test_a_broken_schedule_of_a_workflow_names_its_line():
    assert "line 2 of the schedule" in refusal_of(workflow(text='"0": "a",\n"8" "b"'))


def test_a_workflow_of_the_editor_says_what_to_do():
    graph = {"nodes": [{"type": "BatchPromptSchedule", "widgets_values": [TEXT]}]}
    assert "API's format" in refusal_of(graph)


def test_odd_values_end_in_a_line():
    survives_odd_values(workflow(pre_text="x", pw_a=0.5), "fizznodes")
