"""Pictures in between and larger pictures, from outside: what is shown, resume, prune, mistakes."""

import json
import os
import signal
import sys
import types
import warnings

import numpy as np
import pytest
from command_line import Place
from pictures import decibels, difference, mixed, same_pictures
from PIL import Image
from safetensors.torch import save_file

import render

FOUR_TO_TWELVE = ("output.rendered_fps=4", "output.fps=12", "output.inbetween=dissolve")
ONE_TO_FOUR = ("output.rendered_fps=1", "output.fps=4", "output.inbetween=dissolve")
FRAMES = "output=frames"


def shown(place, name="t"):
    """The pixels of all shown pictures, in order."""
    found = sorted((place.folder / "outputs" / name / "shown").glob("*.png"))
    return [np.asarray(Image.open(path)) for path in found]


def plan(place, name="t"):
    return json.loads((place.folder / "outputs" / name / "plan.json").read_text())


def made(place, name="t"):
    """How many pictures the latest run made."""
    return place.run_json(name)["shown"]["made"]


def stored(place, digest):
    return place.folder / "outputs" / ".store" / digest[:2] / f"{digest}.png"


def finished(place, name="t"):
    """The files of all finished pictures of a film, in order, each once."""
    frames = plan(place, name)["frames"]
    rendered = {frame["digest"] for frame in frames}
    digests = dict.fromkeys(d for frame in frames for d in frame["shown"] if d not in rendered)
    return [stored(place, digest) for digest in digests]


@pytest.fixture(scope="module")
def dissolve(tmp_path_factory, tiny_sd1):
    """A film of five frames, shown as thirteen pictures, with its video; tests leave it whole."""
    place = Place(tmp_path_factory.mktemp("finished"), tiny_sd1)
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two"}])
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE)
    assert ended.code == 0, ended.err
    place.said = ended
    return place


# --- in between -----------------------------------------------------------------------------------


def test_a_dissolve_mixes_light_and_leaves_the_frames_as_they_are(dissolve):
    frames, pictures = dissolve.pictures("t"), shown(dissolve)
    assert (len(frames), len(pictures)) == (5, 13)
    assert same_pictures(pictures[::3], frames)
    for place in range(12):
        share = place % 3 / 3
        wanted = mixed(frames[place // 3], frames[place // 3 + 1], share)
        assert difference(pictures[place], wanted) <= 1
    assert difference(pictures[1], mixed(frames[0], frames[1], 0.5)) > 1


def test_the_video_the_run_and_the_plan_say_what_is_in_between(dissolve):
    assert (dissolve.folder / "outputs/t/t.mp4").stat().st_size > 0  # 13 frames: encode counts
    assert "shown  13 pictures at 12 a second, 8 in between (dissolve), 8 made" in dissolve.said.out
    said = dissolve.run_json("t")["shown"]
    assert (said["pictures"], said["between"], said["fps"]) == (13, 8, 12)
    written = plan(dissolve)
    assert (written["fps"], written["count"]) == (4, 5)
    assert written["shown"] == {
        "fps": 12, "rate": "12", "count": 13, "width": 64, "height": 64,
        "inbetween": "dissolve", "upscale": None,
    }  # fmt: skip
    assert [len(frame["shown"]) for frame in written["frames"]] == [3, 3, 3, 3, 1]
    assert all(frame["shown"][0] == frame["digest"] for frame in written["frames"])


def test_the_plan_counts_what_is_to_be_made(place):
    plain = place.render("+timeline=t", "mode=plan").out
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, "mode=plan")
    assert "shown  13 pictures at 12 a second, 8 in between (dissolve), 8 to make" in ended.out
    disk = [
        next(line for line in text.splitlines() if "disk" in line) for text in (plain, ended.out)
    ]
    assert disk[0] != disk[1]
    assert not (place.folder / "outputs" / "t" / "shown").exists()


def test_the_next_plan_knows_how_long_such_pictures_take(place):
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    timings = place.folder / "outputs/.store/timings.json"
    known = json.loads(timings.read_text())
    (kind,) = [kind for kind in known if " finish dissolve 1 64x64" in kind]
    assert known[kind]["seconds_per_row"] > 0
    known[kind] = {"seconds_per_row": 100.0, "bytes_per_frame": 5000.0}
    timings.write_text(json.dumps(known, indent=1))
    for path in finished(place):
        path.unlink()
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, "mode=plan")
    assert "about 13 min 20 s" in ended.out
    assert "40.0 kB" in ended.out


def test_frames_that_are_held_beside_pictures_in_between_are_named(place):
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, "sampling.every=2", "mode=plan")
    assert "sampling.every=2 shows each rendered frame 2 times" in ended.out
    ended = place.render("+timeline=t", "sampling.every=2", "mode=plan")
    assert "sampling.every=2 shows" not in ended.out


