"""R2: the file calls of a run, in their order; then the k-th of them fails, for every k (SQLite's
method), with an I/O error, with a full disk and with a kill: nothing is lost or half, ever."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

import numpy as np
import pytest
from films import write_model
from kernel import CREATED, DELETED, MODIFIED, MOVED_FROM, MOVED_TO, Kernel
from outside import Site
from PIL import Image
from rounds import Rounds
from safetensors.numpy import save_file

from render.run.undo import NAMES as PUT_BACK

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(2)]
EDITED = [FILM[0], {**FILM[1], "prompt": "edited"}]
LONGER = [*FILM, {"at": 2, "prompt": "p2"}]
CALL = ("+timeline=film", "model=local", "model.path=model", "model.steps=2", "output=frames",
        "output.fps=1", "output.width=64", "output.height=64")  # fmt: skip
FAULTS = ("EIO", "ENOSPC", "KILL")
SAID = {"EIO": "Input/output error", "ENOSPC": "room"}


@dataclass(frozen=True)
class Call:
    """One line of the record; a temp file's name is cut to that of its target, and `.tmp`."""

    number: int
    name: str
    where: str
    more: object
    after: str = ""
    """The file that took its name last."""

    @property
    def reads(self) -> bool:
        return self.name == "open" and self.more is False

    @property
    def what(self) -> str:
        how = " to read" if self.reads else " to write" if self.name == "open" else ""
        onto = f" → {tidy(self.more)}" if isinstance(self.more, str) else ""
        return f"{self.name}{how} {tidy(self.where)}{onto}"


def tidy(path: str) -> str:
    """`.store/ab/.ab….png.host-12-34.tmp` is `.store/ab/ab….png.tmp`."""
    folder, _, name = path.rpartition("/")
    if name.endswith(".tmp"):
        name = name[1:].removesuffix(".tmp").rpartition(".")[0] + ".tmp"
    return f"{folder}/{name}" if folder else name


@dataclass
class Lab:
    """Many roots under one site, and one process to render in them."""

    site: Site
    rounds: Rounds
    numbers: count = field(default_factory=count)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)

    def root(self, like: Path | None = None) -> Path:
        """A new root; hard links among the files of the one it is like stay links."""
        made = self.site.here / f"root{next(self.numbers)}"
        if like:
            subprocess.run(["cp", "-a", like, made], check=True)
        else:
            made.mkdir()
        return made

    def render(self, root: Path, changes=None, **faults):
        if faults:
            faults |= {"under": root.name, "calls": str(self.record_of(root))}
            self.record_of(root).unlink(missing_ok=True)
        return self.rounds.render({"root": root.name, **(changes or {})}, **faults)

    def record_of(self, root: Path) -> Path:
        return self.site.logs / f"{root.name}.calls"

    def recorded(self, root: Path) -> list[Call]:
        lines = self.record_of(root).read_text().splitlines()
        calls, after = [], ""
        for number, name, where, more in map(json.loads, lines):
            calls.append(Call(number, name, where, more, after))
            after = more if name == "rename" and isinstance(more, str) else after
        return calls

    def learn(self, root: Path) -> None:
        """The pictures of a run that nothing happened to are the right ones."""
        for path in frames_in(root):
            digest, pixels = opened(path)
            self.pictures[digest] = pixels


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("r2"))
    site.timeline("film", FILM)
    model = write_model(site.here / "model")
    big = {"weights": np.zeros(1 << 20, np.uint8)}  # big enough for its hash to be remembered
    save_file(big, model / "unet" / "model.safetensors")
    lab = Lab(site, Rounds(site, *CALL))
    for timeline in (FILM, EDITED, LONGER):
        root = lab.root()
        assert lab.render(root, {"timeline.keyframes": timeline}).code == 0
        lab.learn(root)
    yield lab
    lab.rounds.close()
    site.close()


@dataclass(frozen=True)
class Scene:
    """The folder that a run finds and the run itself: `begun` makes a root, `changes` are the
    run's."""

    begun: object
    changes: dict
    frames: int = 2


def from_nothing(lab: Lab) -> Path:
    return lab.root()


def rendered(timeline):
    def begun(lab: Lab) -> Path:
        root = lab.root()
        assert lab.render(root, {"timeline.keyframes": timeline}).code == 0
        return root

    return begun


