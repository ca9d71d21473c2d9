"""Sweeps: one store, folders that do not depend on the clock, failures named at the end."""

import os
import signal
import time

import pytest
from PIL import Image

from render.cli.config_folders import MAX_VARIANT, job_folder
from render.cli.sweep import SweepJob, at_their_frames, by_model, labels, values_of
from render.errors import FramesFailed
from render.run.work import Work

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
    written = f"name: mine\npath: {place.model}\nsteps: 2\nguidance: 7.5\n"
    (model / "mine.yaml").write_text(written)
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
        written = {folder.removeprefix("model=mine,output.fps=4,") for folder in jobs}
        assert written == VARIANTS
        for folder in jobs.values():
            assert (folder / f"{name}.mp4").is_file()
            assert films.counts(f"{name}/{folder.name}")[1] >= 1
    assert {path.name for path in outputs.iterdir()} == {
        *(".store", ".sweep", "a", "b", "sweep.html", "sweep.js")
    }
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
    assert first.startswith("render:   2/4 guidance=-1 (exit code 2): sampling.guidance: -1")
    assert second.startswith("render:   3/4 guidance=nan (exit code 2): sampling.guidance: nan")
    folder = "model=mine,output.fps=4,sampling.guidance="
    assert set(job_folders(films, "a")) == {f"{folder}3", f"{folder}7.5"}
    assert all(films.counts(f"a/{job}") == (0, 2) for job in job_folders(films, "a"))
    assert "Traceback" not in ended.err


def jobs_of(*overrides, **composed):
    return [SweepJob(values_of(each.split(" ")), composed, "", str) for each in overrides]


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (["+timeline=a a.b=1 ++c=2", "+timeline=a a.b=3 ++c=2"], ["1/2 b=1", "2/2 b=3"]),
        (["a.x=1 b.x=1 c=0", "a.x=2 b.x=2 c=0"], ["1/2 a.x=1, b.x=1", "2/2 a.x=2, b.x=2"]),
        (["a=1 b=2"], ["1/1"]),
        (["a=", "a=1"], ["1/2 a=", "2/2 a=1"]),
        (["a=1", "b=1"], ["1/2 a=1", "2/2 b=1"]),
    ],
)
def test_a_job_is_called_by_the_values_that_are_swept(overrides, wanted):
    assert labels(jobs_of(*overrides)) == wanted


@pytest.mark.parametrize(
    "values", [("a" * 100 + "x", "a" * 100 + "y"), ("x" + "a" * 100, "y" + "a" * 100)]
)
def test_long_values_are_cut_and_still_distinguished(values):
    short = [label.partition(" ")[2] for label in labels(jobs_of(*(f"k={v}" for v in values)))]
    assert len(set(short)) == 2
    assert all(len(label) < 80 for label in short)


def test_jobs_of_one_model_come_together():
    jobs = [
        SweepJob({"k": str(place)}, {"model": model, "compute": compute, "name": place}, "", str)
        for place, (model, compute) in enumerate(["aX", "bX", "aY", "aX", "bX"])
    ]
    assert [job.overrides["k"] for job in by_model(jobs)] == ["0", "3", "1", "4", "2"]


def test_every_line_of_a_job_names_it(films):
    ended = films.call(
        *("-m", "+timeline=a", "model=mine", "output.fps=4", "output=frames"),
        "sampling.guidance=3,-1,6",
    )
    lines = ended.err.splitlines()
    assert "1/3 guidance=3: 2 frames: 2 to render" in lines
    assert any(line.startswith("1/3 render 2/2, ") for line in lines)
    assert any(line.startswith("3/3 render 2/2, ") for line in lines)
    assert any(line.startswith("render: 2/3 guidance=-1: sampling.guidance: -1") for line in lines)
    assert "job  1/3 guidance=3" in ended.out
    assert "job  3/3 guidance=6" in ended.out


def test_an_interrupt_ends_the_sweep(films, monkeypatch):
    called = []

    def interrupted(film, *_):
        called.append(film.folder)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("render.api.Film.run", interrupted)
    ended = sweep(films)
    assert ended.code == 143
    assert len(called) == 1
    assert ended.err == "render: interrupted; the same command continues from here\n"


