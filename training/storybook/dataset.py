"""Painted pictures with captions, kept as memory-mapped arrays in the working folder.

Picture `i` depends on `i` alone, so painting stops and resumes anywhere and any number of processes
paint the same set. The last HELD_OUT pictures are for validation, never for training.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from training.storybook.captions import caption
from training.storybook.painter import paint
from training.storybook.scene import Scene, sample_scene
from training.storybook.tokenizer import MAX_LENGTH, encode_texts

Number = TypeVar("Number", bound=np.generic)

CAPTIONS = 4  # wordings a picture
HELD_OUT = 512  # or an eighth of a small set
FIRST_SEED = 1_000_003
CHUNK = 250  # pictures a task


def example(index: int) -> tuple[Scene, list[str]]:
    """The scene of picture `index` and its captions."""
    rng = np.random.default_rng(FIRST_SEED + index)
    scene = sample_scene(rng)
    return scene, [caption(scene, rng) for _ in range(CAPTIONS)]


def paint_dataset(folder: Path, count: int, size: int, processes: int) -> None:
    """Write `pictures.npy` (count, size, size, 3) uint8 and `captions.json`, once."""
    if (folder / "captions.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shape = (count, size, size, 3)
    np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, shape).flush()
    with ProcessPoolExecutor(processes) as pool:
        for start in pool.map(partial(_paint_chunk, folder, count), range(0, count, CHUNK)):
            print(f"\rpainted {min(start + CHUNK, count)} of {count} pictures", end="", flush=True)
    print()
    examples = [example(index) for index in range(count)]
    record = [{"scene": asdict(scene), "captions": texts} for scene, texts in examples]
    (folder / "captions.json").write_text(json.dumps(record))


def _paint_chunk(folder: Path, count: int, start: int) -> int:
    pictures = np.load(folder / "pictures.npy", mmap_mode="r+")
    for index in range(start, min(start + CHUNK, count)):
        pictures[index] = paint(example(index)[0], pictures.shape[1])
    return start


def read_pictures(folder: Path) -> NDArray[np.uint8]:
    """All pictures (N, size, size, 3), mapped, not loaded."""
    pictures: NDArray[np.uint8] = np.load(folder / "pictures.npy", mmap_mode="r")
    return pictures


def read_scenes(folder: Path) -> list[Scene]:
    """The scene of each picture."""
    return [Scene(**row["scene"]) for row in json.loads((folder / "captions.json").read_text())]


def training_part(examples: NDArray[Number]) -> NDArray[Number]:
    """All but the held-out examples at the end."""
    return examples[: -min(HELD_OUT, len(examples) // 8)]


def read_captions(folder: Path) -> list[list[str]]:
    """The captions of each picture."""
    return [row["captions"] for row in json.loads((folder / "captions.json").read_text())]


def tokenize_dataset(folder: Path, tokenizer: CLIPTokenizer) -> None:
    """Write `tokens.npy`, (N, CAPTIONS, MAX_LENGTH) int16."""
    texts = [text for row in read_captions(folder) for text in row]
    tokens = encode_texts(tokenizer, texts).reshape(-1, CAPTIONS, MAX_LENGTH)
    np.save(folder / "tokens.npy", tokens.numpy().astype(np.int16))
