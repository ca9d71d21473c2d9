"""Configs of animatediff-cli with prompt travel: `prompt_map` holds prompts by frames.

A prompt stays for `prompt_fixed_ratio` of the frames until the next one, and is blended into it in
the rest; behind the last one comes the first again (`prompt_preprocess` there).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from render.config.values import MAX_SEED
from render.importers.camera import listed
from render.importers.imported import Imported, Importer
from render.importers.json_fields import JsonFields, holds_object
from render.importers.samplers import sampler_loss, scheduler_settings
from render.importers.schedules import tidy
from render.importers.source import Source
from render.importers.times import frames
from render.importers.weighted_prompts import STRESS, STRESSED

LENGTH = 16
"""Frames of a film of one prompt; animatediff-cli's own number."""
MOST_FRAMES = 1_000_000
FREE_LENGTH = (
    "the length, which is said on the command line there (-L): as many frames follow the last "
    "prompt as come before it; change `duration` and the keyframes behind the last prompt"
)
RANDOM = "a random seed: sampling.seed names the one that is used here"
NO_RATE = "the frame rate, which the file does not name: output.fps is render's own"
EMBEDDINGS = (
    "the way of blending: slerp of texts' embeddings; sampling.blend=embedding is near to it"
)
MOTION = "the motion module: frames know nothing of one another here"
MAPS = {
    "lcm_map": "lcm_map: choose a model of latent consistency (model=…), and scheduler=lcm",
    "gradual_latent_hires_fix_map": "gradual_latent_hires_fix_map: steps are of one size here",
    "motion_lora_map": "LoRAs of motion: render moves no camera",
    "img2img_map": "img2img_map: give keyframes their own image and strength",
    "region_map": "region_map: a prompt is for the whole picture",
    "ip_adapter_map": "IP-Adapter: prompts are texts here",
}
"""Sentences about parts that are switched on."""


def recognises(source: Source) -> bool:
    """Whether it holds a map of prompts, as no other JSON does."""
    return holds_object(source, "prompt_map") and any(
        holds_object(source, key) for key in ("motion_module", "n_prompt", "head_prompt", "steps")
    )


def read(source: Source) -> Imported:
    """Keyframes where a prompt begins and where its blend into the next one begins; a loop."""
    fields = JsonFields.of(source)
    prompts = placed(fields)
    last = max(prompts)
    gap = last - max((frame for frame in prompts if frame < last), default=last - LENGTH)
    count = last + gap
    held = with_holds(fields, prompts, count)
    keyframes: list[dict[str, Any]] = [
        {"at": frames(frame)} if prompt == before else {"at": frames(frame), "prompt": prompt}
        for before, (frame, prompt) in zip([None, *held.values()], held.items(), strict=False)
    ]
    lost = [FREE_LENGTH]
    seeds = fields.items("seed") if isinstance(fields.values.get("seed"), list) else None
    seed = seeds[0] if seeds else fields.values.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MAX_SEED:
        keyframes[0]["seed"] = seed
    else:
        lost.append(RANDOM)
    settings, more = settings_of(fields)
    if any(STRESS.search(text) for text in prompts.values()):
        more.append(STRESSED)
    loops = {"duration": frames(count), "loop": True}
    return Imported(keyframes, loops, settings, [*lost, *more, *losses(fields)])


def placed(fields: JsonFields) -> dict[int, str]:
    """The whole prompts by their frames, in order."""
    written = fields.inside("prompt_map")
    around = (fields.text("head_prompt"), fields.text("tail_prompt"))
    found: dict[int, str] = {}
    for key in written.values:
        number = key.strip()
        if not (number.isascii() and number.isdecimal() and int(number[:9]) < MOST_FRAMES):
            raise written.refusal(key, f"a frame is a number below {MOST_FRAMES:,}")
        parts = (around[0], written.text(key), around[1])
        if len(number) > 9:
            raise written.refusal(key, f"a frame is a number below {MOST_FRAMES:,}")
        found[int(number)] = ", ".join(part.strip(" ,\n") for part in parts if part.strip(" ,\n"))
    if not found:
        raise fields.refusal("prompt_map", "holds no prompt")
    return dict(sorted(found.items()))


def with_holds(
    fields: JsonFields, prompts: Mapping[int, str], count: int
) -> dict[int, str | dict[str, int | float]]:
    """The prompts with each once more at the frame to which it stays, the first keyframe at 0."""
    ratio = fields.number("prompt_fixed_ratio")
    ratio = min(1.0, max(0.0, 0.5 if ratio is None else ratio))
    held: dict[int, str | dict[str, int | float]] = dict(prompts)
    for frame, following in pairwise([*prompts, count]):
        until = frame + round((following - frame) * ratio)
        until -= until == following
        if until != frame:
            held[until] = prompts[frame]
    ordered = dict(sorted(held.items()))
    first = next(iter(ordered))
    if first == 0:
        return ordered
    start = max(ordered)
    share = (count - start) / (count - start + first)
    names = (prompts[max(prompts)], prompts[first])
    mixed = {names[0]: tidy(round(1 - share, 6)), names[1]: tidy(round(share, 6))}
    return {0: mixed if len(mixed) == 2 else names[0], **ordered}


def settings_of(fields: JsonFields) -> tuple[dict[str, object], list[str]]:
    """(settings, sentences about the lost)."""
    settings: dict[str, object] = {}
    lost: list[str] = []
    rate = fields.inside("output").number("fps")
    if rate:
        settings["output.fps"] = rate
    else:
        lost.append(NO_RATE)
    if steps := fields.whole("steps"):
        settings["scheduler.steps"] = steps
    guidance = fields.number("guidance_scale")
    if guidance is not None:
        settings["sampling.guidance"] = guidance
    if name := fields.text("scheduler"):
        karras = name.startswith("k_")
        found = scheduler_settings(name.removeprefix("k_"), karras)
        settings |= found
        lost += [] if found else [sampler_loss(name)]
    negatives = fields.values.get("n_prompt")
    first = negatives[0] if isinstance(negatives, list) and negatives else negatives
    if isinstance(first, str) and first:
        settings["sampling.negative"] = " ".join(first.split())
    return settings, lost


def losses(fields: JsonFields) -> list[str]:
    """A sentence for each kind of thing that could not be carried over."""
    lost = [EMBEDDINGS]
    if fields.has("path"):
        lost.append(f"the model, {fields.text('path')}: choose one (model=…)")
    if fields.has("motion_module"):
        lost.append(MOTION)
    if fields.has("vae_path"):
        lost.append(f"the VAE, {fields.text('vae_path')}: model.vae has it")
    if (layers := fields.whole("clip_skip") or 1) > 1:
        lost.append(f"clip_skip {layers}: model.clip_skip={layers - 1} is the same here")
    if loras := [*fields.inside("lora_map").values]:
        lost.append(f"LoRAs, {listed(loras)}: model.loras has them")
    for key, sentence in MAPS.items():
        part = fields.inside(key)
        if part.values and part.values.get("enable", True):
            lost.append(sentence)
    units = fields.inside("controlnet_map").values.values()
    if any(isinstance(unit, dict) and unit.get("enable") for unit in units):
        lost.append("ControlNet: model.controlnet takes the pictures that a film follows")
    return lost


ANIMATEDIFF = Importer("a config of animatediff-cli", recognises, read)