def test_a_sweep_may_only_plan(films):
    ended = sweep(films, "mode=plan")
    assert ended.code == 0
    assert ended.out.count("denoiser") == 8
    jobs = [line.strip() for line in ended.out.splitlines() if line.lstrip().startswith("job ")]
    assert jobs[0] == "job  1/8 timeline=a, scheduler=lms, guidance=3"
    assert jobs[7] == "job  8/8 timeline=b, scheduler=dpmpp_2m, guidance=7.5"
    assert len(set(jobs)) == 8
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


def test_jobs_are_kept_apart_by_their_folders_however_many_overrides_they_share():
    shared = ["model.path=/home/me/models/mine", "model=local", "model.dtype=float32", "name=x"]
    shared += ["output.fps=6", "output=frames", "output.width=64", "output.height=64"]
    long = [*shared, f"sampling.negative={'fog and ' * 30}rain", "sampling.blend=embedding"]
    for common, parts in ((shared, "scheduler=lms,steps=25"), (long, "steps=25")):
        folder = job_folder([*common, "scheduler=lms", "scheduler.steps=25"])
        assert all(part in folder for part in parts.split(","))
        assert len(folder) <= MAX_VARIANT


def stored(place, root="outputs"):
    """The bytes of every stored frame, by its digest."""
    files = (place.folder / root / ".store").glob("??/*.png")
    return {file.stem: file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("swept", "alone"),
    [
        (
            ["sampling.guidance=3,1", "+timeline=a,b"],
            [["sampling.guidance=3", "+timeline=b"], ["sampling.guidance=1", "+timeline=a"]],
        ),
        (
            ["+timeline=a", "scheduler=lms,euler_a,pndm", "scheduler.steps=3,2"],
            [["+timeline=a", f"scheduler={each}", "scheduler.steps=2"] for each in ("pndm", "lms")],
        ),
        (
            ["+timeline=a", "sampling.speed=balanced,draft,exact", "scheduler=heun"],
            [["+timeline=a", "sampling.speed=exact", "scheduler=heun"]],
        ),
        (
            ["+timeline=a,pictured,b", "sampling.guidance_interval=[0,1],[0.5,1]"],
            [
                [f"+timeline={each}", "sampling.guidance_interval=[0.5,1]"]
                for each in ("pictured", "b")
            ],
        ),
    ],
)
def test_a_kept_model_renders_what_one_does_that_was_loaded_for_the_job(films, swept, alone):
    Image.new("RGB", (64, 64), (200, 30, 30)).save(films.folder / "red.png")
    pictured = [{"at": 0, "prompt": "four", "image": "red.png"}, {"at": 0.5, "prompt": "two"}]
    films.timeline("pictured", pictured)
    command = ["model=mine", "output=frames", "output.fps=4", "model.steps=4"]
    together = films.call("-m", *command, *swept)
    assert together.code == 0, together.err
    assert together.err.count("loading") == 1
    for chosen in alone:
        ended = films.call(*command, *chosen, "root=alone")
        assert ended.code == 0, ended.err
    found = stored(films)
    assert {digest: found.get(digest) for digest in stored(films, "alone")} == stored(
        films, "alone"
    )


def test_each_model_of_a_sweep_is_loaded_once(films):
    other = films.folder / "configs" / "model" / "other.yaml"
    other.write_text((other.with_name("mine.yaml")).read_text().replace("steps: 2", "steps: 3"))
    more = ("output.fps=4", "output=frames", "+timeline=a,b")
    ended = films.call("-m", "sampling.guidance=3,-1,6", "model=mine,other", *more)
    assert ended.code == 2
    loads = [line.split()[1] for line in ended.err.splitlines() if line.startswith("loading")]
    assert loads == ["mine", "mine"]
    assert len(job_folders(films, "a")) == len(job_folders(films, "b")) == 4


