"""ffmpeg as a child process that can't outlive its caller, hang it, or fill its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import imageio_ffmpeg

from render.errors import EncodeError
from render.signals import undisturbed

Argument = str | bytes

TICK_S = 0.25
TAIL_BYTES = 8192  # of what ffmpeg says; it may say gigabytes
SHOWN_LINES = 12
ANSWER_LINES = 10_000


@dataclass
class Child:
    """A running ffmpeg: takes bytes, is waited for, and is killed when it shows no progress."""

    process: subprocess.Popen[bytes]
    patience: float
    hung: bool = False
    idle: float = 0.0
    tail: bytes = b""
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def take(self, raw: bytes) -> bool:
        """Sends bytes down the pipe; False if ffmpeg no longer reads."""
        stdin = self.process.stdin
        try:
            if stdin is not None:
                stdin.write(raw)
                stdin.flush()
        except OSError:
            return False
        self.idle = 0.0
        return True

    def attend(self, on_line: Callable[[str], bool] | None) -> None:
        """Starts the threads that watch it and read what it says."""
        tasks: list[Callable[[], None]] = [self.watch, self.drain]
        if on_line is not None:
            tasks.append(partial(self.follow, on_line))
        for work in tasks:
            thread = threading.Thread(target=work, daemon=True)
            self.threads.append(thread)
            thread.start()

    def watch(self) -> None:
        """Kills it when it hangs. Counted in ticks: a pause of this process (Ctrl-Z) is no hang."""
        while not self.ended.wait(TICK_S):
            self.idle += TICK_S
            if self.idle > self.patience and self.process.poll() is None:
                self.hung = True
                self.kill()
                return

    def drain(self) -> None:
        """Reads stderr, so that ffmpeg never waits for us, and keeps the end of it."""
        stream = self.process.stderr
        with suppress(OSError, ValueError):
            while stream is not None and (chunk := os.read(stream.fileno(), 65536)):
                self.tail = (self.tail + chunk)[-TAIL_BYTES:]

    def follow(self, on_line: Callable[[str], bool]) -> None:
        """Reads stdout line by line; a line without end comes in pieces."""
        stream = self.process.stdout
        with suppress(OSError, ValueError):
            while stream is not None and (line := stream.readline(4096)):
                if on_line(line.decode("utf-8", "replace").strip()):
                    self.idle = 0.0

    def give(self, count: int) -> bytes:
        """So many bytes of its stdout, or those that are left at its end."""
        stream = self.process.stdout
        self.idle = 0.0
        content = stream.read(count) if stream is not None else b""
        self.idle = 0.0
        return content

    def finish(self) -> int:
        """Ends the input and gives ffmpeg's exit code; the watch ends one that never ends."""
        with suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        code = self.process.wait()
        self.ended.set()
        for thread in self.threads:
            thread.join(timeout=0.5)
        if any(thread.is_alive() for thread in self.threads):
            self.kill()  # a child of ffmpeg's still holds the pipes
        for thread in self.threads:
            thread.join(timeout=10.0)
        return code

    def said(self) -> str:
        """The last lines of its stderr, without control characters."""
        lines = self.tail.decode("utf-8", "replace").replace("\r", "\n").splitlines()
        clean = ("".join(filter(str.isprintable, line)).strip() for line in lines)
        return "\n".join([line for line in clean if line][-SHOWN_LINES:]) or "(nothing)"

    def kill(self) -> None:
        """Ends ffmpeg and all that it started."""
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()

    def end(self) -> None:
        """Leaves nothing behind: no process, no thread, no pipe."""
        if not self.ended.is_set():
            self.kill()
            self.finish()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


@contextmanager
def running(
    arguments: Sequence[Argument],
    on_line: Callable[[str], bool] | None,
    patience: float,
    keep: Sequence[int] = (),
) -> Iterator[Child]:
    """ffmpeg as a child that does not outlive the block, however the block ends.

    It leads a session of its own, so the terminal's Ctrl-C reaches only render, and inherits no
    open file, so it holds none of render's locks.

    Args:
        on_line: gets every line of stdout, in a thread; True if the line shows progress. None: the
            block itself reads the bytes of stdout.
        keep: descriptors that it inherits all the same.

    Raises:
        EncodeError: there is no ffmpeg, or it can't be started.
    """
    child = None
    try:
        with undisturbed():  # half a child or a thread that was never started can't be ended
            child = Child(start(arguments, keep), patience)
            child.attend(on_line)
        yield child
    finally:
        if child is not None:
            child.end()


def file_url(path: Path) -> bytes:
    """A file as ffmpeg's argument, in the bytes of its name on the disk."""
    return b"file:" + os.fsencode(path)


def as_bytes(argument: Argument) -> bytes:
    """An argument as ffmpeg reads it, in UTF-8 whatever the locale is."""
    return argument if isinstance(argument, bytes) else argument.encode("utf-8", "surrogateescape")


def start(arguments: Sequence[Argument], keep: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Starts ffmpeg: the one that IMAGEIO_FFMPEG_EXE names, else imageio-ffmpeg's."""
    quiet = ("-hide_banner", "-nostats", "-loglevel", "error")
    try:
        return subprocess.Popen(
            [os.fsencode(imageio_ffmpeg.get_ffmpeg_exe()), *map(as_bytes, (*quiet, *arguments))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "SVT_LOG": "1"},
            close_fds=True,
            pass_fds=keep,
            start_new_session=True,
        )
    except (RuntimeError, OSError) as error:
        way_out = "reinstall imageio-ffmpeg, or let IMAGEIO_FFMPEG_EXE name an ffmpeg"
        raise EncodeError(f"no ffmpeg that starts ({error}); {way_out}") from error


def ffmpeg_version() -> str:
    """As ffmpeg names itself, for the video's digest and run.json.

    Raises:
        EncodeError: there is no ffmpeg.
    """
    words = " ".join(answer(["-version"])[:1]).split()
    return words[2] if words[:2] == ["ffmpeg", "version"] and len(words) > 2 else "unknown"


def answer(arguments: Sequence[str]) -> list[str]:
    """The lines that ffmpeg prints for a question."""
    lines: list[str] = []

    def keep(line: str) -> bool:
        if len(lines) < ANSWER_LINES:
            lines.append(line)
        return False

    with running(arguments, keep, patience=20.0) as child:
        child.finish()
    return lines