def test_a_film_without_any_plans_as_before(place):
    assert place.render("+timeline=t", FRAMES).code == 0
    assert "shown" not in plan(place)
    assert "shown" not in plan(place)["frames"][0]
    assert not (place.folder / "outputs" / "t" / "shown").exists()


def test_a_loop_has_pictures_over_its_joint(place):
    place.timeline("t", [{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}],
                   loop=True, duration=3)  # fmt: skip
    assert place.render("+timeline=t", *ONE_TO_FOUR, FRAMES).code == 0
    frames, pictures = place.pictures("t"), shown(place)
    assert (len(frames), len(pictures)) == (3, 12)
    assert difference(pictures[10], mixed(frames[2], frames[0], 0.5)) <= 1
    assert difference(pictures[10], frames[2]) > 1


def test_nothing_is_mixed_across_a_cut_and_a_held_picture_costs_nothing(place):
    place.timeline("t", [
        {"at": 0, "prompt": "one", "ease": "hold"},
        {"at": 2, "prompt": "two"},
        {"at": 3, "prompt": "three"},
    ])  # fmt: skip
    assert place.render("+timeline=t", *ONE_TO_FOUR, FRAMES).code == 0
    frames, pictures = place.pictures("t"), shown(place)
    assert all(same_pictures([picture], [frames[0]]) for picture in pictures[:8])
    assert same_pictures([pictures[8]], [frames[2]])
    assert made(place) == 3


def test_a_cut_between_two_frames_comes_at_its_time(place):
    place.timeline("t", [
        {"at": 0, "prompt": "one", "ease": "hold"},
        {"at": 1.5, "prompt": "two"},
        {"at": 2, "prompt": "two"},
    ])  # fmt: skip
    ended = place.render("+timeline=t", *ONE_TO_FOUR, FRAMES)
    assert ended.code == 0
    assert "fall between rendered frames at 1 fps" in ended.err
    assert "output.rendered_fps=4/3" not in ended.err.partition("t:")[0]
    frames, pictures = place.pictures("t"), shown(place)
    assert all(same_pictures([picture], [frames[0]]) for picture in pictures[:6])
    assert all(same_pictures([picture], [frames[2]]) for picture in pictures[6:])
    assert place.run_json("t")["shown"]["between"] == 0


def test_a_keyframe_that_comes_at_once_behind_another_is_a_cut(place):
    place.timeline("t", [
        {"at": 0, "prompt": "one"},
        {"at": 1, "prompt": "one"},
        {"at": 1.25, "prompt": "two"},
        {"at": 2, "prompt": "two"},
    ])  # fmt: skip
    assert place.render("+timeline=t", *ONE_TO_FOUR, FRAMES).code == 0
    assert place.run_json("t")["shown"]["between"] == 0


def test_an_open_film_keeps_its_length_and_says_how(place):
    place.timeline("t", [{"at": 0, "prompt": "one"}, {"at": 2, "prompt": "two"}], end="open")
    ended = place.render("+timeline=t", *ONE_TO_FOUR, FRAMES)
    assert ended.code == 0
    assert "the last frame is shown 4 times" in ended.err
    frames, pictures = place.pictures("t"), shown(place)
    assert (len(frames), len(pictures)) == (2, 8)
    assert all(same_pictures([picture], [frames[1]]) for picture in pictures[4:])