def test_after_an_error_the_model_is_loaded_anew(films, monkeypatch):
    real, tried = Work.render_with, []

    def once_wrong(work, diffusion):
        tried.append(diffusion)
        if len(tried) == 2:
            raise FramesFailed("wrong")
        return real(work, diffusion)

    monkeypatch.setattr(Work, "render_with", once_wrong)
    guidance = "sampling.guidance=3,4,5,6"
    ended = films.call("-m", "model=mine", "output.fps=4", "output=frames", "+timeline=a", guidance)
    assert ended.code == 3
    assert [one is tried[0] for one in tried] == [True, True, False, False]
    assert tried[2] is tried[3]


ENDLESS = {
    "sampling.seed=range(0,1e9)": "sampling.seed: a sweep of 1,000,000,000 jobs; 10,000 are",
    "sampling.seed=shuffle(range(0,10000000000))": "a sweep of 10,000,000,000 jobs",
    "sampling.guidance=range(1,inf)": "sampling.guidance: a sweep without an end",
    "sampling.guidance=range(1,2,0)": "sampling.guidance: a sweep without an end",
    "sampling.guidance=interval(1,2)": "sampling.guidance: an interval holds numbers without end",
    "sampling.seed=range(0,101) sampling.guidance=range(1,11,0.1)": "a sweep of 10,100 jobs",
    "sampling.seed=range(5,0)": "sampling.seed: is swept over no value",
    "sampling.seed=glob(*)": "sampling.seed: is swept over no value",
    "timeline=glob(nosuch*)": "timeline: no choice fits this pattern; known: a, b, city",
    "scheduler=glob(*,exclude=[*])": "scheduler: no choice fits this pattern; known: ddim",
}


@pytest.mark.parametrize("swept", ENDLESS)
def test_a_sweep_without_jobs_or_without_an_end_is_refused_before_it_is_listed(films, swept):
    before, start = films.tree(), time.monotonic()
    ended = films.call("-m", "+timeline=a", "model=mine", "mode=plan", *swept.split())
    assert ended.code == 2
    assert ENDLESS[swept] in ended.err
    assert time.monotonic() - start < 10
    assert films.tree() == before


def test_a_pattern_and_a_range_are_swept_over_what_they_hold(films):
    swept = ("+timeline=glob([a,b*])", "sampling.seed=range(1,3)")
    ended = films.call("-m", "model=mine", "mode=plan", "output.fps=4", *swept)
    assert (ended.code, ended.out.count("denoiser"), ended.err) == (0, 4, "")


def test_shards_are_no_jobs_of_a_sweep(films):
    before = films.tree()
    ended = films.call("-m", "+timeline=a", "model=mine", "shard=0/2,1/2")
    assert ended.code == 2
    assert "shard: is for several processes or machines at one film" in ended.err
    assert "shard=0/2, shard=1/2" in ended.err
    assert films.tree() == before


def test_shards_of_a_job_share_its_folder():
    job = ["+timeline=a", "scheduler=lms"]
    assert job_folder([*job, "shard=0/2"]) == job_folder([*job, "++shard=1/2"]) == job_folder(job)


def test_labels_hold_values_as_they_were_meant():
    jobs = jobs_of("k=1 p=A", "k=1 p=B")
    jobs[0].overrides["p"], jobs[1].overrides["p"] = r"A\ castle\,\ old", r"'A \ b'"
    assert labels(jobs) == ["1/2 p=A castle, old", r"2/2 p='A \ b'"]


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (["sampling.guidance=3,4"], ["timeline: no timeline"]),
        (
            ["+timeline=a,b", "sampling.guidance=-1"],
            ["1/2 timeline=a: samp", "2 jobs of the sweep failed:", "  1/2 timeline=a and 1 more"],
        ),
        (
            ["+timeline=a", "sampling.guidance=3,-1"],
            ["2/2 guidance=-1: samp", "1 job of the sweep failed:", "  2/2 guidance=-1 (exit code"],
        ),
    ],
)
def test_a_mistake_of_several_jobs_is_named_once(films, typed, lines):
    ended = films.call("-m", "model=mine", "mode=plan", *typed)
    assert ended.code == 2
    said = ended.err.splitlines()
    assert len(said) == len(lines), said
    assert all(s.startswith(f"render: {line}") for s, line in zip(said, lines, strict=True)), said


