"""How well pictures between two are made, beside a dissolve and what follows OpenCV's flow."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from render.engines.film import FilmNetwork
from render.engines.film_inbetweens import between, by_film
from render.video.inbetweens import Between, dissolved
from training.film.films import JUDGED_SEED, films_there, left_out
from training.film.triplets import WEIGHTS, Triplet, changing, panned
from training.storybook.examples import Pixels

UNSEEN = 90_000_000  # numbers of triplets that no training draws
JUDGED = 12  # of each kind


def judged_triplets(folder: Path) -> list[Triplet]:
    """Triplets that no training sees, as many of scenes that change, of those that move, and of
    films that are in a folder, if any are."""
    films = left_out(films_there(folder / "films", JUDGED_SEED), 4)
    painted = [make(UNSEEN + i) for make in (changing, panned) for i in range(JUDGED)]
    return painted + films[:: max(1, len(films) // JUDGED)][:JUDGED]


def ways(network: FilmNetwork) -> dict[str, Between]:
    """The network and what it is compared with."""
    ours = partial(between, partial(by_film, network), "cpu", Path("film"))
    return {"film": ours, **others()}


def others() -> dict[str, Between]:
    """A dissolve, and what follows OpenCV's flow if that is there."""
    found: dict[str, Between] = {"dissolve": dissolved}
    try:
        from render.video.flow import opened

        found["flow"] = opened("cpu")
    except ImportError:  # without OpenCV
        pass
    return found


def decibels(made: Pixels, wanted: Pixels) -> float:
    """PSNR of a picture."""
    error = np.square(made.astype(np.float64) - wanted).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def figures(make: Between, triplets: Iterable[Triplet]) -> list[float]:
    """PSNR of each triplet's middle picture."""
    return [
        decibels(np.asarray(make(each.before, each.after, [each.place])[0]), each.middle)
        for each in triplets
    ]


def report(network: FilmNetwork, triplets: Sequence[Triplet]) -> str:
    """The mean PSNR of each way, of each kind of triplets."""
    said = []
    for name, make in ways(network).items():
        of = figures(make, triplets)
        kinds = [of[begin : begin + JUDGED] for begin in range(0, len(of), JUDGED)]
        said.append(f"{name} {' / '.join(f'{np.mean(each):.2f}' for each in kinds)} dB")
    return ", ".join(said)


def evaluate(folder: Path, films: int = 12) -> None:
    """Print how the trained network does on films of the embedded model that no training saw, with
    pictures left out, and write the worst tenth as a sheet: both ends, the truth, and each way."""
    from PIL import Image

    from render.engines.film_inbetweens import opened
    from training.film.films import kept_films
    from training.storybook.sheets import sheet

    made = {"film": opened(folder / WEIGHTS, "cpu"), **others()}
    shots = kept_films(folder / "films", films, JUDGED_SEED)
    for every in (2, 4):
        triplets = left_out(shots, every)
        of = {name: np.array(figures(way, triplets)) for name, way in made.items()}
        for name, found in of.items():
            worst = np.sort(found)[: max(1, len(found) // 10)].mean()
            print(f"every {every}: {name} {found.mean():.2f} dB, worst tenth {worst:.2f} dB")
        rows = []
        for index in np.argsort(of["film"])[:5]:
            one = triplets[index]
            rows += [one.before, one.middle, one.after]
            rows += [way(one.before, one.after, [one.place])[0] for way in made.values()]
        target = folder / f"worst-every-{every}.png"
        Image.fromarray(sheet(rows, 3 + len(made))).save(target)
        print(f"the worst in {target}: before, truth, after, {', '.join(made)}")
