"""R14: temporary files of others: of a living container with our host name and process numbers, and
of a killed run on a machine with another name; and another program's locks on frames."""

import fcntl
import signal
from contextlib import ExitStack

import pytest
from namespaces import CONTAINER, ELSEWHERE, reason_for_none

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(3)]
SMALL = ("output.fps=1", "output.width=64", "output.height=64", "compute.batch=1")
CALL = ("+timeline=film", *SMALL)
NO_NAMESPACES = reason_for_none()

# A function that a run waits in while a temporary file of its lies there, and where.
HALF_WAY = {
    "what is remembered": ("os.replace", ".store/.*.tmp"),
    "a link to a frame": ("pathlib.Path.replace", "film/frames/.frame_000000.png.*"),
    "the video": ("render.video.encode.check", "film/.film.mp4.*"),
}

pytestmark = pytest.mark.skipif(bool(NO_NAMESPACES), reason=NO_NAMESPACES)


@pytest.fixture
def film(site):
    site.timeline("film", FILM)
    return site


def until_half_way(site, prefix, what, *more, **faults):
    """A run that has made a temporary file and waits; the file."""
    function, where = HALF_WAY[what]
    site.prefix = prefix
    running = site.start(*CALL, *more, waits=[function], **faults)
    site.prefix = []
    running.until(lambda: "waiting before" in running.said("err"))
    assert running.running, running.said("err")
    (temp,) = site.root.glob(where)
    return running, temp


@pytest.mark.parametrize("what", ["a link to a frame", "the video"])
def test_a_living_containers_temporary_file_is_left_to_it(film, what):
    go = film.here / "go"
    running, temp = until_half_way(film, CONTAINER, what, go=str(go))
    film.prefix = CONTAINER
    ended = film.render(*CALL, "mode=plan")
    assert ended.code == 0, ended.err
    assert temp.exists()
    go.touch()
    ended = running.wait()
    assert ended.code == 0, ended.err
    assert len(film.frames("film")) == len(film.stored()) == 3
    assert (film.run_folder("film") / "film.mp4").is_file()
    assert film.temps() == []


@pytest.mark.parametrize(
    ("prefix", "what"),
    [(ELSEWHERE, "a link to a frame"), (ELSEWHERE, "the video"), ([], "what is remembered")],
)
def test_a_killed_runs_temporary_file_goes_whatever_its_machine_is_called(film, prefix, what):
    running, temp = until_half_way(film, prefix, what)
    running.signal(signal.SIGKILL)
    running.wait()
    assert temp.exists()
    ended = film.render(*CALL)
    assert ended.code == 0, ended.err
    assert film.temps() == []
    assert len(film.frames("film")) == 3


def test_another_programs_lock_on_frames_holds_nobody_up(film):
    assert film.render(*CALL).code == 0
    for shown in film.frames("film"):
        shown.unlink()
    with ExitStack() as held:
        for stored in film.stored()[:2]:
            fcntl.flock(held.enter_context(stored.open("rb")), fcntl.LOCK_EX)
        ended = film.render(*CALL, seconds=40)
    assert ended.code == 0, ended.err
    assert film.counts("film") == (3, 0, 0)
    assert len(film.frames("film")) == 3
    assert film.temps() == []
