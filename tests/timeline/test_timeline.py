"""Timelines: rational times, every keyframe hit once, weights on their way from one to the next."""

import re
from fractions import Fraction
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from render.config.schema import SamplingConfig, TimelineConfig
from render.errors import ConfigError
from render.plan.build import make_plan
from render.plan.frame_plan import Recipe
from render.plan.plan_warnings import meeting_rate
from render.timeline.interpolation import frame_times, values_at
from render.timeline.timeline import resolve

quick = settings(deadline=None, max_examples=60)
RECIPE = Recipe("tiny", "model", {}, 4, 64, 64, "float32", "noise")
TEXTS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 9), min_size=1, max_size=3)
SEEDS = st.dictionaries(st.integers(0, 5), st.floats(0.01, 9), min_size=1, max_size=3)
EASES = st.sampled_from(["linear", "smooth", "in", "out", "hold", [0.42, 0.0, 0.58, 1.0]])
RATES = st.sampled_from([12, 24, 25, "30000/1001", 23.976, 7.5, "1/3"])


def written(keyframes, **more):
    return TimelineConfig.model_validate({"keyframes": keyframes, **more})


def resolved(keyframes, fps=12, sampling=None, **more):
    rate = Fraction(fps)
    return resolve(written(keyframes, **more), sampling or SamplingConfig(), rate, 7.5)


def mistakes(keyframes, fps=12, **more):
    with pytest.raises(ConfigError) as error:
        resolved(keyframes, fps, **more)
    return [(mistake.where, mistake.what) for mistake in error.value.mistakes]


@st.composite
def on_grid(draw, most=6):
    """Keyframes at whole frames, so that every one of them is shown."""
    frames = draw(st.lists(st.integers(1, 40), max_size=most, unique=True))
    keyframes = []
    for frame in [0, *sorted(frames)]:
        fields = {"prompt": draw(TEXTS), "seed": draw(SEEDS), "ease": draw(EASES)}
        fields["guidance"] = draw(st.sampled_from([1, 3.5, 7.5]))
        fields["negative"] = draw(st.sampled_from(["", "dark", "blurry"]))
        left_out = draw(st.sets(st.sampled_from(list(fields)))) if frame else set()
        kept = {key: value for key, value in fields.items() if key not in left_out}
        keyframes.append({"at": f"{frame}f", **kept})
    return keyframes


def rate(fps):
    return Fraction(str(fps))


def planned(keyframes, fps, **more):
    return make_plan(resolved(keyframes, rate(fps), **more), RECIPE, rate(fps), "PNDMScheduler")


@quick
@given(on_grid(), RATES)
def test_every_keyframe_on_the_frame_grid_is_hit_exactly_once(keyframes, fps):
    timeline = resolved(keyframes, rate(fps))
    times = frame_times(timeline, rate(fps))
    for keyframe in timeline.keyframes:
        assert times.count(keyframe.time) == 1
        assert values_at(timeline, keyframe.time) == keyframe.values
    assert (times[0], times[-1]) == (0, timeline.keyframes[-1].time)
    assert not [w for w in planned(keyframes, fps).warnings if "between frames" in w]


@quick
@given(on_grid(), RATES)
def test_no_two_neighbouring_frames_are_doubles_unless_held(keyframes, fps):
    timeline = resolved(keyframes, rate(fps))
    frames = planned(keyframes, fps).frames
    still = set()
    for start, end in pairwise(timeline.keyframes):
        same = sorted(start.values.prompts) == sorted(end.values.prompts)
        same &= sorted(start.values.seeds) == sorted(end.values.seeds)
        same &= start.values.guidance == end.values.guidance
        same &= start.values.negatives == end.values.negatives or start.values.guidance == 1
        if start.ease == "hold" or same:
            still.update(time for time in (f.time for f in frames) if start.time < time <= end.time)
    for before, after in pairwise(frames):
        assert before.digest != after.digest or after.time in still


