"""How smooth films are, by the way their frames are made, on storybook.

    python benchmarks/smooth.py [--films 6] [--ways plain smooth ...] [--rows 24]

Films of five keyframes (four segments of a second, 24 frames each) from the storybook grammar are
rendered in every way of the table below through the product's own path; a tree of latents as in
latentblending and a dissolve of the two keyframes are made here. All ways show the same times. They
are judged by another measure than the even pace plans with: the distance in Lab of copies of 64
pixels a side. The dissolve is the control: nothing is more even, and each of its pictures is two.
What is finished is kept under outputs/.bench/smooth and not rendered again. With `--rows` every way
gets the number of steps with which it takes as many denoiser rows a frame.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from product import composed, declared, machine, rendered
from quality import prompt_films

from render.measurement.between import against_ends, double_exposure
from render.measurement.reading import read_pixels
from render.measurement.steps import (
    distances,
    flashes,
    gini,
    largest_over_median,
    path_over_direct,
)
from render.store.store import frame_path

FPS = 24
SIDE = 64  # pixels of the copies that are compared
KEPT = Path("outputs/.bench/smooth")
SMOOTH = "sampling.path=smooth"
EVEN = "timeline.pace=even"
EMBEDDING = "sampling.blend=embedding"
WAYS: dict[str, list[str]] = {
    "plain, noise blend": [],
    "plain, embedding blend": [EMBEDDING],
    "balanced": ["sampling.speed=balanced"],
    "smooth": [SMOOTH],
    "smooth, even": [SMOOTH, EVEN],
    "smooth, even, embedding blend": [SMOOTH, EVEN, EMBEDDING],
}
TREE, ATTENTION, DISSOLVE = "tree of latents", "attention interpolation", "dissolve"
MATRIX = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
)
"""Linear sRGB to XYZ (IEC 61966-2-1)."""
WHITE = np.array([0.9505, 1.0, 1.089], np.float32)
BESIDE = ("plain, noise blend", "smooth, even", TREE)
"""The ways that are shown beside each other."""
LEAST, MOST = 4, 60  # steps
DEPTH = 0.45  # part of the steps that a branch of the tree takes over from its parents

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """One segment in one way."""

    gini: float
    largest: float
    flashes: int
    path: float
    sharpness: float
    double: float


def main() -> None:
    """Render what is missing, judge, and print the table."""
    asked = arguments()
    rows: dict[str, list[Row]] = {}
    cost: dict[str, list[int]] = {}
    first: dict[str, list[Picture]] = {}
    for number, keyframes in enumerate(prompt_films(asked.films)):
        for name, segments, used in films(number, keyframes, asked.ways, asked.rows):
            rows.setdefault(name, []).extend(judged(segment) for segment in segments)
            cost.setdefault(name, []).append(used)
            first.setdefault(name, [each for segment in segments for each in segment[:-1]])
            print(f"film {number + 1} of {asked.films}: {name}", flush=True)
    print("\n".join([*machine("torch", "diffusers"), "", *table(rows, cost)]))
    if asked.plot:
        draw(asked.plot, rows)
    if asked.beside:
        side_by_side(asked.beside, [first[name] for name in BESIDE if name in first])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--films", type=int, default=6, help="of four segments each")
    parser.add_argument("--rows", type=float, help="denoiser rows a frame that every way takes")
    parser.add_argument("--ways", nargs="+", default=[*WAYS, TREE, ATTENTION, DISSOLVE])
    parser.add_argument("--plot", type=Path, help="a picture of the table, as WebP")
    parser.add_argument("--beside", type=Path, help="three ways of the first film, as WebP")
    return parser.parse_args()


def films(
    number: int,
    keyframes: Sequence[dict[str, Any]],
    ways: Sequence[str],
    budget: float | None = None,
) -> Iterator[tuple[str, list[list[Picture]], int]]:
    """(way, the pictures of each segment with its keyframes', denoiser rows) of one film.

    Args:
        budget: denoiser rows a frame that every way takes; None: as many as it takes.
    """
    plain: list[list[Picture]] = []
    frames = FPS * (len(keyframes) - 1) + 1
    for name in ways:
        steps = budget and steps_for(name, keyframes, budget * frames)
        if name in WAYS:
            segments, rows = product(number, keyframes, name, steps)
            plain = plain or segments
            yield name, segments, rows
        elif name == TREE:
            yield name, *tree(keyframes, steps)
        elif name == ATTENTION:
            yield name, *attention(keyframes, steps)
        else:
            yield name, [dissolve(segment) for segment in plain], 0


def steps_for(name: str, keyframes: Sequence[dict[str, Any]], rows: float) -> int | None:
    """The number of steps with which a way takes about so many rows for a film."""
    segments = len(keyframes) - 1
    if name == DISSOLVE:
        return None
    if name == ATTENTION:
        return max(2, round(rows / (2 * segments * (FPS + 1))))
    if name == TREE:
        whole, part = 2 * segments * 2, 2 * segments * (FPS - 1) * (1 - DEPTH)
        return max(2, round(rows / (whole + part)))
    taken = {
        steps: planned(declaration(0, keyframes, name, steps)) for steps in range(LEAST, MOST + 1)
    }
    return min(taken, key=lambda steps: abs(taken[steps] - rows))


def declaration(
    number: int, keyframes: Sequence[dict[str, Any]], name: str, steps: int | None
) -> dict[str, Any]:
    """A film in one of the product's ways, as the command line composes it."""
    root = KEPT / (name.replace(", ", "-").replace(" ", "-") + (f"-{steps}" if steps else ""))
    given = [f"output.fps={FPS}", "output.upscale=none", "sampling.blend=noise", *WAYS[name]]
    given += [f"scheduler.steps={steps}"] if steps else []
    return composed(given, keyframes, root, f"film{number}")


def product(
    number: int, keyframes: Sequence[dict[str, Any]], name: str, steps: int | None
) -> tuple[list[list[Picture]], int]:
    """A film through the product's own path."""
    content = declaration(number, keyframes, name, steps)
    rows = planned(content)
    rendered(content)
    folder = Path(content["root"]) / f"film{number}" / "frames"
    pictures = [
        np.asarray(Image.open(frame_path(folder, index)))
        for index in range(FPS * (len(keyframes) - 1) + 1)
    ]
    return in_segments(pictures), rows


def planned(content: dict[str, Any]) -> int:
    """The denoiser rows of a whole film in an empty store."""
    from render.plan.cost import planned_rows

    film = declared({**content, "root": str(KEPT / "none")})
    given = (film.plan.recipe, film.scheduler, film.model.family)
    return planned_rows(film.plan.frames, *given)


def in_segments(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """The pictures from each keyframe to the next one, with both."""
    return [list(pictures[at : at + FPS + 1]) for at in range(0, len(pictures) - 1, FPS)]


def dissolve(segment: Sequence[Picture]) -> list[Picture]:
    """The first picture of a segment dissolves into its last."""
    weights = np.linspace(0, 1, len(segment))[:, None, None, None]
    mixed = (1 - weights) * segment[0] + weights * segment[-1]
    return list(mixed.round().astype(np.uint8))


# --- a tree of latents ---------------------------------------------------------------------------


def tree(
    keyframes: Sequence[dict[str, Any]], steps: int | None = None
) -> tuple[list[list[Picture]], int]:
    """Each segment as a tree (after lunarring/latentblending): new branches begin at a given depth
    from the slerp of their parents' latents, with the lerp of their texts, always where pictures
    differ most. They are spread over time by their distances, with dissolves between them."""
    import torch
    from diffusers import StableDiffusionPipeline

    from render.diffusion.noise import slerp

    film = declared(composed([], keyframes, KEPT / "none", "film"))
    folder = str(film.model.source.folder)
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )
    steps, guidance = steps or film.plan.recipe.steps, film.plan.frames[0].spec.guidance
    first = round(DEPTH * steps)
    rows = 0

    def text(prompt: str) -> torch.Tensor:
        embedding: torch.Tensor = pipeline.encode_prompt(prompt, "cpu", 1, False)[0]
        return embedding

    def denoised(latents: torch.Tensor, embedding: torch.Tensor, begin: int) -> list[torch.Tensor]:
        """The latents before each step from `begin`, and after the last."""
        nonlocal rows
        scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        scheduler.set_timesteps(steps)
        if begin:
            scheduler.set_begin_index(begin)
        kept = [latents]
        for time in scheduler.timesteps[begin:]:
            both = torch.cat([empty, embedding])
            predicted = pipeline.unet(torch.cat([latents] * 2), time, both).sample
            u, c = predicted.chunk(2)
            latents = scheduler.step(u + guidance * (c - u), time, latents).prev_sample
            kept.append(latents)
            rows += 2
        return kept

    def picture(latents: torch.Tensor) -> Picture:
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
        shown = (decoded / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0)
        result: Picture = (shown.numpy() * 255).round().astype(np.uint8)
        return result

    found = []
    with torch.inference_mode():
        empty = text("")
        side = film.plan.recipe.height // pipeline.vae_scale_factor
        shape = (1, pipeline.unet.config.in_channels, side, side)
        for one, other in pairwise(keyframes):
            branches = []
            for place, keyframe in ((0.0, one), (1.0, other)):
                generator = torch.Generator("cpu").manual_seed(keyframe["seed"])
                noise = torch.randn(shape, generator=generator)
                embedding = text(keyframe["prompt"])
                kept = denoised(noise * pipeline.scheduler.init_noise_sigma, embedding, 0)
                branches.append((place, embedding, kept, picture(kept[-1])))
            while len(branches) < FPS + 1:
                gaps = [distances(lab([a[3], b[3]]))[0] for a, b in pairwise(branches)]
                widest = int(np.argmax(gaps))
                before, after = branches[widest : widest + 2]
                place = (before[0] + after[0]) / 2
                embedding = (1 - place) * branches[0][1] + place * branches[-1][1]
                start = slerp(before[2][first], after[2][first], 0.5)
                kept = [*before[2][:first], *denoised(start, embedding, first)]
                branches.insert(widest + 1, (place, embedding, kept, picture(kept[-1])))
            found.append(spread([branch[3] for branch in branches]))
    return found, rows


def attention(
    keyframes: Sequence[dict[str, Any]], steps: int | None = None
) -> tuple[list[list[Picture]], int]:
    """Each segment by attention interpolation, and the denoiser rows."""
    import torch
    from attention import interpolated
    from diffusers import StableDiffusionPipeline

    film = declared(composed([], keyframes, KEPT / "none", "film"))
    pipeline = StableDiffusionPipeline.from_pretrained(
        str(film.model.source.folder), local_files_only=True, dtype=torch.float32
    )
    recipe = film.plan.recipe
    side = recipe.height // pipeline.vae_scale_factor
    guidance = film.plan.frames[0].spec.guidance
    return interpolated(pipeline, keyframes, FPS, steps or recipe.steps, guidance, side)


def spread(pictures: Sequence[Picture]) -> list[Picture]:
    """As many frames as a segment shows, by the pictures' distances, with dissolves between."""
    lengths = np.concatenate([[0], np.cumsum(distances(lab(pictures)))])
    places = np.interp(np.linspace(0, lengths[-1], FPS + 1), lengths, range(len(pictures)))
    shown = []
    for place in places:
        below = min(int(place), len(pictures) - 2)
        mixed = (1 - place + below) * pictures[below] + (place - below) * pictures[below + 1]
        shown.append(mixed.round().astype(np.uint8))
    return shown


# --- judging -------------------------------------------------------------------------------------


def lab(pictures: Sequence[Picture]) -> Floats:
    """CIE Lab of copies of 64 pixels a side, with L from 0 to 1."""
    copies = [Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.BOX) for each in pictures]
    values = np.stack([np.asarray(copy) for copy in copies]).astype(np.float32) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = linear @ MATRIX.T / WHITE
    bent = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(bent, -1, 0)
    result: Floats = np.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)], -1).astype(np.float32)
    return result