def without(name):
    def begun(lab: Lab) -> Path:
        root = rendered(FILM)(lab)
        shutil.rmtree(root / name)
        return root

    return begun


def stitched_before(lab: Lab) -> Path:
    root = rendered(FILM)(lab)
    assert lab.render(root, {"output.format": "mp4"}).code == 0
    return root


SCENES = {
    "a film from nothing": Scene(from_nothing, {}),
    "frames of the store are shown": Scene(without("film"), {}),
    "frames of the folder are adopted": Scene(without(".store"), {}),
    "an edited film": Scene(rendered(FILM), {"timeline.keyframes": EDITED}),
    "a shorter film": Scene(rendered(LONGER), {}),
    "a video": Scene(rendered(FILM), {"output.format": "mp4"}),
    "another video": Scene(stitched_before, {"output.format": "mp4", "output.quality": 20}),
}


def frames_in(root: Path) -> list[Path]:
    """Every file under a frame's name."""
    shown, stored = root.glob("film/frames/frame_*.png"), root.glob(".store/??/*.png")
    return sorted([*shown, *stored])


def opened(path: Path) -> tuple[str, np.ndarray]:
    """A frame's digest and pixels; raises if its file is not whole."""
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return image.info["render:digest"], np.asarray(image)


def all_whole(lab: Lab, root: Path) -> set[str]:
    """Every frame that is there is whole and right; the digests of those in the store."""
    for path in frames_in(root):
        digest, pixels = opened(path)
        assert np.array_equal(pixels, lab.pictures[digest]), path
        assert path.stem in (digest, path.stem if path.parent.name == "frames" else "")
    for name in ("film/plan.json", "film/run.json", ".store/timings.json", ".store/models.json"):
        assert not (root / name).exists() or json.loads((root / name).read_bytes())
    return {path.stem for path in root.glob(".store/??/*.png")}


def exactly_the_plan(lab: Lab, root: Path, scene: Scene) -> None:
    """The film is complete, and nothing else is there."""
    all_whole(lab, root)
    planned = json.loads((root / "film/plan.json").read_bytes())["frames"]
    assert len(planned) == scene.frames
    shown = sorted((root / "film/frames").iterdir())
    assert [path.name for path in shown] == [f"frame_{k:06d}.png" for k in range(scene.frames)]
    assert [opened(path)[0] for path in shown] == [frame["digest"] for frame in planned]
    with Image.open(root / "film/sheet.png") as sheet:
        sheet.verify()
    if "output.format" in scene.changes:
        assert playable(root / "film/film.mp4")
    assert temps(root) == []


def temps(root: Path) -> list[Path]:
    return list(root.rglob("*.tmp"))


