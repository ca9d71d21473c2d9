"""Small films, and a sweep, whose plans and pictures are kept: recorded once, and compared by every
test run.

    PYTHONPATH=tests python tests/golden/goldens.py      # records them anew

Recording is refused while pictures differ from those on disk under the same version of the recipe.
A picture that changes needs a raised version in the plan first, since finished frames are found
again by a digest that holds it.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from command_line import Place
from PIL import Image
from tiny_families import save_tiny_family
from tiny_loras import save_tiny_lora
from tiny_models import save_tiny_sd1

HERE = Path(__file__).parent
SIDE = 32  # pixels of a kept picture, area means of the rendered one
STORYBOOK = ("model=storybook", "scheduler.steps=3", "compute.dtype=float32")
SMALL = (
    "output.width=128",
    "output.height=128",
)  # a quarter of storybook's own area
NOISE = "sampling.blend=noise"
WALK = [
    {"at": 0, "prompt": "A snowy landscape with a castle at night", "seed": 3},
    {"at": 1, "prompt": "A green landscape with a small town", "seed": 4, "ease": "smooth"},
]
STILL_SEED = [{**WALK[0]}, {"at": 1, "prompt": WALK[1]["prompt"]}]


@dataclass(frozen=True)
class Golden:
    """One film: its keyframes, its overrides, and what its model is.

    Attributes:
        model: `storybook`, `sd1`, or a tiny family's name.
        exact: whether its digests are kept too; those of tiny models depend on the machine that
            draws their random weights.
        swept: the overrides of a sweep; each of its jobs is a film.
    """

    keyframes: list[dict]
    overrides: tuple[str, ...] = ()
    model: str = "storybook"
    swept: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        return self.model == "storybook"


FILMS = {
    "noise_blend": Golden(STILL_SEED, (NOISE, *SMALL)),
    "embedding_blend": Golden(STILL_SEED),  # as storybook's config says, at its own size
    "seed_walk": Golden(WALK, (NOISE, "scheduler=lms", "sampling.guidance=7", *SMALL)),
    "balanced": Golden(STILL_SEED, (NOISE, "sampling.speed=balanced", *SMALL)),
    "draft": Golden(WALK, ("sampling.speed=draft", *SMALL)),
    "start_image": Golden([{**WALK[0], "image": "start.png", "strength": 0.7}, WALK[1]], SMALL),
    "lora": Golden(
        STILL_SEED, ("model.loras=[{path: paint.safetensors, name: paint, weight: 0.6}]",), "sd1"
    ),
    "sdxl": Golden(WALK, (), "sdxl"),
    "sd3": Golden(WALK, (), "sd3"),
    "sweep": Golden(STILL_SEED, ("output.fps=1", *SMALL), swept=("sampling.guidance=3,7",)),
    "flux": Golden(STILL_SEED, ("output.width=32", "output.height=32"), "flux"),
}


def render(name: str, folder: Path) -> tuple[list[dict], np.ndarray]:
    """The plans as plan.json has them, one or that of each job, and all their pictures (frames,
    SIDE, SIDE, 3)."""
    golden = FILMS[name]
    place = Place(folder, folder / "model")
    place.timeline("golden", golden.keyframes)
    torch.manual_seed(0)  # some of the tiny models' values are drawn from the global generator
    if golden.model == "sd1":
        save_tiny_sd1(place.model)
        save_tiny_lora(place.model, folder / "paint.safetensors", 1)
    elif golden.model != "storybook":
        save_tiny_family(golden.model, place.model)
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (128, 1))] * 3, 2)).save(folder / "start.png")
    common = ["+timeline=golden", "output=frames", "output.fps=4", "compute=cpu"]
    if golden.model == "storybook":
        jobs = ("-m", *golden.swept) if golden.swept else ()
        ended = place.call(*jobs, *STORYBOOK, *common, *golden.overrides)
    else:
        ended = place.render("output=frames", "+timeline=golden", *golden.overrides)
    assert ended.code == 0, ended.err
    outputs = folder / "outputs"
    found = [(path.parent, json.loads(path.read_text())) for path in outputs.rglob("plan.json")]
    found.sort(key=lambda film: film[1]["frames"][0]["digest"])  # folders' names are not kept
    folders = [film.relative_to(outputs) for film, _ in found]
    pictures = [picture for film in folders for picture in place.pictures(film)]
    return [plan for _, plan in found], np.stack([small(picture) for picture in pictures])


def small(picture: np.ndarray) -> np.ndarray:
    """A picture as area means, SIDE x SIDE x 3."""
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def kept_plans(plans: list[dict], exact: bool) -> dict:
    """The part of a film's plan that is kept, or that of each job of a sweep."""
    kept = [kept_plan(plan, exact) for plan in plans]
    return kept[0] if len(kept) == 1 else {"version": kept[0]["version"], "jobs": kept}


def kept_plan(plan: dict, exact: bool) -> dict:
    """The part of a plan that is kept: each frame, without what depends on a tiny model's
    weights."""
    frames = [dict(frame) for frame in plan["frames"]]
    for frame in frames:
        if not exact:
            del frame["digest"]
        if "images" in frame:  # the file's hash depends on the library that wrote it
            frame["images"] = len(frame["images"])
    return {"rate": plan["rate"], "version": plan["recipe"]["version"], "frames": frames}


def record(name: str) -> None:
    """Write a film's plan and pictures beside this file.

    Raises:
        SystemExit: the pictures differ, and neither the recipe's version nor the frames'
            identities do, as they all do with another model.
    """
    with tempfile.TemporaryDirectory() as folder:
        plans, pictures = render(name, Path(folder))
    wanted, strip = kept_plans(plans, FILMS[name].exact), np.concatenate(pictures, axis=1)
    before = HERE / f"{name}.png"
    if before.exists():
        known = json.loads(before.with_suffix(".json").read_text())
        same = np.asarray(Image.open(before)).shape == strip.shape and close(before, strip)
        known_frames = known["version"] == wanted["version"] and (
            not FILMS[name].exact or digests(known) & digests(wanted)
        )
        if known_frames and not same:
            sys.exit(f"{name}: its pictures changed; raise the recipe's version first")
    before.with_suffix(".json").write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    Image.fromarray(strip).save(before, optimize=True)


def digests(kept: dict) -> set[str]:
    """The identities of the frames of a kept plan, or of those of its jobs."""
    return {frame["digest"] for plan in kept.get("jobs", [kept]) for frame in plan["frames"]}


def close(kept: Path, strip: np.ndarray) -> bool:
    """Whether pictures are those kept: no area mean off by more than 2 of 255, .25 on average."""
    off = np.abs(np.asarray(Image.open(kept)).astype(int) - strip)
    return bool(off.max() <= 2 and off.mean() <= 0.25)


if __name__ == "__main__":
    for film in sys.argv[1:] or FILMS:
        print(film, flush=True)
        record(film)
