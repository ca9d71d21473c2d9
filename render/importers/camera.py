"""Values by which other tools move a camera over the picture, which render does not."""

from __future__ import annotations

from collections.abc import Mapping

CAMERA: Mapping[str, float] = {
    "angle": 0, "zoom": 1, "translation_x": 0, "translation_y": 0, "translation_z": 0,
    "rotation_3d_x": 0, "rotation_3d_y": 0, "rotation_3d_z": 0,
    "transform_center_x": 0.5, "transform_center_y": 0.5,
    "perspective_flip_theta": 0, "perspective_flip_phi": 0, "perspective_flip_gamma": 0,
    "perspective_flip_fv": 53, "fov": 70, "near": 200, "far": 10_000,
}  # fmt: skip
"""The values with which nothing moves."""


def camera_loss(names: list[str]) -> str:
    """The sentence about such values."""
    return f"{listed(names)}: render moves no camera"


def listed(names: list[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
