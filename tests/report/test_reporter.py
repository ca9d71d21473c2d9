"""The output of a run, as its reader sees it: on a terminal, in a pipe, in the log."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from render.errors import DiskFull, RenderError
from render.report import run_log
from render.report.events import Finished, PlanShown, PlanSummary, Warned
from render.report.lines import reason_lines, state_line
from render.report.run_events import RunEvents
from render.report.run_record import write_run_json
from render.report.terminal import TextReporter

SUMMARY = PlanSummary(
    frames=1037,
    kept=12,
    new=1000,
    stale=20,
    corrupt=5,
    foreign=0,
    reasons=[
        ("new", 1000, "nothing is there (frames 37, 38 …)"),
        ("stale", 20, "prompts changed: [bold]x[/bold] (frames 3, 4 …)"),
        ("corrupt", 5, "is damaged (frame 7)"),
    ],
    rows=30_300,
    seconds_estimate=754,
    estimate_source="from 3 earlier runs on this machine",
    disk_bytes=412_000_000,
    cut_prompts=[("a [red] castle\x1b[31m " + "and more " * 40, 90, 77, "and\nmore ")],
    warnings=["keyframe 2 at 1.3 s is off the frame grid"],
)
DONE = Finished(37, 12, 25, [], 63.2, Path("outputs/city/city.mp4"), Path("outputs/city/sheet.png"))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def reporter(terminal: bool = False) -> tuple[RunEvents, io.StringIO, io.StringIO]:
    kind = Terminal if terminal else io.StringIO
    out, err = kind(), kind()
    return RunEvents(TextReporter(out, err)), out, err


def unstyled(text: str) -> str:
    """A terminal's text without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


# --- the plan --------------------------------------------------------------------------------


def test_the_plan_in_a_pipe_is_plain_and_one_line_a_fact() -> None:
    said, out, err = reporter()
    said.emit(PlanShown("city", SUMMARY))
    printed = out.getvalue()
    assert err.getvalue() == ""
    assert "\x1b" not in printed
    lines = [line.strip() for line in printed.splitlines()]
    assert lines[:4] == [
        "city  1,037 frames",
        "there  12",
        "new  1,000",
        "1,000 nothing is there (frames 37, 38 …)",
    ]
    assert "20 prompts changed: [bold]x[/bold] (frames 3, 4 …)" in lines
    assert "denoiser  30,300 rows to compute" in lines
    assert "time  about 12 min 34 s (from 3 earlier runs on this machine)" in lines
    assert "disk  412.0 MB for the frames that are not there" in lines
    assert "warning  keyframe 2 at 1.3 s is off the frame grid" in lines
    cut = next(line for line in lines if line.startswith("cut"))
    assert cut.startswith(
        "cut  90 tokens, the model reads 77, not 'and more' at the end of: "
        "a [red] castle\ufffd[31m and more"
    )
    assert cut.endswith("and…")
    assert len(cut) < 160
    assert "foreign" not in printed


@pytest.mark.usefixtures("wide")
def test_the_plan_on_a_terminal_has_colours_and_fits() -> None:
    said, out, _ = reporter(terminal=True)
    said.emit(PlanShown("city", SUMMARY))
    assert "\x1b[36m1,000" in out.getvalue()
    assert "\x1b[31m and" not in out.getvalue()
    printed = unstyled(out.getvalue())
    assert max(map(len, printed.splitlines())) <= 100
    assert "[bold]x[/bold]" in printed
    assert "a [red] castle\ufffd[31m and more" in printed


def test_an_unknown_duration_is_said() -> None:
    said, out, _ = reporter()
    said.emit(PlanShown("city", replace(SUMMARY, seconds_estimate=None, estimate_source="")))
    assert "unknown before the first run" in out.getvalue()


def test_the_line_before_work_starts() -> None:
    assert (
        state_line(SUMMARY) == "1,037 frames: 12 are there, 1,025 to render (20 changed, 5 corrupt)"
    )
    assert reason_lines(SUMMARY)[2] == "corrupt: 5, is damaged (frame 7)"
    for kept, line in [(0, "3 to render"), (1, "1 is there, 2 to render"), (3, "all are there")]:
        some = PlanSummary(3, kept, 3 - kept, 0, 0, 0, [], 0, None, "", 0)
        assert state_line(some) == f"3 frames: {line}"
    nothing = PlanSummary(0, 0, 0, 0, 0, 0, [], 0, None, "", 0)
    assert state_line(nothing) == "0 frames: nothing to do"


# --- the end ---------------------------------------------------------------------------------


def test_the_outcome_names_the_files() -> None:
    said, out, err = reporter()
    said.emit(DONE)
    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "frames  25 rendered, 12 kept, in 1 min 3 s",
        "video  outputs/city/city.mp4",
        "sheet  outputs/city/sheet.png",
    ]
    assert err.getvalue() == ""


def test_the_outcome_names_failed_frames_with_their_causes() -> None:
    said, out, _ = reporter()
    failed = [(index, "not finite\n[x]") for index in range(13)]
    said.emit(replace(DONE, failed=failed, video=None, sheet=None))
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert lines[1] == "failed  frame 0: not finite [x]"
    assert lines[-1] == "failed  and 3 more"
    assert len(lines) == 12


def test_a_video_that_was_right_is_said() -> None:
    said, out, _ = reporter()
    said.emit(replace(DONE, video_kept=True))
    assert "city.mp4 (as it was)" in out.getvalue()


