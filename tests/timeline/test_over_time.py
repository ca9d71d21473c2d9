"""Values that change over time: points, expressions and sounds, in keyframes and in curves."""

from fractions import Fraction

import pytest

from render.config.parse import InvalidConfig, parse
from render.config.schema import SamplingConfig, TimelineConfig
from render.errors import ConfigError
from render.timeline.heard import LEVELS_HZ, Heard
from render.timeline.interpolation import values_at
from render.timeline.timeline import resolve

SAMPLING = SamplingConfig()
RAMP = tuple(min(1.0, place / LEVELS_HZ) for place in range(2 * LEVELS_HZ))
"""A second in which a sound becomes loud, and another in which it stays so."""


def sound(**more):
    bands = ("low", "mid", "high", "all")
    times = tuple(Fraction(k, 2) for k in range(1, 9))
    given = {
        "digest": "d",
        "duration": Fraction(4),
        "beats": times,
        "bpm": Fraction(120),
        "downbeats": (),
        "onsets": dict.fromkeys(bands, times),
        "levels": {"low": RAMP, "mid": (), "high": (), "all": RAMP},
    }
    return Heard(**given | more)


def resolved(*keyframes, sounds=None, fps=24, loras=None, **more):
    timeline = TimelineConfig(keyframes=list(keyframes), **more)
    return resolve(timeline, SAMPLING, Fraction(fps), 7.5, loras=loras, sounds=sounds)


def guidance(timeline, *times):
    return [values_at(timeline, Fraction(time)).guidance for time in times]


def test_points_lead_from_value_to_value():
    points = [{"at": 1, "value": 2}, {"at": "2", "value": 6, "ease": "hold"}, {"at": 3, "value": 0}]
    film = resolved(
        {"at": 0, "prompt": "a"}, {"at": 4, "prompt": "b"}, curves={"guidance": {"points": points}}
    )
    assert guidance(film, 0, 1, "3/2", 2, "5/2", 3, 4) == [2, 2, 4, 6, 6, 0, 0]


def test_points_have_easings_and_beats():
    points = [{"at": "beat 1", "value": 0, "ease": "in"}, {"at": "beat 5", "value": 8}]
    film = resolved(
        {"at": 0, "prompt": "a", "guidance": {"points": points}},
        {"at": 2, "prompt": "a"},
        tempo=120,
    )
    assert guidance(film, 0)[0] == 0
    half = guidance(film, 1)[0]
    assert half == pytest.approx((8 * 0.25 + 7.5) / 2)


def test_an_expression_follows_time_frame_and_beat():
    film = resolved({"at": 0, "prompt": "a"}, curves={"guidance": "1 + t"}, duration=4)
    assert guidance(film, 0, "1/3", 3) == [1, 1.333333, 4]
    film = resolved({"at": 0, "prompt": "a"}, curves={"guidance": "frame % 10"}, duration=4)
    assert guidance(film, "5/24", "12/24") == [5, 2]
    film = resolved(
        {"at": 0, "prompt": "a"}, curves={"guidance": "10 * beat + bar"}, duration=4, tempo=120
    )
    assert guidance(film, 0, "1/2", 2) == [11, 21.25, 52]


def test_between_two_keyframes_both_go_on_and_are_blended():
    film = resolved(
        {"at": 0, "prompt": "a", "guidance": "4 + t"},
        {"at": 2, "prompt": "a", "guidance": "10 - t"},
        {"at": 4, "prompt": "a", "guidance": 1},
    )
    assert guidance(film, 0, 1, 2, 3, 4) == [4, (5 + 9) / 2, 8, (7 + 1) / 2, 1]


def test_a_held_keyframe_goes_on_alone():
    film = resolved(
        {"at": 0, "prompt": "a", "guidance": "4 + t", "ease": "hold"},
        {"at": 2, "prompt": "a", "guidance": 1},
    )
    assert guidance(film, 0, 1, "47/24", 2) == [4, 5, 5.958333, 1]


def test_weights_of_prompts_follow_the_sound():
    prompt = {"a": 1, "b": {"audio": "low", "from": 0, "to": 1, "attack": 0, "release": 0}}
    film = resolved({"at": 0, "prompt": prompt}, duration=1, sounds={"": sound()}, audio="s.wav")
    shares = [dict(values_at(film, Fraction(k, 2)).prompts) for k in range(3)]
    assert shares[0]["b"] == pytest.approx(0.0099, abs=0.001)  # it is a hundredth of a second ahead
    assert shares[1]["b"] == pytest.approx(1 / 3, abs=0.01)
    assert shares[2]["b"] == pytest.approx(1 / 2, abs=0.01)


