"""The child process itself; how it fails while it encodes is in test_encode."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from render.errors import EncodeError, Interrupted
from render.signals import interruptible
from render.video import ffmpeg
from render.video.ffmpeg import ANSWER_LINES, TAIL_BYTES, answer, ffmpeg_version, running


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in ffmpeg's place."""

    def put(script: str) -> None:
        path = tmp_path / "ffmpeg"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))

    return put


def interrupt() -> None:
    time.sleep(0.05)
    raise KeyboardInterrupt


def silent(_: str) -> bool:
    return False


def test_ffmpeg_names_its_version() -> None:
    assert re.match(r"n?\d", ffmpeg_version())


def test_an_odd_version_is_unknown(stand_in: Callable[[str], None]) -> None:
    stand_in("echo something else")
    assert ffmpeg_version() == "unknown"


def test_no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/such/ffmpeg")
    with pytest.raises(EncodeError, match="reinstall imageio-ffmpeg"):
        ffmpeg_version()


def test_an_answer_is_bounded(stand_in: Callable[[str], None]) -> None:
    stand_in(f"yes line | head -n {ANSWER_LINES + 5000}")
    assert answer(["-encoders"]) == ["line"] * ANSWER_LINES


def test_bytes_go_in_and_the_exit_code_comes_out(
    tmp_path: Path, stand_in: Callable[[str], None]
) -> None:
    stand_in(f"cat > {tmp_path}/got; echo words >&2; exit 7")
    with running([], silent, patience=20) as child:
        assert child.take(b"abc")
        assert child.take(b"def")
        assert child.finish() == 7
    assert (tmp_path / "got").read_bytes() == b"abcdef"
    assert child.said() == "words"
    assert not child.hung


def test_what_it_says_is_cleaned_and_its_end_is_kept(stand_in: Callable[[str], None]) -> None:
    stand_in("yes spam | head -c 100000 >&2; printf 'a\\033[31mb\\rc\\n' >&2")
    with running([], silent, patience=20) as child:
        child.finish()
    assert child.said().endswith("\na[31mb\nc")
    assert len(child.tail) == TAIL_BYTES


def test_a_child_that_shows_progress_is_not_hung(stand_in: Callable[[str], None]) -> None:
    stand_in("for n in 1 2 3 4 5 6; do sleep 0.25; echo $n; done")
    with running([], lambda line: True, patience=1.0) as child:
        assert child.finish() == 0
    assert not child.hung


def test_a_child_that_shows_none_is_killed(stand_in: Callable[[str], None]) -> None:
    stand_in("for n in 1 2 3 4 5 6; do sleep 0.25; echo $n; done; sleep 600")
    with running([], silent, patience=0.5) as child:
        assert child.finish() == -signal.SIGKILL
    assert child.hung


def test_leaving_the_block_ends_the_child(stand_in: Callable[[str], None]) -> None:
    stand_in("trap '' TERM INT HUP; while true; do sleep 0.1; done")
    with pytest.raises(KeyboardInterrupt), running([], silent, patience=20) as child:
        interrupt()
    with pytest.raises(ChildProcessError):
        os.waitpid(child.process.pid, os.WNOHANG)
    assert not any(thread.is_alive() for thread in child.threads)


def test_a_signal_while_it_starts_ends_the_child(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes when the child runs already and nobody knows of it yet."""
    stand_in("trap '' TERM INT HUP; while true; do sleep 0.1; done")
    started: list[int] = []

    def start(arguments: Sequence[str], keep: Sequence[int]) -> subprocess.Popen[bytes]:
        process = begin(arguments, keep)
        started.append(process.pid)
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    begin = ffmpeg.start
    monkeypatch.setattr(ffmpeg, "start", start)
    with pytest.raises(Interrupted), interruptible(), running([], silent, patience=20):
        pass
    with pytest.raises(ChildProcessError):
        os.waitpid(started[0], os.WNOHANG)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_signal_while_its_threads_start_ends_the_child(
    nth: int, stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread in the list that was never started once broke the ending of the child."""
    stand_in("trap '' TERM INT HUP; while true; do sleep 0.1; done")
    threads: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        threads.append(thread)
        if len(threads) == nth:
            os.kill(os.getpid(), signal.SIGTERM)
        begin(thread)

    begin = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(Interrupted), interruptible(), running([], silent, patience=20):
        pass
    assert len(threads) == 3
    assert not any(thread.is_alive() for thread in threads)
