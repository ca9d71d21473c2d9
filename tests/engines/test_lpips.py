"""LPIPS: by the paper's formula, and in measurements of films and folders."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional

from render.engines.lpips import SCALE, SHIFT, Lpips
from render.errors import ConfigError
from render.measurement.perceived import Watched
from render.models.lpips_weights import LAYERS, mistakes_in_lpips, wanted
from render.run import measuring


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in wanted():
        values = torch.randn(shape, generator=generator)
        made[name] = (
            values.abs() if name.startswith("lin") else values / max(1, shape[-1]) ** 2 / 10
        )
    save_file(made, file)
    return file


def by_the_formula(file, one, other):
    """Zhang et al. 2018, equation 1, of pictures of 64 pixels."""
    weights, total = load_file(file), 0.0
    planes = []
    for picture in (one, other):
        x = torch.tensor(picture).permute(2, 0, 1)[None] / 255 * 2 - 1
        planes.append(
            (x - torch.tensor(SHIFT).view(1, 3, 1, 1)) / torch.tensor(SCALE).view(1, 3, 1, 1)
        )
    for number, (place, pooled, stride, padding) in enumerate(
        [(0, False, 4, 2), (3, True, 1, 2), (6, True, 1, 1), (8, False, 1, 1), (10, False, 1, 1)]
    ):
        kernel, bias = (weights[f"features.{place}.{part}"] for part in ("weight", "bias"))
        if pooled:
            planes = [functional.max_pool2d(x, 3, 2) for x in planes]
        planes = [torch.relu(functional.conv2d(x, kernel, bias, stride, padding)) for x in planes]
        first, last = (functional.normalize(x, dim=1) for x in planes)
        squares = (first - last) ** 2 * weights[f"lin{number}.model.1.weight"]
        total += float(squares.sum(1).mean())
    return total


def pictures(count=3, side=64):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def test_the_squared_distance_of_features_is_lpips(weights):
    measure = Lpips(weights)
    one, other, _ = pictures()
    first, last = (measure.features(each).astype(float) for each in (one, other))
    assert ((first - last) ** 2).sum() == pytest.approx(
        by_the_formula(weights, one, other), rel=2e-3
    )
    assert ((first - first) ** 2).sum() == 0


@pytest.mark.parametrize("size", [(1, 1), (64, 200), (300, 90), (1, 8000)])
def test_pictures_of_any_size_have_features(weights, size):
    measure = Lpips(weights)
    picture = np.full((*size, 3), 90, np.uint8)
    assert np.isfinite(measure.features(picture)).all()
    assert measure.features(picture).shape == measure.features(pictures()[0]).shape


def test_figures_are_of_the_roots():
    watched = Watched([2])
    for value in (0.0, 1.0, 3.0, 3.5, 4.0):
        watched.add(np.array([value]))
    found = watched.figures()
    assert found.steps == (1, 4, 0.25, 0.25)
    assert found.path == pytest.approx(1)
    back = Watched()
    for value in (0.0, 2.0, 1.0):
        back.add(np.array([value]))
    assert back.figures().path == pytest.approx(3)
    assert back.figures().largest_over_median == pytest.approx(2 / 1.5)


def test_a_folder_is_measured_by_it_as_well(place, weights):
    folder = place.folder / "shot"
    folder.mkdir()
    shots = pictures(4)
    for number, picture in enumerate(shots):
        Image.fromarray(picture).save(folder / f"{number}.png")
    ended = place.call("mode=measure", "input=shot", f"measure.lpips={weights}", "report=plain")
    assert ended.code == 0, ended.err
    found = json.loads((place.folder / "shot.measure.json").read_text())["lpips"]
    expected = [by_the_formula(weights, *shots[k : k + 2]) for k in range(3)]
    assert found["steps"] == pytest.approx(expected, rel=5e-3)
    assert "mean step" in ended.out
    assert "lpips" in ended.out


def test_a_film_is_measured_by_it_as_well(place, weights):
    assert place.render("+timeline=t", "output=frames").code == 0
    ended = place.render("+timeline=t", "mode=measure", f"measure.lpips={weights}")
    assert ended.code == 0, ended.err
    found = json.loads((place.folder / "outputs/t/measure.json").read_text())["lpips"]
    assert len(found["steps"]) == 4
    assert found["path"] >= 0.99


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("mode=measure", "input=x", "measure.lpips=none.safetensors"), "is not there"),
        (("mode=measure", "input=x", "measure.lpips=mine.pth"), "is a pickle"),
        (("+timeline=t", "mode=measure", "measure.lpips=none.safetensors"), "is not there"),
        (("+timeline=t", "measure.lpips=none.safetensors"), "goes with mode=measure"),
    ],
)
def test_mistakes(place, given, said):
    ended = place.render(*given) if "+timeline=t" in given else place.call(*given)
    assert ended.code == 2
    assert "measure.lpips" in ended.err
    assert said in ended.err


def test_other_weights_are_named(tmp_path, weights):
    made = load_file(weights)
    del made[f"features.{LAYERS[1].place}.bias"]
    save_file(made, tmp_path / "other.safetensors")
    (mistake,) = mistakes_in_lpips(tmp_path / "other.safetensors")
    assert "features.3.bias is missing" in str(mistake)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_weights_that_can_not_measure_are_refused(place, tmp_path, weights, wrong):
    made = load_file(weights)
    made["lin2.model.1.weight"][0, 3] = wrong
    save_file(made, place.folder / "odd.safetensors")
    (place.folder / "shot").mkdir()
    for number, picture in enumerate(pictures(3)):
        Image.fromarray(picture).save(place.folder / "shot" / f"{number}.png")
    ended = place.call("mode=measure", "input=shot", "measure.lpips=odd.safetensors")
    assert ended.code == 2
    assert "lin2.model.1.weight is not finite, or negative" in ended.err


def test_features_that_are_not_finite_are_refused(place, weights):
    made = {
        name: each * (1e30 if "weight" in name else 1) for name, each in load_file(weights).items()
    }
    save_file(made, place.folder / "odd.safetensors")
    with pytest.raises(ConfigError, match="features that are not finite"):
        Lpips(place.folder / "odd.safetensors").features(pictures()[0])


def test_weights_of_other_types_are_named(tmp_path, weights):
    made = {name: each.to(torch.int64) for name, each in load_file(weights).items()}
    save_file(made, tmp_path / "other.safetensors")
    (mistake,) = mistakes_in_lpips(tmp_path / "other.safetensors")
    assert "holds I64, not F16, BF16, F32, F64" in str(mistake)


def test_so_many_frames_are_the_most(weights, monkeypatch):
    monkeypatch.setattr(measuring, "MOST_SEEN", 2)
    read = measuring.reader_with(weights)
    one, other, another = pictures()
    assert [read(each).seen is not None for each in (one, other)] == [True, True]
    with pytest.raises(ConfigError, match="measure it in parts"):
        read(another)
