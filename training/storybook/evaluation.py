"""The evaluation: does a model draw what a caption says, how crisply, and does it morph?

Everything is measured through the stock StableDiffusionPipeline, with the probe as the judge and
painted pictures of the same scenes as the measure. Another version of the model can be drawn beside
it, from the same captions and seeds, at that version's own size. The report is `report.json` with
pictures beside it.
"""

import json
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.storybook.asked import FREE_WORDING, GROUPS, PROMPTED
from training.storybook.autoencoder import reconstruct
from training.storybook.captions import PROMPTS
from training.storybook.drawing import (
    GUIDANCE,
    STEPS,
    UNSEEN_SEED,
    Drawn,
    draw,
    embed,
    load_pipeline,
    render,
    render_texts,
    side_of,
)
from training.storybook.examples import Example, example, unseen_pictures
from training.storybook.figures import Pixels, apart, evenness, moons, psnr, sharpness, small
from training.storybook.models import Pipeline
from training.storybook.painter import paint
from training.storybook.parallel import as_pictures
from training.storybook.probe import Probe, accuracy, judge_probe, load_probe, read_classes
from training.storybook.scene import ATTRIBUTES, Description, classes_of, scene_of
from training.storybook.sheets import sheet

SCHEDULER_STEPS = (10, 20)
PROBE = Path(__file__).parent / "probe.safetensors"
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


def judge_moons(pipeline: Pipeline, count: int = 200) -> dict[str, int]:
    """How many of the nights have no moon that can be seen, one, and more."""
    embeddings = embed(pipeline, ["A fantasy landscape at night"]).repeat(count, 1, 1)
    found = [moons(picture) for picture in render(pipeline, embeddings, range(count))]
    return {"none": found.count(0), "one": found.count(1), "more": sum(n > 1 for n in found)}


def judge_seeds(pipeline: Pipeline, seeds: int = 8) -> dict[str, float]:
    """The mean distance of two seeds of one prompt at 32 pixels, by the film's prompts."""
    figures = {}
    for prompt in PROMPTS:
        made = render_texts(pipeline, [prompt] * seeds, range(seeds))
        figures[prompt] = float(
            np.mean([apart(a, b) for a, b in combinations(map(small, made), 2)])
        )
    return figures


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
    painted = unseen_pictures(count, side_of(pipeline))
    made = reconstruct(pipeline.vae, painted)
    return {"psnr_db": psnr(made, painted), "sharpness": sharpness(made) / sharpness(painted)}


def judge_schedulers(
    pipeline: Pipeline, probe: Probe, folder: Path, seeds: int = 3
) -> dict[str, dict[str, float]]:
    """Place right and sharpness for each scheduler at 10 and 20 steps, and a sheet of them."""
    own, size = pipeline.scheduler, side_of(pipeline)
    texts = [prompt for prompt in PROMPTS for _ in range(seeds)]
    described = [each for each in PROMPTED for _ in range(seeds)]
    drawn_from = [i % seeds for i in range(len(texts))]
    painted = np.stack([paint(scene_of(d, i), size) for i, d in enumerate(described)])
    figures: dict[str, dict[str, float]] = {}
    rows: list[Pixels] = []
    for name in SCHEDULERS:
        pipeline.scheduler = getattr(diffusers, name).from_config(own.config)
        for steps in SCHEDULER_STEPS:
            made = render_texts(pipeline, texts, drawn_from, steps)
            place = accuracy(_read(probe, made), described)["place"]
            kept = sharpness(made) / sharpness(painted)
            figures[f"{name} {steps}"] = {"place": place, "sharpness": kept}
            rows += list(made[::seeds])
    pipeline.scheduler = own
    _save(folder / "schedulers.png", sheet(rows, 2 * len(PROMPTS)))
    return figures


def draw_free_wording(pipeline: Pipeline, folder: Path, seeds: int = 4) -> Pixels:
    """Pictures of wordings that the grammar never makes, each by some seeds, and a sheet."""
    texts = [text for text, _ in FREE_WORDING for _ in range(seeds)]
    made = render_texts(pipeline, texts, [i % seeds for i in range(len(texts))])
    _save(folder / "free_wording.png", sheet(list(made), 2 * seeds))
    return made


def judge_free_wording(probe: Probe, made: Pixels) -> dict[str, float]:
    """Accuracy on them."""
    seeds = len(made) // len(FREE_WORDING)
    described = [each for _, each in FREE_WORDING for _ in range(seeds)]
    found = accuracy(_read(probe, made), described)
    return {name: found[name] for name in ("place", "time", "biome", "water", "forest")}


