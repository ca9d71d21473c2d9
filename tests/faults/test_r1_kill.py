"""R1: kill -9 at any instant of a run. Every frame that is there is whole, and none is lost."""

import itertools
import json
import random
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from pictures import same_pictures
from PIL import Image

SEED = 1  # of the instants; another one is as good
KEYFRAMES = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two", "seed": 2}]
FRAMES = 13
COMMAND = ["+timeline=film", "output.fps=12", "output.width=32", "output.height=32"]
QUICK = {"blocks": 8, "batch": 2}
SLOW = {**QUICK, "call_seconds": 0.004}  # most of a run's time is then in its file calls
OURS = {"plan.json", "run.json", "config.yaml", "render.log", "sheet.png", "film.mp4", ".lock",
        "index.html", "page.js"}  # fmt: skip


@dataclass
class Whole:
    """The frames of an uninterrupted run."""

    digests: list[str]
    pictures: list[np.ndarray]
    video: str
    seconds: float


@pytest.fixture(scope="module")
def killed(film_site):
    """A place for runs that are killed."""
    return film_site(KEYFRAMES, *COMMAND)


@pytest.fixture(scope="module")
def whole(killed):
    for _ in range(2):  # the second one takes as long as those that follow
        forget(killed, random, everything=True)
        assert killed.rounds.render(**SLOW).code == 0
    seconds = killed.run_json("film")["seconds"]["total"]
    planned = json.loads((killed.run_folder("film") / "plan.json").read_text())["frames"]
    digests = [frame["digest"] for frame in planned]
    return Whole(digests, killed.pictures("film"), decoded(killed), seconds)


def decoded(site):
    """The video's frames, a checksum each; an error if it can't be decoded to its end."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-xerror", "-i", "film.mp4"]
    exact = ["-f", "framemd5", "-"]
    return subprocess.check_output([*command, *exact], cwd=site.run_folder("film"), text=True)


def proven(path):
    """A PNG's pixels and the digest it carries; fails if a byte of it is damaged."""
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image), image.info["render:digest"]


def check_what_is_there(site, whole):
    """Every file under a final name is whole and right; returns the digests that are there."""
    there = set()
    for path in site.stored():
        pixels, digest = proven(path)
        assert digest == path.stem
        assert np.array_equal(pixels, whole.pictures[whole.digests.index(digest)])
        there.add(digest)
    for path in site.frames("film"):
        pixels, digest = proven(path)
        index = int(path.stem.removeprefix("frame_"))
        assert digest == whole.digests[index]
        assert np.array_equal(pixels, whole.pictures[index])
        there.add(digest)
    check_other_files(site, whole)
    return there


def check_other_files(site, whole):
    folder = site.run_folder("film")
    others = {path.name for path in folder.glob("*") if path.suffix != ".tmp"} - {"frames"}
    assert others <= OURS
    for path in folder.glob("*.json"):
        json.loads(path.read_text())
    if (folder / "film.mp4").exists():
        assert decoded(site) == whole.video
    if (folder / "sheet.png").exists():
        Image.open(folder / "sheet.png").verify()


def inodes(site):
    return {path.stem: path.stat().st_ino for path in site.stored()}


def check_the_end(site, whole, before):
    """A run that came to its end rendered what was absent and nothing else, and left no rest."""
    assert site.counts("film") == (len(before), FRAMES - len(before), 0)
    assert before.items() <= inodes(site).items()  # what was there is the same file
    assert len(site.stored()) == FRAMES
    assert same_pictures(site.pictures("film"), whole.pictures)
    assert decoded(site) == whole.video
    assert not site.temps()


def instants(random_, count, seconds):
    """Random, but in every stretch of the run as many."""
    spread = [(place + random_.random()) / count * seconds for place in range(count)]
    random_.shuffle(spread)
    return spread


def kill_often(site, whole, kills):
    """Runs that continue each other, each killed unless it ends before; each sixth may end.

    Returns:
        How many of the kills came before the first frame, between two, and after the last.
    """
    random_ = random.Random(SEED)
    waiting, phases = [whole.seconds / 50], Counter()
    forget(site, random_, everything=True)
    for count in itertools.count(1):
        before = inodes(site)
        waiting = waiting or instants(random_, 25, whole.seconds)
        kill_after = waiting.pop() if count % 6 else None
        ended = site.rounds.render(kill_after=kill_after, **SLOW)
        there = check_what_is_there(site, whole)
        if ended.code == 0:
            check_the_end(site, whole, before)
            if phases.total() >= kills:
                return phases
        else:
            assert ended.code == -9, ended.err
            phases[phase(there)] += 1
        if len(there) == FRAMES:
            forget(site, random_, everything=random_.random() < 0.5)


