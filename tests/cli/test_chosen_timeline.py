"""A timeline by a bare word, a file anywhere, and texts as a shell lets them through."""

import json
import os
import re

import pytest
import yaml
from command_line import Place
from films import write_model

FILM = "keyframes:\n  - {at: 0, prompt: one, seed: 1}\n  - {at: 1, prompt: two}\n"

ODD = ("true.yaml", "films/null.yaml", "Inf.yaml", "nan.yaml", "{a}.yaml", "[b], c.yaml")


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """A folder with timelines of all sorts, in configs and outside of it; plans load no torch."""
    around = tmp_path_factory.mktemp("around")
    place = Place(around / "here", write_model(around / "model"))
    place.timeline("t", FILM)
    place.timeline("übung", FILM)
    place.timeline("show", FILM)
    for name in (
        "my.yaml",
        "films/my.yaml",
        "films/Ein Film, neu.yaml",
        "films/t.yml",
        "日本.yaml",
        *ODD,
    ):
        path = place.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(FILM.replace("one", f'"{name}"'))
    (around / "beyond.yaml").write_text(FILM.replace("one", "beyond"))
    return place


def planned(at, *arguments, message=""):
    """The first frame's text of a plan; with the names of the runs that it is in."""
    ended = at.render("mode=plan", *arguments)
    assert (ended.code, ended.err) == (0, ""), ended.err
    assert message in ended.out
    plans = sorted((at.folder / "outputs").rglob("plan*.json"), key=lambda p: p.stat().st_mtime_ns)
    return json.loads(plans[-1].read_text())["frames"][0]["prompts"][0][0]


@pytest.mark.parametrize(
    ("arguments", "text", "name"),
    [
        (["t"], "one", "t  5"),
        (["timeline=t"], "one", "t  5"),
        (["my.yaml"], "my.yaml", "my  5"),
        (["./my.yaml"], "my.yaml", "my  5"),
        (["+timeline=./my.yaml"], "my.yaml", "my  5"),
        (["+timeline=my.yaml"], "my.yaml", "my  5"),
        (["timeline='./my.yaml'"], "my.yaml", "my  5"),
        (["films/my.yaml"], "films/my.yaml", "my  5"),
        (["films/Ein Film, neu.yaml"], "films/Ein Film, neu.yaml", "Ein Film, neu  5"),
        (["+timeline=films/Ein Film, neu.yaml"], "films/Ein Film, neu.yaml", "Ein Film, neu  5"),
        (["films/t.yml"], "films/t.yml", "t  5"),
        (["configs/timeline/t.yaml"], "one", "t  5"),
        (["t.yaml"], "one", "t  5"),
        (["../beyond.yaml"], "beyond", "beyond  5"),
        (["übung"], "one", "ubung-e2001a  5"),
        (["+timeline=übung"], "one", "ubung-e2001a  5"),
        (["日本.yaml"], "日本.yaml", "timeline-"),
        (["+timeline=show"], "one", "show  5"),
        (["-m", "t,films/my.yaml"], "films/my.yaml", "my  5"),
        (["my.yaml", "timeline.keyframes.0.prompt=typed"], "typed", "my  5"),
    ],
)
def test_a_timeline_is_called_by_its_name_or_its_file(at, arguments, text, name):
    assert planned(at, *arguments, message=name) == text


@pytest.mark.parametrize("name", ODD)
def test_a_file_may_be_called_as_a_value_or_a_sign_of_the_command_line(at, name):
    assert planned(at, name) == planned(at, f"+timeline=./{name}") == name


def test_a_name_may_be_a_value_of_the_command_line(place):
    for name in ("off", "NaN", "false"):
        place.timeline(name, FILM.replace("one", f'"{name}"'))
        ended = place.render(name, "mode=plan")
        assert (ended.code, ended.err) == (0, "")
        assert f"{name}  5 frames" in ended.out


