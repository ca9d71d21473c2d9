"""Prompt Relay's and LTX Director's timed prompts."""

import json

import pytest
from imported_files import import_of, refusal_of, survives_odd_values

PROMPTS = ["A boy lies on his bed.", "He jumps.", "He runs."]


def relay(**more):
    return {"global_prompt": "A cosy bedroom.", "local_prompts": PROMPTS, **more}


def timeline(**more):
    return {
        "segments": [
            {"id": "a", "start": 0, "length": 48, "prompt": "a town", "type": "text"},
            {"id": "b", "start": 48, "length": 72, "prompt": "a wood", "type": "text"},
        ],
        "audioSegments": [],
        **more,
    }


def workflow(**inputs):
    return {
        "1": {"class_type": "KSampler", "inputs": {"seed": 3, "cfg": 1}},
        "2": {"class_type": "LTXDirector", "inputs": {"frame_rate": 25, **inputs}},
    }


def places(content):
    found = import_of(content)[1]
    return [(k["at"], k["prompt"]) for k in found.keyframes]


def test_lengths_in_latent_frames():
    """The README's own: 7 + 12 + 14 latent frames. The first is one frame and each other four, so
    the second prompt begins at frame 1 + 4 · 6 = 25, the third at 1 + 4 · 18 = 73."""
    kind, found = import_of(relay(segment_lengths=[7, 12, 14]))
    assert kind == "prompt_relay"
    assert found.keyframes[1] == {
        "at": "25f",
        "prompt": "A cosy bedroom. He jumps.",
        "ease": "hold",
    }
    assert [k["at"] for k in found.keyframes] == [0, "25f", "73f"]
    assert found.timeline == {"duration": "129f", "end": "open"}
    assert found.settings == {"output.fps": 16}


def test_without_lengths_they_are_equal():
    """Of 81 frames, which are 21 latent ones: seven each."""
    assert [at for at, _ in places(relay())] == [0, "25f", "53f"]


def test_intervals_in_seconds():
    spans = [[0.0, 2.6], [1.8, 4.2], [4.5, 5.166666666666667]]
    found = import_of(relay(segment_intervals=spans, time_unit="seconds"))[1]
    assert [k["at"] for k in found.keyframes] == [0, 1.8, 4.5]
    assert found.timeline["duration"] == "31/6"
    assert len([each for each in found.lost if "segments" in each]) == 2
    assert [at for at, _ in places(relay(time_intervals=spans))] == [0, 1.8, 4.5]


def test_a_timeline_of_ltx_director():
    found = import_of(timeline(frame_rate=24))[1]
    assert found.keyframes == [
        {"at": 0, "prompt": "a town", "ease": "hold"},
        {"at": "48f", "prompt": "a wood", "ease": "hold"},
    ]
    assert found.timeline == {"duration": "120f", "end": "open"}
    assert found.settings == {"output.fps": 24}


def test_a_workflow_with_a_timeline():
    graph = workflow(
        timeline_data=json.dumps(timeline()), global_prompt="Rain.", duration_frames=100,
        custom_width=768, custom_height=512,
    )  # fmt: skip
    found = import_of(graph)[1]
    assert [k["prompt"] for k in found.keyframes] == ["Rain. a town", "Rain. a wood"]
    assert found.timeline["duration"] == "100f"
    assert found.settings["output.fps"] == 25
    assert found.settings["output.width"] == 768


def test_a_workflow_with_texts_between_bars():
    graph = workflow(local_prompts="a | b|c", segment_lengths="24, 30.0,6")
    assert places(graph) == [(0, "a"), ("24f", "b"), ("54f", "c")]


def test_a_thousand_segments():
    segments = [
        {"start": 5 * number, "length": 5, "prompt": f"text {number}"} for number in range(1000)
    ]
    assert places(timeline(segments=segments))[-1] == ("4995f", "text 999")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (relay(segment_lengths=[7, 12]), "segment_lengths"),
        (relay(segment_lengths=[7, 12, "x"]), "segment_lengths.2"),
        (relay(segment_intervals=[[0, 1], [1, 1], [1, 2]]), "segment_intervals.1"),
        (relay(local_prompts=["a", 7]), "local_prompts.1"),
        (timeline(segments=[{"start": 0, "prompt": "a"}]), "segments.0.length"),
        (timeline(segments=[{"start": "zero", "length": 4}]), "segments.0.start"),
        (workflow(timeline_data="{"), "2.inputs.timeline_data"),
        (workflow(local_prompts="a|b", segment_lengths="1"), "2.inputs.segment_lengths"),
    ],
)
def test_broken_files_name_the_key(content, named):
    assert refusal_of(content).startswith(f"film.json: {named}: ")


def test_odd_values_end_in_a_line():
    survives_odd_values(relay(segment_lengths=[7, 12, 14]), "prompt_relay")
    survives_odd_values(relay(segment_intervals=[[0, 1], [1, 2], [2, 3]]), "prompt_relay")
    survives_odd_values(timeline(frame_rate=24), "prompt_relay")
    survives_odd_values(workflow(local_prompts="a|b", segment_lengths="9,9"), "prompt_relay")