def test_the_sound_is_held_against_the_pictures_that_are_shown(place):
    import wave

    with wave.open(str(place.folder / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * 8000 * 13 // 12))
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, "output.audio=sound.wav", "mode=plan")
    assert "the sound" not in ended.out
    ended = place.render("+timeline=t", "output.audio=sound.wav", "mode=plan")
    assert "its last 0.17 s are silent" in ended.out


def test_times_in_frames_are_those_of_the_film(place):
    place.timeline("t", [{"at": 0, "prompt": "one"}, {"at": "12f", "prompt": "two"}])
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    assert (len(place.pictures("t")), len(shown(place))) == (5, 13)


# --- flow -----------------------------------------------------------------------------------------


def textured(seed, side, cell):
    """A soft random picture."""
    cells = np.random.default_rng(seed).integers(0, 255, (side // cell, side // cell, 3), np.uint8)
    return Image.fromarray(cells).resize((side, side), Image.Resampling.BICUBIC)


def moved(part, side=128, way=10):
    """A textured disc on a textured ground, after that part of its way; drawn four times larger."""
    ground = np.asarray(textured(1, side, 8).resize((4 * side, 4 * side))).copy()
    disc = np.asarray(textured(2, side, 6).resize((4 * side, 4 * side)))
    gone = round(4 * way * part)
    rows, columns = np.mgrid[: 4 * side, : 4 * side]
    inside = (columns - 1.4 * side - gone) ** 2 + (rows - 2 * side) ** 2 < (0.8 * side) ** 2
    ground[inside] = np.roll(disc, gone, 1)[inside]
    return np.asarray(Image.fromarray(ground).resize((side, side), Image.Resampling.BOX))


def test_flow_beats_a_dissolve_where_something_moves():
    pytest.importorskip("cv2")
    from render.video.flow import opened
    from render.video.inbetweens import dissolved

    between = opened("cpu")
    for way in (4, 10, -7):
        ends = moved(0, way=way), moved(1, way=way)
        for part in (0.25, 0.5):
            (flowing,), (mixed_only,) = between(*ends, [part]), dissolved(*ends, [part])
            true = moved(part, way=way)
            assert decibels(flowing, true) > decibels(mixed_only, true) + 4


def test_flow_is_a_dissolve_where_nothing_can_be_followed():
    pytest.importorskip("cv2")
    from render.video.flow import opened
    from render.video.inbetweens import dissolved

    between = opened("cpu")
    before, after = (np.asarray(textured(seed, 128, 8)) for seed in (5, 6))
    (flowing,), (mixed_only,) = between(before, after, [0.5]), dissolved(before, after, [0.5])
    assert decibels(flowing, mixed_only) > 32
    small = before[:12, :12].copy(), after[:12, :12].copy()
    assert same_pictures(between(*small, [0.3]), dissolved(*small, [0.3]))
    assert difference(between(before, before, [0.4])[0], before) <= 1


def test_flow_bends_nothing_that_changes_where_it_stands():
    """Shapes that rise out of the ground, as in a morph: they do not move."""
    pytest.importorskip("cv2")
    from render.video.flow import opened
    from render.video.inbetweens import dissolved

    ground, shape = (np.asarray(textured(seed, 128, 8)) for seed in (5, 6))
    soft = np.asarray(textured(7, 128, 16)) / 255
    ends = [mixed(ground, shape, part * soft).astype(np.uint8) for part in (0.2, 0.6)]
    true = mixed(ground, shape, 0.4 * soft)
    (flowing,), (mixed_only,) = opened("cpu")(*ends, [0.5]), dissolved(*ends, [0.5])
    assert decibels(flowing, true) > decibels(mixed_only, true) - 1.5
    assert decibels(flowing, true) > 50


def test_a_film_with_flow(place):
    pytest.importorskip("cv2")
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, "output.inbetween=flow", FRAMES).code == 0
    assert same_pictures(shown(place)[::3], place.pictures("t"))
    assert plan(place)["shown"]["inbetween"] == "flow"
    before = shown(place)
    finished(place)[3].unlink()
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, "output.inbetween=flow", FRAMES).code == 0
    assert made(place) == 1
    assert same_pictures(shown(place), before)


def film_file(path, **changes):
    """A small FILM as safetensors, or what is made of its weights."""
    import torch

    from render.engines.film import FilmNetwork
    from render.engines.film_shape import FilmShape

    torch.manual_seed(0)
    network = FilmNetwork(FilmShape(4, 2, (4, 6), (1, 2), 1, **changes))
    save_file(network.state_dict(), path)


@pytest.mark.parametrize("placed", [True, False])
def test_a_film_with_a_network_of_a_file(place, placed):
    film_file(place.folder / "net.safetensors", placed=placed)
    wanted = (*FOUR_TO_TWELVE, "output.inbetween=net.safetensors", FRAMES)
    ended = place.render("+timeline=t", *wanted)
    assert ended.code == 0, ended.err
    assert same_pictures(shown(place)[::3], place.pictures("t"))
    assert plan(place)["shown"]["inbetween"] == "net"
    before = shown(place)
    finished(place)[3].unlink()
    assert place.render("+timeline=t", *wanted).code == 0
    assert made(place) == 1
    assert same_pictures(shown(place), before)
    film_file(place.folder / "net.safetensors", placed=not placed)
    assert place.render("+timeline=t", *wanted).code == 0
    assert made(place) == 8  # another network, other pictures
    assert not same_pictures(shown(place), before)


def test_a_network_that_changes_behind_the_plan_ends_the_video_step(place, monkeypatch):
    film_file(place.folder / "net.safetensors")
    monkeypatch.setattr("render.run.finishing.file_hash", lambda file, hashes: "another")
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, "output.inbetween=net.safetensors", FRAMES)
    assert ended.code == 4
    assert "net.safetensors was changed after the film was planned" in ended.err
    assert place.counts("t") == (0, 5)


