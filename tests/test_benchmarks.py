"""The benchmarks measure what they say, on pictures whose figures are known."""

import itertools
import os
import subprocess
import sys
import time

import attention
import gpu
import likeness
import numpy as np
import pytest
import quality
import smooth
import speed
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from growth import Point, line
from product import composed, declared
from tiny_models import SIDE as TINY

from render.errors import ConfigError
from training.storybook.examples import is_possible
from training.storybook.scene import Description

SIDE = 64


def texture(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def grey(value):
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def dissolve(frames):
    """From one texture to another."""
    weights = np.linspace(0, 1, frames)[:, None, None, None]
    return list(((1 - weights) * texture(1) + weights * texture(2)).round().astype(np.uint8))


def scroll(frames, pixels=1):
    """A texture that moves and stays as sharp as it is."""
    return [np.roll(texture(1), frame * pixels, axis=1) for frame in range(frames)]


def brightening(levels):
    """Greys whose light, and not whose value, is as given."""
    return [grey(round(255 * level ** (1 / 2.2))) for level in levels]


def test_psnr_is_that_of_the_mean_error_over_all_pictures():
    shown, truth = [grey(100), grey(100)], [grey(100), grey(106)]
    assert likeness.psnr(shown, truth) == pytest.approx(10 * np.log10(255**2 / 18))
    assert likeness.worst_psnr(shown, truth) == pytest.approx(20 * np.log10(255 / 6))
    assert likeness.psnr(truth, truth) == np.inf


def test_a_picture_is_most_similar_to_itself():
    one = texture(1)
    noisy = np.clip(one + np.random.default_rng(0).normal(0, 40, one.shape), 0, 255)
    assert likeness.ssim(one, one) == pytest.approx(1)
    assert 0.2 < likeness.ssim(one, noisy.astype(np.uint8)) < 0.95
    assert likeness.ssim(one, texture(2)) < 0.2


def test_a_dissolve_is_dull_between_its_ends_and_a_movement_is_not():
    assert likeness.dip(dissolve(13)) < likeness.DIP
    assert likeness.dip(scroll(13)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("values", "expected"), [([2, 2, 2, 2], 0), ([0, 0, 0, 1], 0.75), ([0, 0], 0), ([1, 3], 0.25)]
)
def test_gini_is_nothing_for_equal_shares(values, expected):
    assert likeness.gini(np.array(values, float)) == pytest.approx(expected)


def test_equal_steps_are_smooth_and_a_jump_is_found():
    even = brightening(np.linspace(0.2, 0.8, 13))
    jumping = brightening([*np.linspace(0.2, 0.3, 6), *np.linspace(0.7, 0.8, 7)])
    assert likeness.smoothness(even) > 0.97
    assert likeness.largest_step(even) < 1.3
    assert likeness.smoothness(jumping) < 0.5
    assert likeness.largest_step(jumping) > 4


def test_the_nearest_picture_is_found_through_noise():
    known = [texture(seed) for seed in range(5)]
    asked = [np.clip(k + 10.0, 0, 255).astype(np.uint8) for k in known[::-1]]
    assert likeness.nearest(asked, known).tolist() == [4, 3, 2, 1, 0]


def test_the_front_holds_what_nothing_cheaper_equals():
    points = [(0.5, 30.0), (0.2, 20.0), (0.3, 19.0), (0.9, 30.0), (0.5, 25.0)]
    assert quality.front(points) == [(0.2, 20.0), (0.5, 30.0)]


def test_a_line_through_points_on_a_line_explains_them():
    points = [Point(n, 3 * n - 4, 0.5 * n + 2, n, 600.0) for n in (10, 100, 1000)]
    assert line(points, "rows") == pytest.approx((3, -4, 1))
    assert line(points, "seconds") == pytest.approx((0.5, 2, 1))
    assert line(points, "memory") == pytest.approx((0, 600, 1), abs=1e-6)


@pytest.mark.parametrize("setting", quality.SETTINGS)
def test_every_setting_is_one_that_there_is(setting, tmp_path):
    (film,) = quality.prompt_films(1)
    declared(composed(quality.SETTINGS[setting], film, tmp_path, "film"))


@pytest.mark.parametrize("way", speed.OURS)
def test_a_way_of_ours_lacks_at_most_a_library(way, tmp_path):
    (film,) = quality.prompt_films(1)
    try:
        declared(composed(speed.OURS[way], film, tmp_path, "film"))
    except ConfigError as error:
        assert "unknown key" not in str(error)  # noqa: PT017


def test_twenty_pairs_are_varied_and_always_the_same():
    films = list(quality.prompt_films(5))
    pairs = [(a, b) for film in films for a, b in itertools.pairwise(film)]
    assert len(pairs) == 20
    assert all(a["prompt"] != b["prompt"] for a, b in pairs)
    assert sum(a["seed"] != b["seed"] for a, b in pairs) == 4
    assert films == list(quality.prompt_films(5))


def test_a_changed_scene_is_one_that_the_grammar_has():
    rng = np.random.default_rng(0)
    for _ in range(100):
        assert is_possible(quality.changed(Description("town", biome="desert"), rng))


def film_of(pictures, fps):
    return {round(number / fps, 6): picture for number, picture in enumerate(pictures)}


def judged(films):
    """`films` by setting, `exact` among them, as they are judged; each took a second."""
    took = {name: [quality.Record([], "", 10, 1.0)] for name in films}
    return {
        name: quality.judged(name, took, [film], [films["exact"]]) for name, film in films.items()
    }


def test_a_setting_is_judged_by_its_own_frames_enlarged():
    shown = scroll(quality.SEGMENTS * quality.FPS + 1)
    small = [likeness.resized(picture, (SIDE // 2, SIDE // 2)) for picture in shown]
    films = {
        "exact": film_of(shown, 12),
        "fewer": film_of(shown[::3], 4),
        "smaller": film_of(small, 12),
        "dull": film_of([grey(p.mean()) for p in shown], 12),
    }
    rows = judged(films)
    assert (rows["fewer"].psnr, rows["fewer"].fps) == (np.inf, 4)
    assert rows["fewer"].mean_psnr == np.inf
    assert rows["fewer"].smooth == rows["fewer"].exact_smooth
    assert 10 < rows["smaller"].psnr < 40
    assert rows["smaller"].size == (SIDE // 2, SIDE // 2)
    assert rows["smaller"].own_pair == 1
    assert rows["dull"].faults == quality.SEGMENTS
    assert rows["exact"].faults == 0


def test_frames_that_differ_are_averaged_by_themselves():
    assert quality.mean_psnr([0, 255**2 / 100, 0, 255**2 / 10000]) == pytest.approx(30)
    assert quality.mean_psnr([0.0, 0.0]) == np.inf


def test_every_way_is_in_the_table_of_speed(tiny_sd1, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = ["--frames=1", "--steps=2", "--rounds=1", "--reference-frames=1", "--one-process"]
    few += ["--dtypes", "float32"]  # auto is bfloat16 where the CPU gains by it
    ways = ["--ways", "noise blend", "other", "--add", "other", "sampling.blend=embedding"]
    measured = speed.main([str(tiny_sd1), *few, *ways, "scheduler.steps=3"])
    printed = capsys.readouterr().out
    rows = {one.way.name: one.median("rows") for one in measured}
    assert rows == {
        speed.REFERENCE: 6,
        speed.STOCK: 4,
        "noise blend, float32": 6,
        "other, float32": 6,
    }
    assert [line.split(" | ")[0][2:] for line in printed.splitlines()[-4:]] == list(rows)
    (ours,) = [
        line.strip(" |") for line in printed.splitlines() if line.startswith("| noise blend")
    ]
    closeness = ours.rpartition("| ")[2].removesuffix(" dB")
    assert closeness == "equal" or float(closeness) > 60  # that of the reference loop


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("triton_poi_fused_add_convolution_silu_7", "norms and pointwise, fused"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7", "attention"),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc", "convolutions"),
        ("nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_bias_TNT", "matrix products"),
        ("void at::native::elementwise_kernel<direct_copy_kernel_cuda>", "copies between layouts"),
        ("void at::native::vectorized_layer_norm_kernel<c10::BFloat16>", gpu.REST),
    ],
)
def test_a_kernels_kind_is_known_by_its_name(kernel, kind):
    assert gpu.kind_of(kernel) == kind


def test_a_gpus_figures_leave_out_the_first_and_the_last_batch(tiny_sd1, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"WHOLE_BATCHES": 1, "STEPS": 2, "DTYPE": "float32"}.items():
        monkeypatch.setattr(gpu, name, value)
    ours = gpu.ours(tiny_sd1, 2, TINY, "cpu", "torch")
    assert ours.rows == 12  # a frame's: of two calls of 12 rows, filled up, for two frames
    assert 0 < ours.inside < ours.seconds
    line = gpu.row(ours, gpu.Measured("stock", 2 * ours.seconds, 4, 0.1, 1.0), (1.0, 2.0), 1e9)
    assert line.startswith("| noise blend, torch, 2 a call | ")
    assert " | 2.00 | 12.0 | " in line


def test_a_gpu_is_asked_for_both_models_and_its_lack_is_named(monkeypatch, capsys):
    assert gpu.arguments([]).models == ["sd15", "sdxl"]
    with pytest.raises(SystemExit):
        gpu.arguments(["sd99"])
    assert "no model is called sd99" in capsys.readouterr().err
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"^no CUDA device here; "):
        gpu.main([])


def test_what_does_not_fit_into_a_gpu_is_named_and_left_out(capsys):
    def too_large(stock, batch):
        raise gpu.torch.OutOfMemoryError

    assert list(gpu.if_it_fits(too_large, None, 32)) == []
    assert capsys.readouterr().out == "left out: too_large (32): out of memory\n"
    one = gpu.Measured("a way", 1.0, 4, 0.5, 1.0)
    assert list(gpu.if_it_fits(lambda: one)) == [one]


PARENT = """
import multiprocessing, time
from speed import end_with_parent
def child():
    end_with_parent()
    print("at work", flush=True)
    time.sleep(60)
one = multiprocessing.get_context("fork").Process(target=child)
one.start()
print(one.pid, flush=True)
one.join()
"""


def test_a_way_ends_with_the_benchmark_that_is_killed():
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=found
    ) as benchmark:
        lines = [benchmark.stdout.readline().strip() for _ in range(2)]
        assert "at work" in lines
        benchmark.kill()
        ends = time.monotonic() + 30
        assert benchmark.stdout.read() == ""  # until the child, which has the pipe too, is gone
        assert time.monotonic() < ends


def test_a_dissolve_is_even_and_each_of_its_pictures_is_two():
    left = np.tile(np.where(np.arange(SIDE) < SIDE // 2, 255, 0)[None, :, None], (SIDE, 1, 3))
    segment = smooth.dissolve([left, *[left] * 23, left[:, ::-1]])
    row = smooth.judged(segment)
    assert row.gini < 0.25
    assert row.flashes == 0
    assert row.double > 0.9


def test_pictures_are_spread_by_their_distances():
    pictures = [grey(value) for value in (0, 10, 200)]
    shown = smooth.spread(pictures)
    assert len(shown) == smooth.FPS + 1
    assert [int(shown[0].mean()), int(shown[-1].mean())] == [0, 200]
    assert smooth.judged(shown).largest < 1.5


def test_lab_is_that_of_known_colours():
    white = smooth.lab([np.full((64, 64, 3), 255, np.uint8)])[0, 0, 0]
    red = smooth.lab([np.tile(np.array([255, 0, 0], np.uint8), (64, 64, 1))])[0, 0, 0]
    assert white * 100 == pytest.approx([100, 0, 0], abs=0.1)
    assert red * 100 == pytest.approx([53.2, 80.1, 67.2], abs=0.3)


def test_attention_interpolation_leaves_the_ends_as_they_are(tiny_sd1, monkeypatch):
    """The doubled keys of an end cancel; the pictures between are others than those of blended
    embeddings alone."""
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_sd1)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    ends = {"prompt": "a town", "seed": 1}, {"prompt": "a castle", "seed": 2}
    latent = pipeline.unet.config.sample_size
    given = (pipeline, *ends, 3, 4, 5.0, latent)
    made, rows = attention.segment(*given)
    assert (len(made), rows) == (3, 2 * 3 * 4)
    with monkeypatch.context() as without:
        without.setattr(attention, "SHARE", 0.0)
        plain, _ = attention.segment(*given)
    for place in (0, -1):
        assert np.abs(made[place].astype(int) - plain[place]).max() <= 1
        stock = pipeline(
            ends[place]["prompt"],
            num_inference_steps=4,
            guidance_scale=5.0,
            latents=torch.randn(
                (1, pipeline.unet.config.in_channels, latent, latent),
                generator=torch.Generator().manual_seed(ends[place]["seed"]),
            ),
            output_type="np",
        ).images[0]
        assert np.abs(made[place] - 255 * stock).max() <= 1.01
    assert np.abs(made[1].astype(int) - plain[1]).max() > 2
