"""The embedded model: the diffusers folder `weights/`, which `model=storybook` loads.

How it was made, and how it is measured, is in `training/storybook` of the repository.
"""
