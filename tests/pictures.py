"""Helpers for tests of pictures: render with an opened model, compare, and write PNG by hand."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def render(diffusion, *specs):
    """The pictures of these frames, rendered together."""
    return diffusion.render(specs, lambda done, total: None).all()


def difference(one, other):
    """The largest between two pictures, or two lists of them, in levels of 255."""
    return np.abs(np.asarray(one).astype(int) - np.asarray(other)).max()


def decibels(one, other):
    """The PSNR of a picture beside another one."""
    return 10 * np.log10(255**2 / max(1e-9, np.mean((one.astype(float) - other) ** 2)))


def linear(pixels):
    """A picture's codes as light."""
    codes = pixels / 255
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def mixed(one, other, share):
    """Two pictures mixed as light, `share` of it of the other one."""
    light = (1 - share) * linear(one) + share * linear(other)
    codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * codes)


def same_pictures(one, other):
    """Whether two lists hold the same pictures."""
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def huge(side: int, pixels: bytes = b"\0" * (1 << 20)) -> bytes:
    """A PNG of side² pixels that says so in its header; its pixels begin with a megabyte."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return SIGNATURE + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
