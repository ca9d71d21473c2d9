"""A part of a film: frames by their numbers, or the one at a time."""

import json

import pytest
from pydantic_core import PydanticCustomError

from render.config.part import FrameRange, among, frame_ranges, part_name


@pytest.mark.parametrize(
    ("written", "frames"),
    [
        (24, [24]),
        ("24", [24]),
        ("2-4", [2, 3, 4]),
        ("0-9:3, 4", [0, 3, 4, 6, 9]),
        ("1-8:20", [1]),
    ],
)
def test_ranges_hold_the_frames_that_they_say(written, frames):
    ranges = frame_ranges(written)
    assert [frame for frame in range(30) if among(ranges, frame)] == frames


@pytest.mark.parametrize("written", ["", "a", "4-", "4-2", "1-4:0", "1,,2", True, None, 2.5, "-3"])
def test_what_names_no_frames_is_refused(written):
    with pytest.raises(PydanticCustomError):
        frame_ranges(written)


def test_equal_parts_have_one_name():
    assert part_name(None, None, None) is None
    assert part_name((0, 4), None, None) == "0-of-4"
    ranges = (FrameRange(0, 3),)
    assert part_name(None, ranges, None) == part_name(None, (FrameRange(0, 3),), None)
    assert part_name(None, ranges, None) != part_name(None, None, "3")
    assert part_name((0, 4), ranges, None).startswith("0-of-4-frames-")


def there(place, name="t"):
    return sorted(path.name for path in (place.folder / "outputs" / name / "frames").glob("*.png"))


@pytest.mark.parametrize(
    ("asked", "index", "second"),
    [("at=0.5", 2, "0.50"), ("at=3f", 3, "0.75"), ("at=0.6", 2, "0.50"), ("at=1", 4, "1.00")],
)
def test_the_frame_at_a_time_is_rendered_and_named(place, asked, index, second):
    ended = place.render("+timeline=t", asked)
    assert ended.code == 0, ended.err
    assert there(place) == [f"frame_{index:06}.png"]
    path = f"outputs/t/frames/frame_{index:06}.png"
    assert f"frame {index} ({second} s): {path}" in ended.err + ended.out
    assert "the film still lacks 4 frames, so no video is made" in ended.err + ended.out
    assert not (place.folder / "outputs/t/t.mp4").exists()
    assert place.counts("t") == (0, 1)


def test_frames_by_their_numbers_and_the_last_part_makes_the_video(place):
    assert place.render("+timeline=t", "frames=0-4:2").code == 0
    assert there(place) == [f"frame_{index:06}.png" for index in (0, 2, 4)]
    assert place.counts("t") == (0, 3)
    assert place.render("+timeline=t", 'frames="1,3"').code == 0
    assert place.counts("t") == (0, 2)
    assert (place.folder / "outputs/t/t.mp4").exists()
    assert place.render("+timeline=t").code == 0
    assert place.counts("t") == (5, 0)


def test_the_plan_counts_the_part_alone(place):
    ended = place.render("+timeline=t", "frames=1-3", "mode=plan")
    assert ended.code == 0
    assert "3 frames" in ended.out


def test_a_part_of_a_shard(place):
    assert place.render("+timeline=t", "frames=0-2", "shard=1/2").code == 0
    assert there(place) == ["frame_000001.png"]


def test_parts_of_one_film_are_at_work_side_by_side(place):
    from render.files.lock import holding

    folder = place.folder / "outputs" / "t"
    assert place.render("+timeline=t", "frames=0").code == 0
    name = part_name(None, frame_ranges("3-4"), None)
    with holding(folder, name, lambda: None, lambda: None):
        assert place.render("+timeline=t", "frames=1").code == 0
        assert place.render("+timeline=t", "frames=3-4").code == 75
        assert place.render("+timeline=t").code == 75