def playable(video: Path) -> bool:
    """Whether ffmpeg decodes all two frames."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-xerror", "-v", "error", "-i", video]
    result = subprocess.run([*command, "-f", "framecrc", "-"], capture_output=True, check=True)
    return sum(line.startswith(b"0,") for line in result.stdout.splitlines()) == 2


PAGE = ("film/index.html", "film/page.js")
MEMORY_LOCKS = (".store/.lock-models", ".store/.lock-timings")


def absorbed(call: Call) -> bool:
    """Whether a film may be complete though this call failed."""
    memories = (".store/models.json", ".store/timings.json", *MEMORY_LOCKS)
    of_the_page = any(name in call.what for name in PAGE)
    if of_the_page or (call.where == "film" and call.after in PAGE):
        return True  # a film is whole without its page
    if any(name in call.what for name in memories) or call.where in (".", ".store"):
        return True  # memories of hashes and times, and the folder that is made for them first
    if call.reads:
        # plan.json is read to say what changed since; the frames are judged by themselves. And all
        # small files are kept, to be put back if the run is refused, which this one is not.
        return call.where.endswith((*PUT_BACK, "timings.json", ".png"))
    again = call.name == "mkdir"  # … of a folder that is there
    return again or call.name == "link" or (call.where.endswith(".lock") and call.name != "open")


def codes_for(call: Call, how: str) -> set[int]:
    if how == "ENOSPC":
        return {28}
    if call.where == "." or (call.name == "mkdir" and call.where == "film"):
        return {2}  # there can't be such a folder
    if "film.mp4" in call.where:
        return {4}
    # While encoding it is the video that is not there: a frame is read for it or to be shown, and
    # run.json, the folder and the log are written then and at other times.
    either = (call.where.endswith(".png") and call.reads) or "run.json" in call.where
    either = either or call.where in ("film", "film/render.log")
    return {1, 4} if either else {1}


def ended_right(ended, call: Call, how: str) -> None:
    """The exit code, and one line that says what, where and the way out."""
    if how == "KILL":
        assert ended.code == -9
        return
    assert "Traceback" not in ended.err + ended.out
    if ended.code == 0:
        assert absorbed(call), f"{how} at {call.what} went unnoticed"
        return
    last = ended.err.splitlines()[-1]
    assert last.startswith("render: "), last
    assert "bug in render" not in last
    assert SAID[how] in last, last
    assert ended.code in codes_for(call, how), (call.what, last)


def fail_one(lab: Lab, scene: Scene, base: Path, call: Call, how: str) -> None:
    """One round: this call fails, then the same command once more."""
    if how == "ENOSPC" and (call.reads or call.name == "unlink"):
        return  # a full disk refuses nobody who reads or removes
    root = lab.root(base)
    ended = lab.render(root, scene.changes, fail_call=call.number, fail_how=how)
    calls = lab.recorded(root)
    if len(calls) < call.number:  # how many there are may differ with the machine's load …
        assert ended.code == 0, (call.what, ended.err)  # … and then nothing has failed
        exactly_the_plan(lab, root, scene)
        shutil.rmtree(root)
        return
    done = calls[call.number - 1]
    if done.what != call.what:  # frames that are read at one time, by threads, in any order
        assert done.reads
        assert {done.where[-4:], call.where[-4:]} == {".png"}
    ended_right(ended, call, how)
    stored = all_whole(lab, root)
    if ended.code == 0:
        exactly_the_plan(lab, root, scene)
    if how != "KILL" and call.name != "unlink":
        assert temps(root) == [], call.what
    video_is_right(root, base)
    again = lab.render(root, scene.changes)
    assert again.code == 0, (call.what, again.err)
    exactly_the_plan(lab, root, scene)
    result, planned = (json.loads((root / f"film/{name}.json").read_bytes())["frames"]
                     for name in ("run", "plan"))  # fmt: skip
    before = {opened(path)[0] for path in base.glob("film/frames/*.png")}
    missing = {frame["digest"] for frame in planned} - stored - before
    assert result["rendered"] == len(missing), call.what
    shutil.rmtree(root)


def video_is_right(root: Path, base: Path) -> None:
    """No video, the old one, or a whole new one."""
    now, old = root / "film/film.mp4", base / "film/film.mp4"
    if old.exists() or now.exists():
        assert (old.exists() and now.read_bytes() == old.read_bytes()) or playable(now)


@pytest.fixture(scope="module")
def begun(lab):
    """A scene's root before its run, and the calls of a run that nothing happens to; by name."""
    made = {}

    def of(name: str) -> tuple[Path, list[Call]]:
        if name not in made:
            base = SCENES[name].begun(lab)
            root = lab.root(base)
            assert lab.render(root, SCENES[name].changes, fail_how="EIO").code == 0
            made[name] = base, lab.recorded(root)
        return made[name]

    return of


LASTING = ("write", "fsync", "link", "rename")


@pytest.fixture
def recorded(lab):
    """The file calls of a film from nothing to its video, and its root."""
    root = lab.root()
    assert lab.render(root, {"output.format": "mp4"}, fail_how="EIO").code == 0
    return root, lab.recorded(root)


def test_a_frame_is_written_synced_renamed_and_its_folder_synced(recorded):
    root, calls = recorded
    new_folders = {call.number + 2 for call in calls if call.name == "mkdir"}  # … being synced
    done = [c.what for c in calls if c.name in LASTING and c.number not in new_folders]
    for frame in json.loads((root / "film/plan.json").read_bytes())["frames"]:
        folder = f".store/{frame['digest'][:2]}"
        stored, shown = f"{folder}/{frame['digest']}.png", frame_name(frame["index"])
        first = done.index(f"write {stored}.tmp")
        assert done[first : first + 7] == [
            f"write {stored}.tmp",
            f"fsync {stored}.tmp",
            f"rename {stored}.tmp → {stored}",
            f"fsync {folder}",
            f"link {stored} → {shown}.tmp",
            f"rename {shown}.tmp → {shown}",
            "fsync film/frames",
        ]