def phase(there):
    """Of a run that ended here."""
    return "before" if not there else "between" if len(there) < FRAMES else "after"


def forget(site, random_, everything):
    """Remove the run's folder and some frames of the store or all; the others will be linked."""
    shutil.rmtree(site.run_folder("film"), ignore_errors=True)
    stored = site.stored()
    for path in stored if everything else random_.sample(stored, random_.randint(1, FRAMES)):
        path.unlink()


def test_kill_9_at_25_random_instants_loses_no_frame_and_leaves_no_half_one(killed, whole):
    phases = kill_often(killed, whole, 25)
    assert len(phases) == 3, phases
    assert phases["between"] >= 3


@pytest.mark.slow
def test_kill_9_at_500_random_instants_loses_no_frame_and_leaves_no_half_one(killed, whole):
    phases = kill_often(killed, whole, 500)
    assert len(phases) == 3, phases
    assert min(phases.values()) >= 20


@pytest.mark.parametrize("folder", ["film", "film/frames", ".store", ".store/??"])
def test_a_temp_file_that_a_kill_left_is_swept_wherever_it_lies(killed, whole, folder):
    """The kill comes when a temp file of that folder is about to get its name."""
    forget(killed, random, everything=True)
    log = killed.logs / f"{folder.replace('/', ' ')}.calls"
    assert killed.rounds.render(calls=str(log), **QUICK).code == 0
    forget(killed, random, everything=True)
    last = max(renames_in(log, f"outputs/{folder}"))
    assert killed.rounds.render(fail_call=last, fail_how="KILL", **QUICK).code == -9
    (temp,) = killed.temps()
    assert temp.parent.match(f"outputs/{folder}")
    assert killed.rounds.render({"output.format": "frames"}, **QUICK).code == 0
    assert not killed.temps()
    assert same_pictures(killed.pictures("film"), whole.pictures)


def renames_in(log, folder):
    """The numbers of the calls that give a file of a folder its name."""
    calls = map(json.loads, log.read_text().splitlines())
    return [n for n, call, _, onto in calls if call == "rename" and Path(onto).parent.match(folder)]


def test_temp_files_of_others_stay(killed, whole):
    """Files that only look like one stay; those that a living process holds are in R14."""
    frames, mark = killed.run_folder("film") / "frames", "0123456789abcdef"
    stale = f".frame_000000.png.render-{mark}.tmp"
    others = {f".frame_000000.png.elsewhere-99999999-{mark}.tmp", "mine.tmp"}
    for name in (stale, *others):
        (frames / name).touch()
    assert killed.rounds.render(**QUICK).code == 0
    assert {temp.name for temp in killed.temps()} == others
    for name in others:
        (frames / name).unlink()


def test_kill_9_of_the_real_model_loses_no_frame_and_leaves_no_half_one(real):
    """At two random calls between the first frame and the last; then it is as if nothing was."""
    log = real.logs / "real.calls"
    assert real.rounds.render({"compute.batch": 1}, calls=str(log)).code == 0
    whole = {path.name: path.read_bytes() for path in real.stored()}
    named = renames_in(log, "outputs/.store/??")
    shutil.rmtree(real.root)
    # The second run has fewer frames to render, and so fewer calls: both are killed early.
    for instant in sorted(random.Random(SEED).sample(range(named[0], named[len(named) // 2]), 2)):
        before = len(real.stored())
        kill = {"fail_call": instant, "fail_how": "KILL"}
        assert real.rounds.render({"compute.batch": 1}, **kill).code == -9
        assert before < len(real.stored()) < len(whole)
        assert all(path.read_bytes() == whole[path.name] for path in real.stored())
    before = inodes(real)
    assert real.rounds.render().code == 0
    assert real.counts("film") == (len(before), len(whole) - len(before), 0)
    assert before.items() <= inodes(real).items()
    assert {path.name: path.read_bytes() for path in real.stored()} == whole
    assert not real.temps()
    shutil.rmtree(real.root)