@pytest.mark.parametrize(
    ("given", "key", "said"),
    [
        (["frames=3-5"], "frames", "the film has 5 frames, 0 to 4, and no 5"),
        (["frames=soon"], "frames", "names no frames"),
        (["at=9"], "at", "9 s is behind the last frame, which is at 1 s"),
        (['at="beat 3"'], "at", "take a tempo"),
        (["at=1", "frames=2"], "at", "leave one of the two out"),
        (["at=1", "mode=stitch"], "at", "goes with mode=render"),
        (["frames=1", "mode=prune"], "frames", "goes with mode=render"),
    ],
)
def test_mistakes_are_found_before_the_work(place, given, key, said):
    ended = place.render("+timeline=t", *given)
    assert ended.code == 2
    assert f"render: {key}: " in ended.err
    assert said in ended.err
    assert not (place.folder / "outputs" / "t").exists()


def test_a_quick_look_at_each_film_of_a_sweep(place):
    ended = place.render("-m", "+timeline=t", "sampling.guidance=3,6", "at=0.5")
    assert ended.code == 0, ended.err
    found = sorted((place.folder / "outputs" / "t").glob("*/frames/*.png"))
    jobs = [path.parent.parent.name for path in found]
    assert [sum(f"guidance={scale}" in job for job in jobs) for scale in (3, 6)] == [1, 1]
    assert not any("at=" in job for job in jobs)
    ended = place.render("-m", "+timeline=t", "at=0.5,1")
    assert ended.code == 2
    assert "chooses among the frames of one film" in ended.err


def test_the_frame_at_the_end_of_a_loop_is_its_first(place):
    keyframes = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 0.5, "prompt": "two"}]
    place.timeline("ring", keyframes, loop=True, duration=1)
    assert place.render("+timeline=ring", "at=0.99").code == 0
    assert there(place, "ring") == ["frame_000000.png"]


def facts_of(place, name):
    text = (place.folder / "outputs" / name / "page.js").read_text()
    return json.loads(text[len("renderPage(") : -2])


def test_the_page_of_a_film_keeps_what_is_there_beside_its_keyframes(place):
    assert place.render("+timeline=t").code == 0
    before = facts_of(place, "t")
    assert place.render("+timeline=t", "mode=keyframes").code == 0
    after = facts_of(place, "t")
    assert after["there"] == before["there"] == [[0, 4]]
    assert after["measure"] == before["measure"]
    assert [video["name"] for video in after["videos"]] == ["t.mp4"]


def test_the_page_of_an_edited_film_shows_no_older_video(place):
    assert place.render("+timeline=t").code == 0
    place.timeline("t", [{"at": 0, "prompt": "red", "seed": 1}, {"at": 1, "prompt": "two"}])
    assert place.render("+timeline=t", "mode=keyframes").code == 0
    facts = facts_of(place, "t")
    assert facts["videos"] == []
    assert facts["again"] == "render from config.yaml"
    assert "sheet.png" not in [file["name"] for file in facts["files"]]


def test_the_keyframes_alone_are_the_films_own(place):
    place.timeline("t", [{"at": 0, "prompt": "one"}, {"at": 0.6, "prompt": "two"},
                         {"at": 1, "prompt": "three"}])  # fmt: skip
    ended = place.render("+timeline=t", "mode=keyframes", "timeline.pace=even")
    assert ended.code == 0, ended.err
    folder = place.folder / "outputs" / "t"
    names = sorted(path.name for path in (folder / "frames").iterdir())
    assert names == ["frame_000000.png", "frame_000002.png", "frame_000004.png"]
    assert (folder / "keyframes.png").is_file()
    assert not (folder / "t.mp4").exists()
    assert "without mode=keyframes renders the film" in ended.out
    before = {path.name: path.read_bytes() for path in (folder / "frames").iterdir()}
    assert place.render("+timeline=t").code == 0
    assert place.run_json("t")["frames"]["kept"] == 3
    for name, content in before.items():
        assert (folder / "frames" / name).read_bytes() == content
