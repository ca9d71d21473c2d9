"""Pictures that keyframes name: what a plan makes of them and what it refuses, without torch."""

import hashlib
import json
import struct
import zlib
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from films import composed, write_model
from pictures import chunk
from PIL import Image, PngImagePlugin
from PIL.ImageCms import ImageCmsProfile, createProfile
from profiles import ADOBE, P3, SRGB, grey_profile, in_srgb, ink_profile, rgb_profile

from render.config.parse import parse
from render.config.schema import SamplingConfig, TimelineConfig
from render.errors import ConfigError
from render.models.families import FAMILIES
from render.models.images import UnusableImage, fitted, known_picture, read_image
from render.plan.plan_json import plan_files
from render.run.model_checks import image_mistakes
from render.run.resolve import open_film
from render.store.frame_png import spec_json
from render.store.judge import changed_fields
from render.timeline.filled import USUAL_STRENGTH
from render.timeline.interpolation import values_at
from render.timeline.timeline import resolve

RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with two pictures."""
    monkeypatch.chdir(tmp_path)
    paint("a.png", RED)
    paint("b.png", BLUE)
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


def paint(path, colour, size=(30, 20), mode="RGB", **options):
    Image.new(mode, size, colour).save(path, **options)


def colours(picture):
    return {colour for _, colour in picture.getcolors()}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def opened(model, folder, keyframes, **changes):
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return open_film(
        composed(model, folder / "outputs", {"timeline.keyframes": keyframes} | dotted),
        "",
        lambda path: f"at {path}",
    )


def digests(film):
    return [frame.digest for frame in film.plan.frames]


def refused(model, folder, keyframes, **changes):
    with pytest.raises(ConfigError) as error:
        opened(model, folder, keyframes, **changes)
    return str(error.value).splitlines()


def frames(*keyframes):
    """Keyframes a second apart, the first with a prompt."""
    return [
        {"at": at, **({} if at else {"prompt": "x"}), **more} for at, more in enumerate(keyframes)
    ]


def values(keyframes, *times, **more):
    """The values of a film at some times; pictures are known by their names."""
    written = TimelineConfig.model_validate({"keyframes": frames(*keyframes), **more})
    images = {k.image: k.image.stem for k in written.keyframes.values() if k.image}
    timeline = resolve(written, SamplingConfig(), Fraction(4), 7.5, images=images)
    specs = [values_at(timeline, Fraction(time)) for time in times]
    return [(dict(spec.start), spec.strength) for spec in specs]


# --- over time -----------------------------------------------------------------------------------

A, B = {"image": "a.png"}, {"image": "b.png"}


def test_between_two_pictures_weights_and_strength_go_from_one_to_the_other():
    between = [{**A, "strength": 0.2}, {**B, "strength": 0.6}]
    assert values(between, 0, 0.25, 1) == [
        ({"a": 1.0}, 0.2),
        ({"a": 0.75, "b": 0.25}, 0.3),
        ({"b": 1.0}, 0.6),
    ]


def test_towards_a_keyframe_without_a_picture_the_strength_goes_to_one():
    away = [{**A, "strength": 0.4}, {"image": None}]
    assert values(away, 0.5, 1) == [({"a": 1.0}, 0.7), ({}, 1.0)]
    assert values([{}, {**A, "strength": 0.4}], 0, 0.5) == [({}, 1.0), ({"a": 1.0}, 0.7)]


def test_picture_and_strength_continue_until_null_ends_them():
    shown = values([{**A, "strength": 0.3}, {}, {"image": None}, B], 0, 1, 2, 3)
    assert shown == [({"a": 1.0}, 0.3), ({"a": 1.0}, 0.3), ({}, 1.0), ({"b": 1.0}, 0.3)]
    assert values([A], 0) == [({"a": 1.0}, USUAL_STRENGTH)]


def test_a_loop_leads_back_to_the_first_picture():
    assert values([A, B], 1.5, loop=True, duration=2) == [({"b": 0.5, "a": 0.5}, USUAL_STRENGTH)]


# --- identity ------------------------------------------------------------------------------------


def test_a_picture_is_known_by_its_content_and_not_by_its_name(model, folder):
    before = digests(opened(model, folder, frames(A, {})))
    (folder / "c.png").write_bytes((folder / "a.png").read_bytes())
    assert digests(opened(model, folder, frames({"image": "c.png"}, {}))) == before
    paint("a.png", BLUE)
    assert not set(digests(opened(model, folder, frames(A, {})))) & set(before)


def test_only_frames_that_show_a_picture_change_with_it(model, folder):
    plain = digests(opened(model, folder, frames({}, {}, {})))
    film = digests(opened(model, folder, frames({}, {}, A)))
    assert [a == b for a, b in zip(plain, film, strict=True)] == [True] * 13 + [False] * 12


def test_strength_is_part_of_it_up_to_one_where_no_picture_shows(model, folder):
    plain, full, less, more = (
        digests(opened(model, folder, frames({**start, "strength": s} if start else {})))
        for start, s in ((None, None), (A, 1), (A, 0.4), (A, 0.5))
    )
    assert plain == full
    assert len({*plain, *less, *more}) == 3


def test_the_plan_names_pictures_and_strength_where_there_are_any(model, folder):
    film = opened(model, folder, frames({**A, "strength": 0.25}, {"image": None}))
    frames_written = json.loads(plan_files(film.plan, "film")["plan.json"])["frames"]
    assert frames_written[0]["images"] == [[sha256(folder / "a.png"), 1.0]]
    assert frames_written[0]["strength"] == 0.25
    assert not {"images", "strength"} & set(frames_written[-1])
    assert {name: str(path) for name, path in film.images.items()} == {
        sha256(folder / "a.png"): "a.png"
    }


# --- the picture itself --------------------------------------------------------------------------


def test_a_picture_covers_the_frame_and_is_cut_to_its_middle():
    striped = Image.new("RGB", (60, 20), RED)
    striped.paste(BLUE, (10, 0, 50, 20))
    assert colours(fitted(striped, 8, 8)) == {BLUE}
    assert colours(fitted(striped, 30, 10)) > {RED, BLUE}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_picture_is_turned_as_its_xmp_says_where_it_has_no_exif(folder, name):
    xmp = '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", xmp)
    more = {"pnginfo": chunks} if name.endswith("png") else {"xmp": xmp.encode()}
    paint(name, RED, **more)
    assert read_image(folder / name)[1].size == (20, 30)


def test_a_photo_is_turned_as_its_camera_was_held(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera stood on its side
    paint("photo.jpg", RED, exif=exif)
    assert read_image(folder / "photo.jpg")[1].size == (20, 30)


@pytest.mark.parametrize(("mode", "clear"), [("RGBA", (9, 9, 9, 0)), ("LA", (9, 0))])
def test_transparent_is_white(folder, mode, clear):
    paint("clear.png", clear, mode=mode)
    assert colours(read_image(folder / "clear.png")[1]) == {(255, 255, 255)}


@pytest.mark.parametrize(
    ("mode", "colour", "suffix"), [("L", 7, "png"), ("P", 7, "gif"), ("CMYK", (1, 2, 3, 4), "jpg")]
)
def test_pictures_of_other_modes_are_made_rgb(folder, mode, colour, suffix):
    paint(f"c.{suffix}", colour, mode=mode)
    assert read_image(folder / f"c.{suffix}")[1].mode == "RGB"


def test_a_link_to_a_picture_is_followed(folder):
    (folder / "link.png").symlink_to("a.png")
    assert read_image(folder / "link.png")[0] == sha256(folder / "a.png")


# --- what is refused -----------------------------------------------------------------------------


def spoil(folder):
    (folder / "text.png").write_text("no picture")
    (folder / "folder.png").mkdir()
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    paint("deep.png", 70, mode="I;16")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("missing.png", "can't be read: No such file"),
        ("folder.png", "can't be read: is no regular file"),
        ("text.png", "is no picture; known are BMP, GIF, JPEG, PNG, TIFF, WEBP"),
        ("page.eps", "is no picture; known are"),
        ("cut.png", "is no picture that can be read: "),
        ("deep.png", "has more than 8 bits a pixel (I;16); save it with 8"),
    ],
)
def test_a_file_that_is_no_picture_is_named_with_its_keyframe(model, folder, name, what):
    spoil(folder)
    (line,) = refused(model, folder, frames(A, {"image": name}))
    assert line.startswith(f"at timeline.keyframes.1.image: {name}")
    assert what in line


def test_a_name_with_a_nul_is_no_path(model, folder):
    (line,) = refused(model, folder, frames(A, {"image": "nul\0.png"}))
    assert line == "at timeline.keyframes.1.image: 'nul\\x00.png' is no path"


def test_a_picture_too_large_to_open_is_refused(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    for size in ((30, 20), (300, 200)):  # Pillow warns of the one and refuses the other
        paint("big.png", RED, size=size)
        with pytest.raises(UnusableImage, match="exceeds limit"):
            read_image(folder / "big.png")


@pytest.mark.parametrize(
    ("keyframe", "what"),
    [
        ({**A, "strength": 1.2}, "strength: 1.2"),
        ({**A, "strength": -0.1}, "strength: -0.1"),
        ({**A, "strength": "half"}, "strength: no name 'half'"),
        ({"strength": 0.5}, "strength: no image stands here to start from"),
        ({"image": None, "strength": 0.5}, "strength: no image stands here to start from"),
        ({"image": True}, "image: unquoted yes/no"),
        ({"image": 5}, "image: 5 is not a text"),
        ({"image": ["a.png"]}, "image: ['a.png'] is not a text"),
    ],
)
def test_what_makes_no_sense_is_refused(model, folder, keyframe, what):
    (line,) = refused(model, folder, frames(keyframe))
    assert line.startswith(f"at timeline.keyframes.0.{what}"), line


def test_every_wrong_picture_is_reported_at_once(model, folder):
    lines = refused(
        model, folder, frames({"image": "no.png"}, {"image": "no.png"}), compute__device="tpu"
    )
    assert [line.split(":")[0] for line in lines] == [
        "at compute.device",
        "at timeline.keyframes.0.image",
        "at timeline.keyframes.1.image",
    ]


SERVED = (
    "FluxPipeline, StableDiffusion3Pipeline, StableDiffusionPipeline, StableDiffusionXLPipeline"
)


def facts_of(family):
    model = SimpleNamespace(family=family)
    return SimpleNamespace(model=model, scheduler=None, locate=lambda path: f"at {path}")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_families_that_start_from_no_picture_are_refused_by_name(model, folder, family):
    config = parse(composed(model, folder, {"timeline.keyframes": frames(A, {})}))
    found = image_mistakes(config, facts_of(family))
    what = (
        f"at timeline.keyframes.0.image: {family.pipeline} starts from no image; leave it out, or "
        f"use a model of {SERVED}"
    )
    assert list(map(str, found)) == ([] if family.pipeline in SERVED else [what])


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_and_pictures_exclude_each_other(model, folder, offload):
    config = parse(composed(model, folder, {"timeline.keyframes": frames(A, {})}))
    compute = config.compute.model_copy(update={"offload": offload})
    family = FAMILIES["StableDiffusionPipeline"]
    changed = config.model_copy(update={"compute": compute})
    (found,) = image_mistakes(changed, facts_of(family))
    assert str(found).startswith("compute.offload: start images need the autoencoder whole")


def test_a_plan_refuses_them(family_folder, folder):
    path = family_folder("pixart")
    assert "starts from no image" in refused(path, folder, frames(A))[0]
    assert opened(path, folder, frames({})).images == {}


def test_a_scheduler_that_can_noise_no_picture_is_refused(family_folder, folder):
    path = family_folder("sd3")
    given = {
        "scheduler__name": "dpmpp",
        "scheduler__class": "DPMSolverMultistepScheduler",
        "scheduler__use_flow_sigmas": True,
        "scheduler__prediction_type": "flow_prediction",
    }
    (line,) = refused(path, folder, frames(A), **given)
    assert line == (
        "scheduler: DPMSolverMultistepScheduler can't noise the pictures that keyframes name; "
        "use scheduler=model or flow_euler"
    )
    assert opened(path, folder, frames({}), **given).images == {}


# --- the frames' files ---------------------------------------------------------------------------


def test_why_a_frame_is_stale_names_pictures_only_if_they_changed(model, folder):
    plain, start = (opened(model, folder, frames(k)).plan.frames[0].spec for k in ({}, A))
    assert "images" not in spec_json(plain)
    assert changed_fields(spec_json(plain), start) == "changed: images, strength"
    assert changed_fields(spec_json(start), plain) == "changed: images, strength"
    assert changed_fields(spec_json(start), replace(start, strength=0.1)) == "changed: strength"


# --- colours -------------------------------------------------------------------------------------

INKY = (180, 40, 0, 10)


def shown(path):
    return read_image(path)[1].getpixel((0, 0))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("colour", [(200, 80, 60), (30, 200, 90), (90, 110, 250), (128, 128, 128)])
@pytest.mark.parametrize(("primaries", "gamma"), [(P3, None), (ADOBE, 563 / 256)])
def test_a_profile_is_followed_into_srgb(folder, suffix, colour, primaries, gamma):
    """As the textbook computes it, at most 2 of 255 off; without it 5 and more."""
    options = {"quality": 100} | ({"lossless": True} if suffix == "webp" else {})
    given = options if suffix in ("jpg", "webp") else {}
    paint(f"c.{suffix}", colour, icc_profile=rgb_profile(primaries, gamma), **given)
    wanted = in_srgb(colour, primaries, gamma)
    assert np.abs(np.subtract(shown(folder / f"c.{suffix}"), wanted)).max() <= 2
    if len(set(colour)) > 1:
        assert np.abs(np.subtract(colour, wanted)).max() >= 5


def test_a_profile_goes_with_a_turn_and_with_transparency(folder):
    colour, profile = (200, 80, 60), rgb_profile(P3)
    turned = Image.Exif()
    turned[0x0112] = 6
    paint("photo.png", colour, icc_profile=profile, exif=turned)
    picture = read_image(folder / "photo.png")[1]
    assert picture.size == (20, 30)
    assert np.abs(np.subtract(picture.getpixel((0, 0)), in_srgb(colour, P3))).max() <= 2
    paint("clear.png", (*colour, 0), mode="RGBA", icc_profile=profile)
    assert colours(read_image(folder / "clear.png")[1]) == {(255, 255, 255)}
    paint("solid.png", (*colour, 255), mode="RGBA", icc_profile=profile)
    assert np.abs(np.subtract(shown(folder / "solid.png"), in_srgb(colour, P3))).max() <= 2
    flat = Image.new("RGB", (4, 4), colour).quantize(4)
    flat.save(folder / "flat.png", icc_profile=profile)
    assert np.abs(np.subtract(shown(folder / "flat.png"), in_srgb(colour, P3))).max() <= 2


@pytest.mark.parametrize(
    "profile", [rgb_profile(SRGB), ImageCmsProfile(createProfile("sRGB")).tobytes()]
)
def test_a_profile_that_means_srgb_changes_no_bit(folder, profile):
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    noise.save(folder / "noise.png", icc_profile=profile)
    digest, picture = read_image(folder / "noise.png")
    assert digest == sha256(folder / "noise.png")
    assert picture.tobytes() == noise.tobytes()


def test_inks_and_greys_are_followed_by_their_profiles(folder):
    paint("ink.jpg", INKY, mode="CMYK", icc_profile=ink_profile(), quality=100)
    dull = shown(folder / "ink.jpg")
    paint("ink.jpg", INKY, mode="CMYK", icc_profile=ink_profile(90), quality=100)
    assert np.subtract(shown(folder / "ink.jpg"), dull).max() >= 20  # what its profile says, shows
    paint("paper.jpg", (0, 0, 0, 0), mode="CMYK", icc_profile=ink_profile(), quality=100)
    assert min(shown(folder / "paper.jpg")) >= 250
    paint("grey.png", 100, mode="L", icc_profile=grey_profile(1.0))
    assert shown(folder / "grey.png") == (pytest.approx(168, abs=2),) * 3


def test_a_picture_whose_colours_are_followed_has_frames_of_its_own(model, folder):
    """Earlier versions did not follow them."""
    paint("c.png", RED, icc_profile=rgb_profile(P3))
    assert read_image(folder / "c.png")[0] != sha256(folder / "c.png")
    film = opened(model, folder, frames({"image": "c.png"}, {}))
    assert film.plan.warnings == ()
    digest, _ = film.plan.frames[0].spec.start[0]
    known = known_picture(film.images, digest, 8, 8)
    assert np.abs(np.subtract(known.getpixel((0, 0)), in_srgb(RED, P3))).max() <= 2


@pytest.mark.parametrize(
    ("name", "mode", "options", "said"),
    [
        ("a.png", "RGB", {"icc_profile": b"no profile"}, "a broken colour profile"),
        ("a.png", "RGB", {"icc_profile": rgb_profile(P3)[:300]}, "a broken colour profile"),
        ("a.png", "RGB", {"icc_profile": ink_profile()}, "a profile for CMYK in a picture in RGB"),
        ("a.png", "L", {"icc_profile": rgb_profile(P3)}, "a profile for RGB in a picture in L"),
        ("a.jpg", "CMYK", {}, "inks (CMYK) without a colour profile"),
    ],
)
def test_colours_that_can_not_be_followed_are_reported(model, folder, name, mode, options, said):
    paint(name, {"RGB": RED, "L": 90, "CMYK": INKY}[mode], mode=mode, **options)
    film = opened(model, folder, frames({"image": name}, {"image": name}))
    assert film.plan.warnings == (
        f"{name} has {said}; its colours are taken as sRGB: save it in sRGB to be sure",
    )
    assert film.plan.frames[0].spec.start == ((sha256(folder / name), 1.0),)


def test_a_plan_says_which_colours_are_not_followed(place):
    paint(place.folder / "ink.jpg", INKY, mode="CMYK")
    place.timeline("inky", [{"at": 0, "prompt": "one", "image": "ink.jpg"}])
    ended = place.render("+timeline=inky", "mode=plan")
    assert ended.code == 0
    assert ended.out.count("ink.jpg has inks (CMYK) without a colour profile") == 1


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ({"gAMA": (100000,)}, "a gamma of 1 in place"),
        ({"gAMA": (45455,)}, None),
        ({"gAMA": (100000,), "sRGB": None}, None),
        ({"cHRM": (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)}, "primaries of its own"),
        ({"cHRM": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}, None),
        ({"cICP": (12, 13, 0, 1)}, "the colours 12/13 of a cICP chunk"),
        ({"cICP": (1, 13, 0, 1)}, None),
    ],
)
def test_what_a_png_says_of_its_colours_without_a_profile_is_reported(folder, chunks, said):
    written = PngImagePlugin.PngInfo()
    for name, values in chunks.items():
        size = "B" if name == "cICP" else "I"
        content = b"\0" if values is None else struct.pack(f">{len(values)}{size}", *values)
        written.add(name.encode(), content)
    paint("said.png", RED, pnginfo=written)
    remarks = []
    read_image(folder / "said.png", remarks.append)
    assert [said in line for line in remarks] == ([True] if said else [])


@pytest.mark.parametrize(("coded", "said"), [((9, 16), True), ((9, 18), True), ((12, 13), False)])
def test_hdr_colours_count_before_a_profile_beside_them(folder, coded, said):
    """As in a browser; a profile that says the same as a cICP chunk that is none of HDR's is
    followed."""
    written = PngImagePlugin.PngInfo()
    written.add(b"cICP", bytes([*coded, 0, 1]))
    paint("hdr.png", RED, pnginfo=written, icc_profile=rgb_profile(P3))
    remarks = []
    shown = read_image(folder / "hdr.png", remarks.append)[1]
    assert ["the HDR colours" in line for line in remarks] == ([True] if said else [])
    assert (shown.getpixel((0, 0)) == RED) == said


def png_of_depth(depth, kind, row, transparent):
    """A PNG of two pixels whose one transparent colour stands at the file's own depth."""
    head = struct.pack(">IIBBBBB", 2, 1, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"tRNS", transparent)]
    parts += [(b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (png_of_depth(1, 0, bytes([0b01000000]), b"\0\0"), [255, 255]),
        (png_of_depth(2, 0, bytes([0b01100000]), b"\0\1"), [255, 170]),
        (png_of_depth(4, 0, bytes([0x7B]), b"\0\7"), [255, 187]),
        (png_of_depth(8, 0, bytes([7, 11]), b"\0\7"), [255, 11]),
        (
            png_of_depth(16, 2, struct.pack(">6H", *[0x80FF] * 3, *[300] * 3), b"\x80\xff" * 3),
            [255, 1],
        ),
    ],
)
def test_a_transparent_colour_is_white_at_every_depth(tmp_path, content, wanted):
    (tmp_path / "picture.png").write_bytes(content)
    picture = read_image(tmp_path / "picture.png")[1]
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(value,) * 3 for value in wanted]
