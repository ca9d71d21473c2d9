"""The JSON schemas: they hold what render writes and reads, and refuse what it does not."""

import dataclasses
import json
import typing

import jsonschema
import pytest
from command_line import CHECKOUT

from render.config.schema import KeyframeConfig, TimelineConfig
from render.config.timeline_file import read_document
from render.report import events
from render.report.json_lines import name_of
from render.schemas import NAMES, schema_file

TIMELINES = sorted((CHECKOUT / "configs" / "timeline").glob("*.yaml"))


def schema(name):
    return json.loads(schema_file(name).read_text())


def holds(name, value):
    """Whether a schema takes a value."""
    return not list(jsonschema.Draft202012Validator(schema(name)).iter_errors(value))


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_schema(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("path", TIMELINES, ids=lambda path: path.stem)
def test_every_timeline_that_is_shipped_fits(path):
    assert holds("timeline", read_document(path).content)


def test_a_timeline_has_the_keys_of_the_config():
    found = schema("timeline")
    assert found["properties"].keys() == TimelineConfig.model_fields.keys()
    assert found["$defs"]["keyframe"]["properties"].keys() == KeyframeConfig.model_fields.keys()


@pytest.mark.parametrize(
    "timeline",
    [
        {},
        {"keyframes": []},
        {"keyframes": [{"prompt": "a"}]},
        {"keyframes": [{"at": 0, "promt": "a"}]},
        {"keyframes": [{"at": 0, "ease": "easy"}]},
        {"keyframes": [{"at": 0, "seed": "one"}]},
        {"keyframes": [{"at": 0}], "loop": "yes"},
        {"keyframes": [{"at": 0}], "fps": 12},
    ],
)
def test_mistakes_in_a_timeline_do_not_fit(timeline):
    assert not holds("timeline", timeline)


def test_the_files_and_lines_of_a_run_fit(place):
    place.timeline("t", [{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two", "negative": "x"}])
    given = ("+timeline=t", "report=json", "output.rendered_fps=2", "output.inbetween=dissolve")
    ended = place.render(*given)
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert {"work_planned", "frame_rendered", "finished"} <= {line["event"] for line in lines}
    wrong = [line for line in lines if not holds("events", line)]
    assert wrong == []
    folder = place.folder / "outputs" / "t"
    for name in ("plan", "run"):
        content = json.loads((folder / f"{name}.json").read_text())
        assert holds(name, content)
        assert not holds(name, {**content, "more": 1})
        assert not holds(name, {key: content[key] for key in list(content)[1:]})


def test_every_event_has_its_lines():
    kinds = {kind for kind in typing.get_args(events.Event) if kind is not events.PhaseEnded}
    found = {each["properties"]["event"]["const"]: each for each in schema("events")["oneOf"]}
    assert found.keys() == {name_of(kind) for kind in kinds}
    for kind in kinds:
        fields = {field.name for field in dataclasses.fields(kind)} - {"due"}
        assert found[name_of(kind)]["properties"].keys() == fields | {"event", "job"}


def test_they_are_listed(place):
    ended = place.call("list", "schemas")
    assert ended.out.splitlines() == [str(schema_file(name)) for name in NAMES]
