"""Colour profiles as other programs embed them, made from the numbers of their standards."""

import struct

import numpy as np

P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
D65, D50 = (0.3127, 0.329), (0.96422, 1.0, 0.82521)


def matrix(primaries, white=D65):
    """Linear RGB of these primaries to XYZ."""
    columns = np.array(
        [[x / y, 1, (1 - x - y) / y] for x, y in zip(primaries[::2], primaries[1::2], strict=True)]
    ).T
    x, y = white
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


def adapted(of):
    """A matrix to XYZ seen under D50, as profiles hold it (Bradford)."""
    cone = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    before, after = cone @ of.sum(1), cone @ np.array(D50)
    return np.linalg.inv(cone) @ np.diag(after / before) @ cone @ of


def linear(values):
    """sRGB's values 0 … 1 as light."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light):
    """Light 0 … 1 as sRGB's values."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def in_srgb(colour, primaries, gamma=None):
    """A colour 0 … 255 of these primaries in sRGB, by the textbook."""
    values = np.array(colour) / 255
    light = values**gamma if gamma else linear(values)
    mixed = np.linalg.solve(matrix(SRGB), matrix(primaries) @ light)
    return np.round(encoded(mixed.clip(0, 1)) * 255)


def fixed(number):
    """A number as profiles write it."""
    return struct.pack(">i", round(number * 65536))


def text(words):
    return b"desc" + struct.pack(">II", 0, len(words) + 1) + words.encode() + b"\0" * 79


def curve(gamma):
    """The curve of a gamma, or sRGB's own."""
    if gamma:
        return b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
    table = np.round(linear(np.arange(1024) / 1023) * 65535).astype(int)
    return b"curv" + struct.pack(">II", 0, 1024) + struct.pack(">1024H", *table)


def profile(space, tags, kind=b"mntr", connection=b"XYZ "):
    """An ICC profile of version 2."""
    tags = {b"desc": text("made in a test"), b"cprt": b"text\0\0\0\0none\0", **tags}
    place, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", place + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", place + len(data), b"none", 0x02400000, kind, space, connection
    )
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += b"".join(map(fixed, D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def rgb_profile(primaries, gamma=None):
    """A profile of three primaries and a curve."""
    xyz = [
        b"XYZ \0\0\0\0" + b"".join(map(fixed, column)) for column in adapted(matrix(primaries)).T
    ]
    white = b"XYZ \0\0\0\0" + b"".join(map(fixed, D50))
    names = b"rXYZ", b"gXYZ", b"bXYZ"
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma))
    return profile(b"RGB ", {b"wtpt": white, **dict(zip(names, xyz, strict=True)), **curves})


def grey_profile(gamma):
    white = b"XYZ \0\0\0\0" + b"".join(map(fixed, D50))
    return profile(b"GRAY", {b"wtpt": white, b"kTRC": curve(gamma)})


def ink_profile(lightness_of_cyan=60):
    """A profile of four inks by a table of its corners: white paper, dull cyan, the rest dark."""
    corners = b""
    for inks in range(16):
        c, m, y, k = (inks >> shift & 1 for shift in (3, 2, 1, 0))
        light = 10 if k else 100 - (100 - lightness_of_cyan) * c - 45 * m - 10 * y
        green, blue = (0, 0) if k else (-35 * c + 70 * m, -45 * c + 90 * y)
        corners += bytes(
            [
                round(max(light, 0) * 2.55),
                max(0, min(255, green + 128)),
                max(0, min(255, blue + 128)),
            ]
        )
    ramp = bytes(range(256))
    unit = b"".join(map(fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + ramp * 4 + corners + ramp * 3
    white = b"XYZ \0\0\0\0" + b"".join(map(fixed, D50))
    return profile(b"CMYK", {b"wtpt": white, b"A2B0": lut}, b"prtr", b"Lab ")
