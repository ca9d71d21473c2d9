"""Render, edit, kill, delete, damage, stitch, prune, in any order: frames are whole at all times,
strangers' files stay, and one more run gives exactly the plan's frames with the right pixels."""

import hashlib
import json
import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from films import write_model
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from outside import Site
from PIL import Image
from rounds import Rounds
from stand_in import noise

CALL = ("+timeline=film", "model=local", "model.path=model", "model.steps=2", "output=frames",
        "output.width=64", "output.height=64", "output.fps=1")  # fmt: skip
SIDE = 64
PLACES = st.integers(0, 3)
WORDS = st.sampled_from(["a town", "a castle", "a forest"])
NUMBERS = count()


def open_place(folder: Path) -> Rounds:
    """One process that renders all films of these tests."""
    site = Site(folder)
    site.timeline("film", [{"at": 0, "prompt": "none"}])
    write_model(site.here / "model")
    return Rounds(site, *CALL)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    rounds = open_place(tmp_path_factory.mktemp("any"))
    yield rounds
    rounds.close()
    rounds.site.close()


class Film:
    """A film of three keyframes, its root, and what was done to its files by others than us."""

    def __init__(self, rounds: Rounds) -> None:
        self.rounds = rounds
        self.root = rounds.site.here / f"root{next(NUMBERS)}"
        self.prompts, self.seeds, self.fps = ["a town", "a castle", "a town"], [0, 0, 1], 1
        self.damaged: set[str] = set()
        self.strange: list[bytes] = []

    @property
    def frames(self) -> Path:
        return self.root / "film" / "frames"

    def changes(self) -> dict:
        """The film as it is declared now, one second from keyframe to keyframe."""
        listed = [
            {"at": at, "prompt": prompt, "seed": seed}
            for at, (prompt, seed) in enumerate(zip(self.prompts, self.seeds, strict=True))
        ]
        return {"timeline.keyframes": listed, "output.fps": str(self.fps)}

    def render(self, root: Path | None = None, more: dict | None = None, **faults):
        root = root or self.root
        if faults:
            root.mkdir(exist_ok=True)
            faults["under"] = root.name
        return self.rounds.render({"root": root.name} | self.changes() | (more or {}), **faults)

    def right(self, more: dict | None = None):
        ended = self.render(more=more)
        assert ended.code == 0, ended.err
        return ended

    def shown(self) -> list[Path]:
        return sorted(self.frames.glob("frame_*.png"))

    def stored(self) -> list[Path]:
        return sorted(self.root.glob(".store/??/*.png"))

    def damage(self, path: Path, content: bytes, in_place: bool) -> None:
        """Other content under a name; in place, it is so under the file's other name too."""
        if not in_place:
            path.unlink()
        path.write_bytes(content)
        self.damaged.add(content_of(path))

    def put(self, path: Path, content: bytes) -> None:
        """A stranger's file takes a frame's name."""
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        self.damaged.add(content_of(path))
        self.strange.append(content)

    def whole(self) -> None:
        """Every file under a frame's name is whole and right, or was damaged by others."""
        for path in (*self.shown(), *self.stored()):
            if content_of(path) not in self.damaged:
                with Image.open(path) as image:
                    image.verify()
                with Image.open(path) as image:
                    assert np.array_equal(np.asarray(image), right_pixels(image)), path
                    if path.parent != self.frames:
                        assert image.info["render:digest"] == path.stem

    def strangers_stay(self) -> None:
        """Files that others put there are still there, under its name or set aside."""
        there = [path.read_bytes() for path in self.frames.iterdir()] if self.strange else []
        for content in self.strange:
            assert content in there

    def complete(self) -> None:
        """One more run gives exactly the plan's frames; a fresh root gives the same."""
        self.right()
        fresh = self.root.with_name(f"{self.root.name}-fresh")
        assert self.render(fresh).code == 0
        wanted = sorted((fresh / "film" / "frames").iterdir())
        names = {path.name for path in wanted}  # beyond them, what nobody can prove ours may stay
        shown = [p for p in self.shown() if p.name in names or content_of(p) not in self.damaged]
        assert [path.name for path in shown] == [path.name for path in wanted]
        for path, right in zip(shown, wanted, strict=True):
            if path.read_bytes() in self.strange:
                path = self.root.joinpath(*right_place(right))
            with Image.open(path) as one, Image.open(right) as other:
                assert np.array_equal(np.asarray(one), np.asarray(other))
        self.whole()
        self.strangers_stay()
        assert list(self.root.rglob("*.tmp")) == []
        planned = json.loads((self.root / "film" / "plan.json").read_bytes())["frames"]
        assert len(planned) == len(wanted)
        self.right()
        counts = json.loads((self.root / "film" / "run.json").read_bytes())["frames"]
        assert counts == {"planned": len(wanted), "kept": len(wanted), "rendered": 0, "failed": 0}
        shutil.rmtree(fresh)
        shutil.rmtree(self.root)


def content_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def right_place(frame: Path) -> tuple[str, str, str]:
    """Where the store has a frame."""
    with Image.open(frame) as image:
        digest = image.info["render:digest"]
    return ".store", digest[:2], f"{digest}.png"


def right_pixels(image: Image.Image) -> np.ndarray:
    """The picture that the stand-in paints for the spec in the frame."""
    return noise(json.loads(image.info["render:spec"]), SIDE, SIDE)


