"""A frame's PNG file: the proof that it carries of its digest and spec, and whether it is whole."""

from __future__ import annotations

import io
import json
import stat
import struct
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

import render
from render.files.atomic import is_there, read_regular
from render.files.ownership import FINISHED_MARK, FRAME_MARK
from render.plan.build import without_anchors
from render.plan.frame_plan import (
    PICTURE_FIELDS,
    PlannedFrame,
    Recipe,
    early_entry,
    path_entry,
    picture_entry,
)
from render.store.png import pixel_flaw
from render.text import digits, one_line, shortened
from render.timeline.spec import FrameSpec

DIGEST_KEY = FRAME_MARK
SPEC_KEY = "render:spec"
RECIPE_KEY = "render:recipe"
PARAMETERS_KEY = "parameters"
"""The text in which AUTOMATIC1111's web UI keeps how a picture was made; galleries read it."""
MADE_BY_KEY = "render:made-by"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
RGB8 = (8, 2)  # bit depth and colour type in a PNG's header
LARGEST_PIXELS = 89_478_485  # as many as Pillow opens without a warning
SPARE_BYTES = 8 << 20  # header and text chunks of a frame: a timeline's 1 MB, escaped


@dataclass(frozen=True, slots=True)
class Found:
    """The result of an inspection of a file. `flaw` is None if it is a whole frame of the right
    size."""

    flaw: str | None
    digest: str | None = None
    spec: str | None = None
    whole: bool = False
    finished: str | None = None
    """The digest of a finished picture, which is no frame."""


def inspect(path: Path, size: tuple[int, int], decode: bool = True) -> Found | None:
    """Inspect the file at `path`; None if there is none; the header is read before anything is
    decoded.

    Args:
        size: width and height a frame must have, in pixels.
        decode: whether its pixels are decoded, too, and not its checksums alone compared.

    Raises:
        OSError: it can't be read, so its content is unknown.
    """
    if not is_there(path):
        return None
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return Found("a link, a folder or a device stands there")
    if status.st_size > 4 * size[0] * size[1] + SPARE_BYTES:
        return Found(f"is {status.st_size:,} bytes, more than such a frame can have")
    content = read_regular(path, status.st_size)
    if len(content) < 33 or not content.startswith(SIGNATURE):
        return Found("is no PNG" if len(content) >= 8 else f"is {len(content)} bytes long")
    found = inspect_png(content)
    found = replace(found, flaw=found.flaw or header_flaw(content, size))
    if decode and found.flaw is None and (flaw := pixel_flaw(content)):
        return Found(f"can't be decoded ({flaw})")
    return found


def header_flaw(content: bytes, size: tuple[int, int]) -> str | None:
    """Why a PNG's header is not that of an RGB picture of this size; None if it is."""
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    if (width, height) != size:
        return f"is {width}×{height}, not {size[0]}×{size[1]}"
    return None if (depth, colour) == RGB8 else "has another mode than 8-bit RGB"


def inspect_png(content: bytes) -> Found:
    """Every chunk's checksum, the end of the file, and the proof the frame carries."""
    try:
        # Not Image.open: it warns of a large picture, and threads share the filters of warnings.
        with PngImagePlugin.PngImageFile(io.BytesIO(content)) as image:
            digest, spec = image.info.get(DIGEST_KEY), image.info.get(SPEC_KEY)
            finished = image.info.get(FINISHED_MARK)
            if image.width * image.height > LARGEST_PIXELS:
                return Found(f"is damaged ({image.width}×{image.height} pixels are too many)")
            image.verify()
    except Exception as error:  # Pillow raises SyntaxError, OSError, ValueError, struct.error …
        return Found(f"is damaged ({error})")
    if not content.endswith(END):
        return Found("ends before its last chunk")
    return Found(None, digest, spec, whole=True, finished=finished)


def spec_json(spec: FrameSpec) -> str:
    """The spec as it stands in a frame's PNG."""
    left_out = {*PICTURE_FIELDS, "early", "path", *(() if spec.loras else ("loras",))}
    shown = {name: value for name, value in asdict(spec).items() if name not in left_out}
    anchors = {"early": early_entry(spec)} if spec.early else {}
    entry = shown | picture_entry(spec) | path_entry(spec) | anchors
    return json.dumps(entry, ensure_ascii=False)


def recipe_json(spec: FrameSpec, recipe: Recipe) -> str:
    """The recipe of a frame's film, and all values at the ends of the smooth path that it is on."""
    recipe = recipe if spec.early else without_anchors(recipe)  # which its digest is made of
    ends = (spec.path.path.start, spec.path.path.end) if spec.path else ()
    values = [
        {"guidance": end.guidance, "negatives": end.negatives, "loras": end.loras} for end in ends
    ]
    entry = recipe.entry() | ({"ends": values} if values else {})
    return json.dumps(entry, ensure_ascii=False)


def parameters(spec: FrameSpec, recipe: Recipe) -> str:
    """How a frame was made, as galleries of other tools read it. Several prompts are composed, with
    `AND` and a weight behind each, which blends their predictions as we do."""
    texts = " AND ".join(
        f"{one_line(text)} :{digits(weight)}" if len(spec.prompts) > 1 else text
        for text, weight in spec.prompts
    )
    negative = ", ".join(text for text, _ in spec.negatives if text)
    settings = {
        "Steps": recipe.steps,
        "Sampler": recipe.scheduler.removesuffix("Scheduler"),
        "CFG scale": digits(spec.guidance),
        "Seed": max(spec.seeds, key=lambda pair: pair[1])[0],
        "Size": f"{recipe.width}x{recipe.height}",
        "Model hash": recipe.model.rpartition(":")[2][:10],
        "Version": f"render {render.__version__}",
    }
    line = ", ".join(f"{name}: {value}" for name, value in settings.items())
    return "\n".join([texts, *([f"Negative prompt: {negative}"] if negative else []), line])


def encoded(frame: PlannedFrame, recipe: Recipe, pixels: np.ndarray[Any, Any]) -> bytes:
    """A finished picture as a PNG file with its digest, its spec and the recipe of its film.

    Args:
        pixels: uint8, (height, width, 3), RGB.
    """
    proofs = PngImagePlugin.PngInfo()
    proofs.add_text(DIGEST_KEY, frame.digest)
    proofs.add_itxt(SPEC_KEY, spec_json(frame.spec))
    proofs.add_itxt(RECIPE_KEY, recipe_json(frame.spec, recipe))
    proofs.add_itxt(PARAMETERS_KEY, parameters(frame.spec, recipe))
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG", pnginfo=proofs, compress_level=4)
    return png.getvalue()


def text_of(file: Path) -> str:
    """The heaviest text of a stored frame; empty if the file does not say."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if FINISHED_MARK in image.info:
                return f"no frame, but made of frames ({shortened(image.info[MADE_BY_KEY])})"
            prompts = json.loads(image.info.get(SPEC_KEY, ""))["prompts"]
        return shortened(str(max(prompts, key=lambda pair: float(pair[1]))[0]))
    except Exception:  # the file is data of any shape: Pillow and JSON raise many kinds
        return ""
