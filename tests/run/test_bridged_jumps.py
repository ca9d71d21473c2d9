"""Jumps that are planted into a plain path: found, bridged and marked, and none invented."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from pictures import difference, mixed, same_pictures
from PIL import Image

from render.run.frame_loop import Tried

FRAMES = "output=frames"
EVEN = ("sampling.path=plain", "timeline.pace=even", "output.fps=12", FRAMES)
BLOCK = 8  # pixels of a square of one brightness


class Planted:
    """Pictures by the weight of the second prompt alone, in place of the model's."""

    CHANGES = 1.0

    def __init__(self, jump_at=None):
        self.jumps = jump_at if isinstance(jump_at, list) else [jump_at] if jump_at else []
        rng = np.random.default_rng(1)
        self.ground, self.change = rng.uniform(40, 90, (2, 8, 8, 3))

    def of(self, weight):
        jumped = sum(weight > jump_at for jump_at in self.jumps) % 2
        cells = self.ground + self.CHANGES * weight * self.change + 60 * jumped
        return np.kron(cells, np.ones((BLOCK, BLOCK, 1))).clip(0, 255).round().astype(np.uint8)

    def once(self, diffusion, part, on_step):
        made = [self.of(dict(frame.spec.prompts).get("two", 0.0)) for frame in part]
        arrived = SimpleNamespace(ready=lambda: True, picture=made.__getitem__)
        return [Tried(frame, arrived, index) for index, frame in enumerate(part)]


@pytest.fixture
def film(place, monkeypatch):
    """Renders the timeline with planted pictures; what plan.json says of the frames."""

    def rendered(jump_at, *more):
        monkeypatch.setattr("render.run.frame_loop.once", Planted(jump_at).once)
        ended = place.render("+timeline=t", *EVEN, *more)
        assert ended.code == 0, ended.err
        place.said = ended.out + ended.err
        return json.loads((place.folder / "outputs/t/plan.json").read_text())["frames"]

    return rendered


def shown(place):
    found = sorted((place.folder / "outputs/t/shown").glob("*.png"))
    return [np.asarray(Image.open(path)) for path in found]


def bridged(frames):
    return [frame["index"] for frame in frames if frame.get("bridge")]


def weights(frames):
    return [dict(frame["prompts"]).get("two", 0.0) for frame in frames]


@pytest.mark.parametrize("jump_at", [0.2, 0.5, 0.83])
@pytest.mark.parametrize("fps", [6, 12, 24])
def test_a_jump_is_bridged_and_marked(place, film, jump_at, fps):
    frames = film(jump_at, f"output.fps={fps}")
    inside = bridged(frames)
    first, last = inside[0] - 1, inside[-1] + 1
    assert inside == [*range(first + 1, last)]
    assert weights(frames)[first] < jump_at < weights(frames)[last]
    pictures, rendered = shown(place), place.pictures("t")
    assert len(pictures) == len(rendered) == fps + 1
    for index, picture in enumerate(pictures):
        wanted = rendered[index]
        if index in inside:
            wanted = mixed(rendered[first], rendered[last], (index - first) / (last - first))
        assert difference(picture, wanted) <= (1 if index in inside else 0)
    steps = [np.abs(a - b.astype(float)).mean() for a, b in itertools.pairwise(pictures)]
    unbridged = [np.abs(a - b.astype(float)).mean() for a, b in itertools.pairwise(rendered)]
    assert max(steps) < 0.75 * max(unbridged)
    assert f"frames {first + 1} to {last - 1} are shown as pictures in between" in place.said
    assert place.run_json("t")["bridged"] == inside
    assert "the picture jumps there, and these frames bridge it" in place.said


@pytest.mark.parametrize("jump_at", [0.001, 0.999])
def test_a_jump_beside_a_keyframe_leaves_the_keyframe_as_it_is(place, film, jump_at):
    frames = film(jump_at)
    assert bridged(frames)
    assert not {0, 12} & {*bridged(frames)}
    pictures, rendered = shown(place), place.pictures("t")
    assert same_pictures([pictures[0], pictures[-1]], [rendered[0], rendered[-1]])


def test_no_jump_is_invented(place, film):
    frames = film(None)
    assert not any("bridge" in frame for frame in frames)
    assert not (place.folder / "outputs/t/shown").exists()
    assert "bridged" not in place.run_json("t")


def test_between_more_pictures_the_way_over_the_jump_is_one(place, film):
    frames = film(0.5, "output.rendered_fps=12", "output.fps=24", "output.inbetween=dissolve")
    pictures, rendered, inside = shown(place), place.pictures("t"), bridged(frames)
    first, last = inside[0] - 1, inside[-1] + 1
    parts = 2 * (last - first)
    for part in range(parts + 1):
        wanted = mixed(rendered[first], rendered[last], part / parts)
        assert difference(pictures[2 * first + part], wanted) <= 1


def test_the_same_command_makes_nothing_anew_and_a_shard_agrees(place, film):
    film(0.5)
    film(0.5)
    assert place.run_json("t")["shown"]["made"] == 0
    film(0.5, "shard=0/2")
    assert place.run_json("t")["shown"]["made"] == 0


