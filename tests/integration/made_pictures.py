"""How pictures are made that nobody should hand in: bombs, odd containers, files that are two things at once."""

import io
import random
import struct
import zlib
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).parents[1] / "unit" / "pictures"
FILES = ("corners.heic", "sideways.heic", "large.avif")
HEIC, SIDEWAYS_HEIC, LARGE_AVIF = ((PICTURES / name).read_bytes() for name in FILES)  # the last one is all black


def drawn(mode="RGB", size=(96, 64)):
    return Image.linear_gradient("L").resize(size).convert(mode)


def encode(kind, image=None, **how):
    buffer = io.BytesIO()
    (image or drawn()).save(buffer, kind, **how)
    return buffer.getvalue()


def noise(size=(96, 64)):
    return Image.frombytes("RGB", size, random.Random(7).randbytes(size[0] * size[1] * 3))


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def inflating(megabytes):
    """Compress as many zeros, without ever having them: one piece of them again and again (RFC 1950, RFC 1951)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (megabytes * 2**20 % 65_521) << 16 | 1
    return b"\x78\xda" + piece * megabytes + b"\3\0" + struct.pack(">I", checksum)


def png(width=96, height=64, *before, behind=(), pixels=None, bits=8, colours=2):
    """Write a PNG with other chunks before and behind its pixels."""
    line = 1 + (width * bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours] + 7) // 8
    pixels = zlib.compress(bytes(line * height), 9) if pixels is None else pixels
    head = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    chunks = [chunk(b"IHDR", head), *before, chunk(b"IDAT", pixels), *behind, chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def jpeg(*segments, behind=b"", **how):
    """Write a JPEG with other segments at its beginning."""
    plain = encode("JPEG", **how)
    return plain[:2] + b"".join(segments) + plain[2:] + behind


def resized_jpeg(width, height):
    """Write a JPEG that says it has another size."""
    plain = encode("JPEG")
    size = plain.index(b"\xff\xc0") + 5
    return plain[:size] + struct.pack(">HH", height, width) + plain[size + 4 :]


def many_scans(count, size):
    """Write a progressive JPEG that refines itself again and again."""
    plain = encode("JPEG", Image.new("L", size), progressive=True)
    last = plain.rindex(b"\xff\xda")
    return plain[:last] + plain[last:-2] * count + plain[-2:]


def gif(screen=(96, 64), frames=1, frame=None, data=None, extensions=b""):
    frame = frame or screen
    plain = encode("GIF", Image.new("P", (16, 16)))
    data = data if data is not None else b"\x02\x02\x4c\x01\0"
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + plain[13:19]
    shown = b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + data
    return head + extensions + shown * frames + b";"


def riff(*chunks):
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp(width, height, frames=0, *more, size=(64, 64)):
    """Write a WebP with a canvas of that size, and small frames on it."""
    still = encode("WEBP", Image.new("RGB", size), lossless=True)[12:]
    canvas = (
        b"VP8X",
        struct.pack("<I", 2 if frames else 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
    )
    edges = (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")
    moving = [(b"ANIM", bytes(6)), *[(b"ANMF", bytes(6) + edges + b"\x10\0\0\0" + still)] * frames]
    return riff(canvas, *more, *(moving if frames else [(still[:4], still[8:])]))


def isobmff(content, width, height):
    """Make every picture in a HEIC or AVIF say it has another size (the box ispe: ISO/IEC 14496-12)."""
    parts = content.split(b"ispe")
    return b"ispe".join([parts[0], *(part[:4] + struct.pack(">II", width, height) + part[12:] for part in parts[1:])])


def with_boxes_broken(content):
    """Yield the file with one after the other of its boxes said to be empty, tiny, huge or endless."""
    for name in (
        b"ftyp",
        b"meta",
        b"hdlr",
        b"pitm",
        b"iinf",
        b"infe",
        b"iloc",
        b"iprp",
        b"ipco",
        b"ispe",
        b"hvcC",
        b"ipma",
    ):
        place = content.find(name) - 4
        if place >= 0:
            for size in (1, 7, 8, 2**31, 2**32 - 1):
                yield content[:place] + struct.pack(">I", size) + content[place + 4 :]


def overlapping_exif(count):
    """Write EXIF with many tags, each of which is all of it."""
    length = 10 + 12 * count + 4
    tags = b"".join(struct.pack(">HHII", 1000 + number, 7, length - 8, 8) for number in range(count))
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", count) + tags + bytes(4)


def gif_frames(count):
    return encode("GIF", Image.new("P", (96, 64)))[:-1] + gif(frames=count)[19:]


def animated(kind, count, size=(96, 64), **how):
    """Write a picture of many frames, each of another colour."""
    first, *others = (Image.new("RGB", size, (place % 256, place // 256, 99)) for place in range(count))
    return encode(kind, first, save_all=True, append_images=others, **how)


def png_in_ico(content):
    """Write an icon whose only picture is a PNG."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 96, 64, 0, 0, 1, 32, len(content), 22) + content


def icns(content):
    body = b"ic07" + struct.pack(">I", 8 + len(content)) + content
    return b"icns" + struct.pack(">I", 8 + len(body)) + body


def pieces(content, count=25):
    return [content[: len(content) * number // count] for number in range(1, count)]


# The width of 10,799 is written like the beginning of a comment.
GIF_JS = encode("GIF", Image.new("P", (0x2A2F, 10))) + b"*/=1;alert(document.domain)//"
TEXT = b"keyword\0\0"
GIGABYTE = inflating(1024)
XML = b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><svg><text>&a;</text></svg>"
LAUGHS = (
    b"<!DOCTYPE x [<!ENTITY a 'ha'>"
    + b"".join(b"<!ENTITY %c '%s'>" % (letter + 1, b"&%c;" % letter * 10) for letter in range(97, 110))
    + b"]><svg>&n;</svg>"
)
