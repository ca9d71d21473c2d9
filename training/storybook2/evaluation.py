"""The evaluation: does a model draw what a caption says, how crisply, and does it morph?

Everything is measured through the stock StableDiffusionPipeline, with the probe as the judge and
painted pictures of the same scenes as the measure. The first storybook's model is measured beside
it wherever its grammar reaches. The report is `report.json` with pictures beside it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from training.storybook.evaluation import load_pipeline, noise, psnr, sharpness
from training.storybook.models import Pipeline
from training.storybook.parallel import as_pictures
from training.storybook.sheets import sheet
from training.storybook2.autoencoder import reconstruct
from training.storybook2.captions import PROMPTS, caption
from training.storybook2.examples import Example, example, unseen_pictures
from training.storybook2.painter import paint
from training.storybook2.probe import Probe, accuracy, judge_probe, load_probe, read_classes
from training.storybook2.scene import (
    ATTRIBUTES,
    PLACES,
    Description,
    classes_of,
    sample_description,
    scene_of,
)

STEPS, GUIDANCE = 12, 5.5
UNSEEN_SEED = 970_000_000  # far from every training picture
BATCH = 10
GROUPS: dict[str, Callable[[Description], bool]] = {
    "night": lambda d: d.time == "night",
    "dusk": lambda d: d.time == "sunset",
    "snow": lambda d: d.biome == "snow",
    "desert": lambda d: d.biome == "desert",
    "city": lambda d: d.place in ("city", "cityscape"),
    "all": lambda d: True,
}

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


@torch.no_grad()
def render(pipeline: Pipeline, embeddings: torch.Tensor, seeds: Sequence[int]) -> Pixels:
    """Pictures (N, H, W, 3) of embeddings (N, 40, 128), each from the noise of its seed."""
    pictures = []
    for start in range(0, len(seeds), BATCH):
        part = slice(start, start + BATCH)
        made = pipeline(
            prompt_embeds=embeddings[part],
            negative_prompt=[""] * len(seeds[part]),
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            latents=noise(pipeline, seeds[part]),
            output_type="np",
        ).images
        pictures.append((made * 255).round().astype(np.uint8))
    return np.concatenate(pictures)


@torch.no_grad()
def embed(pipeline: Pipeline, texts: Sequence[str]) -> torch.Tensor:
    """The embeddings of texts, (N, 40, 128)."""
    embedded: torch.Tensor = pipeline.encode_prompt(list(texts), pipeline.device, 1, False)[0]
    return embedded


@dataclass(frozen=True)
class Drawn:
    """Descriptions, a caption of each, and what a model drew of it."""

    described: list[Description]
    captions: list[str]
    pictures: Pixels


def draw(pipeline: Pipeline, count: int) -> Drawn:
    """Pictures of captions and noises that the training never drew."""
    rng = np.random.default_rng(UNSEEN_SEED)
    described = [sample_description(rng) for _ in range(count)]
    captions = [caption(found, rng) for found in described]
    return Drawn(described, captions, render(pipeline, embed(pipeline, captions), range(count)))


def judge_obedience(probe: Probe, drawn: Drawn) -> dict[str, float]:
    """The share right of each attribute, and apart where it is said and where it is not."""
    seen = _read(probe, drawn.pictures)
    figures = accuracy(seen, drawn.described)
    truth, default = (
        np.array([classes_of(d) for d in ds]) for ds in (drawn.described, [Description()])
    )
    for name, wanted in (("said", True), ("unsaid", False)):
        for i, attribute in enumerate(ATTRIBUTES):
            chosen = (truth[:, i] >= 0) & ((truth[:, i] != default[0, i]) == wanted)
            if attribute != "place" and chosen.any():
                figures[f"{attribute}_{name}"] = float((seen[chosen, i] == truth[chosen, i]).mean())
    return figures


def _read(probe: Probe, pictures: Pixels) -> NDArray[np.int64]:
    parts = np.array_split(pictures, max(1, len(pictures) // 50))
    return np.concatenate([read_classes(probe, part) for part in parts])


def judge_sharpness(drawn: Drawn) -> dict[str, float]:
    """Gradient energy as a share of painted pictures of the same descriptions, by kinds."""
    size = drawn.pictures.shape[1]
    painted = np.stack([paint(scene_of(d, i), size) for i, d in enumerate(drawn.described)])
    figures = {}
    for name, belongs in GROUPS.items():
        chosen = [i for i, described in enumerate(drawn.described) if belongs(described)]
        if chosen:
            figures[name] = sharpness(drawn.pictures[chosen]) / sharpness(painted[chosen])
    return figures


@torch.no_grad()
def worst(probe: Probe, drawn: Drawn, share: float = 0.1, painted: int = 8) -> list[int]:
    """The pictures furthest, in the probe's features, from painted ones of the same description."""
    distances = []
    for described, picture in zip(drawn.described, drawn.pictures, strict=True):
        models = np.stack([paint(scene_of(described, seed), 128) for seed in range(painted)])
        features = probe.features(as_pictures(torch.from_numpy(models)))
        own = probe.features(as_pictures(torch.from_numpy(picture[None])))
        distances.append(float((features - own).norm(dim=1).min()))
    order = np.argsort(distances)[::-1]
    return [int(i) for i in order[: max(1, round(share * len(order)))]]


