"""The page of a run, in a real browser: what it shows, and that it asks for nothing outside."""

import json
import random
import re
import wave

import numpy as np
import pytest
from browser import browsing
from PIL import Image

import render
from render.run.film_page import shown_in_notebook
from render.run.measuring import measurement, subject_of
from render.run.run_page import RunPage

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> 🎈 \u202eשלום\u202c"
FILM = {
    "name": "film",
    "keyframes": [
        {"at": 0, "prompt": "A castle", "seed": 1, "guidance": 5.5},
        {"at": 2, "prompt": HOSTILE, "seed": 2, "guidance": 9},
        {"at": 4, "prompt": "A town " + "x" * 10_000, "ease": "hold"},
    ],
}


def colour(index):
    """A colour that no other frame of a film has."""
    return 40 + index % 50 * 4, 40 + index // 50 * 4, 120


def film_of(root, keyframes, **more):
    """A film that is planned, in a root of its own."""
    config = {**keyframes, "name": more.pop("name", "film")}
    overrides = [f"{key}={value}" for key, value in more.items()]
    return render.load(config, f"root={root}", "output.width=64", "output.height=64", *overrides)


def with_frames(film, indexes):
    """Frames of one colour each, in the folder of a film."""
    film.opened.frames.mkdir(parents=True, exist_ok=True)
    for index in indexes:
        picture = Image.new("RGB", (64, 64), colour(index))
        picture.save(film.opened.frames / f"frame_{index:06d}.png")


def written(film, there, measured=None, going_on=False):
    """The page of a film, with these frames."""
    warned = []
    run = film.session()
    run.events.warn = warned.append
    page = RunPage(run)
    page.write(there, measured, going_on)
    assert warned == []
    return page.made


def steps_of(film):
    """A measurement of a film with a flash at frame 5."""
    from render.measurement.reading import read_pixels

    levels = [20 + 3 * k for k in range(len(film.opened.plan.frames))]
    levels[5] += 90
    noise = np.random.default_rng(0).integers(0, 4, (64, 64, 3))
    pictures = [np.clip(noise + level, 0, 255).astype(np.uint8) for level in levels]
    return measurement(subject_of(film.opened), [read_pixels(each) for each in pictures])


