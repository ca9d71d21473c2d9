"""Declared films, and model folders that say what they are with hardly any weights: no torch."""

import copy
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE

SIDE = 64  # pixels
FACTOR = 8
COMPONENTS = {
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
WEIGHTS = {
    "text_encoder": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
"""How the names of each component's weights begin."""
WORDS = {"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}
KEYFRAMES = [
    {"at": 0, "prompt": "A landscape", "seed": 1},
    {"at": 1, "prompt": "A town"},
    {"at": 2, "prompt": {"A castle": 3, "A forest": 1}, "seed": 2},
]
SPELLED_OTHERWISE = """# a film
keyframes:
  first: {seed: 1, prompt: one, at: "0f"}   # begins
  last: {prompt: {three: 2.0}, at: 2.0}
  middle:
    prompt: "two"
    at: 1
name: film
"""
"""Nine frames at 4 fps of one, two, three as `{at: 0}`, `{at: 1}`, `{at: 2}` would spell them."""


def write_model(folder: Path, pipeline="StableDiffusionPipeline") -> Path:
    """A diffusers folder; its weights are a number each."""
    texts = {
        "model_index.json": {"_class_name": pipeline, **COMPONENTS},
        "scheduler/scheduler_config.json": {"_class_name": "PNDMScheduler"},
        "text_encoder/config.json": {"hidden_size": 32},
        "tokenizer/tokenizer_config.json": {"model_max_length": 16},
        "unet/config.json": {"sample_size": SIDE // FACTOR},
        "vae/config.json": {"block_out_channels": [8, 8, 16, 16]},
    }
    for name, content in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    Tokenizer(BPE(WORDS, [])).save(str(folder / "tokenizer" / "tokenizer.json"))
    for component, stem in WEIGHTS.items():
        for name in (f"{stem}.safetensors", f"{stem}.fp16.safetensors"):
            save_file({component: np.zeros(1)}, folder / component / name)
    return folder


def composed(model: Path, root: Path, changes=None):
    """A composed config; `changes` by dotted path."""
    config = {
        "root": str(root),
        "name": "film",
        "mode": "render",
        "shard": None,
        "measure": {"keyframes": None},
        "model": {
            "name": "tiny",
            "path": str(model),
            "steps": 4,
            "guidance": None,
            "dtype": "float32",
        },
        "scheduler": {"name": "model", "class": None, "steps": None},
        "sampling": {"guidance": None, "blend": None, "negative": "", "seed": 0},
        "output": {"format": "mp4", "fps": 12, "width": None, "height": None, "quality": 80},
        "compute": {"device": "cpu", "dtype": "auto", "batch": "auto"},
        "timeline": {"name": "film", "keyframes": copy.deepcopy(KEYFRAMES), "curves": {}},
    }
    for dotted, value in (changes or {}).items():
        *path, last = dotted.split(".")
        holder = config
        for part in path:
            holder = holder[int(part)] if isinstance(holder, list) else holder[part]
        holder[int(last) if isinstance(holder, list) else last] = value
    return config


def edit(path: Path, **changes):
    """Give values in a JSON file, which need not be there yet."""
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))
