"""`render` in a process of its own that begins at once: a fork of one that has imported everything.

Importing torch and diffusers takes seconds, and most tests of a process are not about them.
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path


class Fork:
    """A fork of this process that runs the command line; used as a `subprocess.Popen`.

    Args:
        folder: it works here.
        logs: a folder for what it prints.
        then: called in it at the end.
    """

    def __init__(self, folder, arguments, logs, then=lambda: None):
        number = len(list(Path(logs).glob("*.out")))
        self.out, self.err = (Path(logs) / f"{number}.{stream}" for stream in ("out", "err"))
        self.out.touch()
        self.returncode = None
        self.pid = os.fork()
        if self.pid == 0:
            become(folder, arguments, self.out, self.err, then)

    def poll(self):
        """The exit code; None while it works."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout=300):
        """Wait for its end; the exit code."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired("render", timeout)
            time.sleep(0.01)
        return self.returncode

    def said(self):
        """All that it printed, on both streams."""
        return self.out.read_text(), self.err.read_text()

    def communicate(self, timeout):
        self.wait(timeout)
        return self.said()


def become(folder, arguments, out, err, then):
    """Be the process; never returns."""
    from render.cli.main import main

    code = 1
    try:
        os.chdir(folder)
        redirect(out, err)
        warnings.resetwarnings()  # pytest makes errors of warnings
        warnings.simplefilter("ignore")
        sys.argv = ["render", *arguments]
        code = main()
        then()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def redirect(out, err):
    """Give this process streams of its own; pytest has others in their place."""
    for number, path in ((0, os.devnull), (1, out), (2, err)):
        target = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(target, number)
        os.close(target)
    sys.stdin = os.fdopen(0, "r", encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8")


class Installed:
    """Calls `render` in forks of one process that has further packages in its path.

    Args:
        path: where packages lie, as PYTHONPATH has it.
        logs: an empty folder for what the forks print.
    """

    def __init__(self, path, logs):
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(logs)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, folder, *arguments):
        self.process.stdin.write(json.dumps([str(folder), arguments]) + "\n")
        self.process.stdin.flush()
        code, out, err = json.loads(self.process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, out, err)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0
        self.process.stdout.close()


def serve(logs):
    """A fork for every line of stdin."""
    for late in ("cli.main", "run.modes", "run.work", "engines.open_model"):
        importlib.import_module(f"render.{late}")
    gc.freeze()  # or each fork goes over all of it, and copies it
    for line in sys.stdin:
        folder, arguments = json.loads(line)
        fork = Fork(folder, arguments, logs)
        print(json.dumps([fork.wait(), *fork.said()]), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
