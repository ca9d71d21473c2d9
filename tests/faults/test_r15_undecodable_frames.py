"""R15: frames whose checksums are right and whose pixels can't be decoded: found when the film is
looked at, or when it is encoded, and then rendered again by the same command."""

import json
import shutil
import struct
import zlib

import pytest
from pictures import chunk, same_pictures
from test_r3_corrupt_frames import only_shown, only_stored, shown, stored

FRAMES = 9
COMMAND = ["+timeline=film", "output.fps=8", "output.width=32", "output.height=32"]
QUICK = {"blocks": 8}
SHEET_SHOWS = 13  # an odd frame of 301, of which every second one is decoded; see below
END = chunk(b"IEND", b"")
ROW = 1 + 3 * 32  # bytes, with the filter's number


def with_pixels(content: bytes, stream: bytes) -> bytes:
    """A frame with another stream of pixels, and right checksums everywhere."""
    made, place = content[:8], 8
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind = content[place + 4 : place + 8]
        if kind == b"IEND":
            made += chunk(b"IDAT", stream)
        if kind != b"IDAT":
            made += content[place : place + 12 + length]
        place += 12 + length
    return made


def pixels_of(content: bytes) -> bytes:
    """A frame's stream of pixels, as it is compressed; the stand-in's stand in one chunk."""
    place = content.index(b"IDAT")
    (length,) = struct.unpack_from(">I", content, place - 4)
    return content[place + 4 : place + 4 + length]


# Streams that decoders stumble over; each under right checksums.
SPOILT = {
    "cut": lambda stream: stream[: len(stream) // 2],
    "empty": lambda stream: b"",
    "not compressed": lambda stream: bytes(len(stream)),
    "too few rows": lambda stream: zlib.compress(zlib.decompress(stream)[: 20 * ROW]),
    "an unknown filter": lambda stream: zlib.compress(b"\x09" + zlib.decompress(stream)[1:]),
}


@pytest.fixture(scope="module")
def place(film_site):
    """A place with a whole film, and a copy of all that was made."""
    site = film_site([{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}], *COMMAND)
    assert site.rounds.render(**QUICK).code == 0
    shutil.copytree(site.here / "outputs", site.here / "copy")
    site.whole = site.pictures("film")
    planned = json.loads((site.run_folder("film") / "plan.json").read_text())["frames"]
    site.digests = [frame["digest"] for frame in planned]
    return site


@pytest.fixture
def film(place):
    """The whole film; a frame and the store's copy of it are one file, as render makes them."""
    shutil.rmtree(place.here / "outputs")
    shutil.copytree(place.here / "copy", place.here / "outputs")
    for index in range(FRAMES):
        shown(place, index).unlink()
        shown(place, index).hardlink_to(stored(place, index))
    return place


def both(site, index, content):
    shown(site, index).write_bytes(content)


def spoil(site, side, index, how):
    content = shown(site, index).read_bytes()
    side(site, index, with_pixels(content, SPOILT[how](pixels_of(content))))


@pytest.mark.parametrize("form", ["mp4", "frames"])
@pytest.mark.parametrize("side", [both, only_shown, only_stored], ids=lambda side: side.__name__)
def test_each_is_named_and_rendered_again_where_no_whole_copy_is(film, side, form):
    for index, how in enumerate(SPOILT):
        spoil(film, side, index, how)
    ended = film.rounds.render({"output.format": form}, **QUICK)
    assert ended.code == 0, ended.err
    redone = len(SPOILT) if side is both else 0
    assert ended.err.count("can't be decoded") >= 2, ended.err  # each kind of reason
    assert film.counts("film") == (FRAMES - redone, redone, 0)
    assert same_pictures(film.pictures("film"), film.whole)
    film.rounds.render({"output.format": form}, **QUICK)
    assert film.counts("film") == (FRAMES, 0, 0)


def test_a_stitch_refuses_it_and_a_render_mends_it(film):
    spoil(film, both, 4, "cut")
    ended = film.rounds.render({"mode": "stitch", "output.quality": 30}, **QUICK)
    assert ended.code == 4
    assert "1 of 9 frames are not there (4: can't be decoded" in ended.err
    assert film.rounds.render(**QUICK).code == 0
    assert same_pictures(film.pictures("film"), film.whole)


@pytest.mark.parametrize("form", ["mp4", "frames"])
def test_one_that_only_the_encoder_or_the_sheet_meets_is_rendered_by_the_next_run(film, form):
    """As in a long film, of which only some frames are decoded when it is looked at."""
    long = {"output.format": form, "output.fps": 300}
    assert film.rounds.render(long, **QUICK).code == 0
    before = film.pictures("film")
    digests = [
        f["digest"]
        for f in json.loads((film.run_folder("film") / "plan.json").read_text())["frames"]
    ]
    index = SHEET_SHOWS if form == "frames" else 151
    spoilt = film.frames("film")[index]
    spoilt.write_bytes(with_pixels(spoilt.read_bytes(), b""))
    (film.run_folder("film") / "sheet.png").unlink()
    anew = {} if form == "frames" else {"output.quality": 30}
    ended = film.rounds.render({**long, **anew}, **QUICK)
    assert ended.code == 4, ended.err
    assert f"{digests[index]}.png: not a whole PNG" in ended.err
    assert ended.err.endswith("; render it again\n")
    assert not spoilt.exists()
    ended = film.rounds.render(long, **QUICK)
    assert ended.code == 0, ended.err
    assert film.counts("film") == (300, 1, 0)
    assert same_pictures(film.pictures("film"), before)


def between_pixels(content):
    """A chunk of text among those of pixels, at which decoders take the pixels for ended."""
    stream, head = pixels_of(content), content[: content.index(b"IDAT") - 4]
    halves = stream[: len(stream) // 2], stream[len(stream) // 2 :]
    one, other = (chunk(b"IDAT", half) for half in halves)
    return head + one + chunk(b"tEXt", b"a\0b") + other + END


def another_header(content):
    """A second header, of grey pixels."""
    return (
        content[:33] + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)) + content[33:]
    )


def text_bomb(content):
    """A text behind the pixels that is larger than Pillow ever reads."""
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 27), 9))
    return content.removesuffix(END) + bomb + END


@pytest.mark.parametrize("spoilt", [between_pixels, another_header, text_bomb])
def test_what_pillow_alone_can_not_decode_is_mended_by_the_same_command(film, spoilt):
    """However right its checksums and its stream of pixels are."""
    shown(film, 4).write_bytes(spoilt(shown(film, 4).read_bytes()))
    again = {"output.quality": 30}
    ended = film.rounds.render(again, **QUICK)
    if ended.code == 4:  # met by the encoder, which leaves it to the next run
        ended = film.rounds.render(again, **QUICK)
    assert ended.code == 0, ended.err
    assert film.counts("film") == (FRAMES - 1, 1, 0)
    assert same_pictures(film.pictures("film"), film.whole)
