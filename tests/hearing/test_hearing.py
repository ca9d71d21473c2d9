"""Beats, onsets and levels of sounds that the tests make, where the right answer is known."""

import json
from fractions import Fraction

import numpy as np
import pytest
from synthetic_sound import clicks, drums, f_measure, write_wave

from render.errors import ConfigError
from render.hearing import analysis, by_librosa
from render.hearing.analysis import analysed
from render.hearing.downbeats import downbeats
from render.hearing.kept import content_of, kept
from render.timeline.heard import LEVELS_HZ

pytest.importorskip("librosa")

TEMPOS = [60, 174, *(pytest.param(bpm, marks=pytest.mark.slow) for bpm in (75, 90, 100, 128, 180))]


def heard(tmp_path, sound):
    return analysed(write_wave(tmp_path / "sound.wav", sound), "digest")


def seconds(times):
    return np.array([float(time) for time in times])


@pytest.mark.parametrize("bpm", TEMPOS)
def test_beats_of_clicks(tmp_path, bpm):
    sound, beats = clicks(bpm, 30)
    found = heard(tmp_path, sound)
    assert f_measure(beats, seconds(found.beats), 0.07) >= 0.95
    assert f_measure(beats, seconds(found.onsets["all"]), 0.02) >= 0.95
    assert found.bpm == bpm


@pytest.mark.parametrize("bpm", TEMPOS)
def test_beats_and_onsets_of_drums(tmp_path, bpm):
    sound, beats, kicks = drums(bpm, 30)
    found = heard(tmp_path, sound)
    assert found.bpm == bpm
    assert f_measure(beats, seconds(found.beats), 0.07) >= 0.95
    assert abs(seconds(found.beats)[:20] - beats[:20]).max() < 0.004
    assert f_measure(kicks, seconds(found.onsets["low"]), 0.05) >= 0.95
    every = np.unique(np.concatenate([beats, beats + 30 / bpm]))
    assert f_measure(every[every < 29.9], seconds(found.onsets["all"]), 0.05) >= 0.95


def test_a_sound_may_begin_with_a_beat(tmp_path):
    found = heard(tmp_path, drums(120, 20, 0)[0])
    assert float(found.beats[0]) < 0.003
    assert float(found.onsets["low"][0]) < 0.015


def test_a_tempo_that_is_no_whole_number(tmp_path):
    found = heard(tmp_path, drums(97.3, 40)[0])
    assert abs(float(found.bpm) - 97.3) < 0.01


def test_beats_that_are_not_steady_are_followed(tmp_path):
    slower, faster = drums(112, 20)[0], drums(119, 20, 0)[0]
    found = heard(tmp_path, np.concatenate([slower, faster]))
    assert found.bpm == 0
    wanted = np.concatenate([drums(112, 20)[1], 20 + drums(119, 20, 0)[1]])
    assert f_measure(wanted, seconds(found.beats), 0.07) >= 0.8


def test_silence_and_noise_have_no_beat(tmp_path):
    silent = heard(tmp_path, np.zeros(22_050 * 3))
    assert (silent.beats, silent.onsets["all"], max(silent.levels["all"])) == ((), (), 0)
    short = heard(tmp_path, np.zeros(30))
    assert short.beats == ()


def test_levels_rise_with_the_sound(tmp_path):
    """A low tone in the second second and a high one in the third."""
    time = np.arange(22_050) / 22_050
    parts = [0 * time, 0.5 * np.sin(2 * np.pi * 80 * time), 0.5 * np.sin(2 * np.pi * 4000 * time)]
    found = heard(tmp_path, np.concatenate(parts))

    def mean(band, begin):
        return np.mean(found.levels[band][begin * LEVELS_HZ + 10 : (begin + 1) * LEVELS_HZ - 10])

    low, high = ([mean(band, begin) for begin in range(3)] for band in ("low", "high"))
    assert (low[0], high[0]) == (0, 0)
    assert low[1] > 0.95
    assert low[2] < 0.02
    assert high[1] < 0.02
    assert high[2] > 0.95
    assert [mean("all", begin) > 0.95 for begin in range(3)] == [False, True, True]


