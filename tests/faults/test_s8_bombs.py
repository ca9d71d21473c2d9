"""S8: under a frame's name, what would fill the memory, or make whoever opens it wait for ever."""

import os
import re
import stat

import numpy as np
import pytest
from pictures import huge
from PIL import Image
from things import (
    MANY_TEXTS,
    SIDE,
    ZIP_PROFILE,
    ZIP_TEXT,
    ZIP_UNICODE,
    bound_socket,
    folder_with_a_file,
    holding,
    large,
    link_to,
    picture,
    pipe,
)

MEGABYTES = 200
SECONDS = 1.0  # of CPU, more than for a folder without bombs

# What stands there, and the words it is named with.
BOMBS = {
    "30000²": (lambda d: holding(huge(30_000)), "is damaged"),
    "12000²": (lambda d: holding(huge(12_000)), "is damaged"),
    "a zTXt": (lambda d: holding(picture(digest=d, extra=ZIP_TEXT)), "is damaged"),
    "an iTXt": (lambda d: holding(picture(digest=d, extra=ZIP_UNICODE)), "is damaged"),
    "an iCCP": (lambda d: holding(picture(digest=d, extra=ZIP_PROFILE)), "is damaged"),
    "200 zTXt": (lambda d: holding(picture(digest=d, extra=MANY_TEXTS)), "is damaged"),
    "50 GB": (lambda d: large, "more than such a frame can have"),
    "a pipe": (lambda d: pipe, "a link, a folder or a device"),
    "a folder": (lambda d: folder_with_a_file, "a link, a folder or a device"),
    "a socket": (lambda d: bound_socket, "a link, a folder or a device"),
    "a link to zeros": (lambda d: link_to("/dev/zero"), "a link, a folder or a device"),
    "a link to a terminal": (lambda d: link_to("/dev/tty"), "a link, a folder or a device"),
    "a link to itself": (lambda d: lambda p: p.symlink_to(p.name), "a link, a folder or a device"),
    "a link to nothing": (lambda d: link_to("nowhere"), "a link, a folder or a device"),
}
NAMES = list(BOMBS)
FILM = [{"at": at, "prompt": f"p{at}", "ease": "hold"} for at in range(len(BOMBS))]
WHOLE = [f"output.width={SIDE}", f"output.height={SIDE}", "output.fps=1", "output=webp"]


def digest_of(path):
    with Image.open(path) as image:
        return image.info["render:digest"]


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


class Film:
    """A film of which every frame has a bomb in its place, in one of the two places."""

    def __init__(self, calls, where):
        self.calls, self.name = calls, f"bombs-in-{where}"
        self.root = calls.site.here / self.name
        calls.site.timeline(self.name, FILM)
        self.arguments = [f"+timeline={self.name}", f"root={self.name}", *WHOLE]
        first = calls(*self.arguments)
        assert first.code == 0, first.err
        self.frames = sorted((self.root / self.name / "frames").iterdir())
        self.pixels = [pixels_of(path) for path in self.frames]
        self.digests = [digest_of(path) for path in self.frames]
        self.harmless = calls(*self.arguments, "mode=plan")
        self.places = self.frames if where == "frames" else list(map(self.stored, self.digests))
        for path in self.frames + list(map(self.stored, self.digests)):
            path.unlink()
        for path, digest, (make, _) in zip(self.places, self.digests, BOMBS.values(), strict=True):
            make(digest)(path)
        self.planned = calls(*self.arguments, "mode=plan")
        self.rendered = calls(*self.arguments)

    def stored(self, digest):
        return self.root / ".store" / digest[:2] / f"{digest}.png"


@pytest.fixture(scope="module", params=["frames", "store"])
def film(request, calls):
    return Film(calls, request.param)


def test_they_are_looked_at_quickly_and_in_little_memory(film):
    assert film.planned.code == 0, film.planned.err
    assert film.planned.cpu < film.harmless.cpu + SECONDS
    assert film.planned.megabytes < MEGABYTES
    assert film.rendered.megabytes < MEGABYTES


