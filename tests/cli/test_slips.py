"""Slips of people who come from other tools: each message says what to write here."""

import pytest

FILM = "- {at: 0, prompt: a castle}\n"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["output.path=x.mp4"], "output.path: unknown key; did you mean root=FOLDER and name="),
        (["output.crf=18"], "output.crf: unknown key; did you mean output.quality"),
        (["output.loop=0"], "output.loop: unknown key; did you mean output.repeat"),
        (["output.size=64x64"], "unknown key; did you mean output.width and output.height"),
        (["loop=true"], "loop: unknown key; did you mean timeline.loop=true"),
        (["at=2"], "at: unknown key; known:"),
        (["timeline.keyframes.0.prompt=A", "forest"], "forest: is no name=value; a timeline"),
        (["name=A", "forest"], "a value with spaces needs quotes"),
        (["output.fps", "=", "6"], "has no name; write name=value without spaces beside ="),
        (["model=runwayml/sd-1.5"], "model=local model.repository=runwayml/sd-1.5"),
        (["model=./my-model"], "model=local model.path=./my-model"),
    ],
)
def test_an_argument_of_another_tool_or_shell(place, typed, said):
    place.timeline("t", "keyframes:\n" + FILM)
    ended = place.call("t", *typed, "mode=plan")
    assert ended.code == 2
    assert said in ended.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timeline:\n  keyframes:\n  " + FILM, "begins with its `keyframes`"),
        ("output: {fps: 24}\nkeyframes:\n" + FILM, "put it on the command line, output.KEY=VALUE"),
        ("mode: plan\nkeyframes:\n" + FILM, "put it on the command line, mode=VALUE"),
        ("keyframes:\n- {time: 0, prompt: x}\n", "did you mean at [keyframes.0.time]"),
        ("keyframes:\n- {at: 0, text: x}\n", "did you mean prompt [keyframes.0.text]"),
    ],
)
def test_a_key_of_another_place_in_a_timeline(place, text, said):
    place.timeline("t", text)
    ended = place.call("t", "mode=plan")
    assert ended.code == 2
    assert said in ended.err


def test_a_file_of_another_kind_is_no_timeline_and_that_is_why(place):
    (place.folder / "film.txt").write_text("keyframes:\n" + FILM)
    ended = place.call("film.txt", "mode=plan")
    assert ended.code == 2
    assert "ends with .yaml or .yml" in ended.err


def test_a_sweep_over_files_needs_no_key(place):
    for name in ("a", "b"):
        (place.folder / f"{name}.yaml").write_text("keyframes:\n" + FILM)
    ended = place.render("-m", "a.yaml,b.yaml", "mode=plan")
    assert ended.code == 0
    assert "1/2 timeline=a" in ended.out
    assert "2/2 timeline=b" in ended.out
    assert place.render("a.yaml,b.yaml", "mode=plan").code == 2
