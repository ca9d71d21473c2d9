"""The loop, with a stand-in for the model behind the same interface."""

from fractions import Fraction

import numpy as np
import pytest

from render.diffusion.pending_images import Arriving
from render.errors import DiskFull, FramesFailed, OutOfMemory
from render.plan.frame_plan import PlannedFrame
from render.run.frame_loop import FAILURES_IN_A_ROW, TRIES, distinct, render_frames
from render.timeline.spec import FrameSpec

PICTURE = np.zeros((8, 8, 3), np.uint8)


def frames(count):
    return [
        PlannedFrame(i, Fraction(i, 4), FrameSpec(((f"p{i}", 1.0),), (), ((1, 1.0),), 7.5), f"d{i}")
        for i in range(count)
    ]


class StandIn:
    """Renders like a Diffusion; `trouble` is asked before each batch and may raise, or return the
    places of pictures that are not finite."""

    def __init__(self, batch=2, trouble=lambda texts, call: None, event=lambda: None):
        self.batch, self.trouble, self.calls, self.event = batch, trouble, [], event

    def set_batch(self, batch):
        self.batch = batch

    def render(self, specs, on_step):
        texts = [spec.prompts[0][0] for spec in specs]
        self.calls.append(texts)
        bad = self.trouble(texts, len(self.calls)) or ()
        on_step(1, 1)
        return Arriving(
            [PICTURE] * len(specs), [place not in bad for place in range(len(specs))], self.event()
        )


class Watch:
    """Receives the loop's events."""

    def __init__(self):
        self.begun, self.steps, self.done, self.failed, self.notices = [], [], [], [], []

    def run(self, diffusion, planned):
        batches = render_frames(
            diffusion,
            planned,
            lambda part: self.begun.append(len(part)),
            lambda done, total: self.steps.append((done, total)),
            self.take,
            lambda failure: self.failed.append((failure.frame.index, failure.cause)),
            self.notices.append,
        )
        assert all(list(batches))
        return self

    def take(self, finished):
        shown = [(frame.index, picture()) for frame, picture in finished]
        assert all(picture is PICTURE for _, picture in shown if picture is not None)
        self.done += [index for index, picture in shown if picture is not None]


def test_frames_come_in_order_and_each_is_handed_on_before_the_next_batch():
    stored_before_call = []
    watch = Watch()
    model = StandIn(2, lambda *_: stored_before_call.append(list(watch.done)))
    watch.run(model, frames(5))
    assert model.calls == [["p0", "p1"], ["p2", "p3"], ["p4"]]
    assert stored_before_call == [[], [0, 1], [0, 1, 2, 3]]
    assert watch.done == [0, 1, 2, 3, 4]
    assert watch.begun == [2, 2, 1]
    assert watch.steps == [(1, 1)] * 3
    assert not watch.failed
    assert not watch.notices


def test_the_batch_does_not_grow_with_the_film():
    watch, model = Watch(), StandIn(4)
    watch.run(model, frames(1001))
    assert max(map(len, model.calls)) == 4
    assert len(watch.done) == 1001


def test_a_passing_error_is_tried_again():
    def trouble(texts, call):
        if call < TRIES:
            raise RuntimeError("a hiccup\nof the driver")

    watch = Watch().run(StandIn(2, trouble), frames(2))
    assert watch.done == [0, 1]
    assert watch.notices == [
        "frame 0: RuntimeError: a hiccup; trying again (1 of 2)",
        "frame 0: RuntimeError: a hiccup; trying again (2 of 2)",
    ]


def test_an_error_that_stays_fails_its_frame_and_no_other():
    def trouble(texts, call):
        if "p2" in texts:
            raise RuntimeError("for good")

    model = StandIn(2, trouble)
    watch = Watch().run(model, frames(6))
    assert watch.done == [0, 1, 3, 4, 5]
    assert watch.failed == [(2, "RuntimeError: for good")]
    assert model.calls[1:-1] == [["p2", "p3"]] * (TRIES - 1) + [["p2"], ["p3"]]


def test_a_picture_that_is_not_finite_fails_alone_and_is_not_tried_again():
    def trouble(texts, call):
        if texts == ["p2", "p3"]:
            return [1]
        return []

    model = StandIn(2, trouble)
    watch = Watch().run(model, frames(6))
    assert watch.done == [0, 1, 2, 4, 5]
    assert [index for index, _ in watch.failed] == [3]
    assert "compute.dtype=float32" in watch.failed[0][1]
    assert len(model.calls) == 3


class Event:
    """A GPU's that comes when it is waited for, or brings an error."""

    def __init__(self, error=None):
        self.come, self.error = False, error

    def query(self):
        return self.come

    def synchronize(self):
        if self.error:
            raise self.error
        self.come = True


def test_a_gpu_is_given_the_next_batch_before_its_last_one_has_come():
    events = []

    def event():
        events.append(Event())
        return events[-1]

    come_before_call, handed_on = [], []

    def trouble(texts, call):
        come_before_call.append([each.come for each in events])
        return [1] if call == 2 else []

    watch = Watch()
    watch.take = lambda pictures: handed_on.append([frame.index for frame, _ in pictures])
    watch.run(StandIn(2, trouble, event), frames(6))
    assert come_before_call == [[], [False], [True, False]]
    assert handed_on == [[0, 1], [2, 3], [4, 5]]
    assert all(each.come for each in events)
    assert [index for index, _ in watch.failed] == [3]