@pytest.mark.parametrize("name", ["films/my.yaml", "../beyond.yaml"])
def test_a_file_is_data_wherever_it_lies(at, name):
    path = at.folder / name
    before = path.read_text()
    path.write_text(f"# @package _global_\nhydra: {{}}\n{FILM}")
    ended = at.render(name)
    path.write_text(before)
    assert ended.code == 2
    assert re.search(rf"{path.name}:1: .*@package", ended.err)
    path.write_text("keyframes:\n  - {at: 0, prompt: a, sede: 3}\n")
    ended = at.render(name)
    path.write_text(before)
    assert f"{path.name}:2: unknown key; did you mean 'seed'? [keyframes.0.sede]" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list"], "list: is a command and comes first; a timeline of this name is +timeline=list"),
        (["show"], "show: is a command and comes first"),
        (["from", "t"], "from: is a command and comes first"),
        (["nosuch"], "timeline: no timeline 'nosuch'; known: city"),
        (["citi"], "no timeline 'citi'; did you mean 'city'?"),
        (["films/mi.yaml"], "there is no file 'films/mi.yaml'; did you mean 'my.yaml'?"),
        (["mi.yaml"], "there is no file 'mi.yaml'; did you mean 'my.yaml'?"),
        (["+timeline=mi.yaml"], "there is no file 'mi.yaml'; did you mean 'my.yaml'?"),
        (["nosuch.yml"], "there is no file 'nosuch.yml'; known by name: city"),
        (["my"], "no timeline 'my'; did you mean 'my.yaml'?"),
        (["+timeline=films/my"], "no timeline 'films/my'; did you mean 'films/my.yaml'?"),
        (["films"], "no timeline 'films'"),
        (["t", "my.yaml"], "my.yaml: is no name=value; a timeline is chosen once"),
        (["t", "plan"], "plan: is no name=value; did you mean mode=plan"),
        (["gif"], "gif: is no timeline; did you mean output=gif"),
        (["../t"], "no timeline '../t'"),
        (["/etc/passwd"], "no timeline '/etc/passwd'"),
        (["a" * 5000 + ".yaml"], "no timeline 'aaaa"),
        (["a\0.yaml"], "no timeline 'a"),
        (["=1"], "has no name; write name=value"),
        ([" =1"], "'': has no name; write name=value"),
        (["+timeline=null"], "a config is chosen by its name"),
        (["timeline=choice(t,city)"], "timeline: several values are a sweep, which needs -m"),
        (["t", "--fps=24"], "--fps: no such option; did you mean output.fps=24"),
        (["t", "--seed"], "--seed: no such option; did you mean sampling.seed"),
    ],
)
def test_a_word_that_chooses_nothing_is_reported_with_what_was_meant(at, arguments, message):
    ended = at.render(*arguments)
    assert ended.code == 2
    assert message in ended.err
    assert "bug" not in ended.err


def test_a_file_that_is_called_like_a_config_has_to_be_distinguished_from_it(at):
    (at.folder / "t.yaml").write_text(FILM)
    ended = at.render("t.yaml")
    assert ended.code == 2
    assert "both ./t.yaml and" in ended.err
    assert at.render("./t.yaml", "mode=plan").code == 0
    assert at.render("+timeline=t", "mode=plan").code == 0
    (at.folder / "t.yaml").unlink()


