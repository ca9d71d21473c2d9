"""Films that follow their sound: times, values, the analysis that travels, and the mux."""

import json
import shutil
import subprocess
import sys
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest
from synthetic_sound import HZ, add, drums, hit, write_wave

from render.config.moments import rate

pytest.importorskip("librosa")

SONG_S, BPM, OFFSET_S = 180, 174, 0.3
RATES = ["24", "29.97", "60"]


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """A song of three minutes at 174 beats a minute, its beats, and a store with its analysis."""
    folder = tmp_path_factory.mktemp("song")
    sound, beats, _ = drums(BPM, SONG_S, OFFSET_S)
    return write_wave(folder / "song.wav", sound), beats, folder / "store"


@pytest.fixture
def here(place):
    """A place with a short song."""
    write_wave(place.folder / "song.wav", drums(BPM, 12, OFFSET_S)[0])
    return place


@pytest.fixture
def with_song(place, song):
    """A place with the long song, and with its analysis if an earlier test made it."""
    file, beats, store = song
    shutil.copyfile(file, place.folder / "song.wav")
    sounds = place.folder / "outputs" / ".store" / "sounds"
    if store.exists():
        shutil.copytree(store, sounds)
    place.beats = beats
    yield place
    if sounds.exists() and not store.exists():
        shutil.copytree(sounds, store)


def plan_of(place, name="t"):
    return json.loads((place.folder / "outputs" / name / "plan.json").read_text())


def frames_of(place, plan):
    """The frames of a plan, which may lie in a file of their own."""
    if isinstance(plan["frames"], str):
        lines = (place.folder / "outputs" / "t" / plan["frames"]).read_text().splitlines()
        return [json.loads(line) for line in lines]
    return plan["frames"]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("tempo", ["audio", BPM])
def test_every_cut_on_a_beat_is_within_half_a_frame_of_it(with_song, fps, tempo):
    here = with_song
    numbers = [1, 2, 33, 34, 260, 261, 519, 520, 521]
    keyframes = [{"at": 0, "prompt": "p0", "ease": "hold"}]
    keyframes += [{"at": f"beat {n}", "prompt": f"p{n}", "ease": "hold"} for n in numbers]
    offset = {} if tempo == "audio" else {"offset": OFFSET_S}
    here.timeline("t", keyframes, audio="song.wav", tempo=tempo, duration=SONG_S, **offset)
    ended = here.render("+timeline=t", "mode=plan", f"output.fps={fps}")
    assert ended.code == 0, ended.err
    shown = {}
    for frame in frames_of(here, plan_of(here)):
        shown.setdefault(frame["prompts"][0][0], frame["time"])
    found = np.array([shown[f"p{n}"] for n in numbers])
    wanted = np.array([here.beats[n - 1] for n in numbers])
    heard = 0.0005 if tempo == "audio" else 1e-9  # s by which the beat itself may be off
    assert np.abs(found - wanted).max() <= 0.5 / float(rate(fps)) + heard


def test_the_plan_is_the_same_without_the_extra_and_on_another_machine(here, monkeypatch):
    keyframes = [
        {"at": 0, "prompt": "a"},
        {"at": "onset low 3", "prompt": {"a": 1, "b": {"audio": "high", "to": 0.8}}},
        {"at": "bar 3", "prompt": "c"},
    ]
    given = {"audio": "song.wav", "tempo": "audio", "curves": {"guidance": "3 + 4 * low"}}
    here.timeline("t", keyframes, **given)
    assert here.render("+timeline=t", "mode=keyframes").code == 0
    plan = (here.folder / "outputs" / "t" / "plan.json").read_bytes()
    scales = {frame["guidance"] for frame in json.loads(plan)["frames"]}
    assert len(scales) > 5

    monkeypatch.setitem(sys.modules, "librosa", None)
    assert here.render("+timeline=t", "mode=plan", "root=again").code == 2  # nothing is known there
    (here.folder / "again" / "t").mkdir(parents=True)
    shutil.copy(here.folder / "outputs" / "t" / "audio.json", here.folder / "again" / "t")
    ended = here.render("+timeline=t", "mode=plan", "root=again")
    assert ended.code == 0, ended.err
    assert (here.folder / "again" / "t" / "plan.json").read_bytes() == plan


def test_a_mistake_beside_a_sound_leaves_nothing_behind(here):
    here.timeline("t", [{"at": 0, "prompt": "a"}, {"at": "onset low 1"}], audio="song.wav")
    before = here.tree()
    assert here.render("+timeline=t", "mode=plan", "scheduler.steps=0").code == 2
    assert here.render("+timeline=t", "mode=plan", "output.width=63").code == 2
    assert here.tree() == before


def test_another_sound_is_another_analysis(here):
    here.timeline("t", [{"at": 0, "prompt": "a"}], duration=1, audio="song.wav",
                  curves={"guidance": "1 + low"})  # fmt: skip
    assert here.render("+timeline=t", "mode=plan").code == 0
    first = [frame["guidance"] for frame in plan_of(here)["frames"]]
    write_wave(here.folder / "song.wav", drums(120, 4)[0])
    assert here.render("+timeline=t", "mode=plan").code == 0
    assert [frame["guidance"] for frame in plan_of(here)["frames"]] != first