def moons(picture: Pixels, area: int = 60) -> int:
    """The bright discs of a picture of 256 pixels by night."""
    bright = (picture[..., 2] > 190) & (picture[..., 0] > 215)
    spots, count = ndimage.label(ndimage.binary_closing(bright, iterations=3))
    areas = ndimage.sum_labels(bright, spots, range(1, count + 1))
    return int((np.asarray(areas) > area).sum())


def judge_moons(pipeline: Pipeline, count: int = 200) -> dict[str, int]:
    """How many of the nights have no moon that can be seen, one, and more."""
    text = "A fantasy landscape at night"
    embeddings = embed(pipeline, [text]).repeat(count, 1, 1)
    found = [moons(picture) for picture in render(pipeline, embeddings, range(count))]
    return {"none": found.count(0), "one": found.count(1), "more": sum(n > 1 for n in found)}


def small(picture: Pixels, side: int = 32) -> Floats:
    """A picture (H, W, 3) as linear light, (32, 32, 3): what an eye takes in at a glance."""
    values = (picture / 255.0) ** 2.2
    step = picture.shape[0] // side
    return np.asarray(values.reshape(side, step, side, step, 3).mean((1, 3)))


def apart(a: Floats, b: Floats) -> float:
    """The root of the mean squared difference."""
    return float(np.sqrt(np.square(a - b).mean()))


def judge_seeds(pipeline: Pipeline, seeds: int = 8) -> dict[str, float]:
    """The mean distance of two seeds of one prompt at 32 pixels, by the film's prompts."""
    figures = {}
    for prompt in PROMPTS:
        made = render(pipeline, embed(pipeline, [prompt]).repeat(seeds, 1, 1), range(seeds))
        figures[prompt] = float(
            np.mean([apart(a, b) for a, b in combinations(map(small, made), 2)])
        )
    return figures


def evenness(frames: Sequence[Pixels]) -> dict[str, float]:
    """How even a film's steps are: Gini, largest over median, path over direct distance.

    Things that grow change one place after another, and root mean squares of steps that change
    different places add up to the root of their number times the direct way. So the path is given
    with mean differences as well ("summed"), by which it is 1 for anything that only grows.
    """
    glances = [small(frame) for frame in frames]
    steps = np.array([apart(a, b) for a, b in pairwise(glances)])
    order = np.sort(steps)
    ranks = np.arange(1, len(order) + 1)
    gini = 2 * (ranks * order).sum() / (len(order) * order.sum()) - (len(order) + 1) / len(order)
    summed = [np.abs(a - b).mean() for a, b in pairwise(glances)]
    direct = np.abs(glances[0] - glances[-1]).mean()
    return {
        "gini": float(gini),
        "largest_over_median": float(steps.max() / np.median(steps)),
        "path_over_direct": float(steps.sum() / apart(glances[0], glances[-1])),
        "path_over_direct_summed": float(np.sum(summed) / direct),
    }