@quick
@given(on_grid(), RATES, st.booleans())
def test_weights_are_above_zero_and_sum_to_one(keyframes, fps, loop):
    more = {"loop": True, "duration": "50f"} if loop else {}
    timeline = resolved(keyframes, rate(fps), **more)
    for time in frame_times(timeline, rate(fps)):
        spec = values_at(timeline, time)
        for side in (spec.prompts, spec.negatives, spec.seeds):
            assert sum(weight for _, weight in side) == pytest.approx(1, abs=1e-9)
            assert all(weight > 0 for _, weight in side)
            assert len({key for key, _ in side}) == len(side)
        assert 1 <= spec.guidance <= 7.5


SECONDS = st.lists(st.fractions(0, 5, max_denominator=48), max_size=4, unique=True)


@quick
@given(SECONDS, st.sampled_from([12, "30000/1001", 7.5]), st.booleans(), EASES)
def test_twice_the_rate_reuses_every_frame(times, fps, loop, ease):
    keyframes = [
        {"at": float(at), "prompt": "abcdef"[place], "seed": place % 2, "ease": ease}
        for place, at in enumerate(sorted({Fraction(0), *times}))
    ]
    # The film's length is a whole number of frames, so that it ends alike at both rates.
    more = {"loop": loop, "duration": f"{int(6 * rate(fps))}f"}
    slow = planned(keyframes, fps, **more)
    more["duration"] = f"{2 * int(6 * rate(fps))}f"
    fast = make_plan(
        resolved(keyframes, 2 * rate(fps), **more), RECIPE, 2 * rate(fps), "PNDMScheduler"
    )
    again = [frame for frame in fast.frames if frame.index % 2 == 0]
    assert [frame.digest for frame in again] == [frame.digest for frame in slow.frames]
    assert [frame.time for frame in again] == [frame.time for frame in slow.frames]


def test_keyframes_off_the_grid_are_warned_of():
    plan = planned([{"at": 0, "prompt": "a"}, {"at": 1.3, "prompt": "b"}, {"at": 2}], 12)
    (warning,) = plan.warnings
    assert "keyframes at 1.3 s fall between frames at 12 fps" in warning
    assert '("36f")' in warning
    assert planned([{"at": 0, "prompt": "a"}, {"at": "31f", "prompt": "b"}], 12).warnings == ()


BEAT = Fraction(15, 32)  # seconds, at 128 a minute


def beats(count, spelled=float):
    return [{"at": spelled(BEAT * beat), "prompt": f"p{beat}"} for beat in range(count)]


@pytest.mark.parametrize(
    ("keyframes", "fps", "meeting"),
    [
        (beats(9), 12, "64/5"),
        (beats(9, lambda time: round(float(time), 3)), 12, "64/5"),
        (beats(9), 24, "32"),
        (beats(9), 30, "32"),
        ([{"at": 0.48 * beat, "prompt": f"p{beat}"} for beat in range(5)], 12, "25/2"),
        ([{"at": 0, "prompt": "a"}, {"at": 0.7}, {"at": 2}], 12, "10"),
    ],
)
def test_the_rate_that_meets_the_keyframes_is_suggested(keyframes, fps, meeting):
    (warning,) = planned(keyframes, fps).warnings
    found = re.search(r"output\.fps=(\S+) meets them all", warning)[1]
    assert found == meeting
    assert planned(keyframes, Fraction(found)).warnings == ()


def test_keyframes_that_no_near_rate_meets_are_named_without_one():
    keyframes = [{"at": at, "prompt": f"p{at}"} for at in (0, 0.317, 0.511, 1.3331, 1.9973)]
    (warning,) = planned(keyframes, 12).warnings
    assert "choose another output.fps" in warning
    assert "meets" not in warning


def test_a_keyframe_that_is_met_is_not_listed():
    keyframes = [{"at": at, "prompt": f"p{at}"} for at in (0, 0.083, 0.3333, 0.45, 1)]
    (warning,) = planned(keyframes, 12).warnings
    assert warning.startswith("keyframes at 0.45 s fall between")