def broken(content: bytes, how: str) -> bytes:
    """A damaged copy."""
    if how == "flip":
        content = content or b"\0"  # it may have been damaged before
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return {"empty": b"", "byte": content[:1], "half": content[: len(content) // 2]}[how]


class Machine(RuleBasedStateMachine):
    """The acts of people, disks and power cuts on a film, in any order."""

    rounds: Rounds

    @initialize()
    def begin(self):
        self.film = Film(self.rounds)

    @rule()
    def render(self):
        self.film.right()

    @rule(shard=st.sampled_from(["0/1", "0/2", "1/2", "2/3"]))
    def render_a_shard(self, shard):
        self.film.right({"shard": shard})

    @rule(place=st.integers(0, 2), prompt=WORDS)
    def edit_a_prompt(self, place, prompt):
        self.film.prompts[place] = prompt

    @rule(place=st.integers(0, 2), seed=st.integers(0, 1))
    def edit_a_seed(self, place, seed):
        self.film.seeds[place] = seed

    @rule(fps=st.sampled_from([1, 2]))
    def another_rate(self, fps):
        self.film.fps = fps

    @rule()
    def other_order(self):
        self.film.prompts.reverse()

    @rule(k=st.integers(1, 130), how=st.sampled_from(["KILL", "KILL", "EIO", "ENOSPC"]))
    def a_file_call_fails(self, k, how):
        ended = self.film.render(fail_call=k, fail_how=how)
        assert "Traceback" not in ended.err
        assert "bug in render" not in ended.err
        assert ended.code in (-9, 0, 1, 2, 4, 28), ended.err

    @rule(place=PLACES, of_store=st.booleans())
    def delete(self, place, of_store):
        for path in (self.film.stored() if of_store else self.film.shown())[place : place + 1]:
            if path.read_bytes() not in self.film.strange:
                path.unlink()

    @rule()
    def empty_the_store(self):
        shutil.rmtree(self.film.root / ".store", ignore_errors=True)

    @rule(
        place=PLACES,
        of_store=st.booleans(),
        in_place=st.booleans(),
        how=st.sampled_from(["flip", "half", "byte", "empty"]),
    )
    def damage(self, place, of_store, in_place, how):
        for path in (self.film.stored() if of_store else self.film.shown())[place : place + 1]:
            if path.read_bytes() not in self.film.strange:
                self.film.damage(path, broken(path.read_bytes(), how), in_place)

    @rule(place=PLACES, kind=st.sampled_from(["picture", "text"]))
    def a_stranger_takes_a_name(self, place, kind):
        film = self.film
        for path in film.shown()[place : place + 1]:
            if path.read_bytes() not in film.strange:
                film.put(path, picture_of(len(film.strange)) if kind == "picture" else
                         b"my notes %d, longer than a signature\n" % len(film.strange))  # fmt: skip

    @rule(name=st.sampled_from(["film/run.json", "film/plan.json", ".store/timings.json"]))
    def scribble(self, name):
        path = self.film.root / name
        if path.exists():
            path.write_bytes(b"{")

    @rule()
    def prune(self):
        ended = self.film.render(more={"mode": "prune", "prune": "yes"})
        assert ended.code in (0, 1), ended.err  # 1: a plan that can't be read
        assert ended.code == 0 or "can't be read" in ended.err

    @rule()
    def stitch(self):
        ended = self.film.render(more={"mode": "stitch", "output.format": "mp4"})
        assert ended.code in (0, 4), ended.err
        assert ended.code == 0 or "frames are not there" in ended.err

    @invariant()
    def frames_are_whole(self):
        if hasattr(self, "film"):
            self.film.whole()
            self.film.strangers_stay()

    def teardown(self):
        if hasattr(self, "film"):
            self.film.complete()


def picture_of(number: int) -> bytes:
    """A stranger's PNG, of the film's size, without our proof."""
    import io

    encoded = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (number, 1, 2)).save(encoded, "PNG")
    return encoded.getvalue()


def in_any_order(rounds: Rounds, examples: int, steps: int, **more) -> None:
    machine = type("Machine", (Machine,), {"rounds": rounds})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


def test_after_any_order_one_more_run_gives_the_plans_frames(rounds):
    in_any_order(rounds, 5, 10, derandomize=True)


@pytest.mark.slow
def test_after_very_many_orders_one_more_run_gives_the_plans_frames(rounds):
    in_any_order(rounds, 300, 30, phases=set(Phase) - {Phase.shrink})


def test_a_strangers_text_under_a_frames_name_is_set_aside(rounds):
    film = Film(rounds)
    film.right()
    film.put(film.shown()[1], b"my notes, longer than a signature\n")
    assert "is not ours; it is now frame_000001.png.set-aside-1" in film.right().err
    film.complete()


@pytest.mark.parametrize("how", ["flip", "half", "byte", "empty"])
def test_a_frame_damaged_under_both_its_names_comes_back(rounds, how):
    film = Film(rounds)
    film.right()
    film.damage(film.shown()[1], broken(film.shown()[1].read_bytes(), how), in_place=True)
    film.complete()


def test_a_frame_in_the_place_of_another_is_not_taken_for_it(rounds):
    film = Film(rounds)
    film.right()
    first, second, _ = film.shown()
    film.damage(second, first.read_bytes(), in_place=False)
    film.complete()


def test_texts_in_another_order_are_the_same_picture(rounds):
    """The first find of the machine, in the stand-in: its pictures depended on the order."""
    film = Film(rounds)
    film.prompts, film.seeds, film.fps = ["a town", "a castle", "a town"], [0, 0, 0], 2
    film.right()
    film.complete()
