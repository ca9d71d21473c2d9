"""A run that is refused when its model is loaded writes nothing, and says why in our words."""

import json
import shutil
from contextlib import ExitStack

import pytest
from command_line import Place

from render.files.lock import holding
from render.models.hub_errors import of_a_loader, of_the_hub
from render.report.lines import progress_line
from render.report.progress import Phase
from render.run import ending
from render.run.undo import Before


@pytest.fixture
def broken(place, tiny_sd1, tmp_path):
    """The same place with a model whose weights do not fit its configs."""
    folder = tmp_path / "broken-model"
    shutil.copytree(tiny_sd1, folder)
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"out_channels": 8}))
    return Place(place.folder, folder)


def test_a_refused_run_leaves_no_folder(broken):
    before = broken.tree()
    ended = broken.render("+timeline=t")
    assert ended.code == 2
    assert "can't be loaded: weights have other shapes than its configs say" in ended.err
    assert broken.tree() == before
    assert not (broken.folder / "outputs").exists()


@pytest.mark.parametrize("odd", [{"norm_num_groups": 0}, {"attention_head_dim": 10**9}], ids=str)
def test_a_config_with_which_libraries_fail_in_any_way_is_the_models_mistake(place, broken, odd):
    path = broken.model / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"out_channels": 4} | odd))
    before = broken.tree()
    ended = broken.render("+timeline=t")
    assert ended.code == 2
    assert "can't be loaded: ZeroDivisionError" in ended.err
    assert broken.tree() == before


@pytest.mark.parametrize("more", [["shard=0/2"], ["-m", "sampling.guidance=3,4"], ["name=other"]])
def test_so_do_shards_and_sweeps(broken, more):
    before = broken.tree()
    assert broken.render("+timeline=t", *more).code == 2
    assert broken.tree() == before


def test_a_film_that_is_there_stays_as_it_is(place, broken):
    assert place.render("+timeline=t").code == 0
    before = place.tree()
    assert broken.render("+timeline=t", "output.fps=8", "sampling.negative=x").code == 2
    after = place.tree()
    changed = {path.rpartition("/")[2] for path in before if after.get(path) != before[path]}
    assert changed == {"render.log", ".lock"}  # a log goes on; who held the folder last
    assert set(after) == set(before)
    place.render("+timeline=t")
    assert place.counts("t") == (5, 0)


def test_a_long_plan_is_put_back_with_its_frames(place, broken, monkeypatch):
    monkeypatch.setattr("render.plan.plan_json.INLINE_FRAMES", 1)
    assert place.render("+timeline=t").code == 0
    plan = place.folder / "outputs" / "t" / "plan.json"
    before = plan.read_bytes(), plan.with_name("plan.jsonl").read_bytes()
    assert broken.render("+timeline=t", "sampling.negative=x").code == 2
    assert (plan.read_bytes(), plan.with_name("plan.jsonl").read_bytes()) == before


def test_a_shard_that_is_refused_puts_no_plan_over_that_of_a_run_that_ends_meanwhile(
    place, monkeypatch
):
    place.render("+timeline=t", "mode=plan", "timeline.keyframes.0.prompt=old")
    folder = place.folder / "outputs" / "t"
    plan, other_run = folder / "plan.json", ExitStack()

    def before(*where):
        """Another shard begins, with its own plan, when this run has just looked."""
        looked = Before(*where)
        other_run.enter_context(holding(folder, "0-of-2", lambda: None, lambda: None))
        plan.write_bytes(plan.read_bytes().replace(b"old", b"new"))
        return looked

    def announced(error, run):
        """It ends as soon as this one is refused."""
        other_run.close()
        return error

    monkeypatch.setattr(ending, "Before", before)
    monkeypatch.setattr(ending, "announce", announced)
    refused = place.render("+timeline=t", "shard=1/2")
    assert refused.code == 2
    assert "shards of another plan are at work here" in refused.err
    assert b"new" in plan.read_bytes()


class OfflineModeIsEnabled(ConnectionError):
    """As the hub's client calls it."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OfflineModeIsEnabled("Cannot reach https://x: offline mode"),
            "HF_HUB_OFFLINE",
        ),
        (ConnectionError("Max retries exceeded"), "the hub can't be reached"),
        (TimeoutError(), "the hub can't be reached"),
        (RuntimeError("403 Client Error. Access to model x is restricted"), "hf auth login"),
        (RuntimeError("429 Too Many Requests"), "asks for a pause"),
        (ValueError("quite another thing\nand more"), "ValueError: “quite another thing”"),
    ],
)
def test_the_hubs_errors_are_reported_in_our_words(error, message):
    assert message in of_the_hub(error)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("size mismatch for conv_in.weight: copying"), "other shapes"),
        (OSError("Error no file named model.safetensors found in directory"), "model.safetensors"),
        (ValueError("Error while deserializing header: HeaderTooLarge"), "cut or damaged"),
        (KeyError("odd"), "KeyError: “'odd'”"),
    ],
)
def test_a_loaders_errors_are_reported_in_our_words(error, message):
    assert message in of_a_loader(error)


def test_no_time_is_left_is_not_said_before_the_end():
    events, now = [], [0.0]
    progress = Phase("render", 3, events.append, lambda: now[0])
    progress.now(3, "a castle")
    now[0] = 40.0
    progress.step(12, 12)
    assert [progress_line(event) for event in events if event.due] == [
        "render 0/3, 13.3 s/frame: a castle"
    ]
    now[0] = 80.0
    progress.finish(1)
    progress.now(2, "a castle")
    progress.step(1, 4)
    assert "left" in progress_line(events[-1])