def test_a_film_has_the_sound_of_its_timeline_unless_it_has_another(here):
    here.timeline("t", [{"at": 0, "prompt": "a"}, {"at": 1}], audio="song.wav")
    assert here.render("+timeline=t").code == 0
    assert streams(here.folder / "outputs" / "t" / "t.mp4") == {"Video", "Audio"}
    assert here.render("+timeline=t", "output.audio=none").code == 0
    assert streams(here.folder / "outputs" / "t" / "t.mp4") == {"Video"}
    assert here.render("+timeline=t", "output=gif").code == 0  # which has no sound


def streams(video):
    asked = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(video)]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stderr
    lines = [line for line in said.splitlines() if "Stream #" in line]
    return {kind for kind in ("Video", "Audio") if any(f" {kind}: " in line for line in lines)}


def test_nothing_is_analysed_for_a_sound_that_nothing_follows(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    here.timeline("t", [{"at": 0, "prompt": "a"}, {"at": "beat 3"}], audio="song.wav", tempo=120)
    assert here.render("+timeline=t", "mode=plan", "root=fresh").code == 0
    here.timeline("t", [{"at": 0, "prompt": "a"}, {"at": "onset low 3"}], audio="song.wav")
    ended = here.render("+timeline=t", "mode=plan", "root=fresh")
    assert ended.code == 2
    assert "pip install 'render[audio]'" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        ("nothing.wav", "No such file"),
        ("text.wav", "is a text and no sound"),
        ({"drums": "nothing.wav"}, "No such file"),
    ],
)
def test_a_sound_that_is_none_is_named_with_its_place(here, audio, said):
    (here.folder / "text.wav").write_text("#EXTM3U\nsong.wav\n")
    here.timeline("t", [{"at": 0, "prompt": "a"}, {"at": "onset low 1"}], audio=audio)
    ended = here.render("+timeline=t", "mode=plan")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "t.yaml:" in line
    assert said in line


def test_segments_that_follow_a_sound_are_plain_and_named(here):
    here.timeline(
        "t",
        [{"at": 0, "prompt": "a"}, {"at": 1, "prompt": "b"}, {"at": 2, "prompt": "c"}],
        curves={"guidance": "3 + t"},
    )
    ended = here.render("+timeline=t", "mode=plan", "sampling.path=smooth", "timeline.pace=even")
    assert ended.code == 0, ended.err
    assert "no smooth path in 2 segments" in ended.out


def test_the_sound_does_not_drift_against_the_pictures(place):
    """Clicks at the beginning and at the end of a minute come out of the video where they were."""
    sound, rng = np.zeros(HZ * 60), np.random.default_rng(0)
    times = (1.0, 59.0)
    for time in times:
        add(sound, time, hit(2000, 0.01, 0, rng), 0.9)
    write_wave(place.folder / "clicks.wav", sound)
    place.timeline("t", [{"at": 0, "prompt": "a"}], duration=60, end="open", audio="clicks.wav")
    assert place.render("+timeline=t", "output.fps=1").code == 0
    video = place.folder / "outputs" / "t" / "t.mp4"
    plain = ["-map", "0:a:0", "-ac", "1", "-ar", str(HZ), "-f", "f32le", "pipe:1"]
    asked = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(video), *plain]
    heard = np.frombuffer(subprocess.run(asked, capture_output=True, check=True).stdout, "<f4")
    shifts = []
    for time in times:
        begin = round((time - 0.1) * HZ)
        wanted = sound[begin : begin + HZ // 4]
        found = heard[begin : begin + HZ // 4]
        likeness = np.correlate(found, wanted, "full")
        shifts.append((int(np.argmax(likeness)) - len(wanted) + 1) / HZ)
    assert abs(shifts[1] - shifts[0]) < 0.001
    assert abs(shifts[0]) < 0.001


def test_a_beat_between_two_frames_is_moved_to_the_nearer_one(place):
    place.timeline("t", [{"at": 0, "prompt": "a"}, {"at": "beat 2", "prompt": "b"}], tempo=128)
    ended = place.render("+timeline=t", "mode=plan", "output.fps=24")
    assert ended.code == 0, ended.err
    assert "1 keyframe on beats or onsets between two frames moved" in ended.out
    assert "by 10 ms at most; output.fps=" in ended.out
    frames = plan_of(place)["frames"]
    (end,) = [frame for frame in frames if frame.get("keyframe") and frame["index"]]
    assert end["index"] == round(Fraction(60, 128) * 24) == 11
    assert end["prompts"] == [["b", 1.0]]


@pytest.mark.parametrize(
    "hostile",
    [
        "__import__('os').system('touch hit')",
        "(" * 50_000,
        "9^9^9^9^9",
        "t" * 2000,
        "0/0",
        "${oc.env:HOME}",
    ],
)
def test_a_hostile_expression_ends_with_a_line(place, hostile):
    place.timeline("t", [{"at": 0, "prompt": "a", "guidance": hostile}], duration=1)
    ended = place.render("+timeline=t", "mode=plan")
    assert ended.code == 2
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert "t.yaml:2: " in line or "t.yaml:" in line
    assert len(line) < 400
    assert not (place.folder / "hit").exists()
