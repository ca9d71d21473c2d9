"""R11: no job of a sweep writes over another's film."""

import itertools
import json
import os

import pytest
import yaml
from outside import tree

SMALL = ["output.fps=2"]
LONG = "a long negative that names everything that one does not want to see in any film, "


@pytest.fixture
def site(calls):
    """Timelines of two frames: a and b, c and d that both are called `one`, e and f whose names
    differ in a letter's case."""
    names = {"a": None, "b": None, "c": "one", "d": "one", "e": "film", "f": "Film"}
    for file, name in names.items():
        frames = [{"at": 0, "prompt": f"prompt of {file}"}, {"at": 0.5, "prompt": "end"}]
        whole = {"keyframes": frames, **({"name": name} if name else {})}
        calls.site.timeline(file, yaml.safe_dump(whole))
    return calls.site


def sweep(calls, tmp_path, *more):
    """The sweep's answer and the folders of its jobs, each with its plan."""
    root = calls.site.here / tmp_path.name
    answer = calls("-m", f"root={root}", "output=frames", *SMALL, *more)
    plans = sorted(root.rglob("plan.json"))
    return answer, {path.parent: json.loads(path.read_text()) for path in plans}


def all_differ(folders):
    """Whether all differ on a disk that takes `Film` for `film`."""
    return len({str(folder).casefold() for folder in folders}) == len(folders)


@pytest.mark.parametrize(
    ("timelines", "name"),
    [
        ("a,b", ["name=film"]),
        ("c,d", []),
        ("a,c,d", ["name=one"]),
        ("a,b", ["name=a"]),
        ("e,f", []),
        ("a,b", []),
    ],
)
def test_timelines_of_one_name_have_folders_of_their_own(calls, site, tmp_path, timelines, name):
    swept = [f"+timeline={timelines}", "sampling.guidance=3,6"]
    answer, plans = sweep(calls, tmp_path, *name, *swept)
    assert answer.code == 0, answer.err
    wanted = set(itertools.product(timelines.split(","), (3.0, 6.0)))
    assert len(plans) == len(wanted)
    assert all_differ(plans)
    first = [plan["frames"][0] for plan in plans.values()]
    found = {(f["prompts"][0][0].removeprefix("prompt of "), f["guidance"]) for f in first}
    assert found == wanted
    for folder in plans:
        assert len(list((folder / "frames").iterdir())) == 2


def test_each_job_has_its_own_video(calls, site):
    more = ["name=film", "+timeline=a,b", "sampling.guidance=3,6", *SMALL]
    answer = calls("-m", "root=videos", *more, blocks=8)
    assert answer.code == 0, answer.err
    videos = list((site.here / "videos").rglob("*.mp4"))
    assert len(videos) == 4
    assert len({video.read_bytes() for video in videos}) == 4


@pytest.mark.parametrize(
    "values",
    [
        "Fog,fog,FOG",
        "a/b,a-b,'a b'",
        "'ä',a,'ö'",
        f"'{LONG}fog','{LONG}rain','{LONG}snow'",
        "'-','.','--'",
    ],
)
def test_values_that_look_alike_have_folders_of_their_own(calls, site, tmp_path, values):
    answer, plans = sweep(calls, tmp_path, "+timeline=a", f"sampling.negative={values}")
    assert answer.code == 0, answer.err
    assert len(plans) == 3
    assert all_differ(plans)
    assert len({plan["frames"][0]["negative"] for plan in plans.values()}) == 3


@pytest.mark.parametrize(
    ("swept", "named"),
    [
        (
            ["+timeline=a", "sampling.guidance=3,6", "name=film,Film"],
            ["jobs 1, 2 of 4 are apart in name alone", "jobs 3, 4 of 4 are apart in name alone"],
        ),
        (["+timeline=a", "name=film,Film"], ["jobs 1, 2 of 2 are apart in name alone"]),
        (["+timeline=a", "sampling.guidance=3,6,3"], ["jobs 1, 3 of 3 are the same"]),
        (["+timeline=a", "mode=render,stitch"], ["jobs 1, 2 of 2 are apart in mode alone"]),
        (["+timeline=a", "root=twice,./twice"], ["jobs 1, 2 of 2 are apart in root alone"]),
        (["+timeline=a", "root=twice,link"], ["jobs 1, 2 of 2 are apart in root alone"]),
    ],
)
def test_where_two_jobs_would_share_a_folder_none_is_begun(calls, site, tmp_path, swept, named):
    if not (site.here / "link").is_symlink():
        os.symlink("twice", site.here / "link")
    before = tree(site.here)
    root = [] if any(word.startswith("root=") for word in swept) else [f"root={tmp_path.name}"]
    answer = calls("-m", *root, "output=frames", *SMALL, *swept)
    assert answer.code == 2
    assert [line for line in answer.err.splitlines() if line.startswith("render: sweep: ")]
    assert all(words in answer.err for words in named)
    assert answer.err.count("write over one another") == len(named)
    assert not answer.modules
    assert tree(site.here) == before


def test_a_sweep_of_which_every_job_is_refused_leaves_nothing(calls, site, tmp_path):
    before = tree(site.here)
    answer, plans = sweep(calls, tmp_path, "+timeline=a,b", "sampling.guidance=-1")
    assert answer.code == 2
    assert "render: 2 jobs of the sweep failed:" in answer.err
    assert not plans
    assert tree(site.here) == before
