"""Look into picture files without decoding them: is one whole, and would it harm a decoder?"""

import re
import zlib
from collections.abc import Iterator

from .errors import UnsupportedImage

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
METADATA = {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}  # EXIF and XMP, with the orientation
# Beginnings of the formats that we read; who has one and cannot be opened is damaged, and nothing else.
BEGINNINGS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|....ftyp(avi[fs]|mif1|msf1|he[iv][cx]|he[iv][ms])",
    re.DOTALL,
)
# Of chunks, segments or boxes. A PNG of 50 MB whose pixels come in 8 kB, as libpng writes them, has 6,400. Pillow 13
# needs 19 µs and 200 bytes for each one of a PNG, 7 µs and 150 bytes for one of a JPEG; in others the time is our own.
MAX_PIECES = 20_000
MAX_SCANS = 100  # of a JPEG: encoders make about ten, and each costs 1 ms a megapixel
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # but for restarts; a zero behind makes 0xFF compressed data
BARE = {0x01, 0xD8, 0xD9}  # markers with nothing behind them
SOS, EOI = 0xDA, 0xD9


def is_ours(content: bytes) -> bool:
    """Tell whether a file begins like one of the formats that we read."""
    return BEGINNINGS.match(content) is not None


def is_surely_whole(content: bytes) -> bool:
    """Tell whether a file has its end and, where its format has checksums, no bit of it is wrong.

    A JPEG or WebP with something behind its end may be whole too; it takes a decoder to say.

    PNG: every chunk's CRC, up to IEND (PNG specification, 5.3). JPEG: the EOI marker at the end, which no compressed
    data holds (ITU T.81, B.1.1.5). WebP: the length that its head tells (RFC 9649, 2.4).
    """
    if content.startswith(PNG_SIGNATURE):
        return _is_whole_png(memoryview(content))
    if content.startswith(b"\xff\xd8"):
        return content.endswith(b"\xff\xd9")
    if content.startswith(b"RIFF"):
        return len(content) == 8 + int.from_bytes(content[4:8], "little")
    return False


def has_metadata_behind(content: bytes) -> bool:
    """Tell whether a PNG says something behind its pixels, which a decoder finds only when it has decoded them."""
    kinds = [bytes(chunk[4:8]) for chunk in png_chunks(content)] if content.startswith(PNG_SIGNATURE) else []
    return b"IDAT" in kinds and not METADATA.isdisjoint(kinds[kinds.index(b"IDAT") :])


def check_pieces(content: bytes) -> None:
    """Refuse a PNG, JPEG or WebP that is made to keep decoders busy.

    Raises:
        UnsupportedImage: more than MAX_PIECES chunks or segments, or more than MAX_SCANS scans.
    """
    scans = 0
    for number, marker in enumerate(_pieces(content), start=1):
        check_number(number)
        scans += marker == SOS
        if scans > MAX_SCANS:
            raise UnsupportedImage(
                f"A JPEG of more than {MAX_SCANS} scans is not read, as it would keep decoders busy. Save it anew, "
                "not progressive."
            )


def _pieces(content: bytes) -> Iterator[int]:
    """Yield the marker of each piece of a JPEG, and 0 for each of a PNG or WebP."""
    if content.startswith(b"\xff\xd8"):
        yield from (marker for marker, _ in jpeg_segments(content))
    elif content.startswith(PNG_SIGNATURE):
        yield from (0 for _ in png_chunks(content))
    elif content.startswith(b"RIFF"):
        yield from (0 for _ in riff_chunks(content))


def check_number(pieces: int) -> None:
    """Refuse a file of too many pieces.

    Raises:
        UnsupportedImage: there are more than MAX_PIECES.
    """
    if pieces > MAX_PIECES:
        raise UnsupportedImage(
            f"A picture of more than {MAX_PIECES:,} chunks, segments or boxes is not read, as it would keep decoders "
            "busy. Save it anew with another program."
        )


def _is_whole_png(content: memoryview) -> bool:
    kind = b""
    for chunk in png_chunks(content):
        kind = bytes(chunk[4:8])
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big") or len(chunk) < 12 + _length(chunk):
            return False
    return kind == b"IEND"


def png_chunks(content: bytes | memoryview) -> Iterator[memoryview]:
    """Yield every chunk up to IEND, each with its length, kind and checksum; the last one may be cut off."""
    view, kind = memoryview(content)[len(PNG_SIGNATURE) :], b""
    while view and kind != b"IEND":
        end = 12 + _length(view)
        kind = bytes(view[4:8])
        yield view[:end]
        view = view[end:]


def _length(chunk: memoryview) -> int:
    return int.from_bytes(chunk[:4], "big")


def jpeg_segments(content: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield every marker up to EOI, and all that stands from there to the next one: parameters, and a scan's data.

    A decoder finds the same ones, as it skips whatever stands between (ITU T.81, B.1.1.2, and libjpeg's next_marker).
    """
    view, found, scanned = memoryview(content), MARKER.search(content), False
    while found:
        marker, end = content[found.end() - 1], found.end()
        if marker not in BARE:
            end += max(2, int.from_bytes(content[end : end + 2], "big"))
        scanned = scanned or marker == SOS
        following = None if scanned and marker == EOI else MARKER.search(content, end)
        stop = following.start() if following else end if marker == EOI else len(content)
        yield marker, view[found.start() : stop]
        found = following


def riff_chunks(content: bytes) -> Iterator[memoryview]:
    """Yield every chunk of a WebP, each with its kind, its length and what fills it up; the last may be cut off."""
    view = memoryview(content)[12 : 8 + int.from_bytes(content[4:8], "little")]
    while view:
        length = int.from_bytes(view[4:8], "little")
        end = 8 + length + length % 2
        yield view[:end]
        view = view[end:]