@pytest.mark.parametrize(
    "name",
    ["film/plan.json", "film/config.yaml", "film/film.mp4", "film/sheet.png", "film/run.json"],
)
def test_every_other_file_is_synced_renamed_and_its_folder_synced(recorded, name):
    done = [call.what for call in recorded[1] if call.name in ("fsync", "rename")]
    first = done.index(f"fsync {name}.tmp")
    assert done[first + 1 : first + 3] == [f"rename {name}.tmp → {name}", "fsync film"]


def test_a_new_folder_is_synced_into_the_one_above(recorded):
    calls = [call.what for call in recorded[1]]
    made = [call for call in recorded[1] if call.name == "mkdir"]
    assert {call.where for call in made} >= {".store", "film", "film/frames"}
    for call in made:
        above = call.where.rpartition("/")[0] or "."
        assert calls[call.number : call.number + 2] == [f"open to read {above}", f"fsync {above}"]


def test_nothing_opens_a_final_name_for_writing(recorded):
    written = [call.where for call in recorded[1] if call.name == "open" and call.more]
    assert {path for path in written if not path.endswith(".tmp")} == {
        "film/.lock",
        "film/render.log",
        *MEMORY_LOCKS,
    }


@pytest.mark.parametrize("form", ["frames", "mp4"])
def test_no_file_call_escapes_the_record(lab, form):
    """The kernel's own account of the same run agrees with it."""
    root = rendered(FILM)(lab)
    for path in frames_in(root):
        path.unlink()
    kernel = Kernel([root, *(path for path in root.rglob("*") if path.is_dir())])
    assert lab.render(root, {"output.format": form}, fail_how="EIO").code == 0
    seen = [(what, str(path.relative_to(root))) for what, path in kernel.seen()]
    calls = lab.recorded(root)
    from_ffmpeg = {p for what, p in seen if what == MODIFIED and "film.mp4" in p}
    written = {call.where for call in calls if call.name in ("write", "pwrite", "truncate")}
    assert {p for what, p in seen if what == MODIFIED} == written | from_ffmpeg
    assert all(path.endswith(".tmp") for path in from_ffmpeg)
    renamed = [side for call in calls if call.name == "rename" for side in (call.where, call.more)]
    assert [path for what, path in seen if what in (MOVED_FROM, MOVED_TO)] == renamed
    made = {call.where for call in calls if call.name in ("open", "mkdir")}
    made |= {call.more for call in calls if call.name == "link"}
    assert {path for what, path in seen if what == CREATED} <= made
    assert {path for what, path in seen if what == DELETED} <= {
        call.where for call in calls if call.name == "unlink"
    }


def frame_name(index: int) -> str:
    return f"film/frames/frame_{index:06d}.png"


def of_the_first_frame(calls: list[Call]) -> list[Call]:
    """From its folder in the store to its name in the run's folder, synced."""
    begin = next(at for at, call in enumerate(calls) if call.what.startswith("mkdir .store/"))
    shown = f"rename {frame_name(0)}.tmp → {frame_name(0)}"
    end = next(at for at, call in enumerate(calls) if call.what == shown)
    return calls[begin : end + 4]  # with the temp file's removal and the folder's sync


@pytest.mark.parametrize("how", FAULTS)
def test_whatever_call_of_a_frame_fails_nothing_is_lost(lab, begun, how):
    base, calls = begun("a film from nothing")
    for call in of_the_first_frame(calls):
        fail_one(lab, SCENES["a film from nothing"], base, call, how)


@pytest.mark.parametrize("name", SCENES)
def test_some_call_of_each_kind_of_run_fails_and_nothing_is_lost(lab, begun, name):
    """Every fourteenth call, each with another of the three faults than the one before."""
    base, calls = begun(name)
    for call, how in zip(calls[5::14], cycle(FAULTS), strict=False):
        fail_one(lab, SCENES[name], base, call, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("name", SCENES)
def test_whatever_file_call_fails_nothing_is_lost(lab, begun, name, how):
    base, calls = begun(name)
    for call in calls:
        fail_one(lab, SCENES[name], base, call, how)
    untouched = lab.root(base)
    assert lab.render(untouched, SCENES[name].changes, fail_call=len(calls) + 1).code == 0