def stitching(place, *overrides):
    job = dict(each.split("=") for each in overrides)
    composed = {"root": str(place), "name": "a", "mode": "stitch"}
    return SweepJob({"timeline": "a", "mode": "stitch", **job}, composed, "own", str)


FILM_DIGEST = "ab" * 32


def shows(folder, digest):
    """Write the plan of a film into a folder."""
    folder.mkdir(parents=True)
    head = f'{{\n "rate": "12",\n "count": 1,\n "digest": "{digest}",\n'
    (folder / "plan.json").write_text(head)


@pytest.mark.parametrize(
    ("rendered", "asked", "wanted"),
    [
        ([], ["output=gif"], ""),
        ([], [], ""),
        (["output=frames"], ["output=gif", "output.quality=50"], "output=frames,"),
        (["output=frames"], [], "output=frames,"),
        (
            ["output=gif", "output.fps=6"],
            ["output=webp", "output.fps=6"],
            "output.fps=6,output=gif,",
        ),
    ],
)
def test_a_sweep_stitches_where_its_frames_are(tmp_path, rendered, asked, wanted):
    for guidance in ("3", "4"):
        folder = job_folder([*rendered, f"sampling.guidance={guidance}"], "a")
        shows(tmp_path / "a" / folder, FILM_DIGEST)
    jobs = [stitching(tmp_path, *asked, f"sampling.guidance={guidance}") for guidance in "34"]
    found = [job.variant for job in at_their_frames(jobs, lambda job: FILM_DIGEST)]
    assert found == [f"{wanted}sampling.guidance={guidance}" for guidance in "34"]


def test_videos_that_a_stitch_is_swept_over_keep_folders_of_their_own(tmp_path):
    jobs = [stitching(tmp_path, f"output.quality={quality}") for quality in (50, 90)]
    assert [job.variant for job in at_their_frames(jobs, lambda job: FILM_DIGEST)] == [
        "output.quality=50",
        "output.quality=90",
    ]


def test_a_sweep_that_renders_and_stitches_keeps_its_folders(tmp_path):
    stitch = stitching(tmp_path, "output=gif")
    render = SweepJob(stitch.overrides, {**stitch.composed, "mode": "render"}, "own", str)
    assert [job.variant for job in at_their_frames([render, stitch])] == ["own", "own"]


def test_a_stitch_goes_into_no_folder_that_shows_another_film(tmp_path):
    shows(tmp_path / "a" / "sampling.guidance=3", "cd" * 32)
    (job,) = at_their_frames(
        [stitching(tmp_path, "output=gif", "sampling.guidance=3")], lambda job: FILM_DIGEST
    )
    assert job.variant == "output=gif,sampling.guidance=3"
    shows(tmp_path / "a" / "output=webp,sampling.guidance=3", FILM_DIGEST)
    (job,) = at_their_frames([job], lambda job: FILM_DIGEST)
    assert job.variant == "output=webp,sampling.guidance=3"


def test_a_stitch_of_an_edited_sweep_leaves_the_earlier_one_alone(films):
    command = ("-m", "+timeline=a", "model=mine", "output.fps=4", "sampling.guidance=3,4")
    assert films.call(*command, "output=frames").code == 0
    earlier = {
        path: path.read_bytes()
        for folder in job_folders(films, "a").values()
        for path in [folder / "plan.json", *sorted(folder.glob("frames/*.png"))]
    }
    edited = "timeline.keyframes.0.prompt=elsewhere"
    assert films.call(*command, edited, "output=webp").code == 0
    assert films.call(*command, edited, "output=gif", "mode=stitch").code == 0
    assert {path: path.read_bytes() for path in earlier} == earlier


def test_another_video_of_a_sweep_stands_beside_its_frames(films):
    command = ("-m", "+timeline=a", "model=mine", "output.fps=4", "sampling.guidance=3,4")
    assert films.call(*command, "output=frames").code == 0
    before = set(job_folders(films, "a"))
    for _ in range(2):
        ended = films.call(*command, "mode=stitch", "output=gif")
        assert ended.code == 0, ended.err
    folders = job_folders(films, "a")
    assert set(folders) == before
    assert all((folder / "a.gif").is_file() for folder in folders.values())
