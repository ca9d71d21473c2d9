"""`python -m training.film make | eval`: make the network for pictures in between, measure it."""

import argparse
import os
from pathlib import Path

WORKING_FOLDER = Path("outputs/.film")


def main() -> None:
    """Read the command line and do what it says."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    parser = argparse.ArgumentParser(prog="python -m training.film", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="train the network, or go on, and write its weights")
    make.add_argument("--samples", type=int, help="crops of triplets that it sees")
    make.add_argument("--films", type=int, default=40, help="of the embedded model, to learn from")
    make.add_argument("--processes", type=int, help="default: one a core")
    commands.add_parser("eval", help="measure the trained weights on films that no training saw")
    for command in commands.choices.values():
        command.add_argument("--folder", type=Path, default=WORKING_FOLDER)
    asked = parser.parse_args()
    {"make": _make, "eval": _evaluate}[asked.command](asked)


def _make(asked: argparse.Namespace) -> None:
    from dataclasses import replace

    from training.film.films import kept_films
    from training.film.learn import FilmTraining, train_film, write_film
    from training.film.triplets import WEIGHTS

    training = FilmTraining()
    if asked.samples:
        training = replace(training, samples=asked.samples)
    films = kept_films(asked.folder / "films", asked.films)
    train_film(asked.folder, training, films, asked.processes)
    write_film(asked.folder, asked.folder / WEIGHTS, training.shape)
    print(f"the weights are in {asked.folder / WEIGHTS}")


def _evaluate(asked: argparse.Namespace) -> None:
    from training.film.judged import evaluate

    evaluate(asked.folder)


if __name__ == "__main__":
    main()
