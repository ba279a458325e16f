"""Picture files that somebody hopes to kill a worker with, or to get past us, and what becomes of them.

Every file is tried in a process of its own, with a limit of memory and time, so that one that eats either is seen. The
last test writes what was seen into docs/security.md.
"""

import gzip
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from variations import images

from tests.documents import show_seen
from tests.integration.made_pictures import (
    GIF_JS,
    GIGABYTE,
    HEIC,
    LARGE_AVIF,
    LAUGHS,
    SIDEWAYS_HEIC,
    TEXT,
    XML,
    animated,
    chunk,
    drawn,
    encode,
    gif,
    gif_frames,
    icns,
    inflating,
    isobmff,
    jpeg,
    many_scans,
    noise,
    overlapping_exif,
    pieces,
    png,
    png_in_ico,
    resized_jpeg,
    riff,
    segment,
    webp,
    with_boxes_broken,
)

FUNCTIONS = Path(images.__file__).parents[1]
BOMB = "UnsupportedImage: a bomb"
DAMAGED = "UnsupportedImage: damaged"
NOT_OURS = "UnsupportedImage: none of ours"
EMPTY = "UnsupportedImage: empty"
PIECES = "UnsupportedImage: too many pieces"
SCANS = "UnsupportedImage: too many scans"
TOO_LARGE = "SourceTooLarge"
UNTOUCHED, BARE = "as it is", "without metadata"
SQUARE = "image/png 256x256"
# Tries the files that it is named, each in a process of its own: 1.5 GB of memory, two seconds.
TRY = """
import json, os, resource, signal, sys, warnings
from pathlib import Path
from PIL import Image
from variations import decoding, images
from variations.dialects.dialect import SourceForm
from variations.errors import VariationError

warnings.simplefilter("ignore")
Image.init()
decoding._register_heic()
SQUARE = SourceForm(frozenset({"image/png"}), 4 * 1024**2 - 1, shape="square")

def told(picture):
    return f"{picture.content_type} {picture.width}x{picture.height}"

def attempt(step):
    try:
        return step()
    except VariationError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        return f"not of the tree: {error!r}"

def trial(content):
    picture = attempt(lambda: images.inspect(content, max_megapixels=50, strip=True))
    if isinstance(picture, str):
        return [picture, "-", "-"]
    forms = [(SourceForm(), None), (SQUARE, (256, 256))]
    sent = [attempt(lambda: images.prepare(picture, *form)) for form in forms]
    if sent[0] is picture:
        sent[0] = "as it is" if picture.content is content else "without metadata"
    return [told(picture), *(made if isinstance(made, str) else told(made) for made in sent)]

for path in sorted(Path(sys.argv[1]).iterdir()):
    content = path.read_bytes()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_AS, (1536 * 1024**2,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (2, 3))
        os.write(writing, json.dumps(trial(content)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as result:
        text = result.read()
    _, status, used = os.wait4(child, 0)
    ended = json.loads(text) if text else [f"killed by signal {status & 127}", "-", "-"]
    print(json.dumps([path.name, ended, used.ru_maxrss / 1024, used.ru_utime]), flush=True)
"""


@dataclass
class Row:
    """Files to which the same happens."""

    what: str
    make: Callable[[], bytes | list[bytes]]
    inspected: str
    any: str = "-"
    square: str = "-"
    megapixels: float = 0  # that are decoded
    megabytes: float = 0  # more that are allowed for, as the file itself is large

    @property
    def bound(self):
        """How many megabytes may be used: as the parameter WorkerMemory promises."""
        return 85 + 20 * self.megapixels + self.megabytes


def taken(what, make, inspected, any=UNTOUCHED, square=SQUARE, **more):  # noqa: A002
    return Row(what, make, inspected, any, square, **more)


