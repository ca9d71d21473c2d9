"""Commands of the stand-in that begin quickly: one process imports everything once, and each is a
fork of it, which then is the test's own child, with a session, a folder, an environment and limits
of its own, as if it had begun by itself."""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

STAND_IN = Path(__file__).with_name("stand_in.py")
MARK = "RENDER_SITE"  # in the environment of every process that a site started
MARK_BYTES = 8
PR_SET_CHILD_SUBREAPER = 36
READ_LATE = (
    MARK,
    "HOME",
    "TMPDIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "STAND_IN",
    "REAL",
    "IMAGEIO_FFMPEG_EXE",
)
"""Variables that nothing reads before a command begins its work."""
BEGUN: list["Warm"] = []

# -- in the process that is forked -----------------------------------------------------------------


def serve() -> None:
    """A fork for every line of stdin, whose number is the answer; only forks return."""
    for late in ("render.run.modes", "render.run.work", "render.diffusion.pending_images"):
        importlib.import_module(late)
    gc.collect()
    gc.freeze()  # or each fork goes over all of it, and copies it
    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0 and os.fork() == 0:
            os.close(reading)
            become(asked)
            os.write(writing, str(os.getpid()).encode())
            os.close(writing)
            return
        if between == 0:
            os._exit(0)  # so that the fork is an orphan, whom the test takes in
        os.close(writing)
        with os.fdopen(reading) as answer:
            number = answer.read()
        os.waitpid(between, 0)
        print(number, flush=True)
    os._exit(0)


def become(asked: dict) -> None:
    """Be the process that was asked for."""
    os.setsid()
    os.chdir(asked["folder"])
    os.umask(asked["umask"])
    for number, path in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
        target = os.open(path, os.O_RDWR | os.O_APPEND * (number == 0))
        os.dup2(target, number)
        os.close(target)
    for name, most in asked["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    os.environ.clear()
    os.environ.update(asked["environment"])
    skip_the_mode(asked["arguments"])
    show_mark(asked["environment"][MARK])
    tempfile.tempdir = None  # it may have been looked up with another TMPDIR
    sys.argv = [str(STAND_IN), *asked["arguments"]]


def skip_the_mode(arguments: list[str]) -> None:
    """Let Hydra compose once: it does so twice, only to see whether something sets `hydra.mode`,
    which no config of these tests does; an argument may."""
    from hydra._internal.hydra import Hydra

    if any("hydra" in argument for argument in arguments):
        return
    Hydra.get_mode = lambda *_, **__: None


def show_mark(mark: str) -> None:
    """Let /proc show the mark of the site and not the one that the forked process was begun with,
    in whose place it is written."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47])
    place = Path("/proc/self/environ").read_bytes().index(f"{MARK}=".encode()) + len(MARK) + 1
    ctypes.memmove(began + place, mark.encode(), len(mark))


# -- in the test's process -------------------------------------------------------------------------


class Warm:
    """The process that is forked, seen from the tests."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        own = {MARK: secrets.token_hex(MARK_BYTES), "HOME": self.folder.name}
        self.kept = {k: v for k, v in environment.items() if k not in READ_LATE}
        self.process = subprocess.Popen(
            [sys.executable, str(STAND_IN)],
            cwd=self.folder.name,
            env={**self.kept, **own, "STAND_IN": json.dumps({"warm": True})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self.close)

    def fork(self, **asked) -> int:
        """The number of a new child of this process."""
        with taking_in():
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.folder.cleanup()


def fork_of(environment: dict[str, str], **asked) -> int | None:
    """The number of a process with such an environment; None if it has to be begun by itself, as
    something is set that is read while Python or a library starts."""
    if not BEGUN:
        BEGUN.append(Warm(environment))
    (warm,) = BEGUN
    early = {name: value for name, value in environment.items() if name not in READ_LATE}
    if early != warm.kept:
        return None
    return warm.fork(environment=environment, umask=umask(), **asked)


def umask() -> int:
    """This process's, which a child begins with."""
    now = os.umask(0o077)
    os.umask(now)
    return now


@contextlib.contextmanager
def taking_in():
    """Orphans among this process's descendants become its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