def test_other_weights_are_no_network_for_pictures_in_between(place):
    save_compact(place.folder / "net.safetensors")
    wanted = ("output.rendered_fps=2", "output.inbetween=net.safetensors", "mode=plan")
    ended = place.render("+timeline=t", *wanted)
    assert ended.code == 2
    assert "net.safetensors has no weights of FILM" in ended.err


def test_a_script_is_run_when_it_is_asked_for_by_its_hash(place):
    """A program in a file: one that gives the first of the two pictures, darker."""
    import hashlib

    import torch

    class Darker(torch.nn.Module):
        def forward(
            self, before: torch.Tensor, after: torch.Tensor, share: torch.Tensor
        ) -> torch.Tensor:
            return before * 0.5

    file = place.folder / "net.pt"
    with warnings.catch_warnings(action="ignore"):  # old, and what people have
        torch.jit.script(Darker()).save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    wanted = f"output.inbetween={{file: net.pt, sha256: {sha256}}}"
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, wanted, FRAMES)
    assert ended.code == 0, ended.err
    before, between = shown(place)[3], shown(place)[4]
    assert difference(between, before * 0.25) <= 1  # a third: twice behind a half, then asked
    other = wanted.replace(sha256, sha256[::-1])
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, other, "mode=plan")
    assert ended.code == 2
    assert f"net.pt has the sha256 {sha256}, and not the one given" in ended.err


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return before[..., :-1]", "gives no picture of the two pictures' size"),
        ("return (before, after)", "gives no picture of the two pictures' size"),
        ("assert before.shape[0] == 2\n        return before", "can't make pictures"),
    ],
)
def test_a_script_that_makes_no_pictures_is_named(place, tmp_path, monkeypatch, body, said):
    import hashlib
    import importlib

    import torch

    given = "before, after, share"
    (tmp_path / "odd_script.py").write_text(
        "import torch\n\n\nclass Odd(torch.nn.Module):\n"
        f"    def forward(self, {given}):\n        {body}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    odd = importlib.reload(importlib.import_module("odd_script"))
    file = place.folder / "net.pt"
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(odd.Odd()).save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    wanted = f"output.inbetween={{file: net.pt, sha256: {sha256}}}"
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, wanted, FRAMES)
    assert ended.code == 4
    assert f"net.pt {said}" in ended.err


def test_weights_of_numbers_that_are_none_are_named(place):
    import torch
    from safetensors.torch import load_file

    film_file(place.folder / "net.safetensors")
    weights = {n: w.to(torch.int64) for n, w in load_file(place.folder / "net.safetensors").items()}
    save_file(weights, place.folder / "net.safetensors")
    wanted = ("output.rendered_fps=2", "output.inbetween=net.safetensors", "mode=plan")
    ended = place.render("+timeline=t", *wanted)
    assert ended.code == 2
    assert "holds weights of I64" in ended.err


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no program"])
def test_a_script_that_is_none_ends_the_video_step(place, content):
    import hashlib

    (place.folder / "net.pt").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    wanted = f"output.inbetween={{file: net.pt, sha256: {sha256}}}"
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, wanted, FRAMES)
    assert ended.code == 4
    assert "net.pt: can't be loaded" in ended.err
    assert place.counts("t") == (0, 5)


# --- larger ---------------------------------------------------------------------------------------


