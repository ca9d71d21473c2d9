"""A place to call `render` from outside: every process capped, counted and measured."""

import functools
import hashlib
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from warm import MARK, MARK_BYTES, STAND_IN, fork_of

CHECKOUT = Path(__file__).resolve().parent.parent.parent
ITSELF = [sys.executable, str(STAND_IN)]
DEADLINE_S = 120.0
LARGEST_READ = 64 << 20  # bytes of a file that are compared, and its size
ADDRESS_SPACE = 12 << 30  # bytes; torch maps much more than it uses


@dataclass(frozen=True)
class Ended:
    """How a command ended; `megabytes` is the most memory it had at a time."""

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float


def executed(
    command: list[str],
    folder: str,
    environment: dict[str, str],
    logs: tuple[str, str],
    limits: dict[str, int],
) -> int:
    """The number of a process that begins with the command's own program."""
    with open(logs[0], "wb") as out, open(logs[1], "wb") as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    for name, most in limits.items():
        resource.prlimit(process.pid, getattr(resource, name), (most, most))
    process.returncode = 0  # it is waited for by its number
    return process.pid


def forked(command, folder, environment, logs, limits) -> int:
    """The same, quickly (warm.py), unless something needs a process that begins by itself."""
    number = fork_of(
        environment,
        arguments=command[len(ITSELF) :],
        folder=folder,
        out=logs[0],
        err=logs[1],
        limits=limits,
    )
    return number or executed(command, folder, environment, logs, limits)


class Running:
    """A command at work."""

    def __init__(
        self,
        site: "Site",
        command: list[str],
        environment: dict[str, str],
        file_bytes: int | None,
        begin=executed,
    ) -> None:
        self.logs = site.logs / secrets.token_hex(4)
        self.logs.mkdir()
        self.began = time.monotonic()
        out, err = self.logs / "out", self.logs / "err"
        out.touch()
        err.touch()
        limits = {"RLIMIT_AS": ADDRESS_SPACE}
        if file_bytes is not None:
            limits["RLIMIT_FSIZE"] = file_bytes
        self.pid = begin(command, str(site.here), environment, (str(out), str(err)), limits)

    @property
    def running(self) -> bool:
        """Whether it is at work; does not take its exit code away."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def signal(self, number: int, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    def until(self, happened, seconds: float = DEADLINE_S) -> None:
        """Wait until something is so, or the command has ended."""
        deadline = time.monotonic() + seconds
        while self.running and not happened():
            assert time.monotonic() < deadline, "what was waited for did not happen"
            time.sleep(0.005)

    def wait(self, seconds: float = DEADLINE_S) -> Ended:
        """Its end; killed with all its children, and an error, if it takes longer."""
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL, group=True)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"did not end within {seconds} s: {self.said('err')}")
            time.sleep(0.005)
        took = time.monotonic() - self.began
        _, status, usage = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return Ended(code, self.said("out"), self.said("err"), took, usage.ru_maxrss / 1024)

    def said(self, name: str) -> str:
        return (self.logs / name).read_text(errors="replace")


class Site:
    """A folder to call `render` in, with strangers' files around it that nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(MARK_BYTES)
        self.here, self.logs = folder / "here", folder / "logs"
        self.canary = folder / "outside" / "canary"
        for made in (self.here, self.logs, self.canary.parent, folder / "home", folder / "tmp"):
            made.mkdir(parents=True)
        self.canary.write_text("nobody touches me\n")
        self.root = self.here / "outputs"  # as seen from here: calls may see another disk there
        self.prefix: list[str] = []
        self.before = self.surroundings()

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        return kept | {
            MARK: self.token,
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(self.logs / "torch"),  # torch makes it when imported
            **more,
        }

    def start(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        file_bytes: int | None = None,
        **faults,
    ) -> Running:
        """`render` with the stand-in and its faults; `model="real"` for the model itself.

        `file_bytes` is the most that a file may hold (`ulimit -f`, but in bytes).
        """
        asked = {"STAND_IN": json.dumps(faults)}
        command = [*self.prefix, *ITSELF, *arguments]
        environment = self.environment(**asked, **(env or {}))
        quick = not self.prefix and faults.get("model") != "real"  # torch looks around as it starts
        return Running(self, command, environment, file_bytes, forked if quick else executed)

    def render(self, *arguments: str, seconds: float = DEADLINE_S, **options) -> Ended:
        """The same, waited for."""
        return self.start(*arguments, **options).wait(seconds)

    def timeline(self, name: str, keyframes: list[dict] | str | bytes, **more) -> Path:
        """Write configs/timeline/NAME.yaml: keyframes, or the whole file as it is."""
        path = self.here / "configs" / "timeline" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(keyframes, list):
            keyframes = yaml.safe_dump({"keyframes": keyframes, **more})
        path.write_bytes(keyframes.encode() if isinstance(keyframes, str) else keyframes)
        return path

    def run_folder(self, name: str) -> Path:
        return self.root / name

    def frames(self, name: str) -> list[Path]:
        return sorted((self.run_folder(name) / "frames").glob("*.png"))

    def pictures(self, name: str) -> list[np.ndarray]:
        return [np.asarray(Image.open(path)) for path in self.frames(name)]

    def stored(self) -> list[Path]:
        return sorted((self.root / ".store").glob("??/*.png"))

    def temps(self) -> list[Path]:
        return sorted({*self.here.rglob("*.tmp"), *self.root.rglob("*.tmp")})

    def run_json(self, name: str) -> dict:
        """run.json of a run."""
        return json.loads((self.run_folder(name) / "run.json").read_text())

    def counts(self, name: str) -> tuple[int, int, int]:
        """(kept, rendered, failed) of the latest run."""
        frames = self.run_json(name)["frames"]
        return frames["kept"], frames["rendered"], frames["failed"]

    def surroundings(self) -> dict[str, str]:
        """Everything that a run must leave alone, by content."""
        around = [path for path in self.folder.iterdir() if path not in (self.here, self.logs)]
        return tree(*around, CHECKOUT / "render", CHECKOUT / "configs")

    def processes(self) -> list[int]:
        """Processes that this site started, or that they started, and that still live."""
        mark, found = f"{MARK}={self.token}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:  # it ended meanwhile, or is someone else's
                continue
        return found

    def close(self, patience: float = 5.0) -> None:
        """Nothing runs any more, and nothing outside of `here` has changed."""
        deadline = time.monotonic() + patience
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, "processes were left behind"
        assert self.surroundings() == self.before


def tree(*folders: Path) -> dict[str, str]:
    """Every path under the folders with its content's hash; links by where they lead."""
    return {
        str(path): content_hash(path)
        for folder in folders
        for path in (folder, *sorted(folder.rglob("*")))
        if "__pycache__" not in path.parts
    }


def content_hash(path: Path) -> str:
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    if not path.is_file():
        return "folder"
    now = path.stat()
    if not path.is_relative_to(CHECKOUT):
        return hash_of(path, now.st_size)
    return hash_once(path, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)


@functools.cache
def hash_once(path: Path, size: int, *stamps: int) -> str:
    """Of a file of the package, that every site looks at and hardly ever changes."""
    return hash_of(path, size)


def hash_of(path: Path, size: int) -> str:
    with path.open("rb") as stream:  # a bomb's sparse gigabytes are not read
        return f"{size} {hashlib.sha256(stream.read(LARGEST_READ)).hexdigest()}"
