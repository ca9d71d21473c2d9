"""R7: ffmpeg is absent, fails, lies, hangs, floods or is killed: no video or a right one."""

import shutil

import imageio_ffmpeg
import pytest
from outside import Site, content_hash

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(4)]
CALL = ("+timeline=film", "output.fps=1", "output.width=128", "output.height=128")
AGAIN = (*CALL, "output.quality=70")  # another video of the same frames
PICTURE_BYTES = 128 * 128 * 3
WHILE_ENCODING = 'case "$*" in *rawvideo*) {} ;; *) exec "$REAL" "$@" ;; esac'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A site with a finished film, and how its run ended."""
    site = Site(tmp_path_factory.mktemp("made"))
    site.timeline("film", FILM)
    ended = site.render(*CALL)
    assert ended.code == 0
    return site, ended


@pytest.fixture
def film(site, made):
    """The same, for each test to harm."""
    shutil.copytree(made[0].here, site.here, dirs_exist_ok=True)
    return site


def standing_in(site, script: str) -> dict[str, str]:
    """The environment in which a shell script is the ffmpeg; `$REAL` is the real one."""
    path = site.here / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"IMAGEIO_FFMPEG_EXE": str(path), "REAL": imageio_ffmpeg.get_ffmpeg_exe()}


def frames_in(video) -> int:
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(video))
    return frames


FAILURES = {
    "exits with 1": (
        "echo 'line 1' >&2; echo 'the [reason]' >&2; exit 1",
        "render: ffmpeg ended with code 1 after",
        "render: line 1\nrender: the [reason]\n",
    ),
    "is killed half way": (
        f"head -c {2 * PICTURE_BYTES} > /dev/null; echo half >&2; kill -9 $$",
        "render: ffmpeg ended with code -9 after",
        "render: half\n",
    ),
    "ends well after half of the frames": (
        f'head -c {2 * PICTURE_BYTES} | "$REAL" "$@"',
        "render: outputs/film/film.mp4: ffmpeg ended well, but the video has 2 frames, not 4; "
        "an older video is as it was\n",
        "",
    ),
    "ends well and makes nothing": (
        "cat > /dev/null",
        "render: outputs/film/film.mp4: ffmpeg ended well, but the video can't be decoded",
        "",
    ),
    "leaves a child with its pipes": (
        "cat > /dev/null; sleep 600 & echo gone >&2; exit 3",
        "render: ffmpeg ended with code 3 after 4 of 4 frames",
        "render: gone\n",
    ),
}
HANGING = {
    "reads nothing": "echo stuck >&2; exec sleep 600",
    "never ends": "cat > /dev/null; echo stuck >&2; exec sleep 600",
    "ignores signals": "trap '' TERM INT HUP; echo stuck >&2; sleep 600 & wait; wait",
}


def assert_nothing_lost(site, before) -> None:
    """The older video and every frame are as they were, and no temporary file is left."""
    assert {path: content_hash(path) for path in before} == before
    assert site.counts("film") == (4, 0, 0)
    assert site.temps() == []
    assert not site.processes()


def kept(site) -> dict:
    paths = [site.run_folder("film") / "film.mp4", *site.stored(), *site.frames("film")]
    return {path: content_hash(path) for path in paths}


@pytest.mark.parametrize(("script", "how", "said"), FAILURES.values(), ids=FAILURES)
def test_an_ffmpeg_that_fails_leaves_the_older_video(film, script, how, said):
    before = kept(film)
    ended = film.render(*AGAIN, env=standing_in(film, WHILE_ENCODING.format(script)))
    assert ended.code == 4
    assert how in ended.err
    assert ended.err.endswith(said)
    assert "Traceback" not in ended.err
    assert_nothing_lost(film, before)


@pytest.mark.parametrize("script", HANGING.values(), ids=HANGING)
def test_an_ffmpeg_that_hangs_is_ended_and_leaves_the_older_video(film, script):
    before = kept(film)
    env = standing_in(film, WHILE_ENCODING.format(script))
    ended = film.render(*AGAIN, env=env, patience=1.0)
    assert ended.code == 4
    assert "render: ffmpeg made no progress for 1 s after" in ended.err
    assert ended.err.endswith("It said:\nrender: stuck\n")
    assert_nothing_lost(film, before)


def test_a_flood_of_words_is_read_but_not_kept(film, made):
    before = kept(film)
    script = "yes 'many words' | head -c 110000000 >&2; echo >&2; echo 'the last' >&2; exit 1"
    ended = film.render(*AGAIN, env=standing_in(film, WHILE_ENCODING.format(script)))
    assert ended.code == 4
    assert ended.err.endswith("render: many words\nrender: the last\n")
    assert len(ended.err) < 10_000
    assert (film.run_folder("film") / "render.log").stat().st_size < 20_000
    assert ended.megabytes < made[1].megabytes + 60
    assert_nothing_lost(film, before)


def test_without_an_ffmpeg_the_frames_are_kept_and_the_next_run_makes_the_video(site):
    site.timeline("film", FILM)
    ended = site.render(*CALL, env={"IMAGEIO_FFMPEG_EXE": str(site.here / "nowhere")})
    assert ended.code == 4
    assert "or let IMAGEIO_FFMPEG_EXE name an ffmpeg" in ended.err.splitlines()[-1]
    assert site.counts("film") == (0, 4, 0)
    assert sorted(path.suffix for path in site.run_folder("film").glob("film.*")) == []
    assert site.temps() == []
    assert site.render(*CALL).code == 0
    assert site.counts("film") == (4, 0, 0)
    assert frames_in(site.run_folder("film") / "film.mp4") == 4