@pytest.fixture(scope="module")
def open_page():
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film of 49 frames that are all there, with its page."""
    film = film_of(tmp_path_factory.mktemp("page"), FILM, **{"output.fps": 12})
    with_frames(film, range(49))
    written(film, range(49), steps_of(film))
    return film


def shown(seen):
    """The frame whose picture is on the screen, by its pixels."""
    seen.page.wait_for_function("document.getElementById('picture').complete")
    middle = seen.pixels("#picture")[100, 100, :3].astype(int)
    assert middle[2] == 120
    return (middle[1] - 40) // 4 * 50 + (middle[0] - 40) // 4


def to_frame(seen, index):
    """Move the slider as a person does."""
    seen.page.locator("#slider").fill(str(index))


def test_it_shows_the_right_frame_wherever_the_slider_is(film, open_page):
    seen = open_page(film.folder / "index.html")
    for index in random.Random(7).sample(range(49), 20):
        to_frame(seen, index)
        assert shown(seen) == index
        place = seen.page.locator("#place").text_content()
        assert place == f"{index / 12:.2f} s · frame {index}"
    assert seen.complaints == []


def test_it_asks_for_nothing_outside_of_its_folder(film, open_page):
    seen = open_page(film.folder / "index.html")
    to_frame(seen, 30)
    assert len(seen.requests) >= 3
    inside = film.folder.as_uri()
    assert [url for url in seen.requests if not url.startswith((inside, "data:,"))] == []
    assert seen.complaints == []


def test_a_hostile_prompt_is_text(film, open_page):
    seen = open_page(film.folder / "index.html")
    to_frame(seen, 24)
    shown_as = HOSTILE.replace("\u202e", "\ufffd").replace("\u202c", "\ufffd")
    assert shown_as in seen.page.locator("#values").inner_text()
    assert seen.page.locator("img[src=x]").count() == 0
    data = (film.folder / "page.js").read_text()
    assert not re.search(r"[<>&]", data)
    assert seen.complaints == []


def test_it_shows_values_at_the_frame(film, open_page):
    seen = open_page(film.folder / "index.html")
    to_frame(seen, 12)
    heads = seen.page.locator("#values th").all_text_contents()
    rows = dict(zip(heads, seen.page.locator("#values td").all_text_contents(), strict=True))
    assert rows["50 %"].endswith("\ufffd")
    assert rows["seed"] == "1 (50 %), 2 (50 %)"
    assert rows["guidance"] == "7.25"
    lanes = seen.page.locator(".lanes span").all_text_contents()
    assert lanes == ["prompts", "seeds", "guidance", "steps"]


def test_keys_go_through_the_film(film, open_page):
    seen = open_page(film.folder / "index.html")
    press = seen.page.keyboard.press
    for key, frame in (("End", 48), ("ArrowLeft", 47), ("PageUp", 24), ("Shift+ArrowRight", 34),
                       ("Home", 0), ("PageDown", 24), ("ArrowRight", 25)):  # fmt: skip
        press(key)
        assert shown(seen) == frame
    press(" ")
    seen.page.wait_for_function("view.frame > 27")
    press(" ")
    at_rest = seen.page.evaluate("view.frame")
    seen.page.wait_for_timeout(300)
    assert seen.page.evaluate("view.frame") == at_rest


def test_a_click_in_a_lane_goes_there(film, open_page):
    seen = open_page(film.folder / "index.html")
    box = seen.page.locator(".lane").first.bounding_box()
    seen.page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 10)
    assert shown(seen) == 36


def test_a_flash_is_named_and_leads_to_its_frame(film, open_page):
    seen = open_page(film.folder / "index.html")
    line = seen.page.locator("#moments button").first
    assert line.text_content() == "flash at 0.42 s (frame 5)"
    line.click()
    assert shown(seen) == 5


def test_a_link_leads_to_a_frame(film, open_page):
    seen = open_page(film.folder / "index.html")
    seen.page.evaluate("location.hash = 'frame=33'")
    seen.page.wait_for_function("view.frame === 33")
    assert shown(seen) == 33


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_everybody_can_use_it(film, open_page, scheme, width):
    """axe-core finds no fault, and nothing is wider than a phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    seen = open_page(film.folder / "index.html", color_scheme=scheme,
                     viewport={"width": width, "height": 800})  # fmt: skip
    found = axe.Axe().run(seen.page).response["violations"]
    assert [(fault["id"], fault["help"]) for fault in found] == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_run_that_goes_on_is_shown_as_frames_arrive(tmp_path, open_page):
    film = film_of(tmp_path, FILM, **{"output.fps": 12})
    with_frames(film, range(10))
    page = written(film, range(10), going_on=True)
    seen = open_page(page)
    assert "10 of 49 frames are there; rendering" in seen.page.locator("#state").text_content()
    to_frame(seen, 20)
    assert seen.page.locator("#absent").is_visible()
    with_frames(film, range(10, 49))
    written(film, range(49))
    seen.page.wait_for_function("!document.getElementById('picture').hidden", timeout=10_000)
    assert shown(seen) == 20
    assert seen.page.locator("#state").text_content().startswith("49 frames of 64 × 64")
    seen.page.wait_for_timeout(2500)
    asked = len(seen.requests)
    seen.page.wait_for_timeout(2500)
    assert len(seen.requests) == asked  # nothing more comes
    assert seen.complaints == []


