"""S12: options and keys of Hydra that open pickles or run code, from the command line."""

import subprocess
import sys

import pytest
import yaml
from outside import tree
from traps import pickled

FILM = [{"at": 0, "prompt": "a"}]
OPEN = "{_target_: builtins.open, file: pwned, mode: w}"
HANDLER = (
    "{version: 1, handlers: {f: {class: logging.FileHandler, filename: pwned}}, "
    "root: {handlers: [f]}}"
)
OPTIONS = [
    ["--experimental-rerun", "job.pickle"],
    ["--experimental-rerun=job.pickle"],
    ["--experimental-rer", "job.pickle"],
    ["--config-path", "received"],
    ["--config-path=received"],
    ["-cp", "received"],
    ["-cpreceived"],
    ["--config-name", "../received/evil"],
    ["--config-name=../received/evil"],
    ["-cn", "{here}/received/evil"],
    ["--config-dir", "received", "--config-name", "evil"],
    ["--config-dir", "received", "+more=evil"],
    ["-cd", "received", "+more=logging"],
    ["hydra.searchpath=[file://received]", "+more=evil"],
    ["hydra.searchpath=[received]", "+more=evil"],
    ["hydra.searchpath=[pkg://received]", "+more=evil"],
    ["--config-dir", "received", "hydra/launcher=evil", "-m"],
    ["--config-dir", "received", "+more@hydra.callbacks=callback"],
    ["--config-dir", "received", "model=evil"],
]
KEYS = [
    [f"+hydra.callbacks.x={OPEN}"],
    [f"++hydra.callbacks={{x: {OPEN}}}"],
    [f"hydra.callbacks={{x: {OPEN}}}"],
    ["+hydra.callbacks.x._target_=builtins.open", "+hydra.callbacks.x.file=pwned"],
    [f"hydra.job_logging={HANDLER}"],
    [f"hydra.hydra_logging={HANDLER}"],
    [f"+hydra.job_logging.handlers.f={HANDLER}"],
    ["hydra/job_logging=default"],
    ["hydra/hydra_logging=default"],
    ["hydra.job.env_set.LD_PRELOAD=evil.so"],
    ["+hydra.job.env_set={LD_PRELOAD: evil.so}"],
    ["hydra.job.config.override_dirname.kv_sep=/"],
    ["hydra.launcher._target_=os.abort", "-m"],
    ["hydra.sweeper._target_=os.abort", "-m"],
    [f"hydra.launcher={OPEN}", "-m"],
    [f"~hydra.launcher={OPEN}"],
    ["hydra/callbacks=evil"],
    ["+more@hydra.callbacks=evil"],
    ["+more@hydra:x=evil"],
    ["model=../../received/more/evil"],
    ["+more=../../received/more/evil"],
    ["+more='../../received/more/evil'"],
    ["+more={here}/received/more/evil"],
    ["model=[../../received/more/evil]"],
]


@pytest.fixture(scope="module")
def received(calls):
    """A folder as someone may send it, with code in every kind of file, and a right timeline."""
    calls.site.timeline("t", FILM)
    folder = calls.site.here / "received"
    callback = f"hydra: {{callbacks: {{x: {OPEN}}}}}\n"
    files = {
        "evil.yaml": f"defaults: [/render, _self_]\n{callback}",
        "more/evil.yaml": f"# @package _global_\n{callback}",
        "more/logging.yaml": f"# @package _global_\nhydra: {{job_logging: {HANDLER}}}\n",
        "more/callback.yaml": f"x: {OPEN}\n",
        "model/evil.yaml": f"# @package _global_\n{callback}",
        "hydra/launcher/evil.yaml": f"{OPEN}\n",
        "__init__.py": "open('pwned', 'w').close()\n",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (calls.site.here / "job.pickle").write_bytes(pickled(calls.site.here / "pwned"))
    return calls


def at(calls, arguments):
    return [argument.replace("{here}", str(calls.site.here)) for argument in arguments]


@pytest.mark.parametrize("arguments", OPTIONS + KEYS, ids=" ".join)
def test_it_is_refused_and_nothing_runs(received, arguments):
    before = tree(received.site.here)
    answer = received("+timeline=t", *at(received, arguments))
    assert answer.code == 2, answer.err
    assert all(line.startswith("render: ") for line in answer.err.splitlines())
    assert tree(received.site.here) == before
    assert not (received.site.here / "pwned").exists()
    assert not answer.modules


def test_the_payloads_are_live(received):
    """The same in ./configs, which is code and comes from someone you trust, makes its file."""
    site = received.site
    config = site.here / "configs" / "more" / "evil.yaml"
    config.parent.mkdir()
    config.write_text((site.here / "received" / "more" / "evil.yaml").read_text())
    received("+timeline=t", "+more=evil", "mode=plan")
    made = site.here / "pwned"
    assert made.exists()
    made.unlink()
    config.unlink()
    config.parent.rmdir()


@pytest.mark.parametrize(
    "arguments",
    [
        ["hydra.verbose=false"],
        ["hydra/launcher=basic", "-m"],
        ["hydra.sweeper.max_batch_size=2", "-m"],
        ["--config-dir", "mine", "output=small"],
        ["hydra.searchpath=[file://mine]", "output=small"],
        ["--config-name", "render"],
        ["--info", "searchpath"],
        ["--cfg", "job"],
    ],
    ids=" ".join,
)
def test_what_opens_no_code_stays(received, arguments):
    path = received.site.here / "mine" / "output" / "small.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"format": "frames", "fps": 1, "quality": 80}))
    answer = received("+timeline=t", "mode=plan", *arguments)
    assert answer.code == 0, answer.err


def test_a_pickle_of_hydras_own_is_not_opened_either(received):
    """A pickle that a callback of Hydra's wrote is no exception."""
    answer = received("--experimental-rerun", "job.pickle")
    assert answer.code == 2
    assert "pickle, which can run code" in answer.err
    assert not (received.site.here / "pwned").exists()


def test_what_lies_in_the_current_folder_is_not_imported(site):
    """`python -m` puts it first; Hydra imports every plugin that it finds."""
    site.timeline("t", FILM)
    (site.here / "hydra_plugins").mkdir()
    for name in ("yaml.py", "hydra_plugins/evil.py", "omegaconf.py"):
        code = f"open({str(site.logs / 'ran')!r}, 'w')\n"
        (site.here / name).write_text(code)

    def python(*arguments):
        command = [sys.executable, *arguments]
        given = {"cwd": site.here, "env": site.environment(), "capture_output": True, "text": True}
        return subprocess.run(command, **given)

    done = python("-m", "render", "+timeline=t", "mode=plan")
    assert done.returncode == 0, done.stderr
    assert not (site.logs / "ran").exists()
    python("-c", "import yaml")
    assert (site.logs / "ran").exists()
