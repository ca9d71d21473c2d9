"""S3: a timeline file that is meant to be a config of Hydra's, which is code: refused, not run."""

import pytest
import yaml
from outside import tree

FILM = "keyframes: [{at: 0, prompt: a}]\n"
# Each makes the file `pwned` when Hydra reads it as a config of its own.
LOGGING = """hydra:
  job_logging:
    version: 1
    handlers: {file: {class: logging.FileHandler, filename: pwned}}
    root: {handlers: [file]}
"""
CALLBACK = "hydra:\n  callbacks: {x: {_target_: builtins.open, file: pwned, mode: w}}\n"
OPEN = "{_target_: builtins.open, file: pwned, mode: w}"
CASES = {
    "a hydra block for the whole config": (f"# @package _global_\n{LOGGING}{FILM}", 1, "@package"),
    "callbacks for the whole config": (f"# @package _global_\n{CALLBACK}{FILM}", 1, "@package"),
    "another spelling of it": (f"{FILM}\t #\t@package _global_\n{CALLBACK}", 2, ""),
    "a header further down": (f"{FILM}# @package hydra\ncallbacks: {OPEN}\n", 2, "@package"),
    "a header behind a BOM": (f"\ufeff# @package _global_\n{CALLBACK}{FILM}", 1, "@package"),
    "a hydra block": (LOGGING + FILM, 1, "`hydra`"),
    "callbacks": (FILM + CALLBACK, 2, "`hydra`"),
    "a quoted hydra": (FILM + '"hydra": {callbacks: {}}\n', 2, "`hydra`"),
    "an escaped hydra": (FILM + '"\\x68ydra": {callbacks: {}}\n', 2, "`hydra`"),
    "a dotted key": (FILM + "hydra.job.chdir: true\n", 2, "unknown key"),
    "a group's key": (FILM + "hydra/launcher: evil\n", 2, "unknown key"),
    "an override's key": (FILM + "override hydra/launcher: evil\n", 2, "unknown key"),
    "defaults": (FILM + "defaults: [evil]\n", 2, "`defaults`"),
    "defaults that override": (f"defaults:\n  - override /hydra/launcher: x\n{FILM}", 1, "default"),
    "a search path": (FILM + "hydra: {searchpath: [file://evil]}\n", 2, "`hydra`"),
    "_target_": (FILM + "_target_: os.abort\n", 2, "`_target_`"),
    "_target_ of a value": (FILM + f"x: {OPEN}\n", 2, "`_target_`"),
    "_target_ of a keyframe": ("keyframes:\n  - {at: 0, _target_: os.abort}\n", 2, "`_target_`"),
    "_target_ of a prompt": (f"keyframes:\n  - {{at: 0, prompt: {OPEN}}}\n", 2, "`_target_`"),
    "_target_ of a seed": (f"keyframes:\n  - {{at: 0, seed: {OPEN}}}\n", 2, "`_target_`"),
    "_target_ of an ease": (f"keyframes:\n  - at: 0\n    ease: {OPEN}\n", 3, "`_target_`"),
    "_target_ deep inside": (FILM + f"x: [[{{a: [{OPEN}]}}]]\n", 2, "`_target_`"),
    "_target_ quoted": (FILM + 'x: {"_target_": os.abort}\n', 2, "`_target_`"),
    "_partial_": (FILM + "x: {_partial_: true}\n", 2, "`_partial_`"),
    "_args_": (FILM + "x: {_args_: [1]}\n", 2, "`_args_`"),
}
WHERE = {
    "./configs": ("configs", [], {}),
    "--config-dir": ("more", ["--config-dir", "more"], {}),
    "hydra.searchpath": ("more", ["hydra.searchpath=[file://more]"], {}),
    "$RENDER_CONFIGS": ("more", [], {"RENDER_CONFIGS": "more"}),
}


def refused(calls, *arguments, env=None):
    """The message of a command that exits with 2 and has run and written nothing."""
    before = tree(calls.site.here)
    answer = calls(*arguments, env=env)
    assert answer.code == 2, answer.err
    assert tree(calls.site.here) == before
    assert not (calls.site.here / "pwned").exists()
    assert not answer.modules
    return answer.err


@pytest.mark.parametrize("case", CASES)
def test_a_timeline_that_is_a_config_is_refused_with_its_line(calls, case):
    content, line, said = CASES[case]
    calls.site.timeline("evil", content)
    message = refused(calls, "+timeline=evil")
    assert f"configs/timeline/evil.yaml:{line}: " in message
    assert said in message


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("payload", [LOGGING, CALLBACK], ids=["logging", "callbacks"])
def test_it_is_refused_wherever_hydra_finds_it(calls, where, payload):
    folder, arguments, env = WHERE[where]
    calls.site.timeline("evil", FILM).unlink()
    path = calls.site.here / folder / "timeline" / "evil.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# @package _global_\n{payload}timeline: {{{FILM.strip()}, name: x}}\n")
    assert f"{folder}/timeline/evil.yaml:1: " in refused(
        calls, "+timeline=evil", *arguments, env=env
    )
    path.unlink()


@pytest.mark.parametrize("package", ["hydra", "_global_", "hydra.callbacks", "model"])
def test_the_command_line_can_not_put_a_timeline_elsewhere(calls, package):
    calls.site.timeline("evil", "job_logging: {version: 1}\n" + FILM)
    assert "+timeline=NAME" in refused(calls, f"+timeline@{package}=evil")


def test_a_timeline_in_a_folder_of_timelines_is_data_too(calls):
    path = calls.site.here / "configs" / "timeline" / "mine" / "evil.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# @package _global_\n{CALLBACK}{FILM}")
    for arguments in (["+timeline=mine/evil"], ["+timeline/mine=evil"]):
        assert "timeline/mine/evil.yaml:1: " in refused(calls, *arguments)


@pytest.mark.parametrize("payload", [LOGGING, CALLBACK], ids=["logging", "callbacks"])
def test_the_payloads_are_live(site, payload):
    """In a config, which is code and comes from someone you trust, each makes its file."""
    site.timeline("t", FILM)
    config = site.here / "configs" / "more" / "evil.yaml"
    config.parent.mkdir()
    config.write_text(f"# @package _global_\n{payload}")
    site.render("+timeline=t", "+more=evil", "mode=plan")
    assert (site.here / "pwned").exists()


def test_what_looks_like_it_inside_a_text_is_text(calls):
    """Only keys are refused: a prompt may speak of anything."""
    words = ["_target_: os.abort", "# @package _global_", "hydra", "defaults"]
    keyframes = [{"at": at, "prompt": text} for at, text in enumerate(words)]
    calls.site.timeline("words", yaml.safe_dump({"keyframes": keyframes}))
    answer = calls("+timeline=words", "mode=plan", "output.fps=1")
    assert answer.code == 0, answer.err
    plan = (calls.site.run_folder("words") / "plan.json").read_text()
    assert all(text in plan for text in words)
