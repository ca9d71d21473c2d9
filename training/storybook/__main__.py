"""`python -m training.storybook make | eval | paint`: make the model, measure it, look at it."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

WORKING_FOLDER = Path("outputs/.storybook")


def main() -> None:
    """Read the command line and do what it says."""
    # Else every process of a training says that there is no torchvision, which nothing here needs.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    asked = _parser().parse_args()
    if asked.command == "paint":
        _paint(asked)
    elif asked.command == "make":
        _make(asked)
    else:
        _evaluate(asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.storybook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="make the model from nothing, or go on making it")
    make.add_argument("--folder", type=Path, default=WORKING_FOLDER)
    make.add_argument("--pictures", type=int, help="painted pictures")
    make.add_argument("--autoencoder-samples", type=int, help="crops the autoencoder sees")
    make.add_argument("--denoiser-samples", type=int, help="pictures the denoiser sees")
    evaluate = commands.add_parser("eval", help="measure a model and write pictures of it")
    evaluate.add_argument("--folder", type=Path, default=WORKING_FOLDER, help="for the report")
    evaluate.add_argument("--model", type=Path, help="a diffusers folder; default: the package's")
    evaluate.add_argument("--pictures", type=int, default=500, help="rendered for the probe")
    paint = commands.add_parser("paint", help="a sheet of painted pictures with their captions")
    paint.add_argument("--out", type=Path, default=Path("painted.png"))
    paint.add_argument("--seed", type=int, default=0)
    paint.add_argument("--size", type=int, default=128, help="pixels a side")
    return parser


def _make(asked: argparse.Namespace) -> None:
    from training.storybook.make import Making, make_storybook

    making = Making()
    if asked.pictures:
        making = replace(making, pictures=asked.pictures)
    if asked.autoencoder_samples:
        shorter = replace(making.autoencoder, samples=asked.autoencoder_samples)
        making = replace(making, autoencoder=shorter)
    if asked.denoiser_samples:
        making = replace(making, denoiser=replace(making.denoiser, samples=asked.denoiser_samples))
    make_storybook(asked.folder, making)


def _evaluate(asked: argparse.Namespace) -> None:
    from training.storybook.evaluation import WEIGHTS, evaluate

    evaluate(asked.model or WEIGHTS, asked.folder / "evaluation", asked.pictures)


def _paint(asked: argparse.Namespace) -> None:
    from PIL import Image

    from training.storybook.dataset import example
    from training.storybook.painter import paint
    from training.storybook.sheets import sheet

    examples = [example(asked.seed * 40 + index) for index in range(40)]
    for scene, texts in examples:
        print(f"{scene.place:12} {texts[0]}")
    Image.fromarray(sheet([paint(scene, asked.size) for scene, _ in examples], 8)).save(asked.out)


if __name__ == "__main__":
    main()