def test_a_long_path_in_a_pipe_stays_on_one_line() -> None:
    said, out, _ = reporter()
    path = Path("/".join(["a folder"] * 100)) / "city.mp4"
    said.emit(replace(DONE, video=path))
    assert f"video  {path}\n" in out.getvalue()


def test_a_stream_that_lacks_characters_does_not_stop_a_run() -> None:
    raw = io.BytesIO()
    said = TextReporter(io.StringIO(), io.TextIOWrapper(raw, "ascii"))
    said.on_event(Warned("中 é \ud800"))
    said.err.file.flush()
    assert raw.getvalue() == b"warning: \\u4e2d \\xe9 \\ufffd\n"


# --- progress --------------------------------------------------------------------------------


def test_progress_in_a_pipe_is_lines() -> None:
    said, out, err = reporter()
    with said.progress("render", 4) as progress:
        progress.now(4, "A [red] castle")
        for step in range(10):
            progress.step(step + 1, 10)
        said.warn("frame 3 is tried again [x]")
        progress.finish(4)
    assert out.getvalue() == ""
    assert "\x1b" not in err.getvalue()
    first, last = err.getvalue().splitlines()
    assert first == "warning: frame 3 is tried again [x]"
    assert last.startswith("render 4/4, ")


@pytest.mark.usefixtures("wide")
def test_progress_on_a_terminal_is_a_bar_with_the_prompt() -> None:
    said, out, err = reporter(terminal=True)
    with said.progress("render", 8) as progress:
        progress.now(4, "A [red] castle")
        progress.step(5, 10)
        said.say("something [x] happens")
        progress.finish(4)
    printed = unstyled(err.getvalue())
    assert out.getvalue() == ""
    assert "A [red] castle" in printed
    assert "━" in printed
    assert "something [x] happens\n" in printed
    assert printed.splitlines()[-1].removeprefix("\x1b[1A\x1b[2K").startswith("render 4/8, ")


@pytest.mark.usefixtures("wide")
def test_an_interrupted_bar_gives_the_terminal_back() -> None:
    said, _, err = reporter(terminal=True)
    with pytest.raises(KeyboardInterrupt), said.progress("render", 8):
        raise KeyboardInterrupt
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert err.getvalue().rindex(shown) > err.getvalue().rindex(hidden)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    said, _, err = reporter(terminal=True)
    with said.progress("render", 1) as progress:
        progress.finish(1)
    assert "\x1b" not in err.getvalue()
    assert err.getvalue().startswith("render 1/1")


# --- the log ---------------------------------------------------------------------------------


def logged(path: Path) -> list[str]:
    """The log's lines without their times."""
    lines = path.read_text("utf-8").splitlines()
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line)
    return [line.partition(" ")[2] for line in lines]


def test_the_log_has_every_line_also_those_before_it_was_opened(tmp_path: Path) -> None:
    log = tmp_path / "render.log"
    log.write_text("2026-01-01T00:00:00Z an earlier run\n")
    said, _, _ = reporter()
    said.say("before\nit is [open]")
    said.log.open(log)
    said.warn("later \udc80")
    with said.progress("render", 1) as progress:
        progress.finish(1)
    said.emit(DONE)
    said.log.close()
    said.log.close()
    lines = logged(log)
    assert lines[:3] == ["an earlier run", "before it is [open]", "warning: later \ufffd"]
    assert lines[3].startswith("render 1/1")
    assert lines[-1] == "sheet outputs/city/sheet.png"


@pytest.mark.usefixtures("wide")
def test_the_log_of_a_bar_is_lines(tmp_path: Path) -> None:
    said, _, _ = reporter(terminal=True)
    said.log.open(tmp_path / "render.log")
    with said.progress("render", 2) as progress:
        progress.finish(2)
    said.log.close()
    assert [line[:10] for line in logged(tmp_path / "render.log")] == ["render 2/2"]


def test_a_full_disk_under_the_log_ends_the_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    said, _, err = reporter()
    said.log.open(tmp_path / "render.log")
    monkeypatch.setattr(run_log.os, "write", full)
    with pytest.raises(DiskFull, match=re.escape("render.log")):
        said.say("one")
    said.say("two")
    assert err.getvalue() == "one\ntwo\n"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_log_that_is_no_file_is_left_alone(kind: str, tmp_path: Path) -> None:
    victim, log = tmp_path / "victim", tmp_path / "render.log"
    victim.write_text("precious")
    if kind == "link":
        log.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(log)
    else:
        log.mkdir()
    said, _, _ = reporter()
    said.say("something")
    with pytest.raises(RenderError, match=re.escape("render.log")):
        said.log.open(log)
    assert victim.read_text() == "precious"


# --- run.json --------------------------------------------------------------------------------


def test_run_json_is_whole_sorted_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("the old one")
    data = {
        "frames": {"planned": 2, "kept": 1, "rendered": 1, "failed": 0},
        "device": "cpu",
        "fps": Fraction(30000, 1001),
        "video": Path("city.mp4"),
        "name": "中 \udc80",
    }
    write_run_json(path, data)
    text = path.read_text("utf-8")
    assert "中" in text
    read = json.loads(text)
    assert list(read) == sorted(data)
    assert read["frames"] == data["frames"]
    assert (read["fps"], read["video"]) == ("30000/1001", "city.mp4")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_run_json_that_can_not_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("the old one")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_run_json(path, {"seconds": float("nan")})
    assert path.read_text() == "the old one"
