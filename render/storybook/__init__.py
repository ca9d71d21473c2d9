"""The embedded model: the diffusers folder `weights/`, which `model=storybook` loads.

How it was made, and how it is measured, is in `training/storybook` of the repository.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
EARLIER = {"sha256:f68c1d82a6de6ca61b298a32d2de9f82940ec74c17fb7ad21f696066c2868541": "0.2"}
"""Identities of the weights that came with earlier versions of render, and the last one of these:
films that were rendered with them have a reason for being rendered again."""
