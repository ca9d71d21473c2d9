"""R19: closed folders, names that are too long, a current folder that is gone, little memory, as
a user without root's powers: each is one line that names the place, and never a bug in render."""

import pytest
from films import write_model
from outside import tree
from powers import WITHOUT_POWERS, reason_for_none

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(2)]
SMALL = ("output.fps=1", "output.width=64", "output.height=64")
CALL = ("+timeline=film", *SMALL)
LOCAL = (*CALL, "model=local", "model.path=model", "model.steps=2")
LONG = "x" * 300
LONGEST = "/".join(["y" * 200] * 30)
NO_POWERS = reason_for_none()

# A path that is closed, and what is then asked for.
CLOSED = {
    "configs": CALL,
    "configs/timeline": CALL,
    "configs/timeline/film.yaml": CALL,
    "outputs": CALL,
    "model": LOCAL,
    "model/unet": LOCAL,
    "model/model_index.json": LOCAL,
    "model/unet/config.json": LOCAL,
    "sounds": (*CALL, "output.audio=sounds/a.wav"),
    "sounds/a.wav": (*CALL, "output.audio=sounds/a.wav"),
}
TOO_LONG = {
    "root": (*CALL, f"root={LONG}"),
    "a deep root": (*CALL, f"root={LONGEST}"),
    "timeline": (f"+timeline={LONG}", *SMALL),
    "model": (*CALL, "model=local", f"model.path={LONG}", "model.steps=2"),
    "a deep model": (*CALL, "model=local", f"model.path={LONGEST}", "model.steps=2"),
    "a single file": (*CALL, "model=local", f"model.path={LONG}.safetensors", "model.steps=2"),
    "vae": (*LOCAL, f"model.vae={LONG}"),
    "lora": (*LOCAL, f"model.loras=[{{path: {LONG}.safetensors}}]"),
    "controlnet": (*LOCAL, f"model.controlnet={{path: {LONG}, image: {LONG}.png}}"),
    "embedding": (*LOCAL, f"model.embeddings=[{{path: {LONG}.safetensors, token: x}}]"),
    "audio": (*CALL, f"output.audio={LONG}"),
    "image": (*CALL, f"timeline.keyframes.0.image={LONG}"),
}


@pytest.fixture(scope="module")
def here(calls):
    """The folder of many commands, with a model and a sound in it."""
    site = calls.site
    site.timeline("film", FILM)
    if not (site.here / "model").exists():
        write_model(site.here / "model")
        (site.here / "sounds").mkdir(exist_ok=True)
        (site.here / "sounds" / "a.wav").write_bytes(b"RIFF")
    return site.here


def assert_one_line(code, err, *codes):
    assert "Traceback" not in err
    assert "bug in render" not in err
    assert code in codes, err
    assert err.startswith("render: ")


@pytest.mark.skipif(bool(NO_POWERS), reason=NO_POWERS)
@pytest.mark.parametrize("name", CLOSED)
def test_what_is_closed_is_named(site, name):
    site.timeline("film", FILM)
    write_model(site.here / "model")
    (site.here / "sounds").mkdir(exist_ok=True)
    (site.here / "sounds" / "a.wav").write_bytes(b"RIFF")
    site.root.mkdir()
    closed = site.here / name
    before = tree(site.here)
    mode = closed.stat().st_mode
    closed.chmod(0o000)
    site.prefix = WITHOUT_POWERS
    ended = site.render(*CLOSED[name])
    site.prefix = []
    closed.chmod(mode)
    assert_one_line(ended.code, ended.err, 2)
    assert name in ended.err
    assert "Permission denied" in ended.err
    assert tree(site.here) == before


@pytest.mark.parametrize("what", TOO_LONG)
def test_a_name_that_is_too_long_is_a_mistake_of_the_config(calls, here, what):
    before = tree(here)
    answer = calls(*TOO_LONG[what])
    assert_one_line(answer.code, answer.err, 2)
    assert tree(here) == before


@pytest.mark.parametrize(
    "more", [CALL, ("--help",), (*CALL, "mode=plan")], ids=["run", "help", "plan"]
)
def test_a_current_folder_that_is_gone_is_named(site, more):
    site.prefix = ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh"]
    ended = site.render(*more)
    assert_one_line(ended.code, ended.err, 2)
    assert ended.err.startswith("render: the current folder: ")


def test_too_little_memory_for_the_libraries_is_named(site):
    site.timeline("film", FILM)
    site.prefix = ["sh", "-c", 'sleep 0.5; ulimit -v 1000000; exec "$@"', "sh"]
    ended = site.render(*CALL, "scheduler.steps=1", model="real")
    assert_one_line(ended.code, ended.err.splitlines(keepends=True)[-1], 1)
    assert "too little memory" in ended.err
