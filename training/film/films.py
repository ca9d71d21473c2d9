"""Dense films of the embedded model, to learn from and to judge by: they show what lies between.

A film goes from one caption to another by the blend of their embeddings, on the smooth path.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import render
from training.film.triplets import Shots, Triplet
from training.storybook.examples import example

FIRST_SEED = 3_800_000
JUDGED_SEED = 970_000_000
FPS, SECONDS = 24, 2


def film_shots(number: int, seed: int = FIRST_SEED, steps: int = 12) -> Shots:
    """The pictures of a film, (49, 256, 256, 3)."""
    found = example(number, seed)
    ends = found.start_captions[0], found.end_captions[0]
    keyframes: list[dict[str, Any]] = [
        {"at": SECONDS * place, "prompt": prompt, "seed": found.seed}
        for place, prompt in enumerate(ends)
    ]
    with tempfile.TemporaryDirectory() as folder:
        film = render.load(
            {"name": "film", "keyframes": keyframes},
            *(f"root={folder}", f"output.fps={FPS}", f"scheduler.steps={steps}"),
            *("sampling.path=smooth", "scheduler=dpmpp_2m", "sampling.blend=embedding"),
        )
        return np.stack([np.asarray(frame.image.convert("RGB")) for frame in film.render()])


def kept_films(folder: Path, count: int, seed: int = FIRST_SEED) -> list[Shots]:
    """So many films, of which those that are in a folder are not rendered again."""
    folder.mkdir(parents=True, exist_ok=True)
    films = []
    for number in range(count):
        path = folder / f"{seed}-{number:04}.npy"
        if not path.exists():
            np.save(path, film_shots(number, seed))
            print(f"film {number + 1} of {count}", flush=True)
        films.append(np.load(path))
    return films


def films_there(folder: Path, seed: int) -> list[Shots]:
    """The films of a folder that are there."""
    return [np.load(path) for path in sorted(folder.glob(f"{seed}-*.npy"))]


def left_out(films: Sequence[Shots], every: int = 2) -> list[Triplet]:
    """Of each film the pictures between every so many, with those around them."""
    return [
        Triplet(shots[first], shots[first + inner], shots[first + every], inner / every)
        for shots in films
        for first in range(0, len(shots) - every, every)
        for inner in range(1, every)
    ]
