"""R3: damaged frames. Each is named with what is wrong, and exactly those are rendered again."""

import io
import json
import random
import re
import shutil
from pathlib import Path

import pytest
from outside import tree
from pictures import same_pictures
from PIL import Image, PngImagePlugin

FRAMES = 13
COMMAND = ["+timeline=film", "output.fps=12", "output.width=32", "output.height=32"]
QUICK = {"blocks": 8}
SEED = 3  # of the flipped bits


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def repainted(content, size=(32, 32), mode="RGB", proof=True):
    """Another picture, whole, with the frame's proof or without."""
    with Image.open(io.BytesIO(content)) as frame:
        proofs = PngImagePlugin.PngInfo()
        for key, value in frame.text.items() if proof else ():
            proofs.add_text(key, value)
        stream = io.BytesIO()
        frame.resize(size).convert(mode).save(stream, "PNG", pnginfo=proofs)
    return stream.getvalue()


def as_gif(content):
    stream = io.BytesIO()
    Image.open(io.BytesIO(content)).save(stream, "GIF")
    return stream.getvalue()


# What is done to a frame's bytes (the other one is a whole frame), and what is said of it.
DAMAGES = {
    "0 bytes": (lambda content, other: b"", "is 0 bytes long"),
    "1 byte": (lambda content, other: content[:1], "is 1 bytes long"),
    "half": (lambda content, other: content[: len(content) // 2], "is damaged"),
    "no IEND": (lambda content, other: content[:-12], "is damaged"),
    "bit flip": (lambda content, other: flipped(content, 8 * len(content) - 300), "is damaged"),
    "GIF bytes": (lambda content, other: as_gif(content), "is no PNG"),
    "wrong size": (
        lambda content, other: repainted(content, size=(16, 16)),
        "is 16×16, not 32×32",
    ),
    "wrong mode": (
        lambda content, other: repainted(content, mode="RGBA"),
        "has another mode",
    ),
    "wrong digest": (lambda content, other: other, "changed: prompts|is another frame"),
}
PLACES = dict(zip(DAMAGES, range(2, 11), strict=True))  # the frame that gets each damage


@pytest.fixture(scope="module")
def pristine(film_site):
    """A place with a whole film, and a copy of all that was made."""
    site = film_site([{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}], *COMMAND)
    assert site.rounds.render(**QUICK).code == 0
    shutil.copytree(site.here / "outputs", site.here / "copy")
    site.whole = site.pictures("film")
    planned = json.loads((site.run_folder("film") / "plan.json").read_text())["frames"]
    site.digests = [frame["digest"] for frame in planned]
    return site


@pytest.fixture
def film(pristine):
    """The whole film; a frame and the store's copy of it are one file, as render makes them."""
    shutil.rmtree(pristine.here / "outputs")
    shutil.copytree(pristine.here / "copy", pristine.here / "outputs")
    for index in range(FRAMES):
        shown(pristine, index).unlink()
        shown(pristine, index).hardlink_to(stored(pristine, index))
    return pristine


def shown(site, index):
    return site.run_folder("film") / "frames" / f"frame_{index:06d}.png"


def stored(site, index):
    """The store's copy of a frame."""
    digest = site.digests[index]
    return site.here / "outputs" / ".store" / digest[:2] / f"{digest}.png"


def both(site, index, content):
    """One file of two names."""
    shown(site, index).write_bytes(content)
    assert stored(site, index).read_bytes() == content


def only_shown(site, index, content):
    shown(site, index).unlink()
    shown(site, index).write_bytes(content)


def only_stored(site, index, content):
    stored(site, index).unlink()
    stored(site, index).write_bytes(content)


def shown_without_store(site, index, content):
    stored(site, index).unlink()
    shown(site, index).write_bytes(content)


def stored_without_shown(site, index, content):
    shown(site, index).unlink()
    stored(site, index).write_bytes(content)


NO_WHOLE_COPY = [both, shown_without_store, stored_without_shown]
A_WHOLE_COPY = [only_shown, only_stored]


def damage(site, side, name):
    """Returns the bytes that then stand there."""
    index, (spoil, _) = PLACES[name], DAMAGES[name]
    content = spoil(shown(site, index).read_bytes(), shown(site, 0).read_bytes())
    side(site, index, content)
    return content


def named(said, name):
    """Whether one line says what is wrong with the frame, and its number."""
    reason = rf"({DAMAGES[name][1]}).* \(frames (\d+, )*{PLACES[name]}\b"
    return any(re.search(reason, line) for line in said.splitlines())


def inodes(site):
    return {path.stem: path.stat().st_ino for path in site.stored()}


@pytest.mark.parametrize("side", [*NO_WHOLE_COPY, *A_WHOLE_COPY], ids=lambda side: side.__name__)
def test_each_damage_is_named_and_only_frames_without_a_whole_copy_are_rendered(film, side):
    for name in DAMAGES:
        damage(film, side, name)
    before = inodes(film)
    ended = film.rounds.render(**QUICK)
    assert ended.code == 0
    assert [name for name in DAMAGES if not named(ended.err, name)] == [], ended.err
    redone = len(DAMAGES) if side in NO_WHOLE_COPY else 0
    assert film.counts("film") == (FRAMES - redone, redone, 0)
    after, spoilt = inodes(film), {film.digests[index] for index in PLACES.values()}
    assert {d for d in before if before[d] == after[d]} >= set(film.digests) - spoilt
    assert same_pictures(film.pictures("film"), film.whole)
    assert not film.temps()
    film.rounds.render(**QUICK)
    assert film.counts("film") == (FRAMES, 0, 0)


@pytest.mark.parametrize("side", [both, only_shown], ids=lambda side: side.__name__)
def test_what_can_not_be_known_as_ours_is_set_aside(film, side):
    kept = {shown(film, PLACES[name]): damage(film, side, name) for name in DAMAGES}
    film.rounds.render(**QUICK)
    aside = {path: path.read_bytes() for path in shown(film, 0).parent.glob("*.set-aside-1")}
    assert aside == {
        path.with_name(f"{path.name}.set-aside-1"): kept[path]
        for path in (shown(film, PLACES[name]) for name in ("1 byte", "GIF bytes"))
    }


def test_a_picture_without_our_proof_is_left_alone_and_the_film_is_whole_all_the_same(film):
    """As an editor of pictures leaves it."""
    edited = repainted(shown(film, 4).read_bytes(), proof=False)
    both(film, 4, edited)
    ended = film.rounds.render(**QUICK)
    assert ended.code == 0
    assert "foreign: 1, is a picture without our proof (frames 4)" in ended.err
    assert film.counts("film") == (FRAMES - 1, 1, 0)
    assert shown(film, 4).read_bytes() == edited
    assert Image.open(stored(film, 4)).tobytes() == film.whole[4].tobytes()


def test_a_bit_flipped_anywhere_in_every_frame_is_found(film):
    """The length of the last chunk among them, which most readers skip."""
    random_ = random.Random(SEED)
    for index in range(FRAMES):
        content = shown(film, index).read_bytes()
        bit = 8 * len(content) - 70 if index == 0 else random_.randrange(8 * len(content))
        both(film, index, flipped(content, bit))
    ended = film.rounds.render(**QUICK)
    assert "13 frames: 13 to render (13 corrupt)" in ended.err
    assert film.counts("film") == (0, FRAMES, 0)
    assert same_pictures(film.pictures("film"), film.whole)


@pytest.mark.parametrize(
    ("name", "output"), [*((name, "mp4") for name in DAMAGES), ("half", "gif")]
)
def test_stitching_refuses_a_damaged_frame_and_leaves_the_older_video(film, name, output):
    damage(film, both, name)
    before = tree(film.run_folder("film"), film.here / "outputs" / ".store")
    ended = film.rounds.render({"mode": "stitch", "output.format": output}, **QUICK)
    assert ended.code == 4
    (line,) = (line for line in ended.err.splitlines() if line.startswith("render: "))
    subject = "changed: the picture " if name in ("wrong size", "wrong mode") else ""
    expected = rf"1 of 13 frames are not there \({PLACES[name]}: {subject}({DAMAGES[name][1]})"
    assert re.search(expected, line), line
    assert line.endswith("; render them first, without mode=stitch")
    after = tree(film.run_folder("film"), film.here / "outputs" / ".store")
    changed = {Path(path).name for path in before | after if before.get(path) != after.get(path)}
    assert changed == {".lock", "render.log"}


def test_stitching_takes_the_whole_copy_of_two(film):
    for name in DAMAGES:
        damage(film, only_shown, name)
    ended = film.rounds.render({"mode": "stitch", "output.format": "apng"}, **QUICK)
    assert ended.code == 0
    with Image.open(film.run_folder("film") / "film.apng") as video:
        assert video.n_frames == FRAMES
    assert same_pictures(film.pictures("film"), film.whole)


def test_a_frame_damaged_while_others_are_rendered_is_in_no_video(film):
    video = film.run_folder("film") / "film.mp4"
    before = video.read_bytes()
    for index in range(6, FRAMES):
        shown(film, index).unlink()
        stored(film, index).unlink()
    run = film.start(*COMMAND, "output.quality=30", seconds=0.1, **QUICK)
    run.until(shown(film, 6).exists)
    damage(film, both, "half")
    ended = run.wait()
    assert ended.code == 4
    spoilt = stored(film, PLACES["half"]).relative_to(film.here)
    assert f"render: {spoilt}: not a whole PNG" in ended.err
    assert ended.err.endswith("; render it again\n")
    assert video.read_bytes() == before
    film.rounds.render(**QUICK)
    assert film.counts("film") == (FRAMES - 1, 1, 0)
    assert same_pictures(film.pictures("film"), film.whole)
