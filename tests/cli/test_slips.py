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
        (["when=2"], "when: unknown key; known:"),
        (["timeline.keyframes.0.prompt=A", "forest"], "forest: is no name=value; a timeline"),
        (["name=A", "forest"], "a value with spaces needs quotes"),
        (["output.fps", "=", "6"], "has no name; write name=value without spaces beside ="),
        (["model=runwayml/sd-1.5"], "model=local model.repository=runwayml/sd-1.5"),
        (["model=./my-model"], "model=local model.path=./my-model"),
        (["sampling.guidance_interval=0.5"], "0.5 stands where two numbers belong: [0, 0.8]"),
        (["model.embeddings=cat.safetensors"], "stands where a list belongs, as [{path: FILE}]"),
        (["model.loras=[a.safetensors]"], "with values belong, as {path: a.safetensors}"),
        (["model=local", "model.loras={path: a}"], "model.loras: is a list, as [{path: FILE}]"),
        (["output=mov"], "no output 'mov'; did you mean 'prores'? Known: apng"),
        (["output=PNG"], "did you mean 'frames'?"),
        (["output.fps=12,5"], "output.fps: a decimal point is a dot; several values are a sweep"),
        (["sampling.guidance='7,5'"], "sampling.guidance: a decimal point is a dot: 7.5"),
        (["--cfg=foo"], "--cfg: 'foo' is not known; known: job, hydra, all"),
        (["--info=conf"], "--info: 'conf' is not known; did you mean 'config'?"),
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


@pytest.mark.parametrize(
    ("keyframe", "said"),
    [
        (
            "at: 0\n  prompt: [a castle, a forest]",
            "texts have weights: {A castle: 0.7, A forest: 0.3}",
        ),
        ("at: 0\n  prompt:\n  - a castle: 0.3\n  - a wood: 0.7", "several texts have weights"),
        ("at: 0\n  prompt: a\n  seed: [3, 4]", "several seeds have weights: {1: 0.5, 2: 0.5}"),
        ("at: 1,5\n  prompt: a", "a decimal point is a dot: 1.5 [keyframes.0.at]"),
        ("at: 0\n  prompt: a\n  guidance: 7,5", "is a dot: 7.5 [keyframes.0.guidance]"),
    ],
)
def test_a_value_of_another_shape(place, keyframe, said):
    place.timeline("t", f"keyframes:\n- {keyframe}\n")
    ended = place.call("t", "mode=plan")
    assert ended.code == 2
    assert said in ended.err


def test_an_option_without_its_value_is_named(place):
    ended = place.call("t", "--config-dir")
    assert (ended.code, ended.err) == (2, "render: --config-dir: needs a value behind it\n")


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        (["t", "--cfg"], "keyframes:"),
        (["--cfg", "t"], "keyframes:"),
        (["t", "-c", "job"], "keyframes:"),
        (["t", "--info"], "Config search path"),
        (["-i", "t"], "Config search path"),
        (["t", "--info", "searchpath"], "Config search path"),
    ],
)
def test_an_option_with_a_choice_stands_anywhere_with_its_choice_or_without(place, typed, printed):
    ended = place.call(*typed)
    assert ended.code == 0
    assert printed in ended.out


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


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["help"], "help: is no timeline; did you mean --help"),
        (["-v"], "-v: no such option; did you mean --version"),
        (["-n"], "-n: no such option; did you mean mode=plan"),
        (["--force"], "--force: no such option; what changed is rendered again"),
        (["t", "resume=true"], "resume: unknown key; the same command continues where it stopped"),
        (["t", "overwrite=true"], "overwrite: unknown key; what changed is rendered again"),
        (["t", "strength=.5"], "did you mean timeline.keyframes.0.strength=0.5"),
        (["https://x.org/a.yaml"], "'https://x.org/a.yaml' is no path; download the file"),
        (["t", "output.audio=https://x.org/a.mp3"], "'https://x.org/a.mp3' is no path; download"),
        (["t", "model=https://huggingface.co/a/b"], "model=local model.repository=a/b"),
        (["t", "model=local", "model.path=https://huggingface.co/a/b"], "model.repository=a/b"),
    ],
)
def test_a_habit_of_other_programs(place, typed, said):
    place.timeline("t", "keyframes:\n" + FILM)
    ended = place.call(*typed)
    assert ended.code == 2
    assert said in ended.err


def test_two_files_of_one_name_are_kept_apart_by_their_folders(place):
    for name in ("one/main", "two/main", "castle"):
        file = place.folder / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text("keyframes:\n" + FILM)
    ended = place.render("-m", "one/main.yaml,two/main.yaml,castle.yaml", "mode=plan")
    assert ended.code == 0
    jobs = [line.split()[-1] for line in ended.out.splitlines() if line.lstrip().startswith("job ")]
    assert jobs == ["timeline=one/main.yaml", "timeline=two/main.yaml", "timeline=castle"]


@pytest.mark.parametrize(
    ("film", "arguments", "said"),
    [
        ("keyframes:\n- {at: 0, prompt: 1984}\n", [], "prompt"),
        ("keyframes:\n  a: {at: 0, prompt: [x]}\n", [], "prompt"),
        ("keyframes:\n- {at: 0, text: a castle}\n", [], "did you mean prompt"),
        ("loop: true\nduration: 4s\nkeyframes:\n" + FILM, [], "duration"),
        ("loop: true\nlength: 4\nkeyframes:\n" + FILM, [], "length"),
        ("keyframes:\n- {at: 0, prompt: x, image: 3, strength: 0.5}\n", [], "image"),
        ("keyframes:\n  a: 3\n  b: {at: 1, prompt: x}\n", [], "keyframes.a"),
        ("keyframes:\n" + FILM, ["sampling.anchors=x", "sampling.early_steps=1"], "anchors"),
    ],
)
def test_a_value_that_is_wrong_is_not_said_to_be_missing(place, film, arguments, said):
    place.timeline("t", film)
    ended = place.call("t", "mode=plan", *arguments)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert said in line


def test_beside_a_wrong_value_other_mistakes_are_named(place):
    place.timeline("t", "loop: true\nkeyframes:\n- {at: 1, prompt: 1984, seed: 1}\n")
    said = place.call("t", "mode=plan").err
    assert "prompt" in said
    assert "the first keyframe has to be at 0" in said
    assert "a loop needs a `duration`" in said