def held_out_pairs(count: int) -> list[Example]:
    """Examples of two different descriptions that no training saw."""
    found = (example(i, UNSEEN_SEED) for i in range(20 * count))
    return [pair for pair in found if pair.start != pair.end][:count]


def judge_morphs(
    pipeline: Pipeline, folder: Path, pairs: int = 24, frames: int = 25
) -> dict[str, dict[str, float]]:
    """Medians of `evenness` of embedding blends, of the painter's own morphs, and a sheet."""
    drawn, painted, rows = [], [], []
    shares = np.linspace(0, 1, frames)
    for index, pair in enumerate(held_out_pairs(pairs)):
        ends = embed(pipeline, [pair.start_captions[0], pair.end_captions[0]])
        blend = torch.stack([torch.lerp(ends[0], ends[1], float(t)) for t in shares])
        made = render(pipeline, blend, [index] * frames)
        drawn.append(evenness(list(made)))
        painted.append(evenness([paint(replace(pair, t=float(t)).scene, 128) for t in shares]))
        rows += list(made[:: (frames - 1) // 8])
    _save(folder / "morphs.png", sheet(rows[: 9 * 12], 9))
    return {
        name: {key: float(np.median([each[key] for each in kind])) for key in kind[0]}
        for name, kind in (("drawn", drawn), ("painted", painted))
    }


def judge_autoencoder(pipeline: Pipeline, count: int = 128) -> dict[str, float]:
    """Reconstruction of unseen painted pictures: PSNR in dB, and sharpness kept."""
    painted = unseen_pictures(count)
    made = reconstruct(pipeline.vae, painted)
    return {"psnr_db": psnr(made, painted), "sharpness": sharpness(made) / sharpness(painted)}


def draw_grid(pipeline: Pipeline, probe: Probe, path: Path, seeds: int = 8) -> float:
    """The film's five prompts by eight seeds; the share of right places."""
    places = ("none", "town", "town_castle", "city", "cityscape")
    embeddings = embed(pipeline, PROMPTS).repeat_interleave(seeds, 0)
    made = render(pipeline, embeddings, list(range(seeds)) * len(PROMPTS))
    _save(path, sheet(list(made), seeds))
    wanted = [PLACES.index(place) for place in places for _ in range(seeds)]
    return float((_read(probe, made)[:, 0] == wanted).mean())


def evaluate(
    model: Path, probe_path: Path, folder: Path, count: int = 500, first: Path | None = None
) -> dict[str, Any]:
    """Measure `model`, and the `first` one beside it, into `folder`; returns the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline, probe = load_pipeline(model), load_probe(probe_path)
    report: dict[str, Any] = {"model": str(model), "steps": STEPS, "guidance": GUIDANCE}

    def note(name: str, figures: Any) -> None:
        report[name] = figures
        print(f"{name}: {figures}", flush=True)
        text = json.dumps(report, indent=1, ensure_ascii=False)
        (folder / "report.json").write_text(text + "\n")

    note("probe_on_painted", judge_probe(probe))
    note("autoencoder", judge_autoencoder(pipeline))
    note("five_prompts_place", draw_grid(pipeline, probe, folder / "grid.png"))
    note("seeds_apart", judge_seeds(pipeline))
    if first is not None:
        note("seeds_apart_first", judge_seeds(load_pipeline(first)))
    drawn = draw(pipeline, count)
    note("obedience", judge_obedience(probe, drawn))
    note("sharpness", judge_sharpness(drawn))
    furthest = worst(probe, drawn)
    _save(folder / "worst.png", sheet(list(drawn.pictures[furthest]), 10))
    note("worst", [drawn.captions[i] for i in furthest])
    note("moons", judge_moons(pipeline))
    note("morphs", judge_morphs(pipeline, folder))
    return report


def _save(path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).save(path)
