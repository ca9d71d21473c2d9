"""Which family reads a folder, by its `model_index.json` and its denoiser's config."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from render.errors import ConfigError
from render.models.component_classes import framework_of
from render.models.families import BUILT_IN, FAMILIES
from render.models.family import Family

OWN_SISTERS = {name: family.pipeline for family in BUILT_IN.values() for name in family.sisters}
"""Our own families by the pipelines that are made of the same parts; none of another package takes
their place."""
BESIDE = frozenset({"controlnet"})
"""Components of sister pipelines that a family's own does not have."""


def pipeline_of(index: Mapping[str, Any]) -> str:
    """The class of the family that reads a folder with this `model_index.json`."""
    written = str(index.get("_class_name"))
    return reader_of(written) or written


def reader_of(pipeline: str) -> str | None:
    """The class of the family that reads folders of a pipeline class; None if there is none."""
    if pipeline in OWN_SISTERS:
        return OWN_SISTERS[pipeline]
    return pipeline if pipeline in FAMILIES else sister_elsewhere(pipeline)


def sister_elsewhere(pipeline: str) -> str | None:
    """The family of another package that names this class as its sister."""
    for name in FAMILIES:
        with suppress(ConfigError):  # a broken one is reported where it is chosen
            sisters = FAMILIES[name].sisters
            if pipeline in sisters:
                return name
    return None


def sister_flaw(index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> str | None:
    """Why a folder of a sister pipeline would not give its family's pictures, or None."""
    written, family = str(index.get("_class_name")), pipeline_of(index)
    if written == family:
        return None
    taken, given = denoiser.get("in_channels"), denoiser.get("out_channels")
    spread = isinstance(taken, int) and given == 2 * taken  # the variance is predicted as well
    if given is not None and taken != given and not spread:
        return (
            f"{written} with a denoiser that takes {taken} channels and gives {given}: it was "
            f"trained to change given pictures; the nearest is the {family} that it was made from"
        )
    if index.get("requires_aesthetics_score"):
        return f"{written} that refines given pictures; the nearest is its base, a {family}"
    return None


def family_of(index: Mapping[str, Any], denoiser: Mapping[str, Any]) -> Family:
    """The family of a model by its `model_index.json` and its denoiser's config."""
    family = FAMILIES[pipeline_of(index)]
    return family.adapt(family, index, denoiser) if family.adapt else family


def family_flaw(pipeline: str) -> str | None:
    """The flaw of a pipeline class, or None if its family is known."""
    if reader_of(pipeline):
        return None
    if framework := framework_of(pipeline):
        return f"{pipeline} is {framework}'s; get the model for PyTorch, with .safetensors"
    near = difflib.get_close_matches(pipeline, FAMILIES, n=1, cutoff=0.0)[0]
    return (
        f"no model family for the pipeline {pipeline!r}; it would need a row of its own in "
        "render/models/families.py (its denoiser's inputs, how its guidance is switched off, the "
        f"shape of its noise); the nearest by name is {near}; known: {', '.join(sorted(FAMILIES))}"
    )
