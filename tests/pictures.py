"""Helpers for tests of pictures: render with an opened model, and compare."""

import numpy as np


def render(diffusion, *specs):
    return diffusion.render(specs, lambda done, total: None).all()


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max()


def equal(pictures, others):
    return all(np.array_equal(a, b) for a, b in zip(pictures, others, strict=True))
