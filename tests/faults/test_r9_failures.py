"""R9: out of memory, pictures that are not finite, passing errors, every frame failing, a kill."""

import shutil

import pytest
from outside import content_hash
from pictures import same_pictures

LADDER = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(8)]
SMALL = ("output=frames", "output.fps=1", "output.width=64", "output.height=64")
CALL = ("+timeline=film", *SMALL)
NOT_FINITE = (
    "the model gave a picture that is not finite; use compute.dtype=float32, or another guidance "
    "or scheduler"
)


@pytest.fixture
def film(site):
    """Eight frames, each with a prompt of its own."""
    site.timeline("film", LADDER)
    return site


def indexes(site) -> list[int]:
    """Frames that are shown; each is the file that the store has, and the store has no other."""
    shown = site.frames("film")
    stored = {content_hash(path) for path in site.stored()}
    assert {content_hash(path) for path in shown} == stored
    return [int(path.stem.removeprefix("frame_")) for path in shown]


def failures(site) -> list[tuple[int, str]]:
    return [(index, cause) for index, cause in site.run_json("film")["failures"]]


def assert_summary(ended, site, causes: dict[int, str], message: str) -> None:
    """The run ended with 3; summary and run.json name the same frames with the same causes."""
    assert ended.code == 3
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1] == f"render: {message}"
    listed = [line for line in ended.out.splitlines() if line.startswith("failed")]
    shown = [f"failed  frame {index}: {cause}" for index, cause in causes.items()]
    assert listed == shown[:10] + [f"failed  and {len(shown) - 10} more"] * (len(shown) > 10)
    assert failures(site) == list(causes.items())
    assert site.temps() == []


def test_too_little_memory_halves_the_batch_and_changes_no_identity(film):
    ended = film.render(*CALL, oom_above=2, batch=8)
    assert ended.code == 0
    assert [line for line in ended.err.splitlines() if "out of memory" in line] == [
        f"warning: out of memory; going on with {batch} frames at a time" for batch in (4, 2)
    ]
    assert film.counts("film") == (0, 8, 0)
    film.render(*CALL)
    assert film.counts("film") == (8, 0, 0)


def test_too_little_memory_for_one_frame_ends_the_run_and_says_so(film):
    ended = film.render(*CALL, oom_above=0, batch=2)
    assert ended.err.count("out of memory; going on with 1 frames at a time") == 1
    cause = "out of memory with 1 frames at a time"
    way_out = "ask for a smaller output.width and output.height, a smaller model, or compute=cpu"
    message = f"frame 0: {cause}; not even one frame at a time fits: {way_out}"
    assert_summary(ended, film, {0: cause}, message)
    assert film.counts("film") == (0, 0, 1)
    assert indexes(film) == []


def test_a_picture_that_is_not_finite_is_named_wherever_it_is_shown_and_never_written(site):
    again = {"at": 8, "prompt": "p3", "seed": 3, "ease": "hold"}
    site.timeline("film", [*LADDER, again])
    ended = site.render(*CALL, nan=["p3"])
    message = f"2 frames failed, the first: frame 3: {NOT_FINITE}; the same command tries again"
    assert_summary(ended, site, {3: NOT_FINITE, 8: NOT_FINITE}, message)
    assert "trying again" not in ended.err
    assert site.counts("film") == (0, 7, 2)
    assert indexes(site) == [0, 1, 2, 4, 5, 6, 7]
    assert site.render(*CALL).code == 0
    assert site.counts("film") == (7, 2, 0)


@pytest.mark.parametrize("errors", [1, 2])
def test_an_error_that_passes_is_tried_again_and_nothing_fails(film, errors):
    ended = film.render(*CALL, transient={"p5": errors})
    assert ended.code == 0
    assert [line for line in ended.err.splitlines() if "trying again" in line] == [
        f"warning: frame 4: RuntimeError: a passing error, try {k}; trying again ({k} of 2)"
        for k in range(1, errors + 1)
    ]
    assert film.counts("film") == (0, 8, 0)


