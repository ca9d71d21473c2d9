"""The gallery of a sweep, in a real browser and without one."""

import json
import shutil
from types import SimpleNamespace

import pytest
from browser import browsing
from PIL import Image

from render.cli.promotion import check_finals, meant
from render.errors import ConfigError
from render.page.sweep_page import films_before, write_sweep_page
from render.run.sweep_gallery import film_of

KNOWN = {
    **{"folder": "a", "path": "a", "overrides": "", "count": 1, "seconds": 1.0, "ratio": 1.0},
    **{"values": {}, "strip": {"file": "strip.jpg", "count": 1}},
}
WRONG = [
    {"folder": "../../x"},
    {"folder": "/tmp"},
    {"strip": {"file": 'x"),url("http://localhost/', "count": 1}},
    {"strip": {"file": "strip.jpg", "count": "1"}},
]
AXES = {
    "sampling.guidance": ["3", "6"],
    "sampling.seed": ["1", "2", "3"],
    "scheduler": ["lms", "pndm"],
}


def plan_in(folder, frames, digest="d"):
    """A run's folder with a plan and frames, each of a colour of its own."""
    (folder / "frames").mkdir(parents=True)
    plan = {"name": "t", "fps": 4, "rate": "4", "count": frames, "digest": digest, "recipe": {}}
    (folder / "plan.json").write_text(json.dumps({**plan, "frames": []}, indent=1))
    number = len(list(folder.parent.iterdir()))
    for k in range(frames):
        picture = Image.new("RGB", (64, 48), (40 + 8 * k, 20 * number, 100))
        picture.save(folder / "frames" / f"frame_{k:06d}.png")
    return number


def sweep(root, frames=8):
    """Twelve films on three axes, in the folder of a sweep; their numbers by their values."""
    films, numbers = [], {}
    for guidance in AXES["sampling.guidance"]:
        for seed in AXES["sampling.seed"]:
            for scheduler in AXES["scheduler"]:
                values = dict(zip(AXES, (guidance, seed, scheduler), strict=True))
                folder = root / ",".join(f"{key}={value}" for key, value in values.items())
                numbers[guidance, seed, scheduler] = plan_in(folder, frames)
                films.append(film_of(folder, root, values))
    return films, numbers


def warned(line):
    raise AssertionError(line)


@pytest.fixture(scope="module")
def open_page():
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    films, numbers = sweep(root)
    return write_sweep_page(root, "t", films, True, warned), numbers


def middle(seen, selector):
    """The colour in the middle of an element."""
    pixels = seen.pixels(selector)
    return pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, :3].astype(int)


def close(one, other):
    return max(abs(int(a) - int(b)) for a, b in zip(one, other, strict=True)) <= 4


def test_axes_lie_where_they_are_put(gallery, open_page):
    page, _ = gallery
    seen = open_page(page)
    assert seen.page.locator(".head").all_text_contents() == [
        *("sampling.guidance=3", "sampling.guidance=6")
    ]
    sides = seen.page.locator(".side").all_text_contents()
    assert [side for side in sides if side] == [f"sampling.seed={k}" for k in (1, 2, 3)]
    assert seen.page.locator("[role=tab]").all_text_contents() == [
        "scheduler=lms",
        "scheduler=pndm",
    ]
    assert seen.page.locator(".thumb").count() == 6
    seen.page.locator("#tabs").select_option("")
    assert seen.page.locator(".thumb").count() == 12
    seen.page.locator("#across").select_option("scheduler")
    assert seen.page.locator(".head").all_text_contents() == ["scheduler=lms", "scheduler=pndm"]
    assert seen.complaints == []


def test_one_slider_moves_all_films(gallery, open_page):
    page, numbers = gallery
    seen = open_page(page)
    for share, frame in ((0, 0), (500, 4), (1000, 7)):
        seen.page.locator("#slider").fill(str(share))
        thumb = '.thumb[data-folder="sampling.guidance=6,sampling.seed=2,scheduler=lms"]'
        number = numbers["6", "2", "lms"]
        assert close(middle(seen, thumb), (40 + 8 * frame, 20 * number, 100))
    assert seen.page.locator("#place").text_content() == "2.00 s"


