"""A frame's digest: the identity of a picture. Equal digest, equal picture.

It covers what the picture means (the frame's spec and the recipe all frames share) and nothing of
how it is computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from render.models.families import STABLE_DIFFUSION
from render.models.guidance import Guidance
from render.models.prompt_weights import has_weights, reader_name
from render.plan.frame_plan import Recipe, picture_entry
from render.timeline.spec import FrameSpec, SmoothPath

PATH_VERSION = 1  # raised by hand when the same smooth path would give other pictures

# Encoders made once: a long plan has hundreds of thousands of lines.
ONE_SPELLING = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def recipe_bytes(recipe: Recipe) -> bytes:
    """The recipe's share of every digest."""
    return canonical(recipe.entry())


def frame_digest(
    shared: bytes,
    spec: FrameSpec,
    guidance: Guidance = STABLE_DIFFUSION.guidance,
    loras: Mapping[str, str] | None = None,
) -> str:
    """A frame's identity: sha256 over its recipe and its spec, whatever order texts stand in.

    LoRAs count by what they are and not by what they are called (`loras`: identities by name).
    """
    mine = identity(spec, guidance, loras or {})
    if spec.path:
        of_path = path_identity(spec.path.path, guidance, loras or {})
        mine = {"path": of_path, "place": spec.path.place}
    if spec.early:
        anchors = [[identity(of, guidance, loras or {}), weight] for of, weight in spec.early]
        mine["early"] = sorted(anchors, key=canonical)
    return hashlib.sha256(shared + b"\0" + canonical(mine)).hexdigest()


def path_digest(
    shared: bytes,
    path: SmoothPath,
    guidance: Guidance = STABLE_DIFFUSION.guidance,
    loras: Mapping[str, str] | None = None,
) -> str:
    """The identity of a smooth path, whose nodes are stored under it."""
    mine = canonical({"path": path_identity(path, guidance, loras or {})})
    return hashlib.sha256(shared + b"\0" + mine).hexdigest()


def path_identity(path: SmoothPath, guidance: Guidance, loras: Mapping[str, str]) -> dict[str, Any]:
    """All that has an effect on the pictures of a smooth path, but for what the recipe says.

    The negatives of an end without guidance have none on its own picture, but on those of the
    nodes, whose scales lie between those of the ends.
    """
    ends = (path.start, path.end)
    guided = any(guidance.uses_negatives(spec.guidance) for spec in ends)
    ends_of = [identity(spec, guidance, loras, guided) for spec in ends]
    return {"ends": ends_of, "parts": path.parts, "version": PATH_VERSION}


def identity(
    spec: FrameSpec, guidance: Guidance, loras: Mapping[str, str], guided: bool | None = None
) -> dict[str, Any]:
    """The entries of a spec that have an effect on the picture.

    Args:
        guided: whether its negatives are among them; None: if its own scale uses them.
    """
    if guided is None:
        guided = guidance.uses_negatives(spec.guidance)
    negatives = sorted(spec.negatives) if guided else []
    mine = {
        "prompts": sorted(spec.prompts),
        "negatives": negatives,
        "seeds": sorted(spec.seeds),
        "guidance": float(spec.guidance if guidance.taken else guidance.off),
    }
    mine |= picture_entry(spec)
    if any(has_weights(text) for text, _ in (*spec.prompts, *negatives)):
        mine["weights"] = reader_name()
    if spec.loras:
        mine["loras"] = sorted((loras[name], weight) for name, weight in spec.loras)
    return mine


def canonical(value: object) -> bytes:
    """JSON with one spelling for one meaning."""
    return ONE_SPELLING.encode(value).encode()