def test_weights_below_zero_are_none():
    film = resolved({"at": 0, "prompt": {"a": 1, "b": "t - 1"}}, duration=3)
    assert values_at(film, Fraction(1, 2)).prompts == (("a", 1),)
    assert dict(values_at(film, Fraction(2)).prompts) == {"a": 0.5, "b": 0.5}


def test_loras_and_curves_of_them():
    film = resolved(
        {"at": 0, "prompt": "a", "lora": {"paint": "t / 2"}},
        duration=2,
        loras={"paint": 1.0, "ink": 0.5},
        curves={"lora": {"ink": "1 - t"}},
    )
    assert values_at(film, Fraction(1)).loras == (("paint", 0.5),)
    assert values_at(film, Fraction(2)).loras == (("paint", 1), ("ink", -1))


def test_a_keyframe_that_says_nothing_continues():
    film = resolved({"at": 0, "prompt": {"a": 1, "b": "t"}}, {"at": 2, "seed": 3})
    assert dict(values_at(film, Fraction(2)).prompts)["b"] == pytest.approx(2 / 3)


def test_stems_have_names():
    stems = {"mix": sound(), "drums": sound(levels={**sound().levels, "high": RAMP, "low": ()})}
    given = {"curves": {"guidance": "100 * drums.high + 10 * low"}, "audio": {"mix": "m.wav"}}
    film = resolved({"at": 0, "prompt": "a"}, duration=1, sounds=stems, **given)
    assert guidance(film, "1/10") == [11]


def test_onsets_and_beats_of_the_sound_are_times():
    keyframes = [
        {"at": 0, "prompt": "a"},
        {"at": "onset low 2", "prompt": "b"},
        {"at": "beat 4", "prompt": "c"},
        {"at": "bar 2.3", "prompt": "d"},
    ]
    film = resolved(*keyframes, sounds={"": sound()}, tempo="audio", audio="s.wav")
    assert [keyframe.time for keyframe in film.keyframes] == [0, 1, 2, Fraction(7, 2)]


def test_bars_begin_at_downbeats_where_they_are_known():
    heard = sound(downbeats=(Fraction(1), Fraction(5, 2)))
    keyframes = [{"at": 0, "prompt": "a"}, {"at": "bar 1", "prompt": "b"}, {"at": "bar 2.2"}]
    film = resolved(*keyframes, sounds={"": heard}, tempo="audio", audio="s.wav")
    assert [keyframe.time for keyframe in film.keyframes] == [0, 1, 3]


def test_beats_go_on_behind_the_last():
    film = resolved(
        {"at": 0, "prompt": "a"},
        {"at": "beat 11"},
        {"at": "beat 12.5"},
        sounds={"": sound()},
        tempo="audio",
        audio="s.wav",
    )
    assert [float(keyframe.time) for keyframe in film.keyframes] == [0, 5.5, 6.25]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"curves": {"guidance": "200 * t"}}, "is 200 at 1 s, and has to be between 0 and 100"),
        ({"curves": {"guidance": "2 + 0 / (t - 1)"}}, "is no number at 1 s"),
        ({"curves": {"guidance": "beat"}}, "beats and bars take a tempo"),
        ({"curves": {"guidance": "low"}}, "give audio: FILE"),
        ({"curves": {"guidance": {"audio": "low"}}}, "give audio: FILE"),
        ({"tempo": "audio"}, "give audio: FILE"),
        ({"tempo": "audio", "offset": 1, "audio": "s.wav"}, "the sound says when its beats are"),
        ({"duration": "onset low 3"}, "give audio: FILE"),
        (
            {"curves": {"guidance": {"points": [{"at": 1, "value": 1}, {"at": 1, "value": 2}]}}},
            "points.1.at: comes not after the point before it",
        ),
        (
            {"curves": {"guidance": {"points": [{"at": "beat 2", "value": 1}]}}},
            "points.0.at: beats and bars take a tempo",
        ),
        ({"curves": {"lora": {"paint": 1}}}, "no LoRA is called 'paint'"),
    ],
)
def test_a_value_that_nobody_can_know_is_a_mistake(more, said):
    with pytest.raises(ConfigError) as error:
        values_at(resolved({"at": 0, "prompt": "a"}, **{"duration": 2} | more), Fraction(1))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"guidance": 3, "curves": {"guidance": 4}}, "curves.guidance gives it"),
        ({"strength": 0.5, "curves": {"strength": 0.4}}, "curves.strength gives it"),
    ],
)
def test_a_curve_and_a_keyframe_do_not_both_give_a_value(more, said):
    curves = more.pop("curves")
    with pytest.raises(ConfigError, match=said):
        resolved({"at": 0, "prompt": "a", "image": "a.png", **more}, curves=curves)