@pytest.mark.parametrize("what", ["folder", "link to nothing", "pipe"])
def test_what_is_no_file_is_refused_at_once(at, tmp_path, what):
    path = tmp_path / "odd.yaml"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nowhere")
    ended = at.render(str(path))
    assert ended.code == 2
    assert "odd.yaml" in ended.err


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("fps=24", "output.fps=24"),
        ("steps=20", "scheduler.steps=20"),
        ("width=256", "output.width=256"),
        ("seed=3", "sampling.seed=3"),
        ("guidance=3", "sampling.guidance=3"),
        ("speed=draft", "sampling.speed=draft"),
        ("prompt=a castle", "timeline.keyframes.0.prompt"),
        ("cfg_scale=3", "sampling.guidance=3"),
        ("negative_prompt=night", "sampling.negative=night"),
        ("sampling.steps=3", "scheduler.steps=3"),
        ("output.seed=3", "sampling.seed=3"),
        ("sede=3", "sampling.seed=3"),
        ("duration=3", "timeline.duration=3"),
        ("device=cpu", "compute.device=cpu"),
    ],
)
def test_a_key_without_its_group_is_refused_with_its_place(at, argument, meant):
    ended = at.render("t", argument)
    assert ended.code == 2
    assert f"{argument.partition('=')[0]}: unknown key; did you mean {meant}" in ended.err


@pytest.mark.parametrize(
    "text",
    ["é", "日本の城", "a castle!", "#1 castle", "it's", "'twas", "a; b", "a & b", "🏰 at night",
     "a\tb", "two\nlines", "<castle>", "~castle", "50 % more", "a^b", "back\\", "„Schloß“",
     "é: a=b"],
)  # fmt: skip
def test_a_text_needs_no_second_quotes_for_what_only_hydra_minds(at, text):
    assert planned(at, "t", f"timeline.keyframes.0.prompt={text}") == text
    ended = at.render("t", "mode=plan", f"sampling.negative={text}")
    assert ended.code == 0


@pytest.mark.parametrize(
    "text", ['"a, b"', "'a (b)'", '"it\'s: so"', "'${x}'", '"é, ü"', "a/b", "a\\, b"]
)
def test_a_text_in_quotes_is_what_stands_in_them(at, text):
    assert planned(at, "t", f"timeline.keyframes.0.prompt={text}") == text.replace(
        "\\,", ","
    ).strip(text[0] if text[0] in "'\"" else "")


def test_a_sweep_takes_such_texts_too(at):
    ended = at.render("-m", "t", "mode=plan", "timeline.keyframes.0.prompt=日本,it's night,plain")
    assert ended.code == 0
    assert ended.out.count("5 frames") == 3


@pytest.mark.parametrize("text", ["a, b", "a (b", 'a "b', "é {b", "a [b]"])
def test_what_has_two_meanings_is_asked_back(at, text):
    ended = at.render("t", f"timeline.keyframes.0.prompt={text}")
    assert ended.code == 2
    assert "timeline.keyframes.0.prompt: " in ended.err
    assert "second pair of quotes" in ended.err or "not a text" in ended.err
    assert "Exception" not in ended.err


KEY = "timeline.keyframes"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (f"~{KEY}.1", "give them names"),
        (f"+{KEY}.2={{at: 2, prompt: b}}", f"{KEY}.2: keyframes in a list"),
        (f"{KEY}.7.prompt=x", f"{KEY}.7.prompt: keyframes in a list"),
        (f"{KEY}.castle.at=2", "give them names"),
        (f"{KEY}[0].prompt=x", "timeline.keyframes.0.prompt"),
        (f"{KEY}.-1.prompt=x", "counted from 0"),
        ("übung.x=3", "is no key of a config"),
        ("~sampling.nosuch", "sampling.nosuch: is not there to be removed"),
        ('model.path="C:\\Users\\"', "model.path: "),
        ("sampling.seed=${nosuch}", "nosuch"),
        ("output.fps=${oc.nosuch:x}", "oc.nosuch"),
        ("output.fps=???", "output.fps"),
    ],
)
def test_no_words_of_a_library_are_read_back(at, argument, message):
    ended = at.render("t", "mode=plan", argument)
    assert ended.code == 2
    assert message in ended.err
    assert not re.search(r"Exception|Error|indices|merging|\bint\b|ListConfig", ended.err)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("\t- {at: 0, prompt: a}", "a tab stands where spaces belong"),
        ('  - {at: 0, prompt: a, image: "C:\\Users\\x.png"}', "use single quotes"),
        ("  - {at: 0, prompt: a: b}", "in quotes|needs quotes"),
        ("  - {at: 0, prompt: @home}", "needs quotes"),
        ("  - {at: 0, prompt: a", "needs quotes"),
        ('  - {at: 0, prompt: "a}', "quotes are not closed"),
    ],
)
def test_broken_yaml_is_reported_with_what_helps(at, line, message):
    at.timeline("broken", f"keyframes:\n{line}\n")
    ended = at.render("broken")
    assert ended.code == 2
    assert re.search(rf"broken.yaml:[23]: .*({message})", ended.err)