def test_an_error_that_a_gpu_reports_late_fails_its_batch():
    answers = iter([None, RuntimeError("CUDA error: an illegal memory access"), None])
    watch = Watch().run(StandIn(2, event=lambda: Event(next(answers))), frames(6))
    assert watch.done == [0, 1, 4, 5]
    cause = "RuntimeError: CUDA error: an illegal memory access"
    assert watch.failed == [(2, cause), (3, cause)]


def test_what_is_underway_is_settled_when_the_next_batch_does_not_fit():
    def trouble(texts, call):
        if call == 2:
            raise OutOfMemory("out of memory: 8 GiB")
        return [0] if call == 1 else []

    watch = Watch()
    with pytest.raises(FramesFailed, match=r"frame 1: .* not even one frame"):
        watch.run(StandIn(1, trouble, Event), frames(4))
    assert [index for index, _ in watch.failed] == [0, 1]


def test_too_little_memory_halves_the_batch():
    def trouble(texts, call):
        if len(texts) > 2:
            raise OutOfMemory("out of memory: 8 GiB")

    model = StandIn(8, trouble)
    watch = Watch().run(model, frames(5))
    assert watch.done == [0, 1, 2, 3, 4]
    assert [len(texts) for texts in model.calls] == [5, 4, 2, 2, 1]
    assert watch.notices[-1] == "out of memory; going on with 2 frames at a time"
    assert not watch.failed


def test_too_little_memory_for_one_frame_ends_the_run():
    def trouble(texts, call):
        if "p2" in texts:
            raise OutOfMemory("out of memory: 8 GiB")

    watch = Watch()
    with pytest.raises(FramesFailed, match=r"frame 2: .* not even one frame at a time") as ended:
        watch.run(StandIn(2, trouble), frames(6))
    assert ended.value.exit_code == 3
    assert watch.done == [0, 1]
    assert watch.failed == [(2, "out of memory: 8 GiB")]


def test_many_failures_in_a_row_end_the_run_and_what_was_finished_stays():
    def trouble(texts, call):
        if texts != ["p0", "p1"]:
            raise RuntimeError("for good")

    model, watch = StandIn(2, trouble), Watch()
    with pytest.raises(FramesFailed, match="8 frames in a row failed") as ended:
        watch.run(model, frames(100))
    assert ended.value.exit_code == 3
    assert watch.done == [0, 1]
    assert len(watch.failed) == FAILURES_IN_A_ROW
    assert len(model.calls) == 1 + (TRIES - 1 + 2) * FAILURES_IN_A_ROW // 2


def test_a_success_in_between_starts_the_count_again():
    def trouble(texts, call):
        if int(texts[0][1:]) % 7:
            return [0]
        return []

    watch = Watch().run(StandIn(1, trouble), frames(70))
    assert len(watch.failed) == 60
    assert len(watch.done) == 10


def test_a_full_disk_is_not_tried_again():
    def trouble(texts, call):
        raise DiskFull("no room")

    model = StandIn(2, trouble)
    with pytest.raises(DiskFull):
        Watch().run(model, frames(2))
    assert len(model.calls) == 1


def test_a_held_picture_is_rendered_once():
    first, second = frames(2)
    again = PlannedFrame(7, Fraction(7), first.spec, first.digest)
    assert list(distinct([first, second, again])) == [first, second]


SHAPES = "mat1 and mat2 shapes cannot be multiplied (4x8 and 4x4)"


@pytest.mark.parametrize(
    "said",
    [
        SHAPES,
        "Given groups=1, weight of size [8, 4, 3, 3], expected input[1, 8] to have 4 channels",
        "Input type (float) and bias type (c10::Half) should be the same type",
        '"addmm_impl_cpu_" not implemented for a half',
        "The size of tensor a (4) must match the size of tensor b (8) at dimension 1",
    ],
)
def test_a_mistake_that_would_come_again_is_not_tried_again(said):
    """A start image for an autoencoder of eight channels was tried three times a frame."""

    def trouble(texts, call):
        raise RuntimeError(said)

    model = StandIn(1, trouble)
    watch = Watch().run(model, frames(3))
    assert model.calls == [["p0"], ["p1"], ["p2"]]
    assert watch.notices == []
    assert [index for index, _ in watch.failed] == [0, 1, 2]


def test_such_a_mistake_in_a_batch_stays_with_its_frame():
    def trouble(texts, call):
        if "p1" in texts:
            raise RuntimeError(SHAPES)

    model = StandIn(3, trouble)
    watch = Watch().run(model, frames(3))
    assert model.calls == [["p0", "p1", "p2"], ["p0"], ["p1"], ["p2"]]
    assert watch.failed == [(1, f"RuntimeError: {SHAPES}")]
    assert watch.done == [0, 2]
