"""The cost of each approximation in picture, on storybook.

    python benchmarks/quality.py [--settings exact balanced ...] [--plot docs/pareto.webp]

Twenty pairs of prompts of the storybook grammar (five films of four segments; some change the seed
as well), each a second of 12 frames between two keyframes, are rendered with every setting of the
table below through the product's own path, film by film, so that a setting takes turns with
`exact`. Everything is measured against `exact` at the same times of the film: a setting that shows
fewer frames is judged by those, one that is smaller is enlarged. Rows and seconds are those of the
film's frames, also of frames that a setting leaves out. What is finished is kept under
outputs/.bench/quality and not rendered again; --again forgets it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from likeness import (
    DIP,
    Picture,
    decibels,
    dip,
    largest_step,
    nearest,
    resized,
    smoothness,
    squared_errors,
    ssim,
)
from plots import BLUE, GREY, ORANGE, figure, label, save
from product import Composed, composed, declared, machine, pictures, rendered

from render.errors import ConfigError
from training.storybook.captions import caption
from training.storybook.examples import is_possible
from training.storybook.scene import Description, sample_description

SETTINGS: dict[str, list[str]] = {
    "exact": [],
    "balanced": ["sampling.speed=balanced"],
    "draft": ["sampling.speed=draft"],
    "guidance to .8": ["sampling.guidance_interval=[0,0.8]"],
    "4 anchors": ["sampling.anchors=4", "sampling.early_steps=1"],
    "4 anchors for .5": ["sampling.anchors=4", "sampling.early_steps=0.5"],
    "3 anchors": ["sampling.anchors=3", "sampling.early_steps=1"],
    "2 anchors": ["sampling.anchors=2", "sampling.early_steps=1"],
    "deep cache 2": ["sampling.deep_cache=2"],
    ".6 of the steps": ["sampling.fewer_steps=0.6"],
    "every 3rd frame": ["sampling.every=3"],
    "bfloat16": ["compute.dtype=bfloat16"],
    "int8": ["compute.engine=openvino", "compute.quantised=int8"],
    "half the size": ["sampling.shrink=2"],
    "dpmpp_2m in 6 steps": ["scheduler=dpmpp_2m", "scheduler.steps=6"],
}
"""Overrides by what they are called in tables and plot. PSNR of frames that a setting only shows
longer is not asked: a setting is judged by the frames that it renders."""

PRESETS = ("exact", "balanced", "draft")
KEPT = Path("outputs/.bench/quality")
FIRST_SCENE = 910_000_000  # far from every training picture
SEGMENTS = 4  # of a film
FPS = 12
CLOSE = 28  # dB: hardly a visible difference

Film = dict[float, Picture]
"""Pictures by their time in seconds."""


@dataclass(frozen=True)
class Record:
    """The rows and seconds of a film with one setting."""

    overrides: list[str]
    plan: str
    """Its digest."""
    rows: int
    seconds: float
    """Of rendering alone, without loading."""


@dataclass(frozen=True)
class Row:
    """A setting in the tables. It is compared with `exact` at the setting's own frames."""

    name: str
    rows: float
    """Of the denoiser, a frame of the film."""
    seconds: float
    rows_share: float
    seconds_share: float
    psnr: float
    """Of the squared error over all frames, in which the few that are far off count most."""
    mean_psnr: float
    """The mean of the frames' own, of those that differ at all."""
    close: float
    """Share of the frames that are as close as CLOSE."""
    worst: float
    dip: float
    worst_dip: float
    faults: int
    smooth: float
    exact_smooth: float
    jump: float
    exact_jump: float
    size: tuple[int, int]
    fps: int
    ssim: float
    own_pair: float
    """Share of the frames whose nearest frame of all exact films is of the same pair."""
    own_frame: float
    """The same, and at most one frame away."""