@pytest.mark.parametrize("fault", ["transient", "broken"])
def test_an_error_that_stays_is_tried_twice_more_and_fails_its_frame_alone(film, fault):
    listed = {"transient": {"p5": 3}, "broken": {"p5": "for good"}}[fault]
    ended = film.render(*CALL, **{fault: listed})
    cause = {"transient": "a passing error, try 3", "broken": "for good"}[fault]
    cause = f"RuntimeError: {cause}"
    message = f"1 frame failed, the first: frame 5: {cause}; the same command tries again"
    assert_summary(ended, film, {5: cause}, message)
    assert ended.err.count("trying again") == 2
    assert film.counts("film") == (0, 7, 1)
    assert indexes(film) == [0, 1, 2, 3, 4, 6, 7]


def test_many_failures_in_a_row_end_the_run_and_what_is_finished_stays(site):
    site.timeline("film", [{**LADDER[0], "at": k, "prompt": f"p{k}"} for k in range(20)])
    broken = {f"p{k}": "for good" for k in range(4, 20)}
    ended = site.render(*CALL, batch=2, broken=broken)
    cause = "RuntimeError: for good"
    message = f"8 frames in a row failed, the rest was not tried; the last: {cause}"
    assert_summary(ended, site, dict.fromkeys(range(4, 12), cause), message)
    assert site.counts("film") == (0, 4, 8)
    assert indexes(site) == [0, 1, 2, 3]
    assert site.render(*CALL).code == 0
    assert site.counts("film") == (4, 16, 0)


def test_more_failures_than_the_summary_shows_are_all_in_run_json(site):
    site.timeline("film", [{**LADDER[0], "at": k, "prompt": f"p{k}"} for k in range(20)])
    bad = [k for k in range(20) if k % 5]
    ended = site.render(*CALL, nan=[f"p{k}" for k in bad])
    message = f"16 frames failed, the first: frame 1: {NOT_FINITE}; the same command tries again"
    assert_summary(ended, site, dict.fromkeys(bad, NOT_FINITE), message)
    assert indexes(site) == [0, 5, 10, 15]


def test_a_killed_run_is_continued(film):
    assert film.start(*CALL, batch=2, seconds=0.5, killed=["p5"]).wait().code == -9
    there = indexes(film)
    assert there == [0, 1, 2, 3]
    before = film.pictures("film")
    assert film.render(*CALL).code == 0
    assert film.counts("film") == (4, 4, 0)
    assert same_pictures(film.pictures("film")[:4], before)
    assert film.temps() == []


def test_when_a_shard_is_killed_the_others_go_on(film):
    halves = [(*CALL, "compute.batch=1", f"shard={k}/2") for k in range(2)]
    faults = ({"seconds": 0.3, "killed": ["p4"]}, {"seconds": 0.3})
    first, second = (film.start(*half, **f) for half, f in zip(halves, faults, strict=True))
    assert first.wait().code == -9
    ended = second.wait()
    assert ended.code == 0
    assert "2 frames of other shards are missing" in ended.err
    assert film.counts("film") == (0, 4, 0)
    assert indexes(film) == [0, 1, 2, 3, 5, 7]
    assert film.render(*halves[0]).code == 0
    assert film.counts("film") == (2, 2, 0)
    assert indexes(film) == list(range(8))


@pytest.fixture
def overflowing(site, tiny_sd1):
    """A model whose pictures fit into float32 and not into bfloat16, which is why they turn out
    infinite there: diffusers alone would make them white."""
    from safetensors.torch import load_file, save_file

    folder = site.here / "model"
    shutil.copytree(tiny_sd1, folder)
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv_out.bias"].fill_(3.4e38)
    save_file(tensors, weights, metadata={"format": "pt"})
    return folder


def test_an_overflow_is_a_failed_frame_and_not_a_white_one(site, overflowing):
    site.timeline("film", LADDER[:2])
    model = ("model=local", f"model.path={overflowing}", "model.steps=2")
    ended = site.render(*CALL, *model, "compute.dtype=bfloat16", model="real")
    message = f"2 frames failed, the first: frame 0: {NOT_FINITE}; the same command tries again"
    assert_summary(ended, site, {0: NOT_FINITE, 1: NOT_FINITE}, message)
    assert site.stored() == site.frames("film") == []