def judged(segment: Sequence[Picture]) -> Row:
    """The figures of one segment."""
    colours = lab(segment)
    steps = distances(colours)
    readings = [read_pixels(picture) for picture in segment]
    sharpness = against_ends(np.array([reading.sharpness for reading in readings]))
    return Row(
        gini=gini(steps),
        largest=largest_over_median(steps) or 1.0,
        flashes=len(flashes(steps, distances(colours, 2))),
        path=path_over_direct(colours) or 1.0,
        sharpness=sharpness[0] if sharpness else 1.0,
        double=double_exposure(np.stack([reading.small for reading in readings])) or 0.0,
    )


def table(rows: Mapping[str, Sequence[Row]], cost: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Medians over the segments, and in brackets the value that nine of ten segments keep."""
    count = max(map(len, rows.values()))
    yield f"{count} segments of {FPS} frames; the median, and in brackets the worst tenth begins"
    yield ""
    yield "| way | rows a frame | Gini | largest / median | flashes | path / direct | sharpness | double exposure |"  # noqa: E501
    yield "|---|---|---|---|---|---|---|---|"
    for name, each in rows.items():
        frames = len(each) * FPS + len(cost[name])
        cells = [
            f"{sum(cost[name]) / frames:.1f}",
            both([row.gini for row in each], ".2f"),
            both([row.largest for row in each], ".1f"),
            f"{sum(row.flashes for row in each)}",
            both([row.path for row in each], ".2f"),
            both([row.sharpness for row in each], ".2f", min),
            both([row.double for row in each], ".2f"),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def draw(target: Path, rows: Mapping[str, Sequence[Row]]) -> None:
    """How straight and how even each way is: lower and farther left is better."""
    from plots import BLUE, GREY, ORANGE, figure, label, save

    chart, axes = figure()
    points, texts = [], []
    for name, each in rows.items():
        point = tuple(
            statistics.median(getattr(row, key) for row in each) for key in ("gini", "path")
        )
        ours = name.startswith("smooth")
        axes.plot(*point, "o", color=BLUE if ours else GREY if name == DISSOLVE else ORANGE)
        texts.append(axes.annotate(name, point, xytext=(0, 0), textcoords="offset points"))
        points.append(point)
    axes.set(xlabel="Gini of the steps: how uneven", ylabel="path / direct: how far round")
    label(axes, points, texts)
    save(chart, target)


def side_by_side(target: Path, columns: Sequence[Sequence[Picture]]) -> None:
    """Films beside each other, as an animation at half of their rate and half of their size."""
    shown = [Image.fromarray(np.hstack(pictures)) for pictures in zip(*columns, strict=True)][::2]
    small = [
        each.resize((each.width // 2, each.height // 2), Image.Resampling.BOX) for each in shown
    ]
    milliseconds = round(2000 / FPS)
    small[0].save(
        target, save_all=True, append_images=small[1:], duration=milliseconds, loop=0, quality=45
    )
    print(f"beside each other in {target}: {', '.join(BESIDE)}")


def both(values: Sequence[float], form: str, worst: Callable[..., float] = max) -> str:
    """The median and where the worst tenth begins."""
    part = 0.1 if worst is min else 0.9
    return f"{statistics.median(values):{form}} ({np.quantile(values, part):{form}})"


if __name__ == "__main__":
    main()