ROWS = [
    Row("PNG that declares 60,000x60,000", lambda: png(60_000, 60_000, pixels=b""), BOMB),
    Row("PNG that declares 10,000x10,000", lambda: png(10_000, 10_000, pixels=b""), TOO_LARGE),
    taken(
        "PNG that declares 7,000x7,000 and has no pixels",
        lambda: png(7000, 7000, pixels=zlib.compress(b"")),
        "image/png 7000x7000",
        square=DAMAGED,
        megapixels=49,
    ),
    taken(
        "PNG of 49 megapixels in 6 kB",
        lambda: png(7000, 7000, bits=1, colours=0),
        "image/png 7000x7000",
        megapixels=49,
    ),
    taken("PNG whose pixels inflate to 1 GB", lambda: png(pixels=GIGABYTE), "image/png 96x64", megabytes=2),
    Row("PNG with a text that inflates to 1 GB (zTXt)", lambda: png(96, 64, chunk(b"zTXt", TEXT + GIGABYTE)), DAMAGED),
    Row("the same behind the pixels", lambda: png(behind=[chunk(b"zTXt", TEXT + GIGABYTE)]), DAMAGED),
    Row("the same as iTXt", lambda: png(96, 64, chunk(b"iTXt", b"k\0\1\0\0\0" + GIGABYTE)), DAMAGED),
    Row(
        "PNG with a colour profile that inflates to 1 GB", lambda: png(96, 64, chunk(b"iCCP", TEXT + GIGABYTE)), DAMAGED
    ),
    Row(
        "PNG with 100 texts that inflate to 1 MB each",
        lambda: png(96, 64, *[chunk(b"zTXt", TEXT + inflating(1))] * 100),
        DAMAGED,
    ),
    taken("PNG with 15,000 empty chunks", lambda: png(96, 64, *[chunk(b"teSt")] * 15_000), "image/png 96x64", BARE),
    Row("PNG with 500,000 empty chunks", lambda: png(96, 64, *[chunk(b"teSt")] * 500_000), PIECES, megabytes=24),
    Row(
        "PNG whose pixels come in 500,000 pieces",
        lambda: png(96, 64, *[chunk(b"IDAT")] * 500_000),
        PIECES,
        megabytes=24,
    ),
    taken(
        "PNG with EXIF of 4 MB",
        lambda: png(96, 64, chunk(b"eXIf", b"MM\0*\0\0\0\x08" + bytes(2**22))),
        "image/png 96x64",
        BARE,
        megabytes=16,
    ),
    taken(
        "PNG with 5,000 EXIF tags that are all of it",
        lambda: png(96, 64, chunk(b"eXIf", overlapping_exif(5000))),
        "image/png 96x64",
        BARE,
        megabytes=5,
    ),
    taken(
        "APNG of 5,000 frames",
        lambda: png(
            96,
            64,
            chunk(b"acTL", struct.pack(">II", 5000, 0)),
            behind=[chunk(b"fcTL", bytes(26)), chunk(b"fdAT", bytes(16))] * 5000,
        ),
        "image/png 96x64",
        megabytes=9,
    ),
    Row("JPEG that declares 65,500x65,500", lambda: resized_jpeg(65_500, 65_500), BOMB),
    taken(
        "JPEG that declares 7,000x7,000 and has pixels for 96x64",
        lambda: resized_jpeg(7000, 7000),
        "image/jpeg 7000x7000",
        megapixels=49,
    ),
    Row("progressive JPEG of 2,000 scans", lambda: many_scans(1995, (2000, 2000)), SCANS),
    taken("progressive JPEG of 30 scans", lambda: many_scans(25, (1000, 1000)), "image/jpeg 1000x1000", megapixels=1),
    taken("JPEG with 15,000 empty comments", lambda: jpeg(segment(0xFE, b"") * 15_000), "image/jpeg 96x64", BARE),
    Row("JPEG with 500,000 empty comments", lambda: jpeg(segment(0xFE, b"") * 500_000), PIECES, megabytes=8),
    Row(
        "JPEG that has its end first, and 500,000 empty comments then",
        lambda: jpeg(b"\xff\xd9" + segment(0xFE, b"") * 500_000),
        PIECES,
        megabytes=8,
    ),
    taken(
        "JPEG with EXIF of 4 MB in 64 segments",
        lambda: jpeg(*[segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + bytes(65_000))] * 64),
        "image/jpeg 96x64",
        BARE,
        megabytes=16,
    ),
    taken(
        "JPEG with 5,000 EXIF tags that are all of it",
        lambda: jpeg(segment(0xE1, b"Exif\0\0" + overlapping_exif(5000))),
        "image/jpeg 96x64",
        BARE,
        megabytes=5,
    ),
    Row("GIF that declares 65,535x65,535", lambda: gif((65_535, 65_535)), BOMB),
    Row("GIF of 10x10 with a frame of 30,000x30,000", lambda: gif((10, 10), frame=(30_000, 30_000)), BOMB),
    Row("GIF that declares 7,000x7,000 and has one pixel", lambda: gif((7000, 7000)), DAMAGED, megapixels=49),
    taken(
        "GIF of 50,000 frames",
        lambda: gif_frames(50_000),
        "image/gif 96x64",
        "image/png 96x64",
    ),
    taken(
        "GIF with a comment of 4 MB",
        lambda: encode("GIF")[:-1] + b"!\xfe" + (b"\xff" + bytes(255)) * 16_384 + b"\0;",
        "image/gif 96x64",
        "image/png 96x64",
        megabytes=16,
    ),
    Row("WebP that declares 12,000x12,000 and has 64x64", lambda: webp(12_000, 12_000, 1), TOO_LARGE),
    taken(
        "WebP of 2,000x2,000 with 500 frames of 64x64",
        lambda: webp(2000, 2000, 500),
        "image/webp 2000x2000",
        megapixels=4,
    ),
    taken(
        "WebP with EXIF of 4 MB",
        lambda: riff(
            (b"VP8X", b"\x08\0\0\0\x5f\0\0\x3f\0\0"),
            *[(b"VP8L", encode("WEBP", lossless=True)[20:])],
            (b"EXIF", b"MM\0*\0\0\0\x08" + bytes(2**22)),
        ),
        "image/webp 96x64",
        BARE,
        megabytes=20,
    ),
    Row(
        "WebP with 500,000 empty chunks",
        lambda: riff((b"VP8L", encode("WEBP", lossless=True)[20:]), *[(b"teSt", b"")] * 500_000),
        PIECES,
        megabytes=16,
    ),
    taken("animated WebP", lambda: animated("WEBP", 20), "image/webp 96x64"),
    taken("APNG", lambda: animated("PNG", 20), "image/png 96x64"),
    taken("animated AVIF", lambda: animated("AVIF", 5), "image/avif 96x64", "image/jpeg 96x64"),
    Row("AVIF that declares 16,384x16,384 and has 96x64", lambda: isobmff(encode("AVIF"), 16_384, 16_384), BOMB),
    Row(
        "AVIF that declares 8x8 and has 7,200x7,200",
        lambda: isobmff(LARGE_AVIF, 8, 8),
        TOO_LARGE,
    ),
    taken(
        "AVIF that declares 8x8 and has 1,000x1,000",
        lambda: isobmff(encode("AVIF", Image.new("RGB", (1000, 1000)), speed=10), 8, 8),
        "image/avif 8x8",
        "image/jpeg 8x8",
        megapixels=1,
    ),
    Row(
        "AVIF with 500,000 empty boxes",
        lambda: encode("AVIF") + struct.pack(">I4s", 8, b"free") * 500_000,
        PIECES,
        megabytes=16,
    ),
    Row("HEIC that declares 16,384x16,384 and has 64x48", lambda: isobmff(HEIC, 16_384, 16_384), BOMB),
    Row("HEIC that declares 8x8 and has 64x48", lambda: isobmff(HEIC, 8, 8), DAMAGED),
    Row("HEIC with a broken box, one after the other", lambda: list(with_boxes_broken(HEIC)), DAMAGED),
    Row("AVIF with a broken box, one after the other", lambda: list(with_boxes_broken(encode("AVIF"))), DAMAGED),
    taken("GIF that is JavaScript as well", lambda: GIF_JS, "image/gif 10799x10", "image/png 10799x10"),
    taken(
        "PNG with a ZIP behind it",
        lambda: png() + b"PK\3\4" + bytes(100) + b"PK\5\6" + bytes(18),
        "image/png 96x64",
        BARE,
    ),
    taken("PNG with HTML behind it", lambda: png() + b"<html><script>alert(1)</script>", "image/png 96x64", BARE),
    taken(
        "JPEG with PHP in its comment",
        lambda: jpeg(segment(0xFE, b"<?php system($_GET[0]); ?>")),
        "image/jpeg 96x64",
        BARE,
    ),
    taken("JPEG with PHP behind it", lambda: jpeg(behind=b"<?php system($_GET[0]); ?>"), "image/jpeg 96x64", BARE),
    taken(
        "JPEG with HTML and JavaScript in its comment",
        lambda: jpeg(segment(0xFE, b"<html><script>/*"), behind=b"*/alert(1)</script>"),
        "image/jpeg 96x64",
        BARE,
    ),
    taken(
        "JPEG with a PDF in its comment",
        lambda: jpeg(segment(0xFE, b"%PDF-1.7\n1 0 obj <<>> stream")),
        "image/jpeg 96x64",
        BARE,
    ),
    Row("PDF with a JPEG in it", lambda: b"%PDF-1.7\n1 0 obj <<>> stream\n" + jpeg() + b"endstream", NOT_OURS),
    Row("SVG, with an entity that is a file", lambda: XML, NOT_OURS),
    Row("SVG in gzip, PNG in gzip", lambda: [gzip.compress(XML), gzip.compress(png())], NOT_OURS),
    Row("PNG within ICO and ICNS", lambda: [png_in_ico(png()), icns(png())], NOT_OURS),
    Row("XML whose entities multiply", lambda: LAUGHS, NOT_OURS),
    Row("HTML", lambda: b"<!DOCTYPE html><script>alert(1)</script>", NOT_OURS),
    Row(
        "EPS, PostScript, and EPS in disguise",
        lambda: [encode("EPS"), b"%!PS\n(/etc/passwd) (r) file", b"\xc5\xd0\xd3\xc6" + bytes(99)],
        NOT_OURS,
    ),
    Row(
        "TIFF, BMP, ICO, ICNS, JPEG 2000, TGA, PCX",
        lambda: [encode(kind) for kind in ("TIFF", "BMP", "ICO", "ICNS", "JPEG2000", "TGA", "PCX")],
        NOT_OURS,
    ),
    Row(
        "PSD, WMF, FITS, MP4, ELF, ZIP",
        lambda: [
            magic + bytes(200)
            for magic in (b"8BPS\0\1", b"\xd7\xcd\xc6\x9a", b"SIMPLE  =", b"\0\0\0\x18ftypisom", b"\x7fELF", b"PK\3\4")
        ],
        NOT_OURS,
    ),
    Row("no byte", lambda: b"", EMPTY),
    Row("one byte", lambda: [b"\0", b"\x89", b"\xff"], NOT_OURS),
    Row(
        "the first bytes of a picture",
        lambda: [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\4\0\0\0WEBP", b"\0\0\0\x18ftypavif"],
        DAMAGED,
    ),
    *(
        Row(f"{kind} cut off in 24 places", lambda kind=kind: pieces(encode(kind, noise())), outcome)
        for kind, outcome in {"PNG": DAMAGED, "JPEG": DAMAGED, "WEBP": DAMAGED, "GIF": DAMAGED, "AVIF": DAMAGED}.items()
    ),
    Row("HEIC cut off in 24 places", lambda: pieces(SIDEWAYS_HEIC), DAMAGED),
    taken(
        "two pictures in one JPEG (MPO)",
        lambda: encode("MPO", save_all=True, append_images=[drawn()]),
        "image/jpeg 96x64",
        BARE,
    ),
    taken("CMYK JPEG", lambda: encode("JPEG", drawn("CMYK")), "image/jpeg 96x64"),
    taken(
        "PNG of 16 bits, grey and in colour",
        lambda: [png(bits=16, colours=0), png(bits=16), png(bits=16, colours=6)],
        "image/png 96x64",
    ),
    taken(
        "PNG of one bit, with a palette, with grey and alpha",
        lambda: [
            png(bits=1, colours=0),
            png(96, 64, chunk(b"PLTE", bytes(6)), chunk(b"tRNS", b"\0\x80"), colours=3),
            png(colours=4),
        ],
        "image/png 96x64",
    ),
    taken("PNG of palette colours without a palette", lambda: png(colours=3), "image/png 96x64", square=DAMAGED),
    taken("PNG with EXIF of four bytes", lambda: png(96, 64, chunk(b"eXIf", b"MM\0*")), "image/png 96x64", BARE),
    taken("WebP with EXIF of seven bytes", lambda: encode("WEBP", exif=b"MM\0*\0\0\0"), "image/webp 96x64", BARE),
]
ROWS_BY_NAME = {row.what: row for row in ROWS}
SEEN: dict[str, list[str]] = {}
SAID = {"decompression bomb": BOMB, "damaged or cut off": DAMAGED, "is not a PNG": NOT_OURS, "0 bytes": EMPTY}
SAID |= {"chunks, segments or boxes": PIECES, "scans": SCANS, "megapixels; this stack": TOO_LARGE}


