"""The tags of a film's file: its title, and the recipe by which it can be rendered again.

Video files get them from ffmpeg, through a file, since an argument holds 128 KiB only. Its writers
of moving pictures keep no tags, so these get theirs afterwards: a GIF as a comment, a PNG as a
text, a WebP as Exif's comment of the user.
"""

from __future__ import annotations

import io
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from render.video.chapters import Chapter

MOST_BYTES = 4_000_000  # of a tag; a longer one is left out
PNG_KEYWORD = b"Comment"
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
UNICODE = (
    b"UNICODE\0"  # the code of a comment's letters: UTF-16, in the byte order of the Exif data
)
CANVAS, HAS_EXIF = b"VP8X", 0x08


@contextmanager
def tags_file(metadata: Mapping[str, str], chapters: Sequence[Chapter] = ()) -> Iterator[int]:
    """The descriptor of a file of tags and chapters as ffmpeg reads them, for the block."""
    lines = [f"{key}={escaped(text)}\n" for key, text in kept(metadata).items()]
    lines += map(section, chapters)
    with tempfile.TemporaryFile() as stream:
        stream.write(b";FFMETADATA1\n" + "".join(lines).encode())
        stream.flush()
        stream.seek(0)
        yield stream.fileno()


def kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """The tags that a file can hold: without NUL and lone surrogates, and none that is too long."""
    texts = {
        key: value.replace("\0", " ").encode("utf-8", "replace").decode()
        for key, value in metadata.items()
    }
    return {key: text for key, text in texts.items() if len(text.encode()) <= MOST_BYTES}


def escaped(text: str) -> str:
    """A value as ffmpeg's files of metadata have it."""
    return re.sub(r"[=;#\\\n]", lambda found: f"\\{found[0]}", text)


def section(chapter: Chapter) -> str:
    """A chapter as ffmpeg's files of metadata have it.

    ffmpeg takes a line that ends with a backslash, escaped or not, to go on in the next one: such a
    title gets a space behind it.
    """
    times = f"START={chapter.begin_ms}\nEND={chapter.end_ms}"
    end = " " if chapter.title.endswith("\\") else ""
    return f"[CHAPTER]\nTIMEBASE=1/1000\n{times}\ntitle={escaped(chapter.title)}{end}\n"


def tags_source(descriptor: int) -> list[str]:
    """ffmpeg's arguments for reading a file of tags: its input 1."""
    return ["-protocol_whitelist", "fd", "-f", "ffmetadata", "-fd", str(descriptor), "-i", "fd:"]


TAGS = ("-map_metadata", "1", "-map_chapters")
"""ffmpeg's options for an output with the tags of input 1, and none of the sound's; the number of
the input that has the chapters follows, or -1 for none."""


def write_comment(file: Path, comment: str) -> None:
    """Put a comment into a moving picture; a file of any other kind stays as it is.

    Raises:
        OSError: it can't be read or written.
    """
    content = file.read_bytes()
    with_comment = next((way for head, way in WAYS.items() if content.startswith(head)), None)
    text = kept({"comment": comment}).get("comment")
    if with_comment and text:
        file.write_bytes(with_comment(content, text.encode()))


def gif_with(content: bytes, text: bytes) -> bytes:
    """A GIF with a comment behind its first header and colour table (GIF89a, section 24)."""
    packed = content[10]
    begin = 13 + (3 << ((packed & 7) + 1) if packed & 0x80 else 0)
    blocks = [text[at : at + 255] for at in range(0, len(text), 255)]
    comment = b"".join(bytes([len(block)]) + block for block in blocks)
    return content[:begin] + b"\x21\xfe" + comment + b"\0" + content[begin:]


def png_with(content: bytes, text: bytes) -> bytes:
    """A PNG with a text behind its header: a keyword, no compression, no language."""
    begin = 8 + 25  # signature and header
    data = b"iTXt" + PNG_KEYWORD + b"\0\0\0\0\0" + text
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return content[:begin] + chunk + content[begin:]


def webp_with(content: bytes, text: bytes) -> bytes:
    """A WebP with Exif data at its end, which its header says is there (RFC 9649, section 2.7)."""
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update({USER_COMMENT: UNICODE + text.decode().encode("utf-16-le")})
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunks = content[12:]
    if not chunks.startswith(CANVAS):
        width, height = size_of_webp(content)
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks = CANVAS + struct.pack("<I", 10) + bytes(4) + size + chunks
    flagged = chunks[:8] + bytes([chunks[8] | HAS_EXIF]) + chunks[9:]
    whole = b"WEBP" + flagged + b"EXIF" + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def size_of_webp(content: bytes) -> tuple[int, int]:
    """Width and height of a WebP of one picture, in pixels."""
    with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
        return image.size


WAYS: Mapping[bytes, Callable[[bytes, bytes], bytes]] = {
    b"GIF8": gif_with,
    b"\x89PNG": png_with,
    b"RIFF": webp_with,
}
"""How a comment is put into a file, by the file's first bytes."""