def test_all_weights_at_zero_are_a_mistake_at_their_time():
    film = resolved({"at": 0, "prompt": {"a": "1 - t", "b": "max(0, 0.5 - t)"}}, duration=3)
    assert values_at(film, Fraction(1, 2)).prompts == (("a", 1),)
    with pytest.raises(ConfigError, match="all weights are zero at 2 s"):
        values_at(film, Fraction(2))


def test_an_onset_that_is_not_there():
    with pytest.raises(ConfigError, match="the band low has 8 onsets"):
        resolved(
            {"at": 0, "prompt": "a"}, {"at": "onset low 9"}, sounds={"": sound()}, audio="s.wav"
        )
    with pytest.raises(ConfigError, match="no sound is called 'bass'"):
        resolved(
            {"at": 0, "prompt": "a"}, {"at": "onset bass.low 1"}, sounds={"": sound()}, audio="s"
        )


@pytest.mark.parametrize(
    ("keyframe", "said"),
    [
        ({"guidance": {"audio": "deep"}}, "'deep' is no band; known: low"),
        ({"guidance": {"audio": "low", "til": 3}}, "til: unknown key"),
        ({"guidance": {"audio": "low", "attack": -1}}, "attack: input should be"),
        ({"guidance": {"audio": 3}}, "audio: 3 is no band"),
        ({"guidance": {"points": []}}, "points: "),
        ({"guidance": {"points": [{"at": 1}]}}, "points.0.value: is missing"),
        ({"guidance": {"low": 3}}, "is no value; a number, an expression"),
        ({"guidance": [1, 2]}, "is no value"),
        ({"guidance": True}, "is not a number"),
        ({"guidance": 101}, "101 is not between 0 and 100"),
        ({"guidance": "7,5"}, "a decimal point is a dot"),
        ({"guidance": "tt + 1"}, "no name 'tt'"),
        ({"guidance": "x.y"}, "no name 'x.y'"),
        ({"prompt": {"a": -1, "b": "t"}}, "-1 is not between 0"),
        ({"prompt": {"a": "sin("}}, "its end is missing"),
        ({"lora": {"x": "sin("}}, "its end is missing"),
        ({"at": "onset deep 3"}, "no band 'deep'"),
        ({"at": "onset low 0"}, "onsets count from 1"),
    ],
)
def test_mistakes_of_form(keyframe, said):
    composed = {
        "name": "t",
        "model": {"name": "m", "path": "m"},
        "scheduler": {"name": "model"},
        "timeline": {"keyframes": [{"at": 0, "prompt": "a", **keyframe}]},
    }
    with pytest.raises(InvalidConfig) as error:
        parse(composed)
    assert said in str(error.value)


def test_a_loop_comes_back_to_the_first_value_without_a_jump():
    keyframes = [{"at": 0, "prompt": "a", "guidance": "3 + t"}, {"at": 2, "guidance": 5}]
    film = resolved(*keyframes, loop=True, duration=4)
    before, end = guidance(film, "399/100", 0)
    assert before == pytest.approx(end, abs=0.03)


def test_no_number_is_none_whatever_is_made_of_it():
    for written in ("max(1, 1 / (t - 2))", "max(1 / (t - 2), 1)", "5 + (1 / (t - 2) > 3)"):
        film = resolved({"at": 0, "prompt": "a"}, curves={"guidance": written}, duration=3)
        with pytest.raises(ConfigError, match="is no number at 2 s"):
            values_at(film, Fraction(2))
    film = resolved(
        {"at": 0, "prompt": "a"}, curves={"guidance": "where(t == 2, 3, 4 / (2 - t))"}, duration=1
    )
    assert values_at(film, Fraction(2)).guidance == 3


@pytest.mark.parametrize("fps", [6, 12, 24, "30000/1001"])
def test_expressions_and_points_change_in_the_frame_of_the_beat(fps):
    """At 100 beats a minute hardly a beat lies on a frame."""
    points = [{"at": 0, "value": 2, "ease": "hold"}, {"at": "beat 3", "value": 9}]
    keyframes = [{"at": 0, "prompt": "a", "ease": "hold"}, {"at": "beat 3", "prompt": "b"}]
    for curve in ("where(beat >= 3, 9, 2)", {"points": points}):
        film = resolved(*keyframes, tempo=100, curves={"guidance": curve}, fps=fps, duration=3)
        cut = round(film.keyframes[1].time * Fraction(fps))
        before, after = (values_at(film, Fraction(k) / Fraction(fps)) for k in (cut - 1, cut))
        assert (before.guidance, before.prompts[0][0]) == (2, "a")
        assert (after.guidance, after.prompts[0][0]) == (9, "b")


def test_two_beats_in_one_frame_are_named():
    with pytest.raises(ConfigError, match="are in one frame"):
        resolved({"at": 0, "prompt": "a"}, {"at": "beat 2"}, {"at": "beat 2.2"}, tempo=240, fps=1)
