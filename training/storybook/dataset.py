"""Encoded examples on disk: latents, tokens and classes of both ends, and how far between.

Written in shards, so that encoding stops and resumes anywhere; a shard depends on its number and
the autoencoder alone. The last shard is held out for validation.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from training.storybook.autoencoder import finish_autoencoder
from training.storybook.captions import PROMPTS
from training.storybook.examples import Example, example
from training.storybook.models import AUTOENCODER_WIDTHS, Net
from training.storybook.painter import paint
from training.storybook.parallel import (
    as_pictures,
    mixed_precision,
    rank,
    spawn,
    train_device,
    world_size,
)
from training.storybook.scene import classes_of
from training.storybook.tokenizer import encode_texts, learn_tokenizer, load_tokenizer

BATCH = 4


@dataclass(frozen=True)
class Encoding:
    """How many examples are encoded, and with what."""

    examples: int = 24_000
    shard: int = 500  # examples
    wordings: int = 20_000  # examples whose captions the tokenizer is learnt from
    whitened_over: int = 160  # pictures
    widths: tuple[int, ...] = AUTOENCODER_WIDTHS


def make_tokenizer(folder: Path, wordings: int) -> CLIPTokenizer:
    """The tokenizer in `folder/tokenizer`, learnt from captions if it is not there."""
    if not (folder / "tokenizer").exists():
        texts = [t for i in range(wordings) for t in example(i).start_captions]
        learn_tokenizer(texts + list(PROMPTS)).save_pretrained(folder / "tokenizer")
    return load_tokenizer(folder / "tokenizer")


def encode_dataset(folder: Path, encoding: Encoding, processes: int | None = None) -> None:
    """Write the shards of the examples to `folder/data`, but for those that are there."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    make_tokenizer(folder, encoding.wordings)
    spawn(_encode, folder, encoding, processes=processes)


def _encode(folder: Path, encoding: Encoding) -> None:
    net = finish_autoencoder(folder, encoding.widths, encoding.whitened_over).to(train_device())
    tokenizer = load_tokenizer(folder / "tokenizer")
    shards = -(-encoding.examples // encoding.shard)
    for shard in range(rank(), shards, world_size()):
        path = shard_path(folder, shard)
        if path.exists():
            continue
        partial_path = path.with_suffix(".partial.npz")
        np.savez(partial_path, **encode_shard(shard, net, tokenizer, encoding.shard))  # type: ignore[arg-type]
        partial_path.replace(path)
        print(f"encoded shard {shard + 1} of {shards}", flush=True)


def shard_path(folder: Path, shard: int) -> Path:
    """Where a shard is kept."""
    return folder / "data" / f"{shard:04}.npz"


def encode_shard(
    shard: int, net: Net, tokenizer: CLIPTokenizer, count: int
) -> dict[str, NDArray[np.generic]]:
    """All that is kept of `count` examples, by name."""
    examples = [example(shard * count + i) for i in range(count)]
    latents = []
    for start in range(0, count, BATCH):
        painted = np.stack([paint(e.scene) for e in examples[start : start + BATCH]])
        latents.append(encode_pictures(net, painted))
    return {
        "latents": np.concatenate(latents),  # (N, 2, 8, 32, 32)
        "t": np.array([e.t for e in examples], np.float32),
        **tokens_of(examples, tokenizer),
    }


def tokens_of(examples: list[Example], tokenizer: CLIPTokenizer) -> dict[str, NDArray[np.generic]]:
    """Token ids (N, 2, captions, 40) and class numbers (N, 2, attributes) of both ends."""
    ends = [(e.start_captions, e.end_captions) for e in examples]
    texts = [text for pair in ends for wordings in pair for text in wordings]
    tokens = encode_texts(tokenizer, texts).numpy().astype(np.int16)
    classes = [[classes_of(e.start), classes_of(e.end)] for e in examples]
    shape = (len(examples), 2, len(examples[0].start_captions), -1)
    return {"tokens": tokens.reshape(shape), "classes": np.array(classes, np.int16)}


@torch.no_grad()
def encode_pictures(net: Net, pictures: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Mean and deviation of the latents of pictures (B, H, W, 3): (B, 2, 8, H/8, W/8)."""
    device = next(net.parameters()).device
    with mixed_precision(device):
        posterior = net.encode(as_pictures(torch.from_numpy(pictures)).to(device)).latent_dist
    both = torch.stack([posterior.mean, posterior.std], 1).float().cpu()
    encoded: NDArray[np.float16] = both.numpy().astype(np.float16)
    return encoded


@dataclass(frozen=True)
class Batch:
    """Latents (B, 8, 32, 32), tokens (B, 2, 40) and classes (B, 2, attributes) of both ends, t."""

    latents: Tensor
    tokens: Tensor
    classes: Tensor
    t: Tensor


@dataclass(frozen=True)
class Shards:
    """The examples of several shards in memory."""

    latents: NDArray[np.float16]
    tokens: NDArray[np.int16]
    classes: NDArray[np.int16]
    t: NDArray[np.float32]

    def draw(self, rng: np.random.Generator, count: int) -> Batch:
        """Random examples, each with one random wording of each end."""
        chosen = rng.integers(0, len(self.t), count)
        mean, deviation = torch.from_numpy(self.latents[chosen]).float().unbind(1)
        wordings = rng.integers(0, self.tokens.shape[2], (count, 2))
        tokens = self.tokens[chosen[:, None], np.arange(2)[None], wordings]
        return Batch(
            mean + deviation * torch.randn_like(mean),
            torch.from_numpy(tokens.astype(np.int64)),
            torch.from_numpy(self.classes[chosen].astype(np.int64)),
            torch.from_numpy(self.t[chosen]),
        )


def read_shards(folder: Path, held_out: bool = False) -> Shards:
    """All shards but the last one, or the last alone."""
    paths = sorted(path for path in (folder / "data").glob("????.npz"))
    paths = paths[-1:] if held_out or len(paths) == 1 else paths[:-1]
    parts: dict[str, list[NDArray[np.generic]]] = {
        n: [] for n in ("latents", "tokens", "classes", "t")
    }
    for path in paths:
        with np.load(path) as shard:
            for name, found in parts.items():
                found.append(shard[name])
    joined = {name: np.concatenate(found) for name, found in parts.items()}
    return Shards(**joined)