def draw_grid(pipeline: Pipeline, folder: Path, seeds: int = 8) -> Pixels:
    """The film's five prompts, each by some seeds, and a sheet."""
    texts = [prompt for prompt in PROMPTS for _ in range(seeds)]
    made = render_texts(pipeline, texts, list(range(seeds)) * len(PROMPTS))
    _save(folder / "grid.png", sheet(list(made), seeds))
    return made


def judge_grid(probe: Probe, made: Pixels) -> float:
    """The share of right places in it."""
    described = [each for each in PROMPTED for _ in range(len(made) // len(PROMPTED))]
    return accuracy(_read(probe, made), described)["place"]


@dataclass(frozen=True)
class Report:
    """The figures as they are found, kept in a file and shown."""

    path: Path
    figures: dict[str, Any]

    def note(self, name: str, figures: Any) -> None:
        """Keep figures under a name."""
        self.figures[name] = figures
        print(f"{name}: {figures}", flush=True)
        self.path.write_text(json.dumps(self.figures, indent=1, ensure_ascii=False) + "\n")


def judge_alone(pipeline: Pipeline, folder: Path, report: Report) -> tuple[Pixels, Pixels]:
    """Figures and sheets that need no probe and no painted pictures, so that models which were
    made after other painters can be compared.

    Returns:
        The pictures of the five prompts, and those of free wordings.
    """
    grid, free = draw_grid(pipeline, folder), draw_free_wording(pipeline, folder)
    report.note("seeds_apart", judge_seeds(pipeline))
    report.note("moons", judge_moons(pipeline))
    report.note("morphs", judge_morphs(pipeline, folder))
    return grid, free


def opened(model: Path, folder: Path) -> tuple[Pipeline, Report]:
    """A model, and its report in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = load_pipeline(model)
    about = {"model": str(model), "size": side_of(pipeline), "steps": STEPS, "guidance": GUIDANCE}
    return pipeline, Report(folder / "report.json", about)


def evaluate(
    model: Path, probe_path: Path, folder: Path, count: int = 500, beside: Path | None = None
) -> dict[str, Any]:
    """Measure `model` into `folder`, and a model `beside` it into `folder/beside`.

    The probe has seen this painter's pictures alone, and would misread those of a model that was
    made after another one. So of the model beside it are measured how far its seeds are apart, its
    moons and how it morphs, from the same captions and seeds.

    Returns:
        The figures of both; those of the other model under `beside`.
    """
    probe, (pipeline, report) = load_probe(probe_path), opened(model, folder)
    report.note("probe_on_painted", judge_probe(probe))
    report.note("autoencoder", judge_autoencoder(pipeline))
    drawn = draw(pipeline, count)
    report.note("obedience", judge_obedience(probe, drawn))
    report.note("sharpness", judge_sharpness(drawn))
    furthest = worst(probe, drawn)
    _save(folder / "worst.png", sheet(list(drawn.pictures[furthest]), 10))
    report.note("worst", [drawn.captions[i] for i in furthest])
    grid, free = judge_alone(pipeline, folder, report)
    report.note("five_prompts_place", judge_grid(probe, grid))
    report.note("free_wording", judge_free_wording(probe, free))
    report.note("schedulers", judge_schedulers(pipeline, probe, folder))
    if beside is not None:
        other, figures = opened(beside, folder / "beside")
        judge_alone(other, folder / "beside", figures)
        report.note("beside", figures.figures)
        for name in ("grid", "morphs", "free_wording"):
            stack(folder / f"{name}.png", folder / "beside" / f"{name}.png")
    return report.figures


def stack(above: Path, below: Path) -> None:
    """Write the sheet of two models, the other's below and as wide, to `NAME_beside.png`."""
    sheets = [Image.open(path).convert("RGB") for path in (above, below)]
    width = max(each.width for each in sheets)
    fitting = [
        each.resize((width, round(each.height * width / each.width)), Image.Resampling.NEAREST)
        for each in sheets
    ]
    page = Image.fromarray(np.concatenate([np.asarray(each) for each in fitting]))
    page.save(above.with_name(f"{above.stem}_beside.png"))


def _save(path: Path, pixels: Pixels) -> None:
    Image.fromarray(pixels).save(path)