def save_compact(path, factor=2, features=8, convolutions=2, seed=0):
    """A file of random weights with Real-ESRGAN's names, and the same network in plain torch."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, features, 3, 1, 1), nn.PReLU(features)]
    for _ in range(convolutions):
        layers += [nn.Conv2d(features, features, 3, 1, 1), nn.PReLU(features)]
    layers.append(nn.Conv2d(features, 3 * factor**2, 3, 1, 1))
    body = nn.Sequential(*layers)
    save_file({f"body.{name}": value for name, value in body.state_dict().items()}, path)

    def network(picture):
        base = nn.functional.interpolate(picture, scale_factor=factor, mode="nearest")
        return nn.functional.pixel_shuffle(body(picture), factor) + base

    return network


def through(network, pixels, times=1):
    """A picture through a network in plain torch."""
    import torch

    picture = torch.from_numpy(pixels.astype("f4") / 255).permute(2, 0, 1)[None]
    with torch.no_grad():
        for _ in range(times):
            picture = network(picture).clamp(0, 1)
    return picture[0].permute(1, 2, 0).mul(255).round().byte().numpy()


def test_a_persons_compact_file_equals_the_plain_network(place):
    network = save_compact(place.folder / "mine.safetensors")
    ended = place.render("+timeline=t", "output.upscale=mine.safetensors")
    assert ended.code == 0, ended.err
    assert "shown  5 pictures at 4 a second, made 128×128 by mine, 5 made" in ended.out
    for frame, picture in zip(place.pictures("t"), shown(place), strict=True):
        assert picture.shape == (128, 128, 3)
        assert difference(picture, through(network, frame)) <= 1
    assert place.run_json("t")["videos"]["t.mp4"]["size"] == [128, 128]


def test_the_models_own_upscaler_is_its_default_and_is_used_twice_for_four(place):
    network = save_compact(place.folder / "own.safetensors")
    own = "model.upscaler=own.safetensors"
    assert place.render("+timeline=t", own, FRAMES).code == 0
    frame = place.pictures("t")[0]
    assert difference(shown(place)[0], through(network, frame)) <= 1
    digests = plan(place)["frames"][0]["shown"]
    assert place.render("+timeline=t", own, "output.upscale=2", FRAMES).code == 0
    assert (plan(place)["frames"][0]["shown"], made(place)) == (digests, 0)
    assert place.render("+timeline=t", own, "output.upscale=4", FRAMES).code == 0
    assert difference(shown(place)[0], through(network, frame, 2)) <= 1
    assert place.render("+timeline=t", own, "output.upscale=none", FRAMES).code == 0
    assert not (place.folder / "outputs" / "t" / "shown").exists()


def test_other_weights_make_other_pictures(place):
    save_compact(place.folder / "mine.safetensors")
    command = ("+timeline=t", "output.upscale=mine.safetensors", FRAMES)
    assert place.render(*command).code == 0
    network = save_compact(place.folder / "mine.safetensors", seed=1)
    assert place.render(*command).code == 0
    assert made(place) == 5
    assert difference(shown(place)[0], through(network, place.pictures("t")[0])) <= 1


def test_a_model_without_one_is_enlarged_by_lanczos(place):
    assert place.render("+timeline=t", "output.upscale=2", FRAMES).code == 0
    frame = Image.fromarray(place.pictures("t")[0])
    wanted = np.asarray(frame.resize((128, 128), Image.Resampling.LANCZOS))
    assert same_pictures([shown(place)[0]], [wanted])


def test_pictures_in_between_are_made_larger_too(place):
    network = save_compact(place.folder / "mine.safetensors")
    larger = "output.upscale=mine.safetensors"
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, larger, FRAMES).code == 0
    pictures = shown(place)
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES, "name=small").code == 0
    for picture, small in zip(pictures, shown(place, "small"), strict=True):
        assert difference(picture, through(network, small)) <= 1


def test_tiles_show_no_seams(tmp_path, monkeypatch):
    from render.config.output_group import OutputConfig
    from render.engines import enlarging
    from render.engines.upscalers import upscaler_for

    save_compact(tmp_path / "mine.safetensors", factor=4, convolutions=4)
    output = OutputConfig(upscale=str(tmp_path / "mine.safetensors"))
    upscaler = upscaler_for(output, None, {}, {})
    picture = np.asarray(textured(3, 96, 4))[:, :80].copy()
    whole = enlarging.opened(upscaler, "cpu")(picture)
    for side in (16, 37):
        monkeypatch.setattr(enlarging, "TILE", side)
        assert difference(enlarging.opened(upscaler, "cpu")(picture), whole) <= 1
    monkeypatch.setattr("render.engines.enlarging.spans", lambda length, margin: spans(length))
    assert difference(enlarging.opened(upscaler, "cpu")(picture), whole) > 1  # seams do show


def spans(length):
    """Tiles that see nothing beyond themselves."""
    for first in range(0, length, 16):
        yield ((first, min(first + 16, length)),) * 2


def spandrel_that_repeats(factor, seen):
    """A module like spandrel, that knows one architecture: pixels are repeated."""

    class ImageModelDescriptor:
        input_channels = output_channels = 3
        scale, tiling, model = factor, None, types.SimpleNamespace(requires_grad_=lambda _: None)

        def eval(self):
            return self

        float = eval  # noqa: A003

        def __call__(self, picture):
            return picture.repeat_interleave(factor, -1).repeat_interleave(factor, -2)

    class ModelLoader:
        def __init__(self, device):
            pass

        def load_from_file(self, path):
            seen.append(path.name)
            return ImageModelDescriptor()

    module = types.ModuleType("spandrel")
    module.ImageModelDescriptor, module.ModelLoader = ImageModelDescriptor, ModelLoader
    return module


@pytest.fixture
def other_file(place):
    """A file of weights that is not Compact's."""
    import torch

    save_file({"layers.0.weight": torch.zeros(2)}, place.folder / "dat.safetensors")
    return "output.upscale=dat.safetensors"


def test_other_files_are_read_by_spandrel_and_its_factor_is_remembered(
    place, other_file, monkeypatch
):
    seen = []
    monkeypatch.setitem(sys.modules, "spandrel", spandrel_that_repeats(3, seen))
    monkeypatch.setattr("render.engines.upscalers.find_spec", lambda name: True)
    assert place.render("+timeline=t", other_file, "mode=plan").code == 0
    assert place.render("+timeline=t", other_file, FRAMES).code == 0
    assert len(seen) == 2  # by the first plan, and to work with
    wanted = place.pictures("t")[0].repeat(3, 0).repeat(3, 1)
    assert same_pictures([shown(place)[0]], [wanted])