def test_two_films_are_compared_with_a_wipe(gallery, open_page):
    page, numbers = gallery
    seen = open_page(page, viewport={"width": 1000, "height": 900})
    seen.page.locator("#slider").fill("500")
    seen.page.locator(".thumb").first.click()
    seen.page.locator("#right").select_option("sampling.guidance=6,sampling.seed=3,scheduler=pndm")
    seen.page.locator("#edge").fill("300")
    seen.page.wait_for_function(
        "[...document.querySelectorAll('.wipe img')].every(i => i.complete)"
    )
    pixels = seen.pixels("#wipe")
    line, width = pixels.shape[0] // 2, pixels.shape[1]
    left, right = pixels[line, width // 5, :3], pixels[line, width // 2, :3]
    assert close(left, (40 + 8 * 4, 20 * numbers["3", "1", "lms"], 100))
    assert close(right, (40 + 8 * 4, 20 * numbers["6", "3", "pndm"], 100))
    overrides = seen.page.locator("#overrides").text_content()
    assert overrides == "sampling.guidance=3 sampling.seed=1 scheduler=lms"
    assert seen.page.locator("#open-right").get_attribute("href").endswith("index.html#frame=4")
    assert seen.complaints == []


def test_favourites_stay_and_make_a_command(gallery, open_page):
    page, _ = gallery
    seen = open_page(page)
    assert seen.page.locator("#chosen").is_hidden()
    seen.page.locator(".star").nth(2).click()
    command = seen.page.locator("#promote").text_content()
    assert command == "render promote sampling.guidance=3,sampling.seed=2,scheduler=lms"
    seen.page.reload()
    seen.page.wait_for_load_state("networkidle")
    assert seen.page.locator("#promote").text_content() == command
    seen.page.locator("#starred").check()
    assert seen.page.locator(".thumb").count() == 1


def test_films_are_filtered(gallery, open_page):
    page, _ = gallery
    seen = open_page(page)
    seen.page.locator("#filter").fill("guidance=6 seed=3")
    assert seen.page.locator(".thumb").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(gallery, open_page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    seen = open_page(gallery[0], color_scheme=scheme)
    found = axe.Axe().run(seen.page).response["violations"]
    assert [(fault["id"], fault["help"]) for fault in found] == []
    seen.page.locator(".thumb").first.click()
    found = axe.Axe().run(seen.page).response["violations"]
    assert [(fault["id"], fault["help"]) for fault in found] == []


def test_a_sweep_that_goes_on_shows_films_as_they_come(tmp_path, open_page):
    films, _ = sweep(tmp_path, frames=2)
    waiting = [{**film, "strip": None} for film in films]
    page = write_sweep_page(tmp_path, "t", [films[0], *waiting[1:]], False, warned)
    seen = open_page(page)
    assert seen.page.locator("#state").text_content() == "1 of 12 films are there; rendering"
    write_sweep_page(tmp_path, "t", films, True, warned)
    seen.page.wait_for_function("document.getElementById('state').textContent === '12 films'")
    assert seen.complaints == []


def test_five_hundred_films_are_little_to_load(tmp_path, open_page):
    films = []
    for k in range(500):
        folder = tmp_path / f"sampling.seed={k}"
        if k < 2:
            plan_in(folder, 24)
        else:
            shutil.copytree(tmp_path / "sampling.seed=1", folder)
        films.append(film_of(folder, tmp_path, {"sampling.seed": str(k)}))
    page = write_sweep_page(tmp_path, "t", films, True, warned)
    strips = sum(file.stat().st_size for file in tmp_path.glob("*/strip.jpg"))
    assert strips < 500 * 60_000
    assert (tmp_path / "sweep.js").stat().st_size < 200_000
    seen = open_page(page)
    assert seen.page.locator(".thumb").count() == 500


# --- without a browser ---------------------------------------------------------------------------


def test_a_strip_is_drawn_again_only_for_another_film(tmp_path):
    plan_in(tmp_path / "a", 30)
    film = film_of(tmp_path / "a", tmp_path, {})
    strip = tmp_path / "a" / "strip.jpg"
    before = strip.stat().st_mtime_ns
    with Image.open(strip) as image:
        assert image.size == (24 * 128, 96)
    assert film["strip"] == {"file": "strip.jpg", "count": 24}
    assert film["seconds"] == 7.5
    film_of(tmp_path / "a", tmp_path, {})
    assert strip.stat().st_mtime_ns == before
    plan = (tmp_path / "a" / "plan.json").read_text()
    (tmp_path / "a" / "plan.json").write_text(plan.replace('"digest": "d"', '"digest": "e"'))
    film_of(tmp_path / "a", tmp_path, {})
    assert strip.stat().st_mtime_ns != before


def test_a_strip_of_somebody_else_is_set_aside(tmp_path):
    plan_in(tmp_path / "a", 2)
    (tmp_path / "a" / "strip.jpg").write_text("mine")
    film_of(tmp_path / "a", tmp_path, {})
    assert (tmp_path / "a" / "strip.jpg.set-aside-1").read_text() == "mine"


def test_films_are_read_again(tmp_path):
    films, _ = sweep(tmp_path, frames=1)
    write_sweep_page(tmp_path, "</script>", films, True, warned)
    assert films_before(tmp_path) == films
    assert "</script>" not in (tmp_path / "sweep.js").read_text()


@pytest.mark.parametrize(
    "content",
    ["", "renderSweep(", "renderSweep([1])", 'renderSweep({"films": [1, {"folder": 3}]})',
     'renderSweep({"films": [{"folder": "a", "path": "a", "overrides": "", "values": {"a": 1}}]})',
     *(f"renderSweep({json.dumps({'films': [{**KNOWN, **wrong}]})})" for wrong in WRONG)],
)  # fmt: skip
def test_what_is_no_gallery_has_no_films(tmp_path, content):
    (tmp_path / "sweep.js").write_text(content)
    assert films_before(tmp_path) == []


def test_the_usual_film_is_one(tmp_path):
    (tmp_path / "sweep.js").write_text(f"renderSweep({json.dumps({'films': [KNOWN]})})")
    assert films_before(tmp_path) == [KNOWN]


def test_a_sweep_writes_its_gallery_and_adds_to_it(place):
    sweep = ("-m", "+timeline=t", "sampling.speed=draft")
    assert place.render(*sweep, "sampling.guidance=2,3").code == 0
    folder = place.folder / "outputs" / "t"
    first = films_before(folder)
    assert [film["values"]["sampling.guidance"] for film in first] == ["2", "3"]
    assert all(film["strip"]["count"] == 5 for film in first)
    assert json.loads((folder / "sweep.js").read_text()[12:-2])["axes"] == ["sampling.guidance"]
    assert place.render(*sweep, "sampling.guidance=3,4", "sampling.seed=5").code == 0
    seeds = [film["values"]["sampling.seed"] for film in films_before(folder)]
    assert seeds == ["0", "0", "5", "5"]  # the usual one, where none was asked for
    shutil.rmtree(folder / first[0]["folder"])
    assert place.render(*sweep, "sampling.guidance=3,4", "sampling.seed=5").code == 0
    assert len(films_before(folder)) == 3


def test_timelines_of_a_sweep_share_a_gallery(place):
    place.timeline("u", [{"at": 0, "prompt": "three"}])
    assert place.render("-m", "+timeline=t,u", "output=frames").code == 0
    assert (place.folder / "outputs" / "sweep.html").is_file()
    films = films_before(place.folder / "outputs")
    assert [film["folder"].split("/")[0] for film in films] == ["t", "u"]
    assert [film["values"]["timeline"] for film in films] == ["t", "u"]


def test_a_draft_is_promoted(place):
    draft = ("-m", "+timeline=t", "sampling.speed=draft", "sampling.guidance=2,3")
    assert place.render(*draft).code == 0
    folder = place.folder / "outputs" / "t"
    chosen = next(folder.glob("*guidance=3*"))
    ended = place.call("promote", f"outputs/t/{chosen.name}", "output.quality=90")
    assert ended.code == 0, ended.err
    assert "the draft was " in ended.err
    final = folder / f"final-{chosen.name}"  # the name has a hash, since the model's path is long
    assert (final / "t.mp4").is_file()
    record = json.loads((final / "run.json").read_text())
    kept = record["frames"]["kept"]
    assert record["frames"]["planned"] == 5
    assert kept >= 2  # keyframes are the film's own in a draft, too
    plan = json.loads((final / "plan.json").read_text())
    assert "shortcuts" not in plan["recipe"]
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    assert len(names) == 3


def test_a_draft_is_known_by_some_of_its_overrides(tmp_path):
    for guidance in (2, 3):
        name = f"sampling.guidance={guidance},sampling.seed=1,sampling.speed=draft"
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("x: 1")
    found = meant(tmp_path / "sampling.guidance=3")
    assert found.name == "sampling.guidance=3,sampling.seed=1,sampling.speed=draft"
    assert meant(tmp_path / "sampling.guidance=4") == tmp_path / "sampling.guidance=4"
    with pytest.raises(ConfigError, match="2 runs have these overrides"):
        meant(tmp_path / "sampling.seed=1")


def test_drafts_that_would_become_one_film_are_refused(tmp_path):
    def draft(name):
        return SimpleNamespace(folder=tmp_path / name)

    def film(folder, digest):
        plan = SimpleNamespace(digest=digest, frames=())
        return SimpleNamespace(folder=tmp_path / folder, resolved=SimpleNamespace(plan=plan))

    drafts, chosen = [draft("draft"), draft("balanced")], ["model=storybook"]
    check_finals(drafts, [film("a", "1"), film("b", "2")], chosen)
    check_finals(
        drafts, [film("a", "1"), film("a", "1")], chosen
    )  # one film, as draft and balanced
    with pytest.raises(ConfigError, match="a would be the folder of two films"):
        check_finals(drafts, [film("a", "1"), film("a", "2")], chosen)


def test_a_promoted_film_begins_from_the_pictures_of_its_draft(place, tmp_path):
    for folder, level in ((place.folder, 20), (tmp_path / "other", 200)):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (level, 0, 0)).save(folder / "start.png")
    place.timeline("t", [{"at": 0, "prompt": "one", "image": "start.png", "strength": 0.5}])
    assert place.render("+timeline=t", "sampling.speed=draft", "output=frames").code == 0
    there = type(place)(tmp_path / "other", place.model)
    ended = there.call("promote", str(place.folder / "outputs" / "t"))
    assert ended.code == 2
    assert "began from pictures that are others here" in ended.err


def test_a_film_that_was_changed_since_is_shown_as_it_is_now(place):
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two"}])
    sweep = ("-m", "+timeline=t", "output=frames")
    assert place.render(*sweep, "sampling.guidance=2,3").code == 0
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 0.5, "prompt": "red"}])
    assert place.render(*sweep, "sampling.guidance=3").code == 0
    assert place.render(*sweep, "sampling.guidance=4,5").code == 0
    counts = {film["values"]["sampling.guidance"]: film["count"]
              for film in films_before(place.folder / "outputs" / "t")}  # fmt: skip
    assert counts == {"2": 5, "3": 3, "4": 3, "5": 3}


def test_a_gallery_names_no_folder_of_the_machine(place, tmp_path):
    root = tmp_path / "alice"
    given = ("-m", "+timeline=t", "output=frames", "sampling.guidance=2,3", f"root={root}")
    assert place.render(*given).code == 0
    text = (root / "t" / "sweep.js").read_text()
    assert "alice" not in text
    assert len(films_before(root / "t")) == 2


def test_what_can_t_be_promoted_is_refused_before_any_work(place):
    assert place.render("+timeline=t", "sampling.speed=draft").code == 0
    for arguments in (("outputs/nosuch",), ("outputs/t", "outputs/x"), ("outputs/t", "sede=3"), ()):
        ended = place.call("promote", *arguments)
        assert ended.code == 2, arguments
        assert "Traceback" not in ended.err
    assert not (place.folder / "outputs" / "t" / "t.mp4").exists()
    assert place.call("promote", "outputs/t", "report=none").code == 0
    assert (place.folder / "outputs" / "t" / "t.mp4").is_file()
