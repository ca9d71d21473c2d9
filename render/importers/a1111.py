"""The text `parameters` of pictures by Stable Diffusion web UI (A1111) and Forge.

    a prompt, which may have several lines
    Negative prompt: what not to show
    Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768, Model: name

`a AND b :0.5` adds the predictions of both texts with these weights, times the scale (composable
diffusion, Liu et al. 2022); here weights sum to 1, so their sum goes into the guidance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from render.importers.picture_film import Picture, number_of
from render.text import plain_line

NEGATIVE = "Negative prompt:"
PAIR = re.compile(r'([A-Za-z][\w /-]{0,60}?):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
MOST_LETTERS = 10_000  # of the line of settings
LEAST_PAIRS = 3
"""With fewer of them, the last line is one of the prompt."""
NETWORK = re.compile(r"<(lora|lyco|hypernet):([^:<>]{1,200})(?::([^<>]{0,200}))?>", re.IGNORECASE)
AND = re.compile(r"\bAND\b")
WEIGHT = re.compile(r":\s*(\d{1,6}(?:\.\d{0,12})?|\.\d{1,12})\s*\Z", re.ASCII)
EMPHASIS = re.compile(r"(?<!\\)[(\[]")
SCHEDULERS = {
    "Euler": "euler",
    "Euler a": "euler_a",
    "LMS": "lms",
    "Heun": "heun",
    "DPM++ 2M": "dpmpp_2m",
    "DDIM": "ddim",
    "PLMS": "pndm",
    "UniPC": "unipc",
    "LCM": "lcm",
}
"""Schedulers by its names. PLMS is the linear multistep of PNDM (Liu et al. 2022)."""
AUTOMATIC_KARRAS = ("DPM++ 2M",)
"""Samplers whose automatic schedule is Karras', since there is a schedule type (1.9)."""
READ = ("Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Version", "Model hash")
SIZE = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)


def is_a1111(text: str) -> bool:
    """Whether a text has a line of settings."""
    return bool(settings_of(text)[1])


def settings_of(text: str) -> tuple[list[str], dict[str, str]]:
    """(lines of the prompts, settings) of a text."""
    lines = text.strip().split("\n")
    pairs = PAIR.findall(lines[-1]) if len(lines[-1]) <= MOST_LETTERS else []
    if len(pairs) < LEAST_PAIRS:
        return lines, {}
    return lines[:-1], {name: unquoted(value.strip()) for name, value in pairs}


def unquoted(value: str) -> str:
    """A value without the quotes that commas in it need."""
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def picture_of(text: str) -> Picture:
    """The picture of a text."""
    lines, settings = settings_of(text)
    begin = next((k for k, one in enumerate(lines) if one.strip().startswith(NEGATIVE)), len(lines))
    lost: list[str] = []
    prompt = plain(joined(lines[:begin]), "the prompt", lost)
    written = joined(lines[begin:]).removeprefix(NEGATIVE).strip()
    negative = plain(written, "the negative prompt", lost)
    texts, guidance = composed(prompt, settings.get("CFG scale"))
    size = SIZE.fullmatch(settings.get("Size", ""))
    scheduler, karras = scheduler_of(settings, lost)
    others = {name: value for name, value in settings.items() if name not in READ}
    if model := others.pop("Model", None):
        lost.append(f"Model: {model}; give its file or folder: model=local model.path=FILE")
    lost += [f"{name}: {value}" for name, value in others.items()]
    return Picture(
        prompt=texts,
        negative=negative,
        seed=settings.get("Seed"),
        steps=settings.get("Steps"),
        guidance=guidance,
        width=size and size[1],
        height=size and size[2],
        scheduler=scheduler,
        karras=karras,
        lost=lost,
    )


def joined(lines: list[str]) -> str:
    """Lines of a prompt as one text."""
    return plain_line(" ".join(lines))


def plain(text: str, where: str, lost: list[str]) -> str:
    """A text without the networks that it names. Sentences about them, and about all that has a
    meaning there alone, go into `lost`."""
    for found in NETWORK.finditer(text):
        how = "name its file in model.loras, and its weight in a keyframe's lora"
        lost.append(f"{found[0]} in {where}: {how}")
    text = " ".join(NETWORK.sub("", text).split())
    if EMPHASIS.search(text):
        lost.append(f"brackets in {where}: they are read as they are and weigh no words")
    return text


def composed(text: str, guidance: str | None) -> tuple[str | dict[str, float], object]:
    """(prompt, guidance). Texts between `AND` have weights, whose sum scales the guidance."""
    scale = number_of(guidance)
    if not AND.search(text) or scale is None:
        return text, guidance
    weights: dict[str, float] = {}
    for part in AND.split(text):
        found = WEIGHT.search(part)
        name = (part[: found.start()] if found else part).strip()
        weights[name] = weights.get(name, 0) + (float(found[1]) if found else 1.0)
    kept = {name: weight for name, weight in weights.items() if weight > 0}
    return (kept, round(scale * sum(kept.values()), 6)) if kept else (text, guidance)


def scheduler_of(settings: Mapping[str, str], lost: list[str]) -> tuple[str | None, bool]:
    """(the scheduler that a sampler is, whether its sigmas are Karras')."""
    written, schedule = settings.get("Sampler", ""), settings.get("Schedule type", "")
    sampler = written.removesuffix(" Karras")
    scheduler = SCHEDULERS.get(sampler)
    if written and scheduler is None:
        lost.append(f"Sampler: {written}: there is no such scheduler here")
    if schedule not in ("", "Automatic", "Karras", "Uniform"):
        lost.append(f"Schedule type: {schedule}")
    automatic = schedule == "Automatic" and sampler in AUTOMATIC_KARRAS
    return scheduler, automatic or sampler != written or schedule == "Karras"