def test_fifty_thousand_keyframes_off_the_grid_are_warned_of_quickly():
    times = [float(beat * BEAT) + 0.0017 * (beat == 49_999) for beat in range(50_000)]
    began = process_time()
    assert meeting_rate(times, 59.94) is None
    assert process_time() - began < 5


@pytest.mark.parametrize(("fps", "frames"), [(12, 96), (Fraction(64, 5), 102), (1, 8)])
def test_an_open_end_leaves_out_the_frame_at_the_end(fps, frames):
    keyframes = [{"at": 0, "prompt": "a"}, {"at": 8, "prompt": "b"}]
    closed, opened = planned(keyframes, fps), planned(keyframes, fps, end="open")
    assert len(opened.frames) == frames
    assert opened.frames == closed.frames[:-1]


def test_an_open_film_has_a_frame_and_an_open_loop_is_a_mistake():
    assert len(planned([{"at": 0, "prompt": "a"}], 12, end="open").frames) == 1
    with pytest.raises(ConfigError, match=r"timeline\.end: a loop .* leave it out"):
        planned([{"at": 0, "prompt": "a"}], 12, end="open", loop=True, duration=2)


def test_times_are_rational():
    rate = Fraction(30000, 1001)
    timeline = resolved([{"at": 0, "prompt": "a"}, {"at": "3f"}, {"at": 0.2}], rate)
    assert [k.time for k in timeline.keyframes] == [0, Fraction(3003, 30000), Fraction(1, 5)]
    assert frame_times(timeline, rate)[5] == Fraction(5005, 30000)


def test_a_mapping_and_a_list_say_the_same():
    listed = [{"at": 0, "prompt": "a"}, {"at": 1, "prompt": "b"}, {"at": 2, "prompt": "c"}]
    mapped = {"end": listed[2], "start": listed[0], "middle": listed[1]}  # any order
    assert resolved(mapped) == resolved(listed)


def test_what_a_keyframe_leaves_out():
    sampling = SamplingConfig(negative="dark", seed=9)
    frames = [
        {"at": 0, "prompt": {"a": 3, "b": 1}},
        {"at": 1, "seed": 4, "guidance": 2, "negative": "blurry"},
        {"at": 2},
    ]
    first, second, third = (k.values for k in resolved(frames, sampling=sampling).keyframes)
    assert first.prompts == second.prompts == third.prompts == (("a", 0.75), ("b", 0.25))
    assert (first.seeds, second.seeds, third.seeds) == (((9, 1),), ((4, 1),), ((4, 1),))
    assert [v.guidance for v in (first, second, third)] == [7.5, 2, 7.5]
    assert [v.negatives[0][0] for v in (first, second, third)] == ["dark", "blurry", "dark"]


def test_everything_travels_between_two_keyframes():
    start = {"at": 0, "prompt": {"a": 1, "b": 1}, "seed": 1, "guidance": 3, "negative": "x"}
    end = {"at": 1, "prompt": {"b": 1, "c": 3}, "seed": {1: 0.5, 2: 0.5}, "guidance": 5}
    spec = values_at(resolved([start, end]), Fraction(1, 4))
    assert dict(spec.prompts) == {"a": 0.375, "b": 0.4375, "c": 0.1875}
    assert dict(spec.seeds) == {1: 0.875, 2: 0.125}
    assert dict(spec.negatives) == {"x": 0.75, "": 0.25}
    assert spec.guidance == 3.5


@pytest.mark.parametrize(
    ("ease", "weight"),
    [
        ("linear", 0.25),
        ("smooth", 0.15625),
        ("in", 0.0625),
        ("out", 0.4375),
        ([0.42, 0, 0.58, 1], pytest.approx(0.12916, abs=1e-5)),
    ],
)
def test_an_easing_shapes_the_way_to_the_next_keyframe(ease, weight):
    frames = [{"at": 0, "prompt": "a", "ease": ease}, {"at": 1, "prompt": "b"}]
    assert dict(values_at(resolved(frames), Fraction(1, 4)).prompts)["b"] == weight


