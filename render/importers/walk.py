"""The prompt_config.json of stable-diffusion-videos, as its `walk` saves it.

A clip leads from one prompt and seed to the next in `num_interpolation_steps` frames, both ends
among them; text embeddings are lerped, noise is slerped (`make_clip_frames` there).
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from render.config.values import MAX_SEED, shown
from render.importers.camera import listed
from render.importers.imported import Imported, Importer
from render.importers.json_fields import JsonFields, holds_object
from render.importers.local_files import local_file
from render.importers.samplers import sampler_loss, scheduler_settings
from render.importers.source import Source
from render.importers.times import frames

STEPS, RATE = 5, 30
"""walk's own values where a file says nothing."""
MOST_FRAMES = 1_000_000
KNOWN = {
    "prompts", "seeds", "num_interpolation_steps", "fps", "num_inference_steps", "guidance_scale",
    "eta", "upsample", "height", "width", "audio_filepath", "audio_start_sec", "negative_prompt",
    "scheduler", "margin", "smooth", "name", "output_dir", "batch_size", "resume", "make_video",
    "image_file_ext",
}  # fmt: skip
EMBEDDINGS = "the way of blending: texts' embeddings, as sampling.blend=embedding does here"
TWICE = (
    "the frame of a prompt that ends one clip and begins the next: it is shown once here, so that "
    "each segment still has as many frames"
)
WITH_THE_SOUND = (
    "the pace of the sound: between two prompts the film goes on with the beats there, and evenly "
    "in time here"
)


def recognises(source: Source) -> bool:
    """Whether it has prompts, seeds and the steps between them."""
    return holds_object(source, "prompts", "seeds", "num_interpolation_steps")


def read(source: Source) -> Imported:
    """A keyframe for each prompt with its seed."""
    fields = JsonFields.of(source)
    prompts, seeds = fields.texts("prompts"), fields.items("seeds")
    if len(seeds) != len(prompts):
        raise fields.refusal("seeds", f"{len(seeds)} seeds for {len(prompts)} prompts")
    starts = [0, *accumulate(steps_of(fields, len(prompts) - 1))]
    keyframes: list[dict[str, Any]] = []
    for place, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
            what = f"a whole number from 0 belongs here, not {shown(seed)}"
            raise fields.refusal(f"seeds.{place}", what)
        keyframes.append({"at": frames(starts[place]), "prompt": prompt, "seed": seed})
    settings, lost = settings_of(fields)
    return Imported(keyframes, {}, settings, [EMBEDDINGS, TWICE, *lost])


def steps_of(fields: JsonFields, count: int) -> list[int]:
    """The frames of each clip."""
    key = "num_interpolation_steps"
    if not isinstance(fields.values.get(key), list):
        every = fields.whole(key)
        steps: list[object] = [STEPS if every is None else every] * max(0, count)
    else:
        steps = fields.items(key)
    if len(steps) != count:
        what = f"{len(steps)} numbers for {count + 1} prompts; there is one less than prompts"
        raise fields.refusal(key, what)
    found = []
    for place, each in enumerate(steps):
        if isinstance(each, bool) or not isinstance(each, int) or not 1 <= each <= MOST_FRAMES:
            what = f"a number of frames from 1 belongs here, not {shown(each)}"
            raise fields.refusal(f"{key}.{place}", what)
        found.append(each)
    return found


def settings_of(fields: JsonFields) -> tuple[dict[str, object], list[str]]:
    """(settings, sentences about the lost)."""
    settings: dict[str, object] = {"output.fps": fields.number("fps") or RATE}
    lost: list[str] = []
    for key, name in (("width", "output.width"), ("height", "output.height")):
        if side := fields.whole(key):
            settings[name] = side
    if scheduler := fields.text("scheduler"):
        found = scheduler_settings(scheduler.removeprefix("k_"))
        settings |= found
        lost += [] if found else [sampler_loss(scheduler)]
    if steps := fields.whole("num_inference_steps"):
        settings["scheduler.steps"] = steps
    guidance = fields.number("guidance_scale")
    if guidance is not None:
        settings["sampling.guidance"] = guidance
    if negative := fields.text("negative_prompt"):
        settings["sampling.negative"] = negative
    if fields.flag("upsample"):
        lost.append("upsample, Real-ESRGAN's pictures of four times the side: output.upscale=4")
    if fields.number("eta"):
        lost.append("eta, the noise that DDIM adds at each step")
    unknown = [key for key in fields.values if key not in KNOWN and fields.has(key)]
    if unknown:
        lost.append(f"{listed(unknown)}: timelines have no such values")
    return settings, [*lost, *sound(fields, settings)]


def sound(fields: JsonFields, settings: dict[str, object]) -> list[str]:
    """Set the film's sound if its file is there and begins with the film; what is lost of it."""
    name = fields.text("audio_filepath")
    if not name:
        return []
    start = fields.number("audio_start_sec") or 0
    file = local_file(fields.source, name)
    if file and not start:
        settings["output.audio"] = file
        return [WITH_THE_SOUND]
    why = f"it begins at {start} s" if file else "no such file is here"
    return [f"the sound, {name}: {why}; output.audio=FILE puts one under the film", WITH_THE_SOUND]


WALK = Importer("a walk of stable-diffusion-videos", recognises, read)
