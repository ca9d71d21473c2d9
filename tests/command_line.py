"""The command line from outside: `render` in a folder of its own, in this process or in another."""

import contextlib
import hashlib
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import yaml
from forks import Fork
from hydra._internal.hydra import Hydra
from PIL import Image

from render.cli.main import main

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Place:
    """A folder to call `render` in, with a tiny model and timelines of its own."""

    folder: Path
    model: Path

    def arguments(self, *more):
        # The dtype by name, since some CPUs gain by bfloat16.
        tiny = [f"model.path={self.model}", "model=local", "model.steps=2", "model.dtype=float32"]
        return [*tiny, "output.fps=4", *more]

    def timeline(self, name, keyframes, **more):
        """Write configs/timeline/NAME.yaml; keyframes as dicts or as the file's own text."""
        path = self.folder / "configs" / "timeline" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {"keyframes": keyframes, **more}
        path.write_text(keyframes if isinstance(keyframes, str) else yaml.safe_dump(whole))
        return path

    def render(self, *more):
        """`render` with the tiny model."""
        return self.call(*self.arguments(*more))

    def call(self, *arguments):
        """`render` in this process, with nothing added.

        Hydra composes everything once before it begins, only to see whether a config sets
        `hydra.mode`. None does here, and it is two fifths of a plan's time.
        """
        out, err, before = io.StringIO(), io.StringIO(), (Path.cwd(), sys.argv)
        asks = any("hydra.mode" in argument for argument in arguments)
        mode_of = Hydra.get_mode if asks else lambda *_, **__: None
        os.chdir(self.folder)
        sys.argv = ["render", *arguments]
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                mock.patch.object(Hydra, "get_mode", mode_of),
            ):
                code = main()
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            os.chdir(before[0])
            sys.argv = before[1]
        return Ended(code, out.getvalue(), err.getvalue())

    def start(self, *more, then=lambda: None):
        """`render` with the tiny model as a process of its own, a fork of this one.

        Args:
            then: called in it at the end.
        """
        logs = self.folder.with_name(f"{self.folder.name}.logs")
        logs.mkdir(exist_ok=True)
        return Fork(self.folder, self.arguments(*more), logs, then)

    def run_json(self, name, root="outputs"):
        """run.json of a run."""
        return json.loads((self.folder / root / name / "run.json").read_text())

    def counts(self, name, root="outputs"):
        """(kept, rendered) of the latest run."""
        frames = self.run_json(name, root)["frames"]
        assert frames["failed"] == 0
        return frames["kept"], frames["rendered"]

    def pictures(self, name, root="outputs"):
        """The pixels of all shown frames, in order."""
        found = sorted((self.folder / root / name / "frames").glob("*.png"))
        return [np.asarray(Image.open(path)) for path in found]

    def temps(self):
        """Temporary files that a run left."""
        return list(self.folder.rglob("*.tmp"))

    def tree(self):
        """Every path with its content's hash: two equal trees mean that nothing was written."""
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in self.folder.rglob("*")
        }
