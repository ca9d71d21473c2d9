"""S10: files that are not ours, through everything that renders, replaces and tidies up: none of
them is ever overwritten or deleted, and what has to make way is named."""

import hashlib
import os
import shutil

import pytest
from test_s5_quoting import frames_of
from things import SIDE, picture

WHOLE = [f"output.width={SIDE}", f"output.height={SIDE}", "output.fps=1"]
FILM = [{"at": at, "prompt": f"p{at}", "seed": at, "ease": "hold"} for at in range(6)]
EDITED = [*FILM[:3], {**FILM[3], "prompt": "edited"}, *FILM[4:]]
SHORTER = FILM[:3]
HEX = "ab" * 32

# Names under the root, each with content of its own; a render wants the first ones for itself.
IN_THE_WAY = ["film/film.mp4", "film/film.webp", "film/sheet.png", "film/plan.json",
              "film/run.json", "film/config.yaml", "film/render.log"]  # fmt: skip
BESIDE = [
    "film/frames/frame_000003.png",
    "film/frames/frame_000099.png",
    "film/frames/frame_0000010.png",
    "film/frames/frame_000001.PNG",
    "film/frames/holiday.jpg",
    "film/frames/notes.txt",
    "film/frames/sub/frame_000000.png",
    "film/frames/.frame_000000.png.tmp",
    "film/notes.txt",
    "film/film.mp4.bak",
    "film/other/plan.txt",
    ".store/notes.txt",
    ".store/ab/notes.txt",
    ".store/ab/.x.tmp",
    f".store/ab/{HEX}.png",
    f".store/ab/{HEX}.txt",
    ".store/mine/picture.png",
    ".store/.x.png.elsewhere-1-0123456789abcdef.tmp",
    "mine/film.mp4",
    "mine/frames/frame_000000.png",
]
STEPS = {
    "a render": (FILM, []),
    "the same again": (FILM, []),
    "a changed plan": (EDITED, []),
    "another format": (EDITED, ["output=webp"]),
    "a shorter plan": (SHORTER, []),
    "a stitch": (SHORTER, ["mode=stitch", "output=webp"]),
    "a plan": (FILM, ["mode=plan"]),
    "a sweep": (SHORTER, ["-m", "sampling.guidance=2,3", "output=frames"]),
    "a shard": (FILM, ["shard=0/2", "output=frames"]),
    "a prune": (SHORTER, ["mode=prune", "prune=yes"]),
    "a render of all": (FILM, []),
}


def contents(folder):
    """The hash of every file's content, wherever it lies now."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_foreign(root):
    """Every foreign file; those called .png are pictures of a frame's size. Hash by name."""
    written = {}
    for place, name in enumerate([*IN_THE_WAY, *BESIDE]):
        path, content = root / name, f"mine, {name}\n".encode()
        if name.endswith(".png"):
            content = picture(colour=(place, 200, 7))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written[name] = hashlib.sha256(content).hexdigest()
    return written


class Story:
    """The steps in order, in a folder full of foreign files, with what was there after each."""

    def __init__(self, calls):
        self.calls, self.root = calls, calls.site.here / "shared"
        self.foreign = write_foreign(self.root)
        self.answers, self.after = {}, {}
        for step, (keyframes, more) in STEPS.items():
            calls.site.timeline("film", keyframes)
            self.answers[step] = calls("+timeline=film", "root=shared", *WHOLE, *more)
            self.after[step] = contents(self.root)


@pytest.fixture(scope="module")
def story(calls):
    return Story(calls)