def main() -> None:
    """Render what is missing, then the tables and the plot."""
    asked = arguments()
    films = list(prompt_films(-(-asked.pairs // SEGMENTS)))
    settings = usable({name: SETTINGS[name] for name in asked.settings}, films[0], asked)
    print("\n".join(machine("torch", "diffusers", "numpy")), flush=True)
    if asked.again:
        shutil.rmtree(KEPT, ignore_errors=True)
    records: dict[str, list[Record]] = {name: [] for name in settings}
    for number, keyframes in enumerate(films):
        for name, overrides in settings.items():
            records[name].append(measured(number, name, overrides, keyframes, asked))
    exact = shown_films("exact", films, asked)
    rows = [judged(name, records, shown_films(name, films, asked), exact) for name in settings]
    print("\n".join(table(rows, len(films) * SEGMENTS, asked)))
    if asked.plot:
        draw(rows, asked)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--pairs", type=int, default=20, help="rounded up to whole films of 4")
    parser.add_argument("--scheduler", default="lms")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--set", nargs="*", default=[], help="overrides for all settings")
    parser.add_argument("--axis", choices=["seconds", "rows"], default="seconds")
    parser.add_argument("--plot", type=Path, help="where to draw: docs/pareto.webp")
    parser.add_argument("--again", action="store_true", help="forget what was rendered before")
    asked = parser.parse_args()
    asked.settings = list(dict.fromkeys(["exact", *asked.settings]))
    return asked


def prompt_films(count: int) -> Iterator[list[dict[str, Any]]]:
    """Keyframes a second apart; from one to the next about half of the scene changes, and in every
    second film the seed does twice."""
    rng = np.random.default_rng(FIRST_SCENE)
    for number in range(count):
        shown, keyframes = sample_description(rng), []
        for at in range(SEGMENTS + 1):
            seed = 100 * number + (at // 2 if number % 2 else 0) + 1
            keyframes.append({"at": at, "prompt": caption(shown, rng), "seed": seed})
            shown = changed(shown, rng)
        yield keyframes


def changed(shown: Description, rng: np.random.Generator) -> Description:
    """About half of the attributes from another description, and never none; all of them where the
    mixture can't be seen together."""
    other = sample_description(rng)
    names = [field.name for field in fields(Description) if rng.random() < 0.5] or ["place"]
    mixed = replace(shown, **{name: getattr(other, name) for name in names})
    return mixed if is_possible(mixed) else other


def usable(
    settings: dict[str, list[str]], keyframes: list[dict[str, Any]], asked: argparse.Namespace
) -> dict[str, list[str]]:
    """The settings that this version and this machine have; the others are named."""
    found = {}
    for name, overrides in settings.items():
        try:
            declared(config(0, name, overrides, keyframes, asked))
            found[name] = overrides
        except ConfigError as error:
            print(f"left out: {name}: {str(error).partition(chr(10))[0]}")
    return found


def config(
    number: int,
    name: str,
    overrides: Sequence[str],
    keyframes: Sequence[dict[str, Any]],
    asked: argparse.Namespace,
) -> Composed:
    """The run of one film with one setting, in a root of its own: nothing is taken over."""
    common = [
        f"output.fps={FPS}",
        f"scheduler={asked.scheduler}",
        f"scheduler.steps={asked.steps}",
        f"sampling.guidance={asked.guidance}",
        "sampling.blend=noise",
        *asked.set,
    ]
    sampler = f"{asked.scheduler}-{asked.steps}-{asked.guidance:g}"
    root = KEPT / sampler / name.replace(" ", "-") / str(number)
    return composed([*common, *overrides], keyframes, root, "film")


def measured(
    number: int,
    name: str,
    overrides: list[str],
    keyframes: list[dict[str, Any]],
    asked: argparse.Namespace,
) -> Record:
    """Render a film, unless it is there with its record."""
    content, given = config(number, name, overrides, keyframes, asked), [*asked.set, *overrides]
    note = Path(content["root"]) / "record.json"
    if note.exists():
        record = Record(**json.loads(note.read_text()))
        if (record.overrides, record.plan) == (given, declared(content).plan.digest):
            return record
    shutil.rmtree(content["root"], ignore_errors=True)
    run_json = rendered(content)
    record = Record(given, run_json["plan"], run_json["rows"], run_json["seconds"]["render"])
    note.write_text(json.dumps(asdict(record)))
    frames = SEGMENTS * FPS + 1
    speed = f"{record.seconds / frames:.3f} s and {record.rows / frames:.1f} rows a frame"
    print(f"film {number}: {name}, {speed}", flush=True)
    return record


def shown_films(
    name: str, films: Sequence[list[dict[str, Any]]], asked: argparse.Namespace
) -> list[Film]:
    """All pictures of a setting, film by film."""
    return [
        pictures(declared(config(number, name, SETTINGS[name], keyframes, asked)))
        for number, keyframes in enumerate(films)
    ]


def judged(
    name: str, records: dict[str, list[Record]], films: list[Film], exact: list[Film]
) -> Row:
    """A setting's row in the tables."""
    first = next(iter(films[0].values()))
    size = next(iter(exact[0].values())).shape[1::-1]
    times = sorted(set(films[0]) & set(exact[0]))
    enlarged = [{time: resized(film[time], size) for time in times} for film in films]
    made = [cut for film in enlarged for cut in segments(film)]
    truth = [cut for film in exact for cut in segments({time: film[time] for time in times})]
    errors = np.concatenate([squared_errors(a, b) for a, b in zip(made, truth, strict=True)])
    dips = [dip(a) / max(dip(b), 1e-9) for a, b in zip(made, truth, strict=True)]
    own, base = records[name], records["exact"]
    shares = [a.seconds / b.seconds for a, b in zip(own, base, strict=True)]
    pair, frame = retrieval(enlarged, exact)
    frames = len(films) * (SEGMENTS * FPS + 1)
    return Row(
        name=name,
        rows=sum(r.rows for r in own) / frames,
        seconds=sum(r.seconds for r in own) / frames,
        rows_share=sum(r.rows for r in own) / sum(r.rows for r in base),
        seconds_share=statistics.median(shares),
        psnr=decibels(float(errors.mean())),
        mean_psnr=mean_psnr(errors.tolist()),
        close=float(np.mean([decibels(error) >= CLOSE for error in errors])),
        worst=decibels(float(errors.max())),
        dip=statistics.median(dips),
        worst_dip=min(dips),
        faults=sum(share < DIP for share in dips),
        smooth=statistics.mean(map(smoothness, made)),
        exact_smooth=statistics.mean(map(smoothness, truth)),
        jump=statistics.mean(map(largest_step, made)),
        exact_jump=statistics.mean(map(largest_step, truth)),
        size=first.shape[1::-1],
        fps=(len(films[0]) - 1) // SEGMENTS,
        ssim=statistics.mean(
            ssim(film[time], true[time])
            for film, true in zip(enlarged, exact, strict=True)
            for time in times
        ),
        own_pair=pair,
        own_frame=frame,
    )


def mean_psnr(errors: Sequence[float]) -> float:
    """The mean of the dB of frames that differ; infinite if none does."""
    return statistics.mean([decibels(error) for error in errors if error] or [float("inf")])


def segments(film: Film) -> Iterator[list[Picture]]:
    """The pictures of every pair, both keyframes included."""
    for start in range(SEGMENTS):
        yield [film[time] for time in sorted(film) if start <= time <= start + 1]


def retrieval(films: list[Film], exact: list[Film]) -> tuple[float, float]:
    """How often a frame's nearest frame of all exact films is of its own pair; and of its own
    time, to a frame."""
    known = [(number, time) for number, film in enumerate(exact) for time in film]
    found = nearest_places(films, [exact[number][time] for number, time in known])
    own_pair, own_frame = [], []
    for (number, time), place in found:
        other, when = known[place]
        near = abs(when - time) * FPS
        own_pair.append(other == number and (near < 1.5 or int(when) == int(time)))
        own_frame.append(other == number and near < 1.5)
    return float(np.mean(own_pair)), float(np.mean(own_frame))


def nearest_places(
    films: list[Film], among: list[Picture]
) -> Iterator[tuple[tuple[int, float], int]]:
    """(film, time) of every frame, and the place of the picture that is nearest to it."""
    asked = [(number, time) for number, film in enumerate(films) for time in film]
    places = nearest([films[number][time] for number, time in asked], among)
    return zip(asked, places.tolist(), strict=True)


def table(rows: Sequence[Row], pairs: int, asked: argparse.Namespace) -> Iterator[str]:
    """Markdown: the cost of every setting, then how well it predicts the exact film."""
    sampler = f"{asked.steps} steps of {asked.scheduler}, guidance {asked.guidance:g}"
    yield f"\n{pairs} pairs of prompts, {sampler}; × is how many times as fast as exact.\n"
    yield (
        "| setting | s a frame | × | rows a frame | × | PSNR to exact "
        f"| mean of frames that differ | frames of {CLOSE} dB | worst frame "
        "| sharpness between keyframes (worst, faults) | smoothness (exact's) "
        "| largest step (exact's) |"
    )
    yield "|---|" + "---|" * 11
    for row in rows:
        yield (
            f"| {row.name} | {row.seconds:.3f} | {1 / row.seconds_share:.2f} | {row.rows:.1f} "
            f"| {1 / row.rows_share:.2f} | {in_db(row.psnr)} "
            f"| {in_db(row.mean_psnr)} | {row.close:.0%} | {in_db(row.worst)} "
            f"| {row.dip:.2f} ({row.worst_dip:.2f}, {row.faults}) "
            f"| {row.smooth:.3f} ({row.exact_smooth:.3f}) "
            f"| {row.jump:.2f} ({row.exact_jump:.2f}) |"
        )
    yield "\n| setting | frames | PSNR | SSIM | finds its pair | finds its frame |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        shown = f"{row.size[0]} × {row.size[1]}, {row.fps} a second"
        yield (
            f"| {row.name} | {shown} | {in_db(row.psnr)} | {row.ssim:.3f} | {row.own_pair:.0%} "
            f"| {row.own_frame:.0%} |"
        )


def in_db(value: float) -> str:
    """`31.2 dB`, and a dash for equal pictures."""
    return "–" if np.isinf(value) else f"{value:.1f} dB"


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those (cost, quality) that nothing cheaper equals, from the cheapest on."""
    kept: list[tuple[float, float]] = []
    for cost, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((cost, quality))
    return kept


def draw(rows: Sequence[Row], asked: argparse.Namespace) -> None:
    """Cost against likeness: further to the left and above is better."""
    shares = {row.name: getattr(row, f"{asked.axis}_share") for row in rows}
    others = [row for row in rows if np.isfinite(row.psnr)]
    drawn, axes = figure()
    best = front([(shares[row.name], row.psnr) for row in others])
    axes.plot(*zip(*best, strict=True), color=BLUE, alpha=0.35, linewidth=6, zorder=1)
    for preset, style in ((False, {"s": 42, "color": BLUE}), (True, {"s": 90, "color": ORANGE})):
        alike = [(shares[r.name], r.psnr) for r in others if (r.name in PRESETS) == preset]
        if alike:
            axes.scatter(
                *zip(*alike, strict=True), zorder=3, marker="D" if preset else "o", **style
            )
    axes.axvline(1, color=GREY, linewidth=1, linestyle=":")
    axes.annotate(
        "exact", (1, 1), xycoords=("data", "axes fraction"), ha="right", va="top", color=GREY,
        xytext=(-6, 0), textcoords="offset points",
    )  # fmt: skip
    axes.set(xlabel=f"{asked.axis} a frame, exact = 1", ylabel="PSNR to exact, dB")
    axes.set_xlim(0, max(1.05, *shares.values()))
    axes.margins(y=0.12)
    points = [(shares[row.name], row.psnr) for row in others]
    texts = [
        axes.annotate(
            row.name, point, xytext=(9, 0), textcoords="offset points",
            weight="bold" if row.name in PRESETS else "normal",
        )
        for row, point in zip(others, points, strict=True)
    ]  # fmt: skip
    label(axes, points, texts)
    save(drawn, asked.plot)


if __name__ == "__main__":
    main()
