"""A PNG's pixels, looked at without a decoder: readers of PNG forgive a stream that ends early, and
show black where rows are missing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import groupby

HEADER = struct.Struct(">IIBBBBB")  # width, height, depth, colour, compression, filter, interlace
FILTERS = bytes(range(5))


def pixel_flaw(content: bytes) -> str | None:
    """Why the pixels of an 8-bit RGB picture are not all there; None if they are.

    Args:
        content: a whole PNG whose checksums are right; its header says how much is decompressed.
    """
    kinds = [kind for kind, _ in chunks(content)]
    if kinds.count(b"IHDR") != 1:
        return "it has more than one header"
    if [kind for kind, _ in groupby(kinds)].count(b"IDAT") > 1:
        return "something stands between its pixels, where decoders end"
    width, height, *_, interlaced = HEADER.unpack_from(content, 16)
    row = 1 + 3 * width  # bytes, the number of the row's filter first
    stream = zlib.decompressobj()
    compressed = b"".join(data for kind, data in chunks(content) if kind == b"IDAT")
    try:
        pixels = stream.decompress(compressed, height * row + 1)
    except zlib.error as error:
        return f"its pixels can't be decompressed: {error}"
    if not stream.eof or len(pixels) != height * row:
        return f"it has {len(pixels):,} bytes of pixels, not {height * row:,}"
    if interlaced:
        return "it is interlaced, as no frame is"
    return "a row has no known filter" if pixels[::row].translate(None, FILTERS) else None


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of every chunk."""
    place = 8
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind, content[place + 8 : place + 8 + length]
        place += 12 + length
