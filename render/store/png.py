"""A PNG's pixels, looked at without a decoder: readers of PNG forgive a stream that ends early, and
show black where rows are missing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

HEADER = struct.Struct(">IIBBBBB")  # width, height, depth, colour, compression, filter, interlace
FILTERS = bytes(range(5))


def pixel_flaw(content: bytes) -> str | None:
    """Why the pixels of an 8-bit RGB picture are not all there; None if they are.

    Args:
        content: a whole PNG whose checksums are right; its header says how much is decompressed.
    """
    width, height, *_, interlaced = HEADER.unpack_from(content, 16)
    row = 1 + 3 * width  # bytes, the number of the row's filter first
    stream = zlib.decompressobj()
    try:
        pixels = stream.decompress(b"".join(chunks(content, b"IDAT")), height * row + 1)
    except zlib.error as error:
        return f"its pixels can't be decompressed: {error}"
    if not stream.eof or len(pixels) != height * row:
        return f"it has {len(pixels):,} bytes of pixels, not {height * row:,}"
    if interlaced:
        return "it is interlaced, as no frame is"
    return "a row has no known filter" if pixels[::row].translate(None, FILTERS) else None


def chunks(content: bytes, wanted: bytes) -> Iterator[bytes]:
    """The contents of all chunks of a kind."""
    place = 8
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind == wanted:
            yield content[place + 8 : place + 8 + length]
        place += 12 + length
