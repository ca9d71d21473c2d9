"""Films of two timeline files under one name: none replaces the other without a word."""

import json
import os

KEYFRAMES = "keyframes:\n  - {{at: 0, prompt: {}, seed: 1}}\n  - {{at: 0.25, prompt: a town}}\n"


def written(place, name, prompt):
    path = place.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(KEYFRAMES.format(prompt))
    return path


def videos(place, name="main"):
    folder = place.folder / "outputs" / name
    return {path.name: path.read_bytes() for path in folder.glob(f"{name}.*")}


def test_the_film_of_a_file_of_the_same_name_elsewhere_is_kept_and_named(place):
    written(place, "one/main.yaml", "a castle")
    written(place, "two/main.yaml", "a river")
    assert place.render("one/main.yaml").code == 0
    first = videos(place)["main.mp4"]
    plan = place.render("two/main.yaml", "mode=plan")
    assert "outputs/main/main.mp4 is the film of one/main.yaml" in plan.out + plan.err
    assert "name=NAME" in plan.out + plan.err
    assert videos(place) == {"main.mp4": first}
    ended = place.render("two/main.yaml")
    assert "is the film of one/main.yaml; it is now main.mp4.set-aside-1" in ended.err
    assert videos(place)["main.mp4.set-aside-1"] == first
    assert videos(place)["main.mp4"] != first


def test_so_is_the_film_of_a_copy_with_the_name_in_it_and_of_another_codec(place):
    written(place, "a.yaml", "a castle").write_text("name: main\n" + KEYFRAMES.format("a castle"))
    assert place.render("a.yaml").code == 0
    assert place.render("a.yaml", "mode=stitch", "output=gif").code == 0
    before = videos(place)
    (place.folder / "b.yaml").write_text("name: main\n" + KEYFRAMES.format("a river"))
    assert place.render("b.yaml").code == 0
    ended = place.render("b.yaml", "mode=stitch", "output=gif")
    assert "main.gif is the film of a.yaml" in ended.err
    after = videos(place)
    assert after["main.mp4.set-aside-1"] == before["main.mp4"]
    assert after["main.gif.set-aside-1"] == before["main.gif"]


def test_an_edited_or_moved_file_replaces_its_own_film(place):
    first = written(place, "one/main.yaml", "a castle")
    place.render("one/main.yaml")
    written(place, "one/main.yaml", "a river")
    edited = place.render("one/main.yaml")
    (place.folder / "new").mkdir()
    first.rename(place.folder / "new" / "main.yaml")
    written(place, "new/main.yaml", "a lake")
    moved = place.render("new/main.yaml", "output.fps=8")
    os.symlink("main.yaml", place.folder / "new" / "other.yaml")
    linked = place.render("new/other.yaml", "name=main")
    for ended in (edited, moved, linked):
        assert ended.code == 0
        assert "is the film of" not in ended.out + ended.err
    assert set(videos(place)) == {"main.mp4"}


def test_equal_films_of_two_files_and_odd_records_change_nothing(place):
    written(place, "one/main.yaml", "a castle")
    written(place, "two/main.yaml", "a castle")
    place.render("one/main.yaml")
    before = videos(place)
    ended = place.render("two/main.yaml")
    assert "is the film of" not in ended.out + ended.err
    assert videos(place) == before
    path = place.folder / "outputs" / "main" / "run.json"
    record = json.loads(path.read_text())
    for odd in ("", "/nowhere/main.yaml", "\0", 7):
        record["videos"]["main.mp4"]["timeline"] = odd
        path.write_text(json.dumps(record))
        ended = place.render("two/main.yaml", "mode=plan")
        assert ended.code == 0
        assert "is the film of" not in ended.out + ended.err


def test_a_film_that_was_kept_after_its_file_moved_is_that_files(place):
    first = written(place, "one/main.yaml", "a castle")
    assert place.render("one/main.yaml").code == 0
    (place.folder / "two").mkdir()
    first.rename(place.folder / "two" / "main.yaml")
    assert place.render("two/main.yaml").code == 0  # nothing is encoded anew
    film = videos(place)["main.mp4"]
    written(place, "one/main.yaml", "a river")
    ended = place.render("one/main.yaml")
    assert "is the film of two/main.yaml; it is now main.mp4.set-aside-1" in ended.err
    assert videos(place)["main.mp4.set-aside-1"] == film


def test_a_film_without_a_file_keeps_that_of_a_file(place):
    written(place, "one/main.yaml", "a castle")
    assert place.render("one/main.yaml").code == 0
    film = videos(place)["main.mp4"]
    typed = "timeline.keyframes=[{at: 0, prompt: a river}, {at: 0.25, prompt: a town}]"
    ended = place.render("one/main.yaml", typed)
    assert ended.code == 0, ended.err
    after = videos(place)
    assert film in (after["main.mp4"], after.get("main.mp4.set-aside-1"))
