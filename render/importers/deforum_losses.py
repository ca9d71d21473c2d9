"""Sentences about the parts of Deforum's settings that a timeline has no word for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from render.importers.camera import CAMERA, camera_loss, listed
from render.importers.expressions import number_of, read_expression
from render.importers.json_fields import JsonFields

SCHEDULES = (
    "steps", "sampler", "checkpoint", "clipskip", "subseed", "ddim_eta", "ancestral_eta",
)  # fmt: skip
"""Schedules that count where they are switched on."""
EXTRAS = {
    "r_upscale_video": "the larger video: output.upscale makes pictures larger",
    "frame_interpolation_engine": "frames in between: output.inbetween makes them",
    "tiling": "tiling: render has no pictures that repeat",
    "restore_faces": "restore_faces: pictures stay as the model paints them",
    "make_gif": "the gif: output=gif makes one",
}
"""Sentences about parts that are switched on."""
SINGLE = re.compile(r"\s*0\s*:\s*\(\s*(-?[\d.]{1,20})\s*\)\s*,?\s*", re.ASCII)


def losses(fields: JsonFields) -> Iterator[str]:
    """A sentence for each kind of thing."""
    mode = fields.text("animation_mode")
    if mode in ("2D", "3D", "Video Input"):
        if moved := [name for name in CAMERA if moves(fields, name)]:
            yield camera_loss(moved)
        yield "noise, contrast, colour coherence and cadence: no frame is made of the one before"
    if mode == "Video Input" or any_says(fields, "hybrid_composite", "hybrid_motion"):
        yield "the input video: render makes no pictures of a video's"
    switched = [name for name in SCHEDULES if fields.values.get(f"enable_{name}_scheduling")]
    if switched:
        names = [f"{name}_schedule" for name in switched]
        yield f"{listed(names)}: a film has one value for all frames"
    units = [number for number in range(1, 6) if fields.values.get(f"cn_{number}_enabled")]
    if units:
        yield "ControlNet: model.controlnet takes the pictures that a film follows"
    if fields.values.get("use_mask") or fields.values.get("use_noise_mask"):
        yield "masks: render paints whole pictures"
    if fields.values.get("use_looper"):
        yield "guided images: give keyframes their own image and strength"
    if any_says(fields, "parseq_manifest"):
        yield "parseq_manifest, which takes the place of schedules: import it as a file of its own"
    for key, sentence in EXTRAS.items():
        if any_says(fields, key):
            yield sentence
    if name := fields.values.get("sd_model_name"):
        yield f"the model, {name}: choose one (model=…)"


def moves(fields: JsonFields, name: str) -> bool:
    """Whether a schedule of the camera does anything."""
    key = next((key for key in (name, f"{name}_schedule") if key in fields.values), None)
    if key is None or (name.startswith("perspective") and not flips(fields)):
        return False
    single = SINGLE.fullmatch(str(fields.values[key]))
    if name in ("fov", "near", "far", "transform_center_x", "transform_center_y") and single:
        return False
    try:
        return not single or number_of(read_expression(single[1].strip()), {}) != CAMERA[name]
    except ValueError:
        return True


def flips(fields: JsonFields) -> bool:
    """Whether the perspective turns."""
    return bool(
        fields.values.get("enable_perspective_flip") or fields.values.get("flip_2d_perspective")
    )


def any_says(fields: JsonFields, *keys: str) -> bool:
    """Whether one of these keys has a value that says something."""
    return any(fields.values.get(key) not in (None, "", "None", False) for key in keys)