def test_the_sheet_marks_what_bridges(place, film, monkeypatch):
    said = []
    from render.video import contact_sheet

    real = contact_sheet.caption

    def caption(frame, *more):
        lines = real(frame, *more)
        said.append((frame.index, [text for _, text, _ in lines]))
        return lines

    monkeypatch.setattr("render.video.contact_sheet.caption", caption)
    frames = film(0.5)
    marked = {index for index, lines in said if "bridges a jump" in lines}
    assert marked == {*bridged(frames)}


def test_a_shard_that_measures_alone_goes_on(place, film):
    film(0.5, "shard=0/2")
    assert place.run_json("t")["frames"]["rendered"] > 0
    frames = film(0.5, "shard=1/2")
    assert place.run_json("t")["bridged"] == bridged(frames)
    assert len(shown(place)) == 13


def test_the_way_that_is_asked_for_bridges(place, film):
    frames = film(0.5, "output.inbetween=dissolve")
    assert bridged(frames)
    plan = json.loads((place.folder / "outputs/t/plan.json").read_text())
    assert plan["shown"]["inbetween"] == "dissolve"


def test_several_jumps_are_all_bridged(place, film):
    many = [k / 5 for k in range(1, 5)]
    frames = film(many, "timeline.keyframes.1.at=4")
    crossed = [
        next(i for i, weight in enumerate(weights(frames)) if weight > jump_at) for jump_at in many
    ]
    inside = set(bridged(frames))
    assert all({index, index - 1} & inside for index in crossed)


@pytest.mark.parametrize("ease", ["easeOutBounce", "easeInElastic", "[0.3, 2, 0.7, -1]"])
def test_a_curve_that_turns_back_is_bridged_at_each_crossing(place, film, ease):
    frames = film(0.5, "output.fps=24", f"timeline.keyframes.0.ease={ease}")
    over = [weight > 0.5 for weight in weights(frames)]
    crossings = [i for i, (a, b) in enumerate(itertools.pairwise(over)) if a != b]
    inside = set(bridged(frames))
    assert crossings
    assert all({index, index + 1} & inside for index in crossings)


def test_a_still_segment_with_a_jump_is_bridged(place, film, monkeypatch):
    monkeypatch.setattr(Planted, "CHANGES", 0.0)
    assert bridged(film(0.5))


@pytest.mark.parametrize("jump_at", [0.001, 0.999])
def test_a_keyframe_between_frames_does_not_hide_a_jump(place, film, jump_at):
    place.timeline(
        "t",
        [
            {"at": 0, "prompt": "one", "seed": 1},
            {"at": 0.54, "prompt": "one"},
            {"at": 1.04, "prompt": "two"},
            {"at": 2, "prompt": "two"},
        ],
    )
    frames = film(jump_at)
    over = [weight > jump_at for weight in weights(frames)]
    crossing = over.index(True)
    assert {crossing - 1, crossing} & {*bridged(frames)}


def test_a_film_with_frames_left_out_says_that_it_bridges_nothing(place, film):
    assert not bridged(film(0.5, "sampling.every=2"))
    assert "sampling.every=2 bridges no jump" in place.said


def test_a_paced_timeline_of_a_film_with_a_jump_is_measured_again(place, film):
    film(0.5)
    paced = (place.folder / "outputs/t/paced.yaml").read_text()
    assert "pace: even" in paced


TEN = ("output.fps=10",)
HOLD = [
    {"at": 0, "prompt": "two", "seed": 1, "ease": "hold"},
    {"at": 0.55, "prompt": "one"},
    {"at": 1.5, "prompt": "two"},
]


def test_a_bridge_ends_before_a_cut(place, film):
    ahead = [
        {"at": 0, "prompt": "one", "seed": 1},
        {"at": 0.99, "prompt": "two", "ease": "hold"},
        {"at": 1.05, "prompt": "one", "pace": "time"},
        {"at": 2, "prompt": "one"},
    ]
    place.timeline("t", ahead)
    assert bridged(film(0.995, *TEN)) == [9]
    assert same_pictures(shown(place)[10:12], place.pictures("t")[10:12])


@pytest.mark.parametrize("jump_at", [0.001, 0.02, 0.1])
def test_a_bridge_begins_behind_a_cut(place, film, jump_at):
    place.timeline("t", HOLD)
    frames = film(jump_at, *TEN)
    assert 6 not in bridged(frames)  # the first picture behind the cut
    over = [weight > jump_at for weight in weights(frames)[6:]]
    crossing = 6 + over.index(True)
    assert crossing == 6 or {crossing - 1, crossing} & {*bridged(frames)}


def test_a_keyframe_that_a_frame_nearly_meets_is_shown(place, film):
    keyframes = [
        {"at": 0, "prompt": "one", "seed": 1},
        {"at": 0.5, "prompt": "two"},
        {"at": 1.1667, "prompt": "one"},
    ]
    place.timeline("t", keyframes, loop=True, duration=1.6667)
    assert 7 not in bridged(film(0.001, "output.fps=6"))
    assert same_pictures(shown(place)[7:8] or place.pictures("t")[7:8], place.pictures("t")[7:8])
