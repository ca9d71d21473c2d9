"""R25: a measured pace is never lost: not by two runs that measure at one time, nor by a store that
can't be read just now; shards of one film agree on it whenever they begin; and what a person
changed in `paced.yaml` stays."""

import errno
import json
import re
import shutil
import zlib

import pytest
from pictures import chunk

from render.store.time_maps import MAPS_NAME, remember, remembered
from render.timeline.pace import TimeMap

FILM = [{"at": k, "prompt": f"p{k}", "seed": k} for k in range(3)]
FRAMES = 9
SMALL = ["output.fps=4", "output.width=32", "output.height=32", "output=frames"]
EVEN = ["timeline.pace=even", *SMALL]
CALL = ["+timeline=film", *EVEN]
QUICK = {"blocks": 8}
MAP = TimeMap((0.0, 0.5, 1.0), (0.0, 0.25, 1.0))
OTHER = TimeMap((0.0, 0.5, 1.0), (0.0, 0.75, 1.0))


@pytest.fixture
def film(site):
    site.timeline("film", FILM)
    return site


def maps(site):
    return json.loads((site.root / ".store" / MAPS_NAME).read_text())


def waiting(site, place, *command, **more):
    """A run that has come to a function and waits there for the file `go`."""
    go = str(site.here / "go")
    run = site.start(*command, waits=[place], go=go, **QUICK, **more)
    run.until(lambda: "waiting before" in run.said("err"))
    assert run.running
    return run


def test_two_runs_that_end_measuring_at_one_time_keep_both_maps(film):
    slow = {"under": "outputs/.store", "call_seconds": 0.02}
    films = ["one", "two"]
    for place, name in enumerate(films):
        film.timeline(name, [{**each, "seed": 9 + place} for each in FILM])
    place = "render.run.even_pace.remember"
    runs = [waiting(film, place, f"+timeline={name}", *EVEN, **slow) for name in films]
    (film.here / "go").touch()
    assert [run.wait().code for run in runs] == [0, 0]
    assert len(maps(film)) == 4


def test_maps_that_can_not_be_read_just_now_are_not_written_over(tmp_path, monkeypatch):
    remember(tmp_path, {"a": MAP})

    def stale(path):
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("render.files.received_json.opened_regular", stale)
        remember(tmp_path, {"b": MAP})
    assert remembered(tmp_path) == {"a": MAP}


def test_a_strangers_lock_keeps_no_map_from_being_kept(tmp_path):
    (tmp_path / ".lock-paces").write_text("mine")
    remember(tmp_path, {"a": MAP})
    assert remembered(tmp_path) == {"a": MAP}
    assert (tmp_path / ".lock-paces").read_text() == "mine"


def test_a_received_map_without_end_is_no_map(tmp_path):
    """Every frame would be looked up in it."""
    many = tuple(k / 100_000 for k in range(100_001))
    remember(tmp_path, {"a": TimeMap(many, many), "b": MAP})
    assert remembered(tmp_path) == {"b": MAP}


def test_a_shard_that_begins_before_the_measured_plan_is_frozen_is_at_work_too(film):
    """It knows the pace that the other has just measured; the frozen plan does not yet."""
    first = waiting(film, "render.run.folder.is_frozen", *CALL, "shard=0/2")
    assert len(maps(film)) == 2
    second = film.render(*CALL, "shard=1/2", **QUICK)
    assert second.code == 0, second.err
    (film.here / "go").touch()
    ended = first.wait()
    assert ended.code == 0, ended.err
    assert len(film.frames("film")) == FRAMES


def test_shards_agree_though_one_began_when_part_of_the_pace_was_known(film):
    first = waiting(film, "render.run.even_pace.measured", *CALL, "shard=0/2")
    film.timeline("part", FILM[:2])
    assert film.render("+timeline=part", *EVEN, **QUICK).code == 0
    second = film.render(*CALL, "shard=1/2", **QUICK)
    assert second.code == 0, second.err
    assert len(maps(film)) == 2
    (film.here / "go").touch()
    ended = first.wait()
    assert ended.code == 0, ended.err
    assert len(film.frames("film")) == FRAMES


@pytest.mark.parametrize(
    "change", ["sampling.guidance=3.0", "output.fps=8", "timeline.pace=time", "name=film"]
)
def test_a_shard_of_another_film_is_still_refused(film, change):
    first = waiting(film, "render.run.folder.is_frozen", *CALL, "shard=0/2")
    ended = film.render(*CALL, "shard=1/2", change, **QUICK)
    assert ended.code == (0 if change == "name=film" else 2), ended.err
    (film.here / "go").touch()
    assert first.wait().code == 0


def without_pixels(path):
    """Give a frame right checksums and too few pixels."""
    content = path.read_bytes()
    start = content.index(b"IDAT") - 4
    pixels = chunk(b"IDAT", zlib.compress(bytes(10)))
    path.write_bytes(content[:start] + pixels + chunk(b"IEND", b""))


def test_probes_that_can_not_be_decoded_are_rendered_again(film):
    """So many that not all frames of such a film would be decoded."""
    film.timeline("film", [{"at": k, "prompt": f"p{k}", "seed": k} for k in range(14)])
    assert film.render(*CALL, **QUICK).code == 0
    known = maps(film)
    (film.root / ".store" / MAPS_NAME).unlink()
    shutil.rmtree(film.run_folder("film"))
    for probe in film.stored()[::3]:
        without_pixels(probe)
    ended = film.render(*CALL, **QUICK)
    assert ended.code == 0, ended.err
    assert maps(film) == known


@pytest.fixture(scope="module")
def paced(film_site):
    """A film of even pace, called by a process that is quick for the next one."""
    site = film_site(FILM, *CALL)
    assert site.rounds.render(**QUICK).code == 0
    return site


@pytest.mark.parametrize("change", [{}, {"timeline.pace": "time"}])
def test_what_a_person_changed_is_set_aside_and_named(paced, change):
    path = paced.run_folder("film") / "paced.yaml"
    assert paced.rounds.render(**QUICK).code == 0
    for aside in path.parent.glob("paced.yaml.set-aside-*"):
        aside.unlink()
    mine = f"{path.read_text()}# mine\n"
    path.write_text(mine)
    ended = paced.rounds.render(change, **QUICK)
    assert ended.code == 0, ended.err
    assert "paced.yaml was changed by hand; it is now paced.yaml.set-aside-1" in ended.err
    assert (path.parent / "paced.yaml.set-aside-1").read_text() == mine
    assert path.exists() is not bool(change)


@pytest.mark.parametrize("change", [False, True], ids=["as it was", "changed"])
def test_the_timeline_that_a_film_is_read_from_stays(film, change):
    assert film.render(*CALL, **QUICK).code == 0
    path = film.run_folder("film") / "paced.yaml"
    if change:
        path.write_text(re.sub("p2", "changed", path.read_text()))
    before = path.read_bytes()
    ended = film.render(f"+timeline=./{path.relative_to(film.here)}", *SMALL, **QUICK)
    assert ended.code == 0, ended.err
    assert path.read_bytes() == before
    assert "set-aside" not in ended.err