def test_a_level_lies_between_those_around_it(tmp_path):
    found = heard(tmp_path, clicks(120, 3)[0])
    levels = found.levels["all"]
    assert found.level("all", Fraction(31, LEVELS_HZ)) == levels[31]
    middle = found.level("all", Fraction(63, 2 * LEVELS_HZ))
    assert middle == pytest.approx((levels[31] + levels[32]) / 2)
    assert found.level("all", Fraction(100)) == 0


def test_a_follower_rises_and_falls_as_slowly_as_it_is_asked_to(tmp_path):
    time = np.arange(22_050) / 22_050
    tone = 0.5 * np.sin(2 * np.pi * 300 * time)
    found = heard(tmp_path, np.concatenate([0 * time, tone, 0 * time]))
    after = {s: found.followed("mid", s, 1.0, Fraction(13, 10)) for s in (0.01, 0.3, 3.0)}
    assert after[0.01] > 0.95
    assert after[0.3] == pytest.approx(1 - np.exp(-0.32 / 0.3), abs=0.01)  # 0.02 s ahead
    assert after[3.0] == pytest.approx(1 - np.exp(-0.1), abs=0.03)
    ends = [found.followed("mid", 0.01, s, Fraction(25, 10)) for s in (0.01, 0.5)]
    assert ends[0] < 0.02
    assert ends[1] == pytest.approx(np.exp(-1), abs=0.03)


def test_an_analysis_comes_back_from_its_file(tmp_path):
    found = heard(tmp_path, drums(120, 6)[0])
    file = tmp_path / "audio.json"
    file.write_bytes(content_of([found]))
    again = kept(file)["digest"]
    assert again.beats == found.beats
    assert again.onsets == found.onsets
    assert again.levels == found.levels
    assert (again.duration, again.bpm) == (found.duration, found.bpm)
    assert content_of([again]) == file.read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"beats": [2.0, 1.0]},
        {"beats": ["1"]},
        {"beats": None},
        {"bpm": -1},
        {"bpm": "NaN"},
        {"levels": {"low": "1 2"}},
        {"levels": dict.fromkeys(("low", "mid", "high", "all"), "1001")},
        {"onsets": []},
        {"duration": True},
    ],
)
def test_a_file_of_a_stranger_is_checked(tmp_path, wrong):
    content = json.loads(content_of([heard(tmp_path, clicks(120, 1)[0])]))
    file = tmp_path / "audio.json"
    file.write_text(json.dumps(content))
    assert set(kept(file)) == {"digest"}
    content["sounds"]["digest"].update(wrong)
    file.write_text(json.dumps(content))
    assert kept(file) == {}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 1, "sounds": 3}', '{"version": 99}'])
def test_a_file_that_is_no_analysis_is_passed_over(tmp_path, text):
    file = tmp_path / "audio.json"
    file.write_text(text)
    assert kept(file) == {}


def test_a_sound_is_not_endless(tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "LONGEST_S", 1)
    with pytest.raises(ConfigError, match="longer than"):
        heard(tmp_path, clicks(120, 4)[0])


def test_without_librosa_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "librosa", None)
    with pytest.raises(ConfigError, match=r"pip install 'render\[audio\]'"):
        by_librosa.library()


def test_downbeats_are_those_of_beat_this(monkeypatch):
    """A stand-in with the interface of beat_this.inference, whose weights can't be had here."""
    import sys
    import types

    class Audio2Beats:
        def __init__(self, checkpoint_path, device, float16):
            assert (checkpoint_path, device, float16) == ("final0", "cpu", False)

        def __call__(self, signal, rate):
            assert (len(signal), rate) == (5, by_librosa.HZ)
            return np.array([0.5, 1.0]), np.array([0.5])

    module = types.ModuleType("beat_this.inference")
    module.Audio2Beats = Audio2Beats
    monkeypatch.setitem(sys.modules, "beat_this", types.ModuleType("beat_this"))
    monkeypatch.setitem(sys.modules, "beat_this.inference", module)
    assert downbeats(np.zeros(5, np.float32)).tolist() == [0.5]
    monkeypatch.setitem(sys.modules, "beat_this.inference", None)
    assert downbeats(np.zeros(5, np.float32)).tolist() == []
