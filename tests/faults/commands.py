"""Commands, many and quickly: one process imports the command line once, and each command is a fork
of it that does the rest, from the overrides to its exit code."""

import contextlib
import gc
import importlib
import io
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
DEADLINE_S = 60


@dataclass(frozen=True)
class Answer:
    """How a command ended; `cpu` in seconds, `megabytes` is the most memory it had at a time."""

    code: int
    out: str
    err: str
    cpu: float
    megabytes: float
    modules: frozenset[str]
    """The heavy libraries it imported."""


def serve() -> None:
    """A fork for every line of stdin."""
    from stand_in import Faults, prepare
    from warm import skip_the_mode

    from render.cli.main import main

    for late in ("render.api", "render.run.work"):  # in the command line, here once for all
        importlib.import_module(late)
    warm_up(main)
    gc.freeze()  # or each fork goes over all of it, and copies it
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            redirect(asked["logs"])
            os.environ.update(asked["env"])
            resource.setrlimit(resource.RLIMIT_CPU, (DEADLINE_S, DEADLINE_S))
            prepare(Faults(**asked["faults"]))
            skip_the_mode(asked["arguments"])
            sys.argv = ["render", *asked["arguments"]]
            code = main()
            heavy = {"torch", "diffusers", "transformers"} & sys.modules.keys()
            Path(f"{asked['logs']}.modules").write_text(" ".join(heavy))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status, usage = os.wait4(child, 0)
        cpu, megabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        print(json.dumps([os.waitstatus_to_exitcode(status), cpu, megabytes]), flush=True)


def warm_up(main) -> None:
    """Plan the storybook's own film, so that what is found out once a process is known already."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)
        sys.argv = ["render", "+timeline=city", "mode=plan"]
        assert main() == 0
        os.chdir(before)


def redirect(logs: str) -> None:
    """Give a fork an output of its own."""
    for number, stream in ((0, None), (1, "out"), (2, "err")):
        path = f"{logs}.{stream}" if stream else os.devnull
        target = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(target, number)
        os.close(target)


class Commands:
    """The process, seen from a test; ended by `close`.

    Args:
        env: more variables for the process and all its forks.
    """

    def __init__(self, site, env: dict[str, str] | None = None) -> None:
        self.site, self.said = site, (site.logs / secrets.token_hex(4)).open("w")
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "commands.py")],
            cwd=site.here,
            env=site.environment(**(env or {})),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            start_new_session=True,
        )

    def __call__(self, *arguments: str, env: dict[str, str] | None = None, **faults) -> Answer:
        """One command with faults of the stand-in."""
        logs = self.site.logs / secrets.token_hex(4)
        asked = {"arguments": arguments, "env": env or {}, "faults": faults, "logs": str(logs)}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, Path(self.said.name).read_text()
        code, cpu, megabytes = json.loads(answer)
        out, err = (Path(f"{logs}.{s}").read_text(errors="replace") for s in ("out", "err"))
        modules = Path(f"{logs}.modules")
        heavy = frozenset(modules.read_text().split()) if modules.exists() else frozenset()
        return Answer(code, out, err, cpu, megabytes, heavy)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.said.close()
        deadline = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.process.returncode == 0


if __name__ == "__main__":
    from outside import CHECKOUT

    sys.path.insert(0, str(CHECKOUT))
    serve()
