"""S5: texts and paths that a shell or ffmpeg would read as more: the right video, and no more."""

import json
import re
import subprocess

import imageio_ffmpeg
import pytest
from outside import tree

ODD = [
    "'; touch pwned; '",
    '"; touch pwned; "',
    "$(touch pwned)",
    "`touch pwned`",
    "| touch pwned",
    "&& touch pwned #",
    "%d %06d %s %n",
    "[x] [a-z]* ?",
    "it's",
    'a "quoted" text',
    "concat:a|b",
    "tee:pwned",
    "file:pwned",
    "pipe:1",
    "crypto:x",
    "-y -f null pwned",
    "a=b:c=d;e,f",
    "two\nlines\r\nand\ttabs",
    "\\ \\n \\' é 中 🙂",
    "movie=pwned,scale",
]
ROOTS = [text for text in ODD if text.isprintable()]  # control characters are refused (S1)
TITLES = ["a title, with .+=@() in it", "concat", "x.mp4", "x" * 100]
FPS = 2
FRAMES = 2
FILM = [{"at": 0, "prompt": "a"}, {"at": 0.5, "prompt": "b"}]
SMALL = ["output.fps=2", "output.width=64", "output.height=64"]


def quoted(text):
    """A text as Hydra's command line takes it."""
    inner = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text)
    return f"'{inner}'"


def frames_of(video):
    """How many frames a video shows, by decoding it."""
    ask = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", f"file:{video}"]
    ask += ["-map", "0:v", "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    listed = subprocess.run(ask, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    return sum(line.startswith("0,") for line in listed.stdout.decode().splitlines())


def test_odd_prompts_are_in_the_frames_and_nothing_else_happens(calls):
    keyframes = [{"at": at / FPS, "prompt": text, "negative": text} for at, text in enumerate(ODD)]
    calls.site.timeline("odd", keyframes)
    before = set(tree(calls.site.here))
    answer = calls("+timeline=odd", *SMALL)
    assert answer.code == 0, answer.err
    folder = calls.site.run_folder("odd")
    plan = json.loads((folder / "plan.json").read_bytes())
    assert [frame["prompts"][0][0] for frame in plan["frames"]] == ODD
    assert frames_of(folder / "odd.mp4") == len(ODD)
    new = set(tree(calls.site.here)) - before  # roots of other tests have such names
    assert not any("pwned" in path for path in new)
    assert all(path.startswith(str(calls.site.root)) for path in new)


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_of_any_name_gets_the_right_video(calls, root):
    calls.site.timeline("t", FILM)
    before = set(tree(calls.site.here))
    answer = calls("+timeline=t", *SMALL, f"root={quoted(root)}")
    assert answer.code == 0, answer.err
    folder = calls.site.here / root / "t"
    assert frames_of(folder / "t.mp4") == FRAMES
    assert len(list((folder / "frames").glob("*.png"))) == FRAMES
    new = set(tree(calls.site.here)) - before
    top = calls.site.here / root.split("/")[0]
    assert all(path.startswith(str(top)) for path in new)
    assert {path.name for path in folder.iterdir()} == {
        *(".lock", "config.yaml", "frames", "plan.json", "render.log", "run.json"),
        *("sheet.png", "t.mp4", "index.html", "page.js"),
    }


@pytest.mark.parametrize("title", TITLES)
def test_a_title_that_is_allowed_is_the_videos_name_and_title(calls, title):
    calls.site.timeline("t", FILM)
    answer = calls("+timeline=t", *SMALL, f"name={quoted(title)}")
    assert answer.code == 0, answer.err
    video = calls.site.root / title / f"{title}.mp4"
    assert frames_of(video) == FRAMES
    ask = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", f"file:{video}", "-f", "ffmetadata", "-"]
    listed = subprocess.run(ask, capture_output=True, check=True).stdout.decode()
    assert f"title={title.replace('=', chr(92) + '=')}\n" in listed


@pytest.mark.parametrize("title", [t for t in ODD if t != "concat:a|b"][:8])
def test_a_title_with_more_in_it_is_refused(calls, title):
    calls.site.timeline("t", FILM)
    before = tree(calls.site.here)
    answer = calls("+timeline=t", f"name={quoted(title)}")
    assert answer.code == 2
    assert "can't name a folder" in answer.err
    assert tree(calls.site.here) == before


@pytest.mark.parametrize("output", ["gif", "webm"])
def test_a_working_folder_of_any_name_gets_the_right_video(site, output):
    """gif: the palette is a second file that ffmpeg reads."""
    odd = site.here.with_name("here %d [x] it's $(touch pwned) concat:a|b")
    site.here.rename(odd)
    site.here, site.root = odd, odd / "outputs"
    site.timeline("t", FILM)
    ended = site.render("+timeline=t", *SMALL, f"output={output}")
    assert ended.code == 0, ended.err
    assert frames_of(site.run_folder("t") / f"t.{output}") == FRAMES
    assert not list(odd.rglob("pwned*"))
    odd.rename(odd.with_name("here"))
    site.here = odd.with_name("here")