@pytest.mark.parametrize("reason", sorted({reason for _, reason in BOMBS.values()}))
def test_each_is_named_with_its_reason(film, reason):
    """As many frames as there are bombs of the kind: a line counts all frames of one reason."""
    lines = re.findall(r"(\d+) (?:in the store: )?(.*) \(frames ", film.planned.out)
    counted = sum(int(count) for count, why in lines if reason in why)
    assert counted == sum(expected == reason for _, expected in BOMBS.values())
    assert not re.search(r"^ *there ", film.planned.out, re.MULTILINE)


@pytest.mark.parametrize("bomb", NAMES)
def test_the_frame_is_rendered_as_it_was(film, bomb):
    assert film.rendered.code == 0, film.rendered.err
    place = NAMES.index(bomb)
    with Image.open(film.stored(film.digests[place])) as image:
        assert np.array_equal(np.asarray(image), film.pixels[place])
    assert stat.S_ISREG(film.stored(film.digests[place]).lstat().st_mode)


@pytest.mark.parametrize("bomb", NAMES)
def test_what_is_nobodys_frame_is_still_there(film, bomb):
    """Under its name in frames/, or set aside with a word; damaged frames of ours are replaced."""
    path = film.places[NAMES.index(bomb)]
    if bomb in ("a zTXt", "an iTXt", "an iCCP", "200 zTXt"):  # they carry a frame's mark
        return
    aside = path.with_name(f"{path.name}.set-aside-1")
    left_alone = path.parent.name == "frames" and not stat.S_ISREG(path.lstat().st_mode)
    assert left_alone != os.path.lexists(aside)
    if not left_alone:
        assert f"{path.relative_to(film.calls.site.here)} is not ours" in film.rendered.err
    if bomb == "a folder":
        assert ((path if left_alone else aside) / "mine.txt").read_text() == "mine"


def test_the_video_has_all_frames(film):
    with Image.open(film.root / film.name / f"{film.name}.webp") as video:
        assert video.n_frames == len(BOMBS)


def test_the_next_run_renders_none(film):
    answer = film.calls(*film.arguments)
    assert answer.code == 0
    assert "0 rendered" in answer.out


@pytest.fixture(scope="module")
def folder(calls):
    """A film of one frame."""
    calls.site.timeline("t", FILM[:1])
    assert calls("+timeline=t", *WHOLE).code == 0
    return calls.site.run_folder("t")


@pytest.mark.parametrize(
    "name", ["plan.json", "run.json", "config.yaml", "render.log", "sheet.png", "t.webp"]
)
@pytest.mark.parametrize("make", [pipe, link_to("/dev/zero"), large])
def test_nobody_waits_for_one_of_the_other_files(calls, folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    answer = calls("+timeline=t", *WHOLE)
    assert answer.code == 0, answer.err
    assert f"outputs/t/{name} is not ours" in answer.err
    assert (folder / name).is_file()
    assert answer.megabytes < MEGABYTES
    for aside in folder.glob("*.set-aside-*"):
        aside.unlink()


@pytest.mark.parametrize("name", ["models.json", "timings.json"])
@pytest.mark.parametrize("make", [pipe, link_to("/dev/zero"), large])
def test_nor_for_what_the_store_remembers(calls, name, make):
    calls.site.timeline("t", FILM[:1])
    remembered = calls.site.root / ".store" / name
    remembered.unlink(missing_ok=True)
    make(remembered)
    answer = calls("+timeline=t", *WHOLE, "timeline.keyframes.0.seed=9")
    assert answer.megabytes < MEGABYTES
    assert answer.code == (2 if remembered.is_symlink() else 0), answer.err
    for path in remembered.parent.glob(f"{name}*"):
        path.unlink()


@pytest.mark.parametrize("place", ["model_index.json", "unet/config.json", "unet/x.safetensors"])
@pytest.mark.parametrize("make", [pipe, link_to("/dev/zero")])
def test_nor_for_a_file_of_a_model(calls, tmp_path, place, make):
    from films import write_model

    calls.site.timeline("t", FILM[:1])
    model = write_model(tmp_path / "model")
    (model / place).unlink(missing_ok=True)
    make(model / place)
    local = ["model=local", f"model.path={model}", "model.steps=2", "model.guidance=7"]
    answer = calls("+timeline=t", *local)
    assert answer.code == 2, answer.err
    assert answer.megabytes < MEGABYTES
