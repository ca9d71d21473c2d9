"""The evaluation: does a model in a diffusers folder draw what a caption says, and how crisply?

Everything is measured through the stock StableDiffusionPipeline, with the probe as the judge. The
report is `report.json` with pictures beside it.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from render import storybook as embedded
from training.storybook.captions import PROMPTS, caption
from training.storybook.models import FACTOR, SIZE, Pipeline
from training.storybook.painter import paint
from training.storybook.parallel import as_pictures, train_device
from training.storybook.probe import accuracy, load_probe, read_attributes
from training.storybook.scene import Scene, sample_scene
from training.storybook.sheets import sheet

WEIGHTS = Path(embedded.__file__).parent / "weights"
STEPS, GUIDANCE = 12, 5.5
UNSEEN_SEED = 900_000_000  # far from every training picture
BATCH = 10
SCHEDULERS = (
    "DPMSolverMultistepScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "UniPCMultistepScheduler",
)
FREE_WORDING = (
    ("castle", Scene("castle")),
    ("a big red dragon guards the old castle", Scene("castle")),
    ("NIGHT. A QUIET VILLAGE!!!", Scene("town", "night")),
    ("in winter, by the lake, there stands a castle", Scene("castle", biome="snow", water="lake")),
    ("an oil painting of skyscrapers by the ocean at dusk", Scene("city", "sunset", water="sea")),
    ("sunset metropolis, cinematic, masterpiece", Scene("cityscape", "sunset")),
    ("a river through autumn woods", Scene("none", biome="autumn", water="river", forest=True)),
    ("Ein Dorf: a little village, über 3 Hügel", Scene("town")),
    ("hamlet and fortress on a snowy morning", Scene("town_castle", "dawn", "snow")),
    ("moonlight over sand dunes", Scene("none", "night", "desert")),
)
"""Wordings outside of the grammar, and what they ask for."""

Pixels = NDArray[np.uint8]


def load_pipeline(folder: Path) -> Pipeline:
    """The model in float32 on this machine's best device, from the folder alone."""
    pipeline: Pipeline = StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(train_device())