def test_without_spandrel_the_plan_says_what_to_install(place, other_file, monkeypatch):
    monkeypatch.setattr("render.engines.upscalers.find_spec", lambda name: None)
    ended = place.render("+timeline=t", other_file, "mode=plan")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "pip install spandrel torchvision" in line
    assert line.startswith("render: output.upscale: dat.safetensors")


def test_what_spandrel_does_not_know_is_a_mistake(place, other_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", spandrel_that_repeats(1, []))
    monkeypatch.setattr("render.engines.upscalers.find_spec", lambda name: True)
    ended = place.render("+timeline=t", other_file, "mode=plan")
    assert ended.code == 2
    assert "is no upscaler that spandrel can read: it makes pictures 1 times as large" in ended.err


# --- the store ------------------------------------------------------------------------------------


def test_a_run_that_is_killed_goes_on_there(place, monkeypatch):
    from render.store import finished as of_store

    commit, count = of_store.commit, iter(range(100))

    def killed_at_the_fourth(*arguments):
        if next(count) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(*arguments)

    monkeypatch.setattr(of_store, "commit", killed_at_the_fourth)
    run = place.start("+timeline=t", *FOUR_TO_TWELVE, FRAMES)
    assert run.wait() == -signal.SIGKILL
    monkeypatch.undo()
    there = sum(path.exists() for path in finished(place))
    assert there == 3
    times = {path: path.stat().st_mtime_ns for path in finished(place) if path.exists()}
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    assert made(place) == 5
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def cut_short(path):
    os.truncate(path, path.stat().st_size // 2)


def another_content(path):
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)


def another_picture(path):
    other = next(each for each in path.parent.parent.glob("??/*.png") if each != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [cut_short, another_content, another_picture, os.unlink])
def test_a_damaged_picture_is_made_again(place, damage):
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    before, path = shown(place), finished(place)[4]
    damage(path)
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    assert made(place) == 1
    assert same_pictures(shown(place), before)


def test_a_picture_that_cant_be_decoded_fails_the_video_once(place):
    from pictures import chunk

    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    path = finished(place)[2]
    content = path.read_bytes()
    start = content.index(b"IDAT") - 4
    path.write_bytes(content[:start] + chunk(b"IDAT", b"none") + chunk(b"IEND", b""))
    assert place.render("+timeline=t", *FOUR_TO_TWELVE).code == 4
    assert place.render("+timeline=t", *FOUR_TO_TWELVE).code == 0
    assert made(place) == 1


def test_a_frame_that_cant_be_decoded_is_rendered_again(place):
    from pictures import chunk

    assert place.render("+timeline=t", FRAMES).code == 0
    path = stored(place, plan(place)["frames"][2]["digest"])
    shared = place.folder / "outputs/t/frames/frame_000002.png"
    content = path.read_bytes()
    start = content.index(b"IDAT") - 4
    for each in (path, shared):
        each.unlink()
        each.write_bytes(content[:start] + chunk(b"IDAT", b"none") + chunk(b"IEND", b""))
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES)
    assert ended.code == 0, ended.err
    assert place.counts("t") == (4, 1)
    assert len(shown(place)) == 13


def test_what_the_film_shows_can_be_measured(dissolve):
    ended = dissolve.call("mode=measure", "input=outputs/t/shown")
    assert ended.code == 0, ended.err
    assert "13 frames" in ended.out


def test_a_film_in_a_process_that_makes_errors_of_warnings(place, monkeypatch):
    import warnings

    from render.engines import enlarging

    opened = enlarging.opened

    def warns(*arguments):
        warnings.warn("a library's", DeprecationWarning, stacklevel=1)
        enlarge = opened(*arguments)

        def warns_again(picture):
            warnings.warn("a library's", DeprecationWarning, stacklevel=1)
            return enlarge(picture)

        return warns_again

    monkeypatch.setattr("render.run.spared_warnings.IS_ERROR", "error")
    monkeypatch.setattr(enlarging, "opened", warns)
    assert place.render("+timeline=t", "output.upscale=2", FRAMES).code == 0


def test_a_finished_picture_is_never_taken_for_a_frame(place):
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    digest = plan(place)["frames"][1]["digest"]
    content = finished(place)[0].read_bytes()
    for path in (stored(place, digest), place.folder / "outputs/t/frames/frame_000001.png"):
        path.unlink()
    stored(place, digest).write_bytes(content)
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    assert place.counts("t") == (4, 1)


