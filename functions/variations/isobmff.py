"""Look into the boxes of HEIC and AVIF files: would one harm a decoder?

Boxes and items: ISO/IEC 14496-12 (2022), 4.2, 8.7 and 8.11. AV1: its bitstream specification (2019), 5.3 and 5.5.
"""

from collections.abc import Iterator
from itertools import chain

from .containers import check_number

TABLE = b"/moov/trak/mdia/minf/stbl"  # of a track: where its pictures lie
# Boxes that have boxes in them -> how many bytes stand before these.
INNER = {b"/meta": 4, b"/meta/iinf": 6, **{TABLE[:end]: 0 for end in (5, 10, 15, 20, 25)}}
ENTRY = b"/meta/iinf/infe"  # of an item
AT_LENGTH = 3  # the version of an entry from which numbers of items have four bytes
Boxes = list[tuple[bytes, memoryview]]
Extent = tuple[int, int, int]  # not 0 where it lies in the box idat, its first byte, its length
SEQUENCE_HEADER = 1  # the kind of an OBU, as pieces of AV1 are called


class Bits:
    """Reads numbers of so many bits, one behind the other."""

    def __init__(self, content: bytes | memoryview) -> None:
        self.content = content
        self.place = 0

    def __call__(self, bits: int) -> int:
        """Read the next number; raise ValueError where nothing is left."""
        first, self.place = self.place, self.place + bits
        part = self.content[first // 8 : -(-self.place // 8)]
        if len(part) * 8 < self.place - first // 8 * 8:
            raise ValueError("bits are missing")
        return int.from_bytes(part, "big") >> -self.place % 8 & (1 << bits) - 1


def check_boxes(content: bytes) -> None:
    """Refuse a HEIC or AVIF that is made to kill decoders: one whose item types are no text ends the process.

    So it is with pi-heif 1.4.0, which does not raise.

    Raises:
        ValueError: an entry is damaged.
        UnsupportedImage: too many boxes.
    """
    for path, body in _boxes(content):
        if path == ENTRY:
            bytes(body[10 if body[0] >= AT_LENGTH else 8 :]).decode()


def coded_pixels(content: bytes) -> int:
    """Return the most pixels that any AV1 picture in a file has: decoding takes memory for them, whatever is declared.

    Looks at every item, and at the first picture of every track, as no other is decoded.

    Raises:
        ValueError: a box or a picture is damaged.
        UnsupportedImage: too many pieces.
    """
    boxes, most = list(_boxes(content)), 0
    pictures = {*_items(boxes), *_first_of_tracks(boxes)}
    if sum(length for extents in pictures for _, _, length in extents) > len(content):
        raise ValueError("pictures overlap")  # but for those that are just the same, as plain cells of a grid may be
    inside = b"".join(body for path, body in boxes if path == b"/meta/idat")
    read = (
        b"".join((inside if way else content)[start : start + length] for way, start, length in extents)
        for extents in pictures
    )
    for number, (kind, piece) in enumerate(chain.from_iterable(map(_pieces, read)), start=1):
        check_number(number)
        if kind == SEQUENCE_HEADER:
            most = max(most, _pixels(Bits(piece)))
    return most


def _boxes(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield each box with the names on the way to it, an outer one before those in it."""
    waiting, number = [(b"", memoryview(content))], 0
    while waiting:
        path, view = waiting.pop()
        while view:
            check_number(number := number + 1)
            size, head = int.from_bytes(view[:4], "big"), 8
            if size == 1:
                size, head = int.from_bytes(view[8:16], "big"), 16
            size = size or len(view)
            if size < head:
                raise ValueError("a box of less than nothing")
            inner, body, view = path + b"/" + bytes(view[4:8]), view[head:size], view[size:]
            yield inner, body
            if inner in INNER:
                wide = 2 * (inner == b"/meta/iinf" and body[0] > 0)
                waiting.append((inner, body[INNER[inner] + wide :]))


def _items(boxes: Boxes) -> Iterator[tuple[Extent, ...]]:
    """Yield where each item that is AV1 lies."""
    wanted = {
        int.from_bytes(body[4 : 8 if body[0] >= AT_LENGTH else 6], "big")
        for path, body in boxes
        if path == ENTRY and b"av01" in bytes(body[8:14])
    }
    found: dict[int, list[Extent]] = {}
    entries = chain.from_iterable(_extents(Bits(body)) for path, body in boxes if path == b"/meta/iloc")
    for number, (item, extent) in enumerate(entries, start=1):
        check_number(number)
        if item in wanted:
            found.setdefault(item, []).append(extent)
    return map(tuple, found.values())


def _extents(read: Bits) -> Iterator[tuple[int, Extent]]:
    """Yield the number of an item, and where a part of it lies."""
    version, _ = read(8), read(24)
    offset_bytes, length_bytes, base_bytes, index_bytes = read(4), read(4), read(4), read(4)
    for _ in range(read(32 if version > 1 else 16)):
        item, way = read(32 if version > 1 else 16), read(16) & 15 if version else 0
        base = (read(16), read(8 * base_bytes))[1]
        for _ in range(read(16)):
            if version:
                read(8 * index_bytes)
            yield item, (way, base + read(8 * offset_bytes), read(8 * length_bytes))


def _first_of_tracks(boxes: Boxes) -> Iterator[tuple[Extent, ...]]:
    """Yield where the first picture of each track lies, or a little more than that."""
    lengths = [
        int.from_bytes(body[4:8] if any(body[4:8]) else body[12:16], "big")
        for path, body in boxes
        if path == TABLE + b"/stsz"
    ]
    for path, body in boxes:
        if path in {TABLE + b"/stco", TABLE + b"/co64"}:
            start = int.from_bytes(body[8 : 12 if path.endswith(b"stco") else 16], "big")
            yield ((0, start, max(lengths, default=0)),)


def _pieces(picture: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield the kind of each OBU of an AV1 picture, and what it holds; stop where a decoder would be lost as well."""
    view = memoryview(picture)
    while view:
        head, start = view[0], 2 if view[0] & 4 else 1
        size = len(view) - start
        if head & 2:
            size, start = _leb128(view, start)
        yield head >> 3 & 15, view[start : start + size]
        view = view[start + size :]


def _leb128(view: memoryview, start: int) -> tuple[int, int]:
    """Return a number in seven bits a byte, the low ones first, and where it ends."""
    number = 0
    for place, byte in enumerate(view[start : start + 8]):
        number |= (byte & 127) << 7 * place
        if byte < 128:
            return number, start + place + 1
    return len(view), start


def _pixels(read: Bits) -> int:
    """Return the pixels of the largest frame that may follow a sequence header."""
    read(4)  # the profile, and whether it is a still picture
    if read(1):  # the short form that still pictures may have
        read(5)
    else:
        _skip_operating_points(read)
    widths, heights = read(4) + 1, read(4) + 1
    return (read(widths) + 1) * (read(heights) + 1)


def _skip_operating_points(read: Bits) -> None:
    delay = model = 0
    if read(1):  # timing
        read(64)
        if read(1):  # a number of ticks, in a code that begins with as many zeros as it has further bits, but for 32
            zeros = 0
            while zeros < 32 and not read(1):
                zeros += 1
            read(zeros % 32)
        if model := read(1):
            delay = read(5) + 1
            read(42)
    display = read(1)
    for _ in range(read(5) + 1):
        read(12)
        if read(5) > 7:
            read(1)
        if model and read(1):
            read(2 * delay + 1)
        if display and read(1):
            read(4)