@pytest.mark.parametrize("step", STEPS)
def test_no_foreign_content_is_lost_by(story, step):
    assert story.answers[step].code == 0, story.answers[step].err
    lost = [name for name, content in story.foreign.items() if content not in story.after[step]]
    assert lost == []


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_not_in_the_way_stays_where_it_is(story, name):
    content = (story.root / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == story.foreign[name]


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_is_in_the_way_is_set_aside_once_and_it_is_said(story, name):
    aside = (story.root / name).with_name(f"{os.path.basename(name)}.set-aside-1")
    assert hashlib.sha256(aside.read_bytes()).hexdigest() == story.foreign[name]
    said = f"shared/{name} is not ours; it is now {aside.name}"
    assert sum(said in answer.err for answer in story.answers.values()) == 1
    assert len(list(aside.parent.glob(f"{os.path.basename(name)}.set-aside-*"))) == 1


def test_a_picture_under_a_frames_name_is_named_as_foreign(story):
    said = story.answers["a render"].err
    assert "foreign: 1, is a picture without our proof (frames 3)" in said
    assert "files that are not ours are left alone; the video shows our frames" in said


def test_the_video_shows_our_frames(story):
    assert frames_of(story.root / "film" / "film.mp4") == len(FILM)


def test_nothing_is_set_aside_that_is_ours(story):
    """After all the steps, what was set aside is what was foreign, and nothing more."""
    aside = [path for path in story.root.rglob("*.set-aside-*") if path.is_file()]
    assert {str(p.relative_to(story.root)).partition(".set-aside")[0] for p in aside} == set(
        IN_THE_WAY
    )


@pytest.fixture
def film(calls):
    """A film of three frames in a folder of its own."""
    calls.site.timeline("film", SHORTER)
    answer = calls("+timeline=film", "root=own", *WHOLE)
    assert answer.code == 0, answer.err
    yield calls.site.here / "own" / "film"
    shutil.rmtree(calls.site.here / "own")


def again(calls, *more):
    answer = calls("+timeline=film", "root=own", *WHOLE, *more)
    assert answer.code == 0, answer.err
    return answer


@pytest.mark.parametrize("more", [[], ["output.quality=20"], ["mode=stitch"]], ids=" ".join)
def test_a_video_that_someone_put_in_place_of_ours_is_set_aside(calls, film, more):
    (film / "film.mp4").write_bytes(b"my own cut")
    assert "film.mp4 is not ours; it is now film.mp4.set-aside-1" in again(calls, *more).err
    assert (film / "film.mp4.set-aside-1").read_bytes() == b"my own cut"
    assert frames_of(film / "film.mp4") == 3


def test_a_foreign_video_is_there_when_encoding_fails(calls, film):
    (film / "film.mp4").write_bytes(b"my own cut")
    answer = calls("+timeline=film", "root=own", *WHOLE, env={"IMAGEIO_FFMPEG_EXE": "/bin/false"})
    assert answer.code == 4
    assert (film / "film.mp4").read_bytes() == b"my own cut"


def test_a_sheet_that_someone_put_in_place_of_ours_is_set_aside(calls, film):
    (film / "sheet.png").write_bytes(picture())
    assert "sheet.png is not ours" in again(calls).err
    assert (film / "sheet.png.set-aside-1").read_bytes() == picture()


@pytest.mark.parametrize("change", ["touch", "copy", "move"])
def test_our_own_video_is_known_when_it_was_touched_copied_or_moved(calls, film, change):
    if change == "touch":
        os.utime(film / "film.mp4", (1, 1))
    elif change == "copy":
        shutil.copytree(film.parent, film.parent.with_name("copy"), copy_function=shutil.copyfile)
        shutil.rmtree(film.parent)
        film.parent.with_name("copy").rename(film.parent)
    else:
        film.parent.rename(film.parent.with_name("moved"))
        film.parent.with_name("moved").rename(film.parent)
    answer = again(calls)
    assert "film.mp4 (as it was)" in answer.out
    assert "0 rendered, 3 kept" in answer.out
    assert not list(film.rglob("*set-aside*"))


@pytest.mark.parametrize("more", [["output.quality=20"], ["timeline.keyframes.0.seed=9"]])
def test_our_own_video_is_replaced_without_ado(calls, film, more):
    before = (film / "film.mp4").read_bytes()
    assert "not ours" not in again(calls, *more).err
    assert (film / "film.mp4").read_bytes() != before
    assert not list(film.rglob("*set-aside*"))
