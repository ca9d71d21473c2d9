"""`python -m training.storybook make | eval | paint | morph`: make the model, measure it, look."""

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
    commands = {"make": _make, "eval": _evaluate, "paint": _paint, "morph": _morph}
    commands[asked.command](asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.storybook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="make the model from nothing, or go on making it")
    make.add_argument(
        "stages", nargs="*", help="autoencoder data denoiser decoder upscaler probe weights"
    )
    make.add_argument("--folder", type=Path, default=WORKING_FOLDER)
    make.add_argument("--examples", type=int, help="encoded for the denoiser")
    make.add_argument("--autoencoder-samples", type=int, help="crops the autoencoder sees")
    make.add_argument("--denoiser-samples", type=int, help="pictures the denoiser sees")
    make.add_argument("--decoder-samples", type=int, help="pictures the decoder sees at the end")
    make.add_argument("--processes", type=int, help="default: one a core")
    evaluate = commands.add_parser("eval", help="measure a model and write pictures of it")
    evaluate.add_argument("--folder", type=Path, default=WORKING_FOLDER, help="for the report")
    evaluate.add_argument("--model", type=Path, help="a diffusers folder; default: the package's")
    evaluate.add_argument("--beside", type=Path, help="another version's folder, measured as well")
    evaluate.add_argument("--probe", type=Path, help="the judge; default: the repository's")
    evaluate.add_argument("--pictures", type=int, default=500, help="rendered for the probe")
    for name, what in (("paint", "a sheet of pictures"), ("morph", "a sheet of morphs")):
        sheet = commands.add_parser(name, help=f"{what}, with captions on the terminal")
        sheet.add_argument("--out", type=Path, default=Path(f"{name}.png"))
        sheet.add_argument("--seed", type=int, default=0)
        sheet.add_argument("--rows", type=int, default=5)
    return parser


def _make(asked: argparse.Namespace) -> None:
    from training.storybook.make import STAGES, Making, make_storybook

    making = Making(processes=asked.processes)
    if asked.examples:
        making = replace(making, encoding=replace(making.encoding, examples=asked.examples))
    if asked.autoencoder_samples:
        other = replace(making.autoencoder, samples=asked.autoencoder_samples)
        making = replace(making, autoencoder=other)
    if asked.denoiser_samples:
        making = replace(making, denoiser=replace(making.denoiser, samples=asked.denoiser_samples))
    if asked.decoder_samples:
        making = replace(making, decoder=replace(making.decoder, samples=asked.decoder_samples))
    make_storybook(asked.folder, making, tuple(asked.stages) or STAGES)


def _evaluate(asked: argparse.Namespace) -> None:
    from render.storybook import WEIGHTS
    from training.storybook.evaluation import PROBE, evaluate

    model, probe = asked.model or WEIGHTS, asked.probe or PROBE
    evaluate(model, probe, asked.folder / "evaluation", asked.pictures, asked.beside)


def _paint(asked: argparse.Namespace) -> None:
    from PIL import Image

    from training.storybook.examples import example
    from training.storybook.painter import paint
    from training.storybook.scene import scene_of
    from training.storybook.sheets import sheet

    examples = [example(asked.seed * 1000 + index) for index in range(6 * asked.rows)]
    for found in examples:
        print(found.start_captions[0])
    pictures = [paint(scene_of(found.start, found.seed)) for found in examples]
    Image.fromarray(sheet(pictures, 6)).save(asked.out)


def _morph(asked: argparse.Namespace, steps: int = 9) -> None:
    from PIL import Image

    from training.storybook.examples import example
    from training.storybook.painter import paint
    from training.storybook.sheets import sheet

    pictures = []
    for index in range(asked.rows):
        found = example(asked.seed * 1000 + index)
        print(found.start_captions[0], "→", found.end_captions[0])
        pictures += [paint(replace(found, t=i / (steps - 1)).scene) for i in range(steps)]
    Image.fromarray(sheet(pictures, steps)).save(asked.out)


if __name__ == "__main__":
    main()
