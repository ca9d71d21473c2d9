"""Sweeps: one store, folders that do not depend on the clock, failures named at the end."""

import os
import signal

import pytest

from render.commandline import MAX_VARIANT, job_folder

SWEEP = ["-m", "+timeline=a,b", "scheduler=lms,dpmpp_2m", "sampling.guidance=3,7.5"]
VARIANTS = {
    f"sampling.guidance={guidance},scheduler={scheduler}"
    for guidance in ("3", "7.5")
    for scheduler in ("lms", "dpmpp_2m")
}


@pytest.fixture
def films(place):
    """Two timelines of two frames; the model and its size stand in the folder's own config."""
    for name, prompt in (("a", "one"), ("b", "two")):
        place.timeline(name, [{"at": 0, "prompt": prompt}, {"at": 0.25, "prompt": "three"}])
    model = place.folder / "configs" / "model"
    model.mkdir()
    told = f"name: mine\npath: {place.model}\nsteps: 2\nguidance: 7.5\n"
    (model / "mine.yaml").write_text(told)
    return place


def sweep(place, *more):
    return place.call("model=mine", "output.fps=4", *SWEEP, *more)


def job_folders(place, name):
    folder = place.folder / "outputs" / name
    return {path.name: path for path in folder.iterdir() if path.is_dir()}


def test_a_sweep_renders_each_job_and_repeated_nothing(films):
    ended = sweep(films)
    assert ended.code == 0
    outputs = films.folder / "outputs"
    for name in ("a", "b"):
        jobs = job_folders(films, name)
        told = {folder.removeprefix("model=mine,output.fps=4,") for folder in jobs}
        assert told == VARIANTS
        for folder in jobs.values():
            assert (folder / f"{name}.mp4").is_file()
            assert films.counts(f"{name}/{folder.name}")[1] >= 1
    assert {path.name for path in outputs.iterdir()} == {".store", ".sweep", "a", "b"}
    assert {path.name for path in (outputs / ".sweep").iterdir()} == {"multirun.yaml"}
    assert {path.name for path in films.folder.iterdir()} == {"configs", "outputs"}
    # Two frames a job; the second is one picture for both timelines.
    assert len(list((outputs / ".store").glob("??/*.png"))) == 2 * 8 - 4
    before = {p: p.stat().st_mtime_ns for p in outputs.rglob("*") if p.suffix in (".png", ".mp4")}
    assert sweep(films).code == 0
    for name in ("a", "b"):
        assert all(films.counts(f"{name}/{job}") == (2, 0) for job in job_folders(films, name))
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_failed_job_stops_no_other_and_is_named_at_the_end(films):
    ended = films.call(
        *("-m", "+timeline=a", "model=mine", "output.fps=4", "sampling.guidance=3,-1,nan,7.5")
    )
    assert ended.code == 2
    *_, headline, first, second = ended.err.splitlines()
    assert headline == "render: 2 jobs of the sweep failed:"
    folder = "model=mine,output.fps=4,sampling.guidance="
    assert first.startswith(f"render:   {folder}-1 (exit code 2): sampling.guidance: -1")
    assert second.startswith(f"render:   {folder}nan (exit code 2): sampling.guidance: nan")
    assert set(job_folders(films, "a")) == {f"{folder}3", f"{folder}7.5"}
    assert all(films.counts(f"a/{job}") == (0, 2) for job in job_folders(films, "a"))
    assert "Traceback" not in ended.err


def test_an_interrupt_ends_the_sweep(films, monkeypatch):
    called = []

    def interrupted(composed, variant, locate):
        called.append(variant)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("render.run.run", interrupted)
    ended = sweep(films)
    assert ended.code == 143
    assert len(called) == 1
    assert ended.err == "render: interrupted; the same command continues from here\n"


def test_a_sweep_may_only_plan(films):
    ended = sweep(films, "mode=plan")
    assert ended.code == 0
    assert ended.out.count("denoiser") == 8
    assert not (films.folder / "outputs" / ".store").exists()


def test_a_jobs_folder_is_its_overrides_whatever_their_order():
    one = ["+timeline=a", "scheduler=lms", "++sampling.guidance=3"]
    assert job_folder(one) == job_folder(one[::-1]) == "sampling.guidance=3,scheduler=lms"
    assert job_folder(["+timeline=a"]) == "timeline=a"


@pytest.mark.parametrize(
    "override",
    ["sampling.negative=../../x", "sampling.negative=a/b", f"sampling.negative={'a' * 300}"],
)
def test_a_jobs_folder_is_one_plain_name(override):
    folder = job_folder(["+timeline=a", override])
    assert "/" not in folder
    assert len(folder) <= MAX_VARIANT
    assert folder != job_folder(["+timeline=a", override.replace("a", "b").replace("x", "y")])
