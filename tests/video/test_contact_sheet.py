"""The contact sheet: what is on the page, from frames that are plain colours."""

from __future__ import annotations

import colorsys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from render.errors import EncodeError
from render.plan.frame_plan import PlannedFrame
from render.timeline.spec import FrameSpec
from render.video import contact_sheet as sheet
from render.video import lettering
from render.video.contact_sheet import MOST_BYTES, MOST_FRAMES, contact_sheet

Frames = list[tuple[PlannedFrame, Path]]
Prompts = tuple[tuple[str, float], ...]


def planned(index: int, prompts: Prompts) -> PlannedFrame:
    spec = FrameSpec(prompts, (("", 1.0),), ((1, 1.0),), 7.5)
    return PlannedFrame(index, Fraction(index, 12), spec, f"{index:064x}")


def colour(index: int) -> tuple[int, int, int]:
    """A strong colour, another one for each index up to 24."""
    red, green, blue = colorsys.hsv_to_rgb(index / 24, 1, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def plain_frames(
    folder: Path, count: int, size: tuple[int, int] = (64, 64), prompts: Prompts | None = None
) -> Frames:
    """Frames of one colour each, from a first prompt to a second one."""
    frames: Frames = []
    for index in range(count):
        part = index / max(1, count - 1)
        blend = (("A landscape", 1 - part), ("A castle on a hill", part))
        mix = prompts or tuple((text, weight) for text, weight in blend if weight > 0)
        path = folder / f"{index:06d}.png"
        Image.new("RGB", size, colour(index)).save(path)
        frames.append((planned(index, mix), path))
    return frames


def page_of(target: Path) -> np.ndarray:
    with Image.open(target, formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def areas(target: Path) -> dict[tuple[int, int, int], int]:
    """How many pixels of the page have each colour."""
    with Image.open(target) as image:
        return {colour: count for count, colour in image.getcolors(image.width * image.height)}


@pytest.mark.parametrize("count", [1, 2, 5, 7, 23, 24])
def test_every_frame_of_a_short_film_is_shown_at_one_size(count: int, tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    contact_sheet(plain_frames(tmp_path, count), target, "city")
    found = areas(target)
    shown = [found.get(colour(index), 0) for index in range(count)]
    assert min(shown) > 10_000
    assert len(set(shown)) == 1


@pytest.mark.parametrize("size", [(64, 36), (36, 64), (8, 8), (512, 8)])
def test_thumbnails_keep_the_shape_of_the_frames(size: tuple[int, int], tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    contact_sheet(plain_frames(tmp_path, 3, size), target, "city")
    shown = (page_of(target) == np.array(colour(1), np.uint8)).all(axis=-1)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    assert len(columns) / len(rows) == pytest.approx(size[0] / size[1], rel=0.05)


def test_of_a_long_film_even_frames_with_the_first_and_the_last() -> None:
    places = sheet.chosen(1000, MOST_FRAMES)
    assert len(places) == MOST_FRAMES
    assert (places[0], places[-1]) == (0, 999)
    steps = np.diff(places)
    assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize(
    ("count", "keyframes"),
    [(73, [0, 18, 36, 54, 72]), (500, [0, 7, 8, 9, 499]), (1000, list(range(300, 370)))],
)
def test_the_frames_of_keyframes_are_among_them(count: int, keyframes: list[int]) -> None:
    places = sheet.chosen(count, MOST_FRAMES, keyframes)
    assert set(keyframes) | {0, count - 1} <= set(places)
    assert len(set(places)) == MOST_FRAMES


def test_more_keyframes_than_places_leave_them_even() -> None:
    every_other = list(range(0, 1000, 2))
    assert sheet.chosen(1000, MOST_FRAMES, every_other) == sheet.chosen(1000, MOST_FRAMES)


@pytest.mark.parametrize(
    ("count", "shown", "title"),
    [(1, 1, "city, 1 frame"), (37, 37, "city, 37 frames"), (72, 72, "city, 72 frames"),
     (73, 72, "city, 72 of 73 frames")],
)  # fmt: skip
def test_every_frame_is_shown_up_to_a_limit_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, shown: int, title: str
) -> None:
    frames: Frames = []
    for index in range(count):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (64, 64), (255, 3 * index, 0)).save(path)
        frames.append((planned(index, (("A castle", 1.0),)), path))
    titles, spell = [], lettering.Letters.spell
    monkeypatch.setattr(lettering.Letters, "spell", lambda *of: titles.append(of[1]) or spell(*of))
    target = tmp_path / "sheet.png"
    contact_sheet(frames, target, "city", "ab")
    assert title in titles
    large = [colour for colour, pixels in areas(target).items() if pixels > 60 * 60]
    assert len([colour for colour in large if colour[0] == 255]) == shown
    assert sheet.shows_plan(target, "ab")
    assert not sheet.shows_plan(target, "b")


def captions(*specs: FrameSpec, width: int = 220) -> list[list[str]]:
    """The captions under each frame of a film."""
    frames = [PlannedFrame(place, Fraction(place), spec, "") for place, spec in enumerate(specs)]
    letters = lettering.letters_for(["abc"])
    colours, film = sheet.prompt_colours(frames), sheet.CommonValues.of(specs)
    lines = [sheet.caption(frame, letters, width, colours, film) for frame in frames]
    return [[text for _, text, _ in each] for each in lines]


def shown(prompt: str, seeds: tuple[tuple[int, float], ...], guidance: float) -> FrameSpec:
    return FrameSpec(((prompt, 1.0),), (("", 1.0),), seeds, guidance)


def test_seeds_and_guidance_stand_there_when_they_change() -> None:
    one, two = ((1, 1.0),), ((1, 0.25), (2, 0.75))
    assert captions(shown("a", one, 7.5), shown("b", one, 7.5)) == [["a"], ["b"]]
    assert captions(shown("a", one, 7.5), shown("a", two, 7.5)) == [
        ["a", "seed 1"],
        ["a", "seeds 2 75%, 1 25%"],
    ]
    assert captions(shown("a", one, 7.5), shown("b", one, 8.25)) == [
        ["a", "guidance 7.5"],
        ["b", "guidance 8.25"],
    ]
    assert captions(shown("a", two, 3.0), shown("a", one, 4.0))[1] == ["a", "seed 1", "guidance 4"]


@pytest.mark.parametrize("width", [120, 160, 220])
@pytest.mark.parametrize(
    "before", ["A landscape with a town and a river between hills, ", "wide " * 60]
)
@pytest.mark.parametrize(
    "after", ["", ", as it was painted in the old times by a good painter" * 3]
)
def test_texts_that_begin_alike_are_cut_in_the_middle(width: int, before: str, after: str) -> None:
    texts = [f"{before}{word}{after}" for word in ("at dawn", "at night")]
    frames = captions(*(shown(text, ((1, 1.0),), 7.5) for text in texts), width=width)
    said = [" ".join(lines) for lines in frames]
    assert "dawn" in said[0]
    assert "night" in said[1]
    assert all(line.startswith(before[:4]) for line in said)
    assert all(len(lines) <= 3 for lines in frames)


def test_bars_show_the_weights_in_the_prompts_colours(tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    frames = plain_frames(tmp_path, 3, prompts=(("A landscape", 0.75), ("A castle", 0.25)))
    contact_sheet(frames, target, "city")
    found = areas(target)
    colours = sheet.prompt_colours(frame for frame, _ in frames)
    assert found[colours["A landscape"]] / found[colours["A castle"]] == pytest.approx(3, rel=0.1)


def test_the_heaviest_prompt_stands_first(tmp_path: Path) -> None:
    letters = lettering.letters_for(["abc"])
    frame = planned(0, (("light", 0.1), ("heavy", 0.6), ("middle", 0.3)))
    lines = sheet.caption(frame, letters, 300, sheet.prompt_colours([frame]))
    marks = [(mark.strip(), text) for mark, text, _ in lines]
    assert marks == [("60%", "heavy"), ("30%", "middle"), ("10%", "light")]


def test_a_prompt_alone_needs_no_percentage() -> None:
    frame = planned(0, (("A castle", 1.0),))
    letters = lettering.letters_for(["A castle"])
    lines = sheet.caption(frame, letters, 300, sheet.prompt_colours([frame]))
    assert [(mark, text) for mark, text, _ in lines] == [("", "A castle")]


@pytest.mark.parametrize("text", ["word " * 300, "w" * 3000, "a b " + "w" * 300])
def test_long_prompts_are_wrapped_and_cut(text: str) -> None:
    letters = lettering.letters_for([text])
    lines = lettering.wrapped(text, letters.small, 200, 3)
    assert len(lines) <= 3
    assert max(letters.small.getlength(line) for line in lines) <= 200
    assert lines[-1].endswith("…")


def test_many_prompts_do_not_overflow_the_caption() -> None:
    frame = planned(0, tuple((f"prompt {number} " * 9, 0.1) for number in range(10)))
    letters = lettering.letters_for(["prompt"])
    lines = sheet.caption(frame, letters, 200, sheet.prompt_colours([frame]))
    assert len(lines) == sheet.TEXT_LINES


def test_letters_that_no_font_has_become_near_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "FONTS", ("no such font",))
    texts = ["Schloß – Köln × 2", "中国 castle", "tab\tand\x1b", "🙂"]
    letters = lettering.letters_for(texts)
    assert [letters.spell(text) for text in texts] == [
        "Schloss - Koln x 2",
        "?? castle",
        "tab and?",
        "?",
    ]


def test_a_font_of_the_system_is_taken_if_it_has_the_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, other = ImageFont.load_default(15), ImageFont.load_default(14)

    def covered(font: object, needed: set[str]) -> set[str]:
        return needed - {"ö"} if font is own else needed

    monkeypatch.setattr(lettering, "covered", covered)
    monkeypatch.setattr(lettering.ImageFont, "load_default", lambda size: own)
    monkeypatch.setattr(lettering.ImageFont, "truetype", lambda name, size: other)
    assert lettering.letters_for(["Köln"]).spell("Köln") == "Köln"


def test_the_page_says_more_with_a_title(tmp_path: Path) -> None:
    frames = plain_frames(tmp_path, 2)
    pages = []
    for title in ("", "city [x]", "city " * 200):
        contact_sheet(frames, tmp_path / "sheet.png", title)
        pages.append(page_of(tmp_path / "sheet.png"))
    assert {page.shape for page in pages} == {pages[0].shape}
    head = [page[:60].sum() for page in pages]
    assert head[0] < head[1] < head[2]
    assert np.array_equal(pages[0][70:], pages[2][70:])


def test_a_page_of_rough_frames_stays_small(tmp_path: Path) -> None:
    rough = np.random.default_rng(0)
    frames: Frames = []
    for index in range(24):
        path = tmp_path / f"{index}.png"
        Image.fromarray(rough.integers(0, 256, (128, 128, 3), np.uint8)).save(path)
        frames.append((planned(index, (("noise", 1.0),)), path))
    target = tmp_path / "sheet.png"
    contact_sheet(frames, target, "noise")
    assert target.stat().st_size < 1.3 * MOST_BYTES


def test_the_page_is_the_same_every_time_and_replaces_a_link(tmp_path: Path) -> None:
    frames = plain_frames(tmp_path, 3)
    victim, target = tmp_path / "victim", tmp_path / "sheet.png"
    victim.write_text("precious")
    target.symlink_to(victim)
    contact_sheet(frames, target, "city")
    first = target.read_bytes()
    contact_sheet(frames, target, "city")
    assert target.read_bytes() == first
    assert victim.read_text() == "precious"
    assert list(tmp_path.glob("*.tmp")) == []


def test_what_can_not_be_shown_is_named(tmp_path: Path) -> None:
    frames = plain_frames(tmp_path, 3)
    frames[1][1].write_bytes(frames[1][1].read_bytes()[:60])
    with pytest.raises(EncodeError, match="000001"):
        contact_sheet(frames, tmp_path / "sheet.png", "city")
    with pytest.raises(EncodeError, match="no frames"):
        contact_sheet([], tmp_path / "sheet.png", "city")
    assert not (tmp_path / "sheet.png").exists()
