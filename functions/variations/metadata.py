"""Drop from picture files what they say beside how their pixels look: where a photograph was taken, who made it.

Nothing is decoded, and what is kept is kept byte for byte.
"""

import struct
from collections.abc import Iterator

from .containers import PNG_SIGNATURE, jpeg_segments, png_chunks, riff_chunks

# What a viewer needs beside the critical chunks: transparency, colours, resolution, frames (PNG specification, third
# edition, 11.3). Others are EXIF, texts, times, C2PA, and what nobody knows.
PNG_LOOK = {b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI", b"sBIT", b"pHYs", b"bKGD"}
PNG_LOOK |= {b"acTL", b"fcTL", b"fdAT"}
CRITICAL = 0x20  # is not set in the first letter of a chunk that no decoder may skip
WEBP_LOOK = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}  # RFC 9649, 2.7
WEBP_TOLD = 0x08 | 0x04  # flags of the chunk VP8X: there is EXIF, there is XMP
# What applications say in a JPEG (ITU T.81, B.2.4.6), as far as it is of pixels: the kind and the profile of colours.
JPEG_LOOK = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
JPEG_SAID = {*range(0xE0, 0xF0), 0xFE}


def without_metadata(content: bytes) -> bytes:
    """Return a PNG, JPEG or WebP that tells of nothing but its pixels; the same object where it did so before.

    What stands behind the picture goes as well: a second one, a video, an archive. A picture that its EXIF turns must
    be put upright before, or would never be.
    """
    if content.startswith(PNG_SIGNATURE):
        kept = [memoryview(PNG_SIGNATURE), *filter(_is_of_look, png_chunks(content))]
    elif content.startswith(b"\xff\xd8"):
        kept = list(_jpeg(content))
    elif content.startswith(b"RIFF"):
        kept = list(_webp(content))
    else:
        return content
    return content if sum(map(len, kept)) == len(content) else b"".join(kept)


def _is_of_look(chunk: memoryview) -> bool:
    kind = bytes(chunk[4:8])
    return kind in PNG_LOOK or not kind[:1] or not kind[0] & CRITICAL


def _jpeg(content: bytes) -> Iterator[memoryview]:
    for marker, segment in jpeg_segments(content):
        if marker not in JPEG_SAID:
            yield segment
        elif (mark := JPEG_LOOK.get(marker)) and segment[4 : 4 + len(mark)] == mark:
            yield segment if marker != 0xE0 else memoryview(_without_thumbnail(segment))


def _without_thumbnail(jfif: memoryview) -> bytes:
    """Drop the small picture that JFIF 1.02 may have behind its 16 bytes: it may show what was cropped away."""
    return bytes(jfif[:2]) + struct.pack(">H", 16) + bytes(jfif[4:16]) + bytes(2)


def _webp(content: bytes) -> Iterator[memoryview]:
    kept = [_with_nothing_told(chunk) for chunk in riff_chunks(content) if bytes(chunk[:4]) in WEBP_LOOK]
    yield memoryview(b"RIFF" + struct.pack("<I", 4 + sum(map(len, kept))) + b"WEBP")
    yield from kept


def _with_nothing_told(chunk: memoryview) -> memoryview:
    """Clear the flags that say there is metadata."""
    if bytes(chunk[:4]) != b"VP8X" or not chunk[8] & WEBP_TOLD:
        return chunk
    return memoryview(b"".join((chunk[:8], bytes([chunk[8] & ~WEBP_TOLD]), chunk[9:])))