def test_ten_thousand_frames_are_little_to_load(tmp_path, open_page):
    keyframes = [{"at": k, "prompt": f"Scene {k}", "seed": k} for k in range(401)]
    film = film_of(tmp_path, {"keyframes": keyframes}, **{"output.fps": 25})
    assert len(film.opened.plan.frames) == 10_001
    with_frames(film, [0, 7_777])
    page = written(film, range(10_001))
    assert (film.folder / "page.js").stat().st_size < 1_500_000
    seen = open_page(page)
    to_frame(seen, 7_777)
    seen.page.wait_for_function("document.getElementById('picture').naturalWidth === 64")
    assert seen.page.locator("#place").text_content() == "311.08 s · frame 7777"


def test_the_loudness_of_its_sound_is_a_lane(tmp_path, open_page):
    with wave.open(str(tmp_path / "song.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * 8000) + b"\x00\x40" * 8000)  # a second of silence, then 0.5
    film = film_of(tmp_path, FILM, **{"output.audio": tmp_path / "song.wav", "output.fps": 12})
    with_frames(film, [0])
    page = written(film, range(49))
    facts = json.loads((film.folder / "page.js").read_text()[len("renderPage(") : -2])
    loud = [value > 0.4 for value in facts["sound"]]
    assert len(loud) == 1200
    seconds = [k * 49 / 12 / 1200 for k, value in enumerate(loud) if value]
    assert seconds[0] == pytest.approx(1, abs=0.02)
    assert seconds[-1] == pytest.approx(2, abs=0.02)
    seen = open_page(page)
    assert "sound" in seen.page.locator(".lanes span").all_text_contents()
    assert seen.complaints == []


# --- without a browser ---------------------------------------------------------------------------


def test_a_page_of_somebody_else_keeps_its_content(tmp_path):
    film = film_of(tmp_path, FILM)
    film.folder.mkdir(parents=True)
    (film.folder / "index.html").write_text("<h1>my own</h1>")
    said = []
    run = film.session()
    run.events.warn = said.append
    RunPage(run).write(range(3))
    assert (film.folder / "index.html.set-aside-1").read_text() == "<h1>my own</h1>"
    assert [line for line in said if "is not ours" in line] == said
    assert len(said) == 1


def test_a_page_that_can_t_be_written_is_a_warning(tmp_path, monkeypatch):
    film = film_of(tmp_path, FILM)
    film.folder.mkdir(parents=True)
    said = []
    run = film.session()
    run.events.warn = said.append

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("render.run.run_page.write_run_page", full)
    RunPage(run).write(range(3))
    assert said == [f"{film.folder / 'index.html'} could not be written: No space left on device"]


def test_no_page_where_none_is_wanted(tmp_path):
    film = film_of(tmp_path, FILM, page="false")
    assert written(film, range(3)) is None
    assert not film.folder.exists()


def test_a_page_names_no_folder_of_its_maker(tmp_path):
    secret = tmp_path / "alice" / "client-x"
    secret.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(secret / "start.png")
    keyframes = [{"at": 0, "prompt": "A castle", "image": str(secret / "start.png")}, {"at": 1}]
    film = film_of(secret, {"keyframes": keyframes})
    film.folder.mkdir(parents=True)
    written(film, range(3))
    text = (film.folder / "page.js").read_text()
    assert "start.png" in text
    assert "alice" not in text
    assert "client-x" not in text


def test_a_program_writes_the_page_of_a_film(tmp_path):
    film = film_of(tmp_path, FILM)
    page = film.page()
    assert page == film.folder / "index.html"
    assert '"there":[]' in (film.folder / "page.js").read_text()


def test_a_notebook_shows_a_film_by_its_video(place):
    assert place.render("+timeline=t", "output=gif").code == 0
    shown = shown_in_notebook(place.folder / "outputs" / "t", "<Film t>")
    assert shown.startswith('<img alt="&lt;Film t&gt;" src="data:image/gif;base64,R0lGOD')
    assert shown_in_notebook(place.folder, "<Film t>") == "<code>&lt;Film t&gt;</code>"