def test_a_prune_keeps_what_a_plan_needs_and_drops_the_rest(place):
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    kept = finished(place)
    assert place.render("+timeline=t", "mode=prune", "prune=yes").code == 0
    assert all(path.exists() for path in kept)
    assert place.render("+timeline=t", "name=other", *FOUR_TO_TWELVE, "mode=plan").code == 0
    assert place.render("+timeline=t", FRAMES).code == 0  # shows its frames alone
    assert place.render("+timeline=t", "mode=prune", "prune=yes").code == 0
    assert all(path.exists() for path in kept)  # the other plan's
    (place.folder / "outputs/other/plan.json").unlink()
    ended = place.render("+timeline=t", "mode=prune", "prune=yes")
    assert "8 frames" in ended.out
    assert "made of frames (dissolve 1)" in ended.out
    assert not any(path.exists() for path in kept)
    assert place.render("+timeline=t", FRAMES).code == 0
    assert place.counts("t") == (5, 0)


def test_other_rates_and_sizes_leave_nothing_behind_in_the_folder(place):
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES).code == 0
    twice = ("output.rendered_fps=4", "output.fps=8", "output.inbetween=dissolve")
    assert place.render("+timeline=t", *twice, FRAMES).code == 0
    assert len(shown(place)) == 9
    mine = place.folder / "outputs/t/shown/frame_000100.png"
    mine.write_bytes(b"mine")
    assert place.render("+timeline=t", FRAMES).code == 0
    assert [path.name for path in mine.parent.iterdir()] == [mine.name]


def test_shards_share_the_finish(place):
    first = place.render("+timeline=t", *FOUR_TO_TWELVE, "shard=0/2")
    assert first.code == 0
    assert "shown" not in place.run_json("t")
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, "shard=1/2").code == 0
    assert made(place) == 8
    assert place.render("+timeline=t", *FOUR_TO_TWELVE, "shard=0/2").code == 0
    assert made(place) == 0


def test_a_program_encodes_a_finished_film(place, tmp_path):
    save_compact(place.folder / "mine.safetensors")
    larger = f"output.upscale={place.folder / 'mine.safetensors'}"
    assert place.render("+timeline=t", "output=frames").code == 0
    film = render.load(
        str(place.folder / "configs/timeline/t.yaml"),
        *place.arguments(*FOUR_TO_TWELVE, larger, f"root={place.folder / 'outputs'}", "name=t"),
    )
    video = film.encode(tmp_path / "mine.webp")
    with Image.open(video) as picture:
        assert picture.size == (128, 128)
    assert not (place.folder / "outputs/t/shown").exists()
    assert film.plan().facts.finish.missing == 0
    assert "13 pictures" in film.plan().summary


# --- mistakes -------------------------------------------------------------------------------------

MISTAKES = [
    (["output.rendered_fps=8"], "output.rendered_fps", "8 frames a second are more than the 4"),
    (["output.rendered_fps=3", "output.inbetween=dissolve"], "output.fps", "use 3 or 6"),
    (["output.rendered_fps=2"], "output.inbetween", "give dissolve or flow"),
    (["output.rendered_fps=0.02", "output.fps=1000", "output.inbetween=dissolve"],
     "output.rendered_fps", "50000 pictures for each rendered frame are more than 10,000"),
    (["output.inbetween=dissolve"], "output.inbetween", "give output.rendered_fps=2"),
    (["output.inbetween=film", "output.rendered_fps=2"], "output.inbetween", "not there yet"),
    (["output.inbetween=net.pt", "output.rendered_fps=2"], "output.inbetween",
     "net.pt can run code; give a .safetensors"),
    (["output.inbetween=net.safetensors", "output.rendered_fps=2"], "output.inbetween",
     "net.safetensors is not there"),
    (["output.inbetween={file: net.pt}", "output.rendered_fps=2"], "output.inbetween",
     "with these two keys, not file"),
    (["output.inbetween={file: net.pt, sha256: 12}", "output.rendered_fps=2"],
     "output.inbetween", "sha256 has 64 digits from 0 to f, and 12 has not"),
    (["output.inbetween={file: net.pt, sha256: " + 64 * "a" + "}", "output.rendered_fps=2"],
     "output.inbetween", "net.pt can't be read: No such file"),
    (["output.inbetween=7", "output.rendered_fps=2"], "output.inbetween", "7 is not known"),
    (["output.inbetween=flows", "output.rendered_fps=2"], "output.inbetween", "mean 'flow'"),
    (["output.rendered_fps=0"], "output.rendered_fps", "give 0.01 to 1000"),
    (["output.upscale=3"], "output.upscale", "3 is no factor; give 2, 4, none, or a file"),
    (["output.upscale=true"], "output.upscale", "belongs here, not True"),
    (["output.upscale=mine.pth"], "output.upscale", "is a pickle, which can run code"),
    (["output.upscale=mine.safetensors"], "output.upscale", "mine.safetensors is not there"),
    (["model.upscaler=mine.ckpt"], "model.upscaler", "is a pickle, which can run code"),
    (["output.width=4096", "output.height=4096", "output.upscale=4"], "output.upscale",
     "16384×16384 pixels, more than a picture may have"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "said"), MISTAKES)