def test_a_broken_config_is_reported_with_its_file_and_line(at):
    path = at.folder / "configs" / "output" / "mine.yaml"
    path.parent.mkdir()
    path.write_text("format: mp4\n\tfps: 3\n")
    ended = at.render("t", "output=mine")
    path.unlink()
    assert ended.code == 2
    assert "configs/output/mine.yaml:2: broken YAML: a tab stands" in ended.err


def test_one_rule_for_the_home_folder_in_every_path(at, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text(FILM)
    for root in ("root=~/x", 'root="~/x"', "root='~/y/z'"):
        assert at.render("mode=plan", "~/mine.yaml", root).code == 0
    assert (tmp_path / "x" / "mine").is_dir()
    assert (tmp_path / "y" / "z" / "mine").is_dir()
    assert not list(at.folder.rglob("~*"))
    for key in ("model.path", "output.audio", "model.vae"):
        ended = at.render("t", "mode=plan", f"{key}=~/nothing-here")
        assert ended.code == 2
        assert str(tmp_path / "nothing-here") in ended.err
        assert "nobody-here" in at.render("t", f"{key}=~nobody-here/x").err
    image = "timeline.keyframes.0.image=~/a.png"
    assert str(tmp_path / "a.png") in at.render("t", "mode=plan", image).err


@pytest.mark.parametrize("line", ["a castle, cinematic, 35mm film", "a,b ,  c", "35, mm"])
def test_commas_in_braces_are_read_as_they_are_meant(at, line):
    at.timeline("commas", f"keyframes:\n  - {{at: 0, prompt: {line}, seed: 3}}\n")
    assert planned(at, "commas") == re.sub(r" *(, ?) *", r"\1", line)


@pytest.mark.parametrize(
    ("keyframe", "message"),
    [
        ("{at: 0, prompt: a flower, seed}", "'seed' stands here without a value"),
        ("{at: 0, old, prompt: a castle}", "'old' stands here without a value"),
        ('{at: 0, prompt: "a castle", old}', "'old' stands here without a value"),
        ("{at: 0, prompt: {a castle, old: 0.7, a wood: 0.3}}", "'a castle' stands here without"),
        ("{at: 0, prompt: a castle, style: oil}", "unknown key; known: at, prompt"),
        ("{prompt: a castle}", "`at` is missing [keyframes.0.at]"),
        ("{at: 0, prompt: no}", "put it in quotes [keyframes.0.prompt]"),
    ],
)
def test_a_keyframe_that_is_not_beyond_doubt_is_reported_with_its_key(at, keyframe, message):
    at.timeline("doubt", f"keyframes:\n  - {keyframe}\n")
    ended = at.render("doubt")
    assert ended.code == 2
    assert "configs/timeline/doubt.yaml:2: " in ended.err
    assert message in ended.err


def test_commas_give_the_same_film_as_quotes(at):
    plain = "keyframes: [{at: 0, prompt: a castle, old, negative: blur, grain, seed: 1}]"
    quoted = yaml.safe_dump(
        {"keyframes": [{"at": 0, "prompt": "a castle, old", "negative": "blur, grain", "seed": 1}]}
    )
    plans = []
    for text in (plain, quoted):
        at.timeline("same", text)
        assert at.render("same", "mode=plan").code == 0
        plans.append((at.folder / "outputs" / "same" / "plan.json").read_text())
    assert plans[0] == plans[1]