def test_a_hold_stays_and_then_cuts():
    frames = [{"at": 0, "prompt": "a", "ease": "hold"}, {"at": 1, "prompt": "b"}]
    plan = planned(frames, 12)
    assert [frame.spec.prompts[0][0] for frame in plan.frames] == ["a"] * 12 + ["b"]


def test_a_loop_leads_back_and_does_not_repeat_its_first_frame():
    frames = [{"at": 0, "prompt": "a"}, {"at": 1, "prompt": "b"}]
    plan = planned(frames, 4, loop=True, duration=2)
    weights = [dict(frame.spec.prompts).get("a", 0) for frame in plan.frames]
    assert weights == [1, 0.75, 0.5, 0.25, 0, 0.25, 0.5, 0.75]


def test_behind_the_last_keyframe_its_values_stay():
    plan = planned([{"at": 0, "prompt": "a"}, {"at": 1, "prompt": "b"}], 4, duration=2)
    assert len(plan.frames) == 9
    assert {frame.digest for frame in plan.frames[4:]} == {plan.frames[4].digest}


def test_one_keyframe_is_one_frame():
    assert len(planned([{"at": 0, "prompt": "a"}], 12).frames) == 1


def test_a_weight_too_small_to_count_is_none():
    (keyframe,) = resolved([{"at": 0, "prompt": {"a": 1, "b": 1e-14}}]).keyframes
    assert keyframe.values.prompts == (("a", 1.0),)


def test_everything_wrong_with_the_order_is_reported_at_once():
    frames = [{"at": 0.5}, {"at": 2}, {"at": 1}, {"at": 1}]
    assert mistakes(frames, loop=True) == [
        ("timeline.keyframes.0.at", "the first keyframe has to be at 0"),
        (
            "timeline.keyframes.2.at",
            "1 s is before 2 s, the keyframe above; keep the list in order",
        ),
        ("timeline.keyframes.3.at", "two keyframes are at 1 s; move or remove one"),
        ("timeline.loop", "a loop needs a `duration`: when the first keyframe comes again"),
        ("timeline.keyframes.0", "the first keyframe needs a prompt"),
    ]


def test_frames_and_seconds_may_meet():
    (wrong,) = mistakes([{"at": 0, "prompt": "a"}, {"at": 1.5}, {"at": "18f"}])
    assert wrong == ("timeline.keyframes.2.at", "two keyframes are at 1.5 s; move or remove one")


def test_the_earliest_of_a_mapping_needs_the_prompt():
    frames = {"castle": {"at": 2, "prompt": "a"}, "start": {"at": 0}}
    assert mistakes(frames) == [("timeline.keyframes.start", "the first keyframe needs a prompt")]


@pytest.mark.parametrize(
    ("loop", "duration", "said"),
    [
        (False, 1.5, "1.5 s ends before the last keyframe (2 s)"),
        (True, 1, "1 s ends before the last keyframe (2 s)"),
        (True, 2, "the last keyframe stands at 2 s; a loop comes back after it"),
    ],
)
def test_a_duration_cuts_no_keyframe_off(loop, duration, said):
    frames = [{"at": 0, "prompt": "a"}, {"at": 2}]
    assert mistakes(frames, loop=loop, duration=duration) == [("timeline.duration", said)]


@pytest.mark.parametrize("at", [1e9, "99999999999f", 10**15])
def test_a_film_without_end_is_refused_before_its_frames_are_counted_out(at):
    ((where, what),) = mistakes([{"at": 0, "prompt": "a"}, {"at": at}])
    assert (where, what) == ("timeline.keyframes", "more than 1,000,000 frames")


def test_places_are_those_of_the_reader():
    with pytest.raises(ConfigError, match=r"^film\.yaml: timeline\.keyframes\.0: the first"):
        resolve(
            written([{"at": 0}]),
            SamplingConfig(),
            Fraction(12),
            7.5,
            lambda path: f"film.yaml: {path}",
        )
