"""The gain and the cost of `sampling.block_cache` on Flux's network with random weights.

    python benchmarks/block_cache.py [--blocks 1 2] [--side 64] [--steps 6] [--thresholds 0.1 0.4]
                                     [--dtype bfloat16] [--rounds 1] [--plot FILE.webp]

Two networks are made: a tiny one, and one with Flux's own width and heads, whose numbers of double
and single blocks are as asked for. Flux has 19 and 38: 340 million weights a double block and 142 a
single one, 11.9 billion in all, 23.8 GB in bfloat16. A film of two keyframes is rendered without
the cache and with each threshold in turn. Random weights answer less smoothly than trained ones, so
the share of blocks that is skipped says nothing of a trained model; that time falls with it, and
the picture with the threshold, can be seen.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from architectures import clip, clip_tokenizer, made_quickly
from likeness import psnr
from plots import BLUE, ORANGE, figure, label, save
from product import composed, declared, machine, pictures, rendered

KEPT = Path("outputs/.bench/block_cache")
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.4)
SAME = 100.0  # dB, at which the plot shows equal pictures
KEYFRAMES = [{"at": 0, "prompt": "a castle", "seed": 1}, {"at": 1, "prompt": "a forest"}]


@dataclass(frozen=True)
class Network:
    """The numbers by which a network of Flux's kind is made."""

    double: int
    single: int
    heads: int
    head_width: int
    text_width: int


TINY = Network(double=4, single=8, heads=2, head_width=16, text_width=64)


def make_flux(folder: Path, network: Network) -> None:
    """A Flux folder with random weights; its text encoders are small."""
    import diffusers
    import transformers

    third = network.head_width // 16
    with made_quickly():
        transformer = diffusers.FluxTransformer2DModel(
            in_channels=64,
            num_layers=network.double,
            num_single_layers=network.single,
            attention_head_dim=network.head_width,
            num_attention_heads=network.heads,
            joint_attention_dim=network.text_width,
            pooled_projection_dim=768,
            axes_dims_rope=(2 * third, 7 * third - third % 2, 7 * third + third % 2),
            guidance_embeds=True,
        )
        vae = diffusers.AutoencoderKL(
            latent_channels=16,
            block_out_channels=(16, 32, 32, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            norm_num_groups=8,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        )
        second = transformers.T5EncoderModel(
            transformers.T5Config(
                vocab_size=64,
                d_model=network.text_width,
                d_kv=16,
                d_ff=64,
                num_layers=2,
                num_heads=2,
            )
        )
        letters = [(token, -1.0) for token in "abcdefghijklmnopqrstuvwxyz ▁"]
        words = transformers.T5Tokenizer(
            vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *letters], extra_ids=0
        )
        pipeline = diffusers.FluxPipeline(
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=vae,
            text_encoder=transformers.CLIPTextModel(clip(768, 1, 12)),
            tokenizer=clip_tokenizer(),
            text_encoder_2=second,
            tokenizer_2=words,
            transformer=transformer,
        )
    pipeline.save_pretrained(folder, safe_serialization=True)


@dataclass(frozen=True)
class Measured:
    """One threshold: seconds of the phase `render`, and PSNR to the film without a cache in dB."""

    threshold: float
    seconds: float
    psnr: float


def measured(
    folder: Path, asked: argparse.Namespace, say: Callable[[str], None]
) -> Iterator[Measured]:
    """Each threshold's median seconds of rounds in turn, and its likeness; no cache comes first."""
    thresholds, side = (0.0, *asked.thresholds), asked.side
    seconds: dict[float, list[float]] = {threshold: [] for threshold in thresholds}
    shown = {}
    for turn in range(asked.rounds):
        for threshold in thresholds:
            root = KEPT / "films" / f"{folder.name}-{turn}-{threshold:g}"
            shutil.rmtree(root, ignore_errors=True)
            content = composed(
                [
                    "model=local", f"model.path={folder}", "output.fps=1",
                    f"scheduler.steps={asked.steps}",
                    f"output.width={side}", f"output.height={side}",
                    "compute=cpu", f"compute.dtype={asked.dtype}", *cache(threshold),
                ],
                KEYFRAMES, root, "film",
            )  # fmt: skip
            seconds[threshold].append(rendered(content)["seconds"]["render"])
            shown[threshold] = list(pictures(declared(content)).values())
            say(f"{folder.name} {threshold:g}: {seconds[threshold][-1]:.2f} s")
    for threshold in thresholds:
        likeness = psnr(shown[threshold], shown[0.0])
        yield Measured(threshold, statistics.median(seconds[threshold]), likeness)


def cache(threshold: float) -> list[str]:
    """The override of a threshold, none for no cache."""
    return [f"sampling.block_cache={threshold}"] if threshold else []


def main() -> None:
    """Measure both networks, print a table of each, and draw the plot if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--blocks", type=int, nargs=2, default=(1, 2), metavar=("DOUBLE", "SINGLE"))
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--thresholds", type=float, nargs="+", default=THRESHOLDS)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    double, single = asked.blocks
    networks = {
        "tiny": TINY,
        f"width-3072-{double}-{single}": Network(double, single, 24, 128, 4096),
    }
    found = {}
    print(*machine("torch", "diffusers"), sep="\n")
    for name, network in networks.items():
        folder = KEPT / name
        if not folder.exists():
            make_flux(folder, network)
        found[name] = list(measured(folder, asked, lambda line: print(line, flush=True)))
        print(f"| {name} | seconds | times faster | PSNR to none |\n|---|---|---|---|")
        for one in found[name]:
            faster = found[name][0].seconds / one.seconds
            print(f"| {one.threshold:g} | {one.seconds:.2f} | {faster:.2f} | {one.psnr:.1f} |")
    if asked.plot:
        draw(found, asked.plot)


def draw(found: dict[str, list[Measured]], path: Path) -> None:
    """PSNR against the gain in time, a line for each network."""
    drawn, axes = figure()
    for (name, rows), colour in zip(found.items(), (BLUE, ORANGE), strict=True):
        points = [(rows[0].seconds / row.seconds, min(row.psnr, SAME)) for row in rows[1:]]
        axes.plot(*zip(*points, strict=True), "o-", color=colour, label=name)
        texts = [
            axes.annotate(f"{row.threshold:g}", point, textcoords="offset points", xytext=(0, 0))
            for row, point in zip(rows[1:], points, strict=True)
        ]
        label(axes, points, texts)
    axes.set_xlabel("times faster than without the cache")
    axes.set_ylabel("PSNR to the film without it, dB")
    axes.legend()
    save(drawn, path)


if __name__ == "__main__":
    main()
