"""Look into picture files without decoding them: is one whole, and would it harm a decoder?"""

import zlib
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
METADATA = {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}  # EXIF and XMP, with the orientation


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
    kinds = [kind for kind, _, _ in _chunks(memoryview(content))] if content.startswith(PNG_SIGNATURE) else []
    return b"IDAT" in kinds and not METADATA.isdisjoint(kinds[kinds.index(b"IDAT") :])


def _is_whole_png(content: memoryview) -> bool:
    kind = b""
    for kind, chunk, checksum in _chunks(content):  # noqa: B007 - the last one is asked for below
        if zlib.crc32(chunk) != int.from_bytes(checksum, "big"):
            return False
    return kind == b"IEND"


def _chunks(content: memoryview) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yield the kind of each whole chunk up to IEND, what its checksum is of, and the checksum."""
    start, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND" and start < len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        if end + 4 > len(content):
            return
        kind = bytes(content[start + 4 : start + 8])
        yield kind, content[start + 4 : end], content[end : end + 4]
        start = end + 4


def check_item_names(content: bytes) -> None:
    """Refuse a HEIC whose item types are no text: pi-heif 1.4.0 does not raise on one, it ends the process.

    Layout of the entries: ISO/IEC 14496-12, 8.11.6.

    Raises:
        ValueError: an entry is damaged.
    """
    for meta in _boxes(memoryview(content), b"meta"):
        for items in _boxes(meta[4:], b"iinf"):
            for entry in _boxes(items[6 if items[0] == 0 else 8 :], b"infe"):
                bytes(entry[10 if entry[0] > 2 else 8 :]).decode()


def _boxes(content: memoryview, kind: bytes) -> Iterator[memoryview]:
    """Yield what is in each box of a kind; the boxes stand one behind the other."""
    while content:
        size, name, head = int.from_bytes(content[:4], "big"), bytes(content[4:8]), 8
        if size == 1:
            size, head = int.from_bytes(content[8:16], "big"), 16
        if size == 0:
            size = len(content)
        if size < head:
            raise ValueError("a box of less than nothing")
        if name == kind:
            yield content[head:size]
        content = content[size:]