def test_mistakes_are_found_in_the_plan(place, changes, key, said):
    before = place.tree()
    ended = place.render("+timeline=t", *changes, "mode=plan")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith(f"render: {key}: ")
    assert said in line
    assert place.tree() == before


@pytest.mark.parametrize("suffix", ["pth", "pt", "ckpt"])
def test_a_pickle_is_refused_even_if_it_is_there(place, suffix):
    (place.folder / f"mine.{suffix}").write_bytes(b"\x80\x02.")
    ended = place.render("+timeline=t", f"output.upscale=mine.{suffix}", "mode=plan")
    assert ended.code == 2
    assert "get or make a .safetensors of it" in ended.err


def test_a_broken_file_is_a_mistake(place):
    (place.folder / "mine.safetensors").write_bytes(b"none")
    ended = place.render("+timeline=t", "output.upscale=mine.safetensors", "mode=plan")
    assert ended.code == 2
    assert "is no whole safetensors file" in ended.err


def test_an_upscaler_of_no_finite_pictures_ends_the_video_step(place):
    import torch
    from safetensors.torch import load_file

    path = place.folder / "mine.safetensors"
    save_compact(path)
    weights = load_file(path)
    weights["body.0.bias"] = torch.full_like(weights["body.0.bias"], torch.nan)
    save_file(weights, path)
    ended = place.render("+timeline=t", "output.upscale=mine.safetensors", FRAMES)
    assert ended.code == 4
    assert "mine.safetensors gives pictures that are not finite" in ended.err
    assert place.counts("t") == (0, 5)


def test_an_upscaler_that_never_gives_the_factor_is_a_mistake(place):
    save_compact(place.folder / "own.safetensors", factor=3)
    ended = place.render("+timeline=t", "model.upscaler=own.safetensors", "output.upscale=4")
    assert ended.code == 2
    assert "makes pictures 3 times as large, never 4" in ended.err


def test_flow_without_its_package_says_what_to_install(place, monkeypatch):
    monkeypatch.setattr("render.run.finish_facts.find_spec", lambda name: None)
    wanted = ("output.rendered_fps=2", "output.inbetween=flow", "mode=plan")
    ended = place.render("+timeline=t", *wanted)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line == (
        "render: output.inbetween: flow needs opencv-python-headless, which is not here: "
        "pip install opencv-python-headless; dissolve needs nothing"
    )


@pytest.mark.parametrize(
    "wrong", ["before[:8]", "before.astype(float)", "before.clip(0)] + [before"]
)
def test_another_packages_way_that_makes_no_such_pictures_is_named(place, monkeypatch, wrong):
    from render.video import inbetweens

    way = eval(f"lambda before, after, places: [{wrong} for _ in places]")
    monkeypatch.setitem(
        inbetweens.INBETWEENS.made, "dissolve", inbetweens.Inbetween(lambda device: way)
    )
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, FRAMES)
    assert ended.code == 4
    assert "output.inbetween=dissolve does not give a picture of the frames' size" in ended.err


def test_many_pictures_between_two_frames(place):
    many = ("output.rendered_fps=1", "output.fps=20", "output.inbetween=dissolve")
    assert place.render("+timeline=t", *many, FRAMES).code == 0
    (first, last), pictures = place.pictures("t"), shown(place)
    assert len(pictures) == 21
    assert all(
        difference(picture, mixed(first, last, index / 20)) <= 1
        for index, picture in enumerate(pictures)
    )


def test_another_packages_way_to_make_them(place, tmp_path, monkeypatch):
    (tmp_path / "shipped_between.py").write_text(
        "from render.video.inbetweens import Inbetween\n"
        "FIRST = Inbetween(lambda device: lambda before, after, places: [before for _ in places])\n"
    )
    dist = tmp_path / "shipped-1.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: shipped\nVersion: 1\n")
    (dist / "entry_points.txt").write_text("[render.inbetweens]\nfirst = shipped_between:FIRST\n")
    monkeypatch.syspath_prepend(tmp_path)
    ended = place.render("+timeline=t", *FOUR_TO_TWELVE, "output.inbetween=first", FRAMES)
    assert ended.code == 0, ended.err
    assert same_pictures(shown(place)[1::3], place.pictures("t")[:-1])