def render(
    pipeline: Pipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> Pixels:
    """Pictures (N, 128, 128, 3) of prompts, each from the noise of its seed."""
    pictures = []
    for start in range(0, len(prompts), BATCH):
        part = slice(start, start + BATCH)
        made = pipeline(
            list(prompts[part]),
            num_inference_steps=steps,
            guidance_scale=guidance,
            latents=noise(pipeline, seeds[part]),
            output_type="np",
        ).images
        pictures.append((made * 255).round().astype(np.uint8))
    return np.concatenate(pictures)


def noise(pipeline: Pipeline, seeds: Iterable[int]) -> torch.Tensor:
    """Unit noise (N, 4, 32, 32), drawn on the CPU, one generator a seed."""
    shape = (pipeline.unet.config.in_channels, SIZE // FACTOR, SIZE // FACTOR)
    draws = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(draws).to(pipeline.device)


def unseen(count: int) -> list[tuple[Scene, str]]:
    """Scenes with a caption each that training never drew."""
    rng = np.random.default_rng(UNSEEN_SEED)
    scenes = [sample_scene(rng) for _ in range(count)]
    return [(scene, caption(scene, rng)) for scene in scenes]


def sharpness(pictures: Pixels) -> float:
    """Mean absolute gradient of pictures (N, H, W, 3), in grey levels."""
    values = pictures.astype(np.float32)
    across, down = np.abs(np.diff(values, axis=2)), np.abs(np.diff(values, axis=1))
    return float(across.mean() + down.mean())


def psnr(made: Pixels, picture: Pixels) -> float:
    """The mean over pictures (N, H, W, 3) of the peak signal-to-noise ratio, in dB."""
    error = np.square(made.astype(np.float64) - picture).mean((1, 2, 3))
    return float((10 * np.log10(255**2 / error)).mean())


@torch.no_grad()
def reconstruct(pipeline: Pipeline, pictures: Pixels) -> Pixels:
    """Pictures (N, H, W, 3) through the autoencoder and back."""
    made = []
    for part in np.array_split(pictures, max(1, len(pictures) // 16)):
        batch = as_pictures(torch.from_numpy(part)).to(pipeline.device)
        result = pipeline.vae.decode(pipeline.vae.encode(batch).latent_dist.mean).sample
        made.append(((result.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu())
    return torch.cat(made).numpy()


def judge_probe(count: int = 1000) -> dict[str, float]:
    """The probe's accuracy on unseen painted pictures."""
    scenes = [scene for scene, _ in unseen(count)]
    painted = np.stack([paint(scene) for scene in scenes])
    return accuracy(read_attributes(load_probe(), painted), scenes)


def judge_autoencoder(pipeline: Pipeline, count: int = 256) -> dict[str, float]:
    """Reconstruction of unseen painted pictures: PSNR in dB, and sharpness kept."""
    painted = np.stack([paint(scene) for scene, _ in unseen(count)])
    made = reconstruct(pipeline, painted)
    return {"psnr_db": psnr(made, painted), "sharpness": sharpness(made) / sharpness(painted)}


def judge_obedience(pipeline: Pipeline, count: int) -> tuple[dict[str, float], list[str]]:
    """Attributes right in rendered pictures of unseen captions, and the captions it got wrong."""
    examples = unseen(count)
    scenes, texts = [scene for scene, _ in examples], [text for _, text in examples]
    rendered = render(pipeline, texts, range(count))
    seen = read_attributes(load_probe(), rendered)
    painted = np.stack([paint(scene) for scene in scenes])
    figures = accuracy(seen, scenes) | said_and_unsaid(seen, scenes)
    figures["sharpness"] = sharpness(rendered) / sharpness(painted)
    wrong = [
        f"{text} → {row['place']}"
        for text, row, scene in zip(texts, seen, scenes, strict=True)
        if row["place"] != scene.place
    ]
    return figures, wrong


def said_and_unsaid(seen: list[dict[str, object]], scenes: list[Scene]) -> dict[str, float]:
    """Accuracy apart for attributes that differ from their default (said) and that do not."""
    figures: dict[str, float] = {}
    default = Scene()
    for attribute in ("time", "biome", "water", "forest"):
        for name, wanted in (("said", True), ("unsaid", False)):
            chosen = [
                i
                for i, scene in enumerate(scenes)
                if (getattr(scene, attribute) != getattr(default, attribute)) == wanted
            ]
            shares = accuracy([seen[i] for i in chosen], [scenes[i] for i in chosen])
            figures[f"{attribute}_{name}"] = shares[attribute]
    return figures


def judge_schedulers(
    pipeline: Pipeline, folder: Path, seeds: int = 3
) -> dict[str, dict[str, float]]:
    """Place right and sharpness for each scheduler at 10 and 20 steps, and a sheet of each."""
    own = pipeline.scheduler
    texts = [prompt for prompt in PROMPTS for _ in range(seeds)]
    scenes = [scene for scene in prompt_scenes() for _ in range(seeds)]
    painted = sharpness(np.stack([paint(replace(s, seed=i)) for i, s in enumerate(scenes)]))
    figures: dict[str, dict[str, float]] = {}
    rows: list[Pixels] = []
    for name in SCHEDULERS:
        pipeline.scheduler = getattr(diffusers, name).from_config(own.config)
        for steps in (10, 20):
            made = render(pipeline, texts, [i % seeds for i in range(len(texts))], steps)
            place = accuracy(read_attributes(load_probe(), made), scenes)["place"]
            figures[f"{name} {steps}"] = {"place": place, "sharpness": sharpness(made) / painted}
            rows += list(made[::seeds])
    pipeline.scheduler = own
    _save(folder / "schedulers.png", sheet(rows, 2 * len(PROMPTS)))
    return figures


def prompt_scenes() -> list[Scene]:
    """The scenes that the five prompts of the city film ask for."""
    return [Scene(), Scene("town"), Scene("town_castle"), Scene("city"), Scene("cityscape")]


def judge_free_wording(pipeline: Pipeline, folder: Path, seeds: int = 4) -> dict[str, float]:
    """Accuracy on wordings that the grammar never makes, and a sheet of them."""
    texts = [text for text, _ in FREE_WORDING for _ in range(seeds)]
    scenes = [scene for _, scene in FREE_WORDING for _ in range(seeds)]
    made = render(pipeline, texts, [i % seeds for i in range(len(texts))])
    _save(folder / "free_wording.png", sheet(list(made), 2 * seeds))
    return accuracy(read_attributes(load_probe(), made), scenes)


def draw_grid(pipeline: Pipeline, folder: Path, seeds: int = 8) -> float:
    """The five prompts by eight seeds; the share of right places."""
    texts = [prompt for prompt in PROMPTS for _ in range(seeds)]
    scenes = [scene for scene in prompt_scenes() for _ in range(seeds)]
    made = render(pipeline, texts, [i % seeds for i in range(len(texts))])
    _save(folder / "grid.png", sheet(list(made), seeds))
    return accuracy(read_attributes(load_probe(), made), scenes)["place"]


@torch.no_grad()
def draw_film(pipeline: Pipeline, folder: Path, seed: int, between: int = 8) -> dict[str, float]:
    """A film strip through the five prompts with one noise, by blended embeddings.

    Returns the share of frames that the probe reads as day, as all five prompts say.
    """
    states = [pipeline.encode_prompt(p, pipeline.device, 1, False)[0] for p in PROMPTS]
    frames = []
    for start, end in pairwise(states):
        frames += [start.lerp(end, i / between) for i in range(between)]
    frames.append(states[-1])
    made = []
    for embedding in frames:
        result = pipeline(
            prompt_embeds=embedding,
            negative_prompt="",
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            latents=noise(pipeline, [seed]),
            output_type="np",
        ).images[0]
        made.append((result * 255).round().astype(np.uint8))
    _save(folder / f"film_{seed}.png", sheet(made[:-1], between))
    seen = read_attributes(load_probe(), np.stack(made))
    return {"daylight": sum(row["time"] == "day" for row in seen) / len(seen)}


def measure_speed(pipeline: Pipeline, frames: int = 4) -> float:
    """Seconds of a frame of 10 steps with three rows (without a prompt, and two prompts), when as
    many are computed together as a render on a CPU does."""
    rows = 3 * frames
    states = torch.randn(rows, 40, pipeline.unet.config.cross_attention_dim, device=pipeline.device)
    latents = noise(pipeline, [0] * rows)
    times = []
    with torch.inference_mode():
        for _ in range(3):
            start = time.perf_counter()
            for _ in range(10):
                pipeline.unet(latents, 500, states)
            pipeline.vae.decode(latents[:frames])
            times.append((time.perf_counter() - start) / frames)
    return min(times)


def evaluate(model: Path, folder: Path, count: int = 500) -> dict[str, Any]:
    """Measure `model`, write report and pictures to `folder`, return the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = load_pipeline(model)
    report: dict[str, Any] = {"model": str(model), "steps": STEPS, "guidance": GUIDANCE}
    report["probe_on_painted"] = _reported("probe", judge_probe())
    report["autoencoder"] = _reported("autoencoder", judge_autoencoder(pipeline))
    report["seconds_a_frame"] = _reported("seconds a frame", measure_speed(pipeline))
    report["five_prompts_place"] = _reported("five prompts", draw_grid(pipeline, folder))
    report["films"] = _reported("films", [draw_film(pipeline, folder, seed) for seed in (1, 2)])
    report["free_wording"] = _reported("free wording", judge_free_wording(pipeline, folder))
    report["rendered"], report["wrong_places"] = judge_obedience(pipeline, count)
    _reported("rendered", report["rendered"])
    report["schedulers"] = _reported("schedulers", judge_schedulers(pipeline, folder))
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def _reported(name: str, figures: Any) -> Any:
    print(f"{name}: {figures}", flush=True)
    return figures


def _save(path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).save(path)