@pytest.fixture(scope="module", name="tried")
def _tried(tmp_path_factory):
    """What became of every file: row -> [(what is told of it, megabytes)]."""
    folder, rows = tmp_path_factory.mktemp("pictures"), ROWS
    for number, row in enumerate(rows):
        made = row.make()
        for place, content in enumerate(made if isinstance(made, list) else [made]):
            (folder / f"{number:03}-{place:03}").write_bytes(content)
    environment = {**os.environ, "PYTHONPATH": str(FUNCTIONS)}
    command = [sys.executable, "-c", TRY, str(folder)]
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    found = {row.what: [] for row in rows}
    for line in ran.stdout.splitlines():
        name, outcomes, megabytes, _ = json.loads(line)
        found[rows[int(name[:3])].what].append((list(map(shortly, outcomes)), megabytes))
    return found


def shortly(outcome):
    return next((short for part, short in SAID.items() if part in outcome), outcome)


def check(row, tried):
    each = zip(*(outcomes for outcomes, _ in tried), strict=True)
    assert [" / ".join(sorted(set(outcomes))) for outcomes in each] == [row.inspected, row.any, row.square]
    assert max(megabytes for _, megabytes in tried) < row.bound


@pytest.mark.parametrize("what", ROWS_BY_NAME)
def test_a_hostile_picture_is_taken_or_refused_in_little_time_and_memory(tried, what):
    row = ROWS_BY_NAME[what]
    check(row, tried[what])
    SEEN[what] = [what, row.inspected, row.any, row.square, f"{row.bound:.0f} MB"]


def test_the_document_shows_what_became_of_the_pictures():
    heads = ["the file", "what it is", "as most providers get it", "as a square", "memory, at most"]
    show_seen("security.md", "pictures", heads, SEEN, ROWS_BY_NAME)
