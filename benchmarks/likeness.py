"""How alike pictures are, and how smooth and how sharp a segment between two keyframes is.

Pictures are (H, W, 3) in 0..255. A segment's pictures are in order, both keyframes included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter, laplace

Picture = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]

SEEN = 32  # pixels a side: where a whole picture is judged and not its texture
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601
DIP = 0.6  # of the sharpness between the keyframes: less is a fault


def squared_errors(pictures: Sequence[Picture], reference: Sequence[Picture]) -> Values:
    """The mean squared error of each picture."""
    pairs = zip(pictures, reference, strict=True)
    return np.array([np.mean((a.astype(float) - b) ** 2) for a, b in pairs])


def decibels(error: float) -> float:
    """The peak signal-to-noise ratio of a mean squared error."""
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def psnr(pictures: Sequence[Picture], reference: Sequence[Picture]) -> float:
    """dB, of the mean squared error over all pictures."""
    return decibels(float(squared_errors(pictures, reference).mean()))


def worst_psnr(pictures: Sequence[Picture], reference: Sequence[Picture]) -> float:
    """dB of the picture that is furthest off."""
    return decibels(float(squared_errors(pictures, reference).max()))


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """Enlarged with a bicubic, reduced by areas; `size` is (width, height)."""
    if picture.shape[1::-1] == size:
        return picture
    smaller = size[0] < picture.shape[1]
    kind = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize(size, kind))


def luma(picture: Picture, side: int | None = None) -> Values:
    """Brightness (H, W), of the picture or of its reduction to so many pixels a side."""
    shown = picture if side is None else resized(picture, (side, side))
    return shown.astype(float) @ LUMA


def ssim(one: Picture, other: Picture, side: int = SEEN) -> float:
    """Structural similarity of the brightness, both reduced to `side` pixels a side.

    Wang et al. (2004), Image quality assessment, equation 13: Gaussian windows of sigma 1.5 over
    11 pixels, K1 = .01, K2 = .03.
    """
    x, y = luma(one, side), luma(other, side)

    def local(values: Values) -> Values:
        found: Values = gaussian_filter(values, 1.5, radius=5)
        return found

    mean_x, mean_y = local(x), local(y)
    variances = local(x * x) - mean_x**2 + local(y * y) - mean_y**2
    covariance = local(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((likeness / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))).mean())


def sharpness(picture: Picture) -> float:
    """Variance of the brightness's Laplacian."""
    return float(laplace(luma(picture)).var())


def dip(segment: Sequence[Picture]) -> float:
    """Sharpness of the dullest picture between the keyframes, as a share of what lies between the
    keyframes' own. A dissolve is a smooth film, but its middle has half of the sharpness.
    """
    found = np.array([sharpness(picture) for picture in segment])
    expected = np.maximum(np.linspace(found[0], found[-1], len(found)), 1e-9)
    return float((found / expected)[1:-1].min())


def steps(segment: Sequence[Picture]) -> Values:
    """How far each picture is from the one before it: root mean square of the linear RGB's
    difference at 32 pixels a side. A root, since squared distances add up to more than the way."""
    small = [resized(picture, (SEEN, SEEN)).astype(float) / 255 for picture in segment]
    light = np.stack(small) ** 2.2
    return np.sqrt(np.mean(np.diff(light, axis=0) ** 2, axis=(1, 2, 3)))


def gini(values: Values) -> float:
    """0 where all are equal, towards 1 where one has everything."""
    ordered, count = np.sort(values), len(values)
    if not ordered.sum():
        return 0.0
    places = np.arange(1, count + 1)
    return float(((2 * places - count - 1) * ordered).sum() / (count * ordered.sum()))


def smoothness(segment: Sequence[Picture]) -> float:
    """1 - Gini of the steps: 1 where the film moves at one speed."""
    return 1 - gini(steps(segment))


def largest_step(segment: Sequence[Picture]) -> float:
    """The largest step in medians of the steps; a jump is 4 and more."""
    found = steps(segment)
    return float(found.max() / max(float(np.median(found)), 1e-9))


def nearest(pictures: Sequence[Picture], among: Sequence[Picture]) -> npt.NDArray[np.intp]:
    """Which picture each one is nearest to, by its brightness at 32 pixels a side."""
    asked = np.stack([luma(picture, SEEN).ravel() for picture in pictures])
    known = np.stack([luma(picture, SEEN).ravel() for picture in among])
    squares = (asked**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * asked @ known.T
    return squares.argmin(1)
