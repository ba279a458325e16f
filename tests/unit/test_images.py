"""Pictures come in safely and upright, and go out in exactly the size and format that was asked for."""

import functools
import io
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin
from variations import images
from variations.dialects.dialect import JPEG, PNG, WEBP, SourceForm
from variations.errors import SourceTooLarge, UnsupportedImage
from variations.model import Picture

FUNCTIONS = Path(images.__file__).parents[1]
# Four rectangles, as libheif and x265 encode them; the second is stored on its side with the `irot` box and the
# EXIF tag that phones write.
HEIC, SIDEWAYS_HEIC = (
    (Path(__file__).parent / "pictures" / name).read_bytes() for name in ("corners.heic", "sideways.heic")
)
COLOURS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "Y": (255, 255, 0), "W": (255, 255, 255)}
UPRIGHT = "RG/BY"
# What a camera stores of UPRIGHT for each EXIF orientation (EXIF 2.32, 4.6.5.1: where the 0th row and column are).
STORED = {1: "RG/BY", 2: "GR/YB", 3: "YB/GR", 4: "BY/RG", 5: "RB/GY", 6: "GY/RB", 7: "YG/BR", 8: "BR/YG"}
ORIENTATION = 0x0112
EXIF_HEADER = b"MM\0*\0\0\0\x08"


def corners(layout=UPRIGHT, size=(96, 64), mode="RGB"):
    """Paint four rectangles, e.g. red and green over blue and yellow."""
    image = Image.new("RGB", size)
    width, height = size[0] // 2, size[1] // 2
    for row, letters in enumerate(layout.split("/")):
        for column, letter in enumerate(letters):
            left, top = column * width, row * height
            image.paste(COLOURS[letter], (left, top, left + size[0], top + size[1]))
    return image.convert(mode)


def encode(image, kind="PNG", **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def opened(picture):
    """Decode a result, which must be what it says it is."""
    image = Image.open(io.BytesIO(picture.content))
    image.load()
    kind = "JPEG" if image.format == "MPO" else image.format
    assert (f"image/{kind.lower()}", image.size) == (picture.content_type, (picture.width, picture.height))
    return image


def layout_of(picture):
    """Read the colours near the four corners, as a viewer that knows nothing of EXIF sees them."""
    image = opened(picture).convert("RGB")
    width, height = image.size
    letters = [
        nearest(image.getpixel((x, y))) for y in (height // 8, height * 7 // 8) for x in (width // 8, width * 7 // 8)
    ]
    return "{}{}/{}{}".format(*letters)


def nearest(pixel):
    return min(COLOURS, key=lambda letter: sum(abs(a - b) for a, b in zip(COLOURS[letter], pixel, strict=True)))


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def inspected(content, max_megapixels=50):
    return images.inspect(content, max_megapixels=max_megapixels)


ANY = SourceForm()
SQUARE = SourceForm(frozenset({PNG}), 4 * 1024**2 - 1, shape="square")
ASKED = SourceForm(frozenset({PNG, JPEG}), shape="asked")


def upright(picture):
    return images.prepare(picture, ANY, None)


def square_png(picture, edge):
    return images.prepare(picture, SQUARE, (edge, edge))


def noise(width, height, mode="RGB"):
    return Image.frombytes(mode, (width, height), random.Random(7).randbytes(width * height * len(mode)))


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def declared(width, height):
    """Write the beginning of a PNG that says how large it is, and is nothing behind that."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def translucent(mode="RGBA"):
    """Paint the left half red and half transparent, and leave the right half clear."""
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 0, 0, 128), (0, 0, 32, 64))
    return image.convert(mode)


ENCODED = {
    "png": (encode(corners()), "image/png"),
    "palette png": (encode(corners().quantize(8)), "image/png"),
    "png with alpha": (encode(corners(mode="RGBA")), "image/png"),
    "16-bit png": (encode(Image.new("I;16", (96, 64), 0x8000)), "image/png"),
    "jpeg": (encode(corners(), "JPEG"), "image/jpeg"),
    "progressive jpeg": (encode(corners(), "JPEG", progressive=True), "image/jpeg"),
    "grey jpeg": (encode(corners(mode="L"), "JPEG"), "image/jpeg"),
    "cmyk jpeg": (encode(corners(mode="CMYK"), "JPEG"), "image/jpeg"),
    "jpeg of two pictures": (
        encode(corners(), "MPO", save_all=True, append_images=[corners("YB/GR")]),
        "image/jpeg",
    ),
    "webp": (encode(corners(), "WEBP"), "image/webp"),
    "lossless webp": (encode(corners(), "WEBP", lossless=True), "image/webp"),
    "moving webp": (encode(corners(), "WEBP", save_all=True, append_images=[corners("YB/GR")]), "image/webp"),
    "gif": (encode(corners(), "GIF"), "image/gif"),
    "moving gif": (encode(corners(), "GIF", save_all=True, append_images=[corners("YB/GR")]), "image/gif"),
    "avif": (encode(corners(), "AVIF"), "image/avif"),
}
COLOURFUL = {name: content for name, (content, _) in ENCODED.items() if name not in {"16-bit png", "grey jpeg"}}
every_kind = pytest.mark.parametrize("name", ENCODED)
every_colourful_kind = pytest.mark.parametrize("name", COLOURFUL)


@every_kind
def test_a_picture_is_told_by_its_bytes_with_its_type_and_size(name):
    content, content_type = ENCODED[name]

    assert inspected(content) == Picture(content, content_type, 96, 64)


@pytest.mark.parametrize("content", [HEIC, SIDEWAYS_HEIC], ids=["upright", "sideways"])
def test_a_heic_picture_is_told_by_its_bytes_with_its_size_as_seen(content):
    assert inspected(content) == Picture(content, "image/heic", 64, 48)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_photo_taken_in_any_orientation_has_its_size_as_seen_and_comes_upright(kind, orientation):
    size = (96, 64) if orientation < 5 else (64, 96)
    content = encode(corners(STORED[orientation], size), kind, exif=exif(orientation))

    picture = inspected(content)
    sent = upright(picture)

    assert (picture.width, picture.height) == (sent.width, sent.height) == (96, 64)
    assert layout_of(sent) == UPRIGHT
    assert opened(sent).getexif().get(ORIENTATION, 1) == 1


@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_taken_in_any_orientation_is_cropped_upright(orientation):
    size = (96, 64) if orientation < 5 else (64, 96)
    content = encode(corners(STORED[orientation], size), "JPEG", exif=exif(orientation))

    assert layout_of(square_png(inspected(content), 48)) == UPRIGHT


@pytest.mark.parametrize("content", [HEIC, SIDEWAYS_HEIC], ids=["upright", "sideways"])
def test_a_heic_photo_comes_upright_as_jpeg_and_is_turned_only_once(content):
    sent = upright(inspected(content))

    assert (sent.content_type, sent.width, sent.height) == ("image/jpeg", 64, 48)
    assert layout_of(sent) == UPRIGHT
    assert layout_of(square_png(inspected(content), 32)) == UPRIGHT


@every_colourful_kind
def test_a_picture_comes_upright_in_a_type_that_every_provider_reads(name):
    sent = upright(inspected(COLOURFUL[name]))

    assert sent.content_type in {"image/png", "image/jpeg", "image/webp"}
    assert layout_of(sent) == UPRIGHT


@every_kind
def test_a_picture_that_every_provider_reads_is_sent_untouched(name):
    picture = inspected(ENCODED[name][0])

    sent = upright(picture)

    assert (sent is picture) == (picture.content_type in {"image/png", "image/jpeg", "image/webp"})


def test_a_gif_is_sent_as_its_first_frame_without_loss():
    sent = upright(inspected(ENCODED["moving gif"][0]))

    assert sent.content_type == "image/png"
    assert {colour for _, colour in opened(sent).convert("RGB").getcolors()} == {COLOURS[letter] for letter in "RGBY"}


def test_a_transparent_picture_that_must_be_converted_keeps_its_transparency():
    sent = upright(inspected(encode(translucent(), "AVIF")))

    assert sent.content_type == "image/png"
    assert opened(sent).getpixel((48, 32))[3] == 0
    assert opened(sent).getpixel((16, 32))[3] == pytest.approx(128, abs=3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation):
    picture = inspected(encode(corners(), "JPEG", exif=exif(orientation)))

    assert (picture.width, picture.height) == (96, 64)
    assert layout_of(upright(picture)) == UPRIGHT


def test_an_empty_source_is_refused_as_such():
    with pytest.raises(UnsupportedImage, match="0 bytes"):
        inspected(b"")


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        encode(corners(), "BMP"),
        encode(corners(), "TIFF"),
        encode(corners(), "ICO"),
        encode(corners(), "EPS"),
        encode(corners(), "JPEG2000"),
        b"\0\0\0\x18ftypisom\0\0\0\0isommp41",
        b"\0\0\0\x18ftyp",
    ],
    ids=["text", "svg", "pdf", "bmp", "tiff", "ico", "eps", "jpeg 2000", "video", "a container of nothing"],
)
def test_anything_that_is_no_picture_of_ours_is_refused_with_those_that_are(content):
    with pytest.raises(UnsupportedImage, match="The source is not a PNG, JPEG, WebP, GIF, AVIF or HEIC image"):
        inspected(content)


@pytest.mark.parametrize("part", [0.5, 0.9, 0.98])
@every_kind
def test_a_source_that_is_cut_off_is_refused(name, part):
    content = encode(noise(96, 64).convert("L") if "grey" in name else noise(96, 64), ENCODED[name][1][6:].upper())

    with pytest.raises(UnsupportedImage, match=r"The source is (damaged or cut off|not a PNG)"):
        inspected(content[: int(len(content) * part)])


def test_a_heic_source_that_is_cut_off_is_refused():
    with pytest.raises(UnsupportedImage, match="damaged or cut off"):
        inspected(HEIC[:-40])


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_an_answer_that_is_cut_off_is_refused(name):
    content = ENCODED[name][0][:-20]

    for output_format in ("png", "jpeg", "webp"):
        with pytest.raises(UnsupportedImage, match="The answer is damaged or cut off"):
            images.finish(content, None, output_format)


@pytest.mark.parametrize("size", [(100, 100), (1, 10_000), (10_000, 1)], ids=["square", "tower", "banner"])
def test_a_source_of_exactly_the_allowed_pixels_is_taken_and_not_a_pixel_more(size):
    content = encode(Image.new("1", size))

    assert inspected(content, max_megapixels=0.01).width == size[0]
    with pytest.raises(SourceTooLarge, match=r"takes up to 0\.00999 \(MaxSourceMegapixels\)"):
        inspected(content, max_megapixels=0.00999)


@pytest.mark.parametrize(
    "content",
    [declared(60_000, 60_000), declared(178_956_971, 1), b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0,"],
    ids=["png", "one pixel too many", "gif"],
)
def test_a_source_that_declares_a_bomb_is_refused_before_it_is_decoded(content):
    if content.startswith(b"GIF"):
        content += struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x08\x01\x00\x00;"

    with pytest.raises(UnsupportedImage, match="decompression bomb"):
        inspected(content, max_megapixels=1_000_000)


@pytest.mark.parametrize(("width", "error"), [(50_001, SourceTooLarge), (50_000, UnsupportedImage)])
def test_the_size_is_looked_at_before_the_rest_of_the_source(width, error):
    with pytest.raises(error, match="50.0 megapixels" if error is SourceTooLarge else "damaged or cut off"):
        inspected(declared(width, 1000)[:-1])


def test_a_source_whose_file_is_whole_is_not_decoded():
    large = declared(40_000, 1000)  # would take 120 MB, and has no pixels

    assert inspected(large).width == 40_000


def test_an_answer_that_declares_a_bomb_is_refused_before_it_is_decoded():
    with pytest.raises(UnsupportedImage, match="megapixels"):
        images.finish(declared(20_000, 10_000), (64, 64), "png")


def test_an_answer_in_too_many_pieces_is_refused():
    with pytest.raises(UnsupportedImage, match="20,000"):
        images.finish(png_with(*[(b"teSt", b"")] * 20_001), None, "png")


def test_an_answer_that_has_more_pixels_than_it_says_is_refused_before_it_is_decoded():
    content = (Path(__file__).parent / "pictures" / "large.avif").read_bytes()
    place = content.index(b"ispe") + 8

    with pytest.raises(UnsupportedImage, match="52 megapixels"):
        images.finish(content[:place] + struct.pack(">II", 8, 8) + content[place + 8 :], None, "png")


@pytest.mark.parametrize("width", [50_001, 178_000], ids=["a little", "nearly a bomb"])
def test_an_answer_of_more_pixels_than_any_model_makes_is_a_picture_nobody_can_use(width):
    with pytest.raises(UnsupportedImage, match=r"The answer .* megapixels") as caught:
        images.finish(declared(width, 1000), (64, 64), "png")

    assert "upload" not in caught.value.message


# What a provider takes


@pytest.mark.parametrize(
    ("name", "taken", "sent_as"),
    [
        ("png", {PNG, JPEG}, PNG),
        ("jpeg", {PNG, JPEG}, JPEG),
        ("webp", {PNG, JPEG}, JPEG),
        ("webp", {PNG}, PNG),
        ("jpeg", {PNG}, PNG),
        ("gif", {PNG, JPEG}, PNG),
        ("gif", {PNG, JPEG, WEBP}, PNG),
        ("avif", {PNG, JPEG, WEBP}, JPEG),
        ("grey jpeg", {PNG}, PNG),
        ("cmyk jpeg", {PNG}, PNG),
    ],
)
def test_a_picture_of_a_type_that_the_provider_does_not_take_is_sent_as_one_it_takes(name, taken, sent_as):
    picture = inspected(ENCODED[name][0])

    sent = images.prepare(picture, SourceForm(frozenset(taken)), None)

    assert (sent.content_type, sent.width, sent.height) == (sent_as, 96, 64)
    assert opened(sent).size == (96, 64)
    assert (sent is picture) == (picture.content_type in taken)


def test_a_transparent_picture_of_a_type_that_the_provider_does_not_take_is_sent_as_png():
    sent = images.prepare(inspected(encode(translucent(), "WEBP", lossless=True)), ASKED, (64, 64))

    assert sent.content_type == "image/png"
    assert opened(sent).getpixel((48, 32))[3] == 0


def test_a_picture_of_just_as_many_bytes_as_the_provider_takes_is_sent_untouched_and_of_one_more_is_not():
    picture = inspected(encode(noise(96, 64)))
    length = len(picture.content)

    assert images.prepare(picture, SourceForm(max_bytes=length), None) is picture
    assert images.prepare(picture, SourceForm(max_bytes=length - 1), None) is not picture


@pytest.mark.parametrize("mode", ["RGB", "RGBA"], ids=["opaque", "transparent"])
@pytest.mark.parametrize("max_bytes", [100_000, 20_000, 5_000])
def test_a_picture_of_too_many_bytes_is_made_smaller_in_its_own_shape_until_it_fits(max_bytes, mode):
    picture = inspected(encode(noise(300, 200, mode), compress_level=0))

    sent = images.prepare(picture, SourceForm(max_bytes=max_bytes), None)

    assert len(sent.content) <= max_bytes
    assert sent.width < 300 or sent.content_type == "image/jpeg"
    assert sent.width / sent.height == pytest.approx(1.5, rel=0.05)
    assert sent.content_type == ("image/jpeg" if mode == "RGB" else "image/png")
    opened(sent)


def test_a_picture_of_too_many_bytes_that_must_be_turned_comes_upright():
    content = encode(corners(STORED[6], (320, 480)), "JPEG", exif=exif(6), quality=100)

    sent = images.prepare(inspected(content), SourceForm(max_bytes=len(content) // 4), None)

    assert layout_of(sent) == UPRIGHT
    assert sent.width > sent.height


@pytest.mark.parametrize("wanted", [(96, 64), (64, 64), (32, 200), (200, 32)], ids="{0[0]}x{0[1]}".format)
@every_kind
def test_a_server_that_would_stretch_the_source_gets_it_in_the_asked_shape(name, wanted):
    sent = images.prepare(inspected(ENCODED[name][0]), ASKED, wanted)

    assert sent.content_type in {"image/png", "image/jpeg"}
    assert (sent.width, sent.height) == wanted
    # LocalAI passes over what has less than three channels (its gosd.cpp, read 2026-11-25).
    assert opened(sent).mode in {"RGB", "RGBA"}


def test_a_server_that_would_stretch_the_source_gets_it_in_its_own_shape_where_no_size_is_asked_for():
    sent = images.prepare(inspected(ENCODED["png"][0]), ASKED, None)

    assert (sent.width, sent.height) == (96, 64)
    assert layout_of(sent) == UPRIGHT


@pytest.mark.parametrize(("dimensions", "edge"), [(None, 1024), ((256, 256), 256), ((300, 200), 300), ((10, 512), 512)])
def test_a_square_has_the_longer_edge_of_what_is_asked_for(dimensions, edge):
    sent = images.prepare(inspected(ENCODED["png"][0]), SQUARE, dimensions)

    assert (sent.content_type, sent.width, sent.height) == ("image/png", edge, edge)


@pytest.mark.parametrize(
    ("size", "orientation"),
    [
        ((600, 800), 1),
        ((800, 600), 6),
    ],
    ids=["stored upright", "stored on its side"],
)
def test_a_photo_that_is_large_enough_is_never_scaled_up_to_the_asked_shape(size, orientation, monkeypatch):
    content = encode(Image.new("RGB", size), "JPEG", exif=exif(orientation))
    before = []
    monkeypatch.setattr(images, "fit", lambda image, *wanted: before.append(image.size) or image.resize(wanted))

    images.prepare(inspected(content), ASKED, (400, 300))

    assert before[0][0] >= 400
    assert before[0][1] >= 300


@pytest.mark.parametrize("name", ["png", "webp", "jpeg", "gif"])
def test_a_picture_that_was_scaled_up_is_told_of_with_both_sizes(name):
    content = ENCODED[name][0]

    assert images.scaled_up(content, images.finish(content, (128, 128), "png")) == (
        "The provider made 96x64, which was scaled up to 128x128."
    )


@pytest.mark.parametrize(
    ("wanted", "told"),
    [(None, False), ((96, 64), False), ((64, 64), False), ((97, 64), True), ((10, 65), True)],
    ids=["as it is", "the same", "smaller", "a little wider", "a little higher"],
)
def test_a_picture_counts_as_scaled_up_by_either_edge(wanted, told):
    content = ENCODED["png"][0]

    assert (images.scaled_up(content, images.finish(content, wanted, "jpeg")) is not None) is told


SHAPES = [(1, 1), (64, 64), (640, 48), (48, 640), (2000, 1), (1, 2000), (333, 77)]
shape = pytest.mark.parametrize("source", SHAPES, ids=lambda size: "{}x{}".format(*size))


@shape
@pytest.mark.parametrize("edge", [1, 17, 256])
def test_a_square_is_exactly_as_large_as_asked_whatever_the_shape_of_the_source(source, edge):
    square = square_png(inspected(encode(noise(*source))), edge)

    assert (square.content_type, square.width, square.height) == ("image/png", edge, edge)
    assert opened(square).size == (edge, edge)


@shape
@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(
    "wanted", [(256, 256), (10, 384), (384, 10), (97, 31)], ids=["square", "tower", "banner", "odd"]
)
def test_an_answer_is_brought_to_exactly_the_asked_size_and_format(source, wanted, output_format):
    finished = images.finish(encode(noise(*source)), wanted, output_format)

    assert (finished.content_type, (finished.width, finished.height)) == (f"image/{output_format}", wanted)
    assert opened(finished).size == wanted


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@every_colourful_kind
def test_an_answer_of_any_kind_keeps_its_colours_in_every_format(name, output_format):
    for dimensions in (None, (96, 64), (64, 64), (48, 32)):
        finished = images.finish(COLOURFUL[name], dimensions, output_format)

        assert (finished.width, finished.height) == (dimensions or (96, 64))
        assert layout_of(finished) == UPRIGHT


@pytest.mark.parametrize("dimensions", [None, (96, 64)], ids=["size of the provider", "asked size"])
@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_an_answer_that_fits_already_is_kept_byte_for_byte(name, dimensions):
    content = ENCODED[name][0]

    assert images.finish(content, dimensions, name) == Picture(content, f"image/{name}", 96, 64)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("dimensions", [None, (96, 64)], ids=["size of the provider", "asked size"])
def test_an_answer_in_any_orientation_is_finished_upright(dimensions, orientation):
    lying = corners(STORED[orientation], (96, 64) if orientation < 5 else (64, 96))

    finished = images.finish(encode(lying, "JPEG", exif=exif(orientation), quality=95), dimensions, "jpeg", strip=True)

    assert (layout_of(finished), finished.width, finished.height) == (UPRIGHT, 96, 64)
    assert not opened(finished).getexif()


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
def test_what_is_written_anew_keeps_none_of_its_metadata(kind, output_format):
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "secret")
    told = {"exif": exif(1), "xmp": b"secret", "comment": b"secret", "pnginfo": text}
    content = encode(corners(), kind, **told)

    assert b"secret" not in images.finish(content, (32, 32), output_format).content
    form = SourceForm(frozenset({f"image/{output_format}", PNG}), shape="square")
    assert b"secret" not in images.prepare(inspected(content), form, (32, 32)).content


def test_a_finished_picture_keeps_the_upper_middle_of_the_answer():
    stripes = Image.new("RGB", (100, 200), COLOURS["B"])
    stripes.paste(COLOURS["R"], (0, 0, 100, 50))
    square = opened(images.finish(encode(stripes), (100, 100), "png"))

    # 40 of the 100 rows that go are cut off at the top, so 10 of the 50 red ones stay.
    assert [nearest(square.getpixel((50, row))) for row in (0, 9, 10, 99)] == ["R", "R", "B", "B"]


def test_a_photo_is_cropped_in_its_middle():
    stripes = Image.new("RGB", (300, 100), COLOURS["G"])
    stripes.paste(COLOURS["R"], (100, 0, 200, 100))

    assert layout_of(square_png(inspected(encode(stripes)), 100)) == "RR/RR"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"], ids=["colour", "grey", "palette"])
@pytest.mark.parametrize("wanted", [None, (32, 32)], ids=["same size", "scaled"])
@pytest.mark.parametrize("output_format", ["png", "webp"])
def test_transparency_stays_in_formats_that_know_it(output_format, wanted, mode):
    finished = opened(images.finish(encode(translucent(mode), "PNG"), wanted, output_format)).convert("RGBA")

    assert finished.getpixel((finished.width * 3 // 4, 8))[3] == 0
    assert finished.getpixel((finished.width // 4, 8))[3] == pytest.approx(128, abs=2)


def test_transparency_stays_in_a_square():
    square = opened(square_png(inspected(encode(translucent())), 32))

    assert square.mode == "RGBA"
    assert (square.getpixel((24, 16))[3], square.getpixel((8, 16))[3]) == (0, 128)


@pytest.mark.parametrize("wanted", [None, (32, 32)], ids=["same size", "scaled"])
def test_transparency_becomes_white_in_jpeg(wanted):
    finished = opened(images.finish(encode(translucent()), wanted, "jpeg"))

    quarter = finished.width // 4
    assert finished.getpixel((quarter * 3, quarter)) == pytest.approx((255, 255, 255), abs=6)
    assert finished.getpixel((quarter, quarter)) == pytest.approx((255, 127, 127), abs=6)


def test_a_colour_that_stands_for_transparent_becomes_white_in_jpeg():
    palette = corners().quantize(4)
    clear = palette.getpixel((4, 4))

    finished = images.finish(encode(palette, transparency=clear), None, "jpeg")

    assert layout_of(finished) == "WG/BY"


@pytest.mark.parametrize(
    ("wanted", "output_format"),
    [(None, "jpeg"), (None, "webp"), ((32, 32), "png")],
    ids=["jpeg", "webp", "scaled"],
)
def test_a_16_bit_grey_answer_stays_grey(wanted, output_format):
    finished = opened(images.finish(ENCODED["16-bit png"][0], wanted, output_format)).convert("L")

    assert finished.getpixel((16, 16)) == pytest.approx(128, abs=2)


def test_a_16_bit_grey_source_stays_grey_in_a_square():
    square = square_png(inspected(ENCODED["16-bit png"][0]), 32)

    assert opened(square).convert("L").getpixel((16, 16)) == pytest.approx(128, abs=2)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_square_of_noise_is_made_smaller_until_it_is_below_4_mb(mode):
    square = square_png(inspected(encode(noise(1200, 1200, mode), compress_level=0)), 1200)

    assert len(square.content) < 4 * 1024**2
    assert square.width == square.height
    assert 600 < opened(square).width < 1200


@functools.cache  # it holds the second in which it was made
def profile(space=b"RGB ", size=0):
    """Write a colour profile of one colour space; a long one only looks like one."""
    real = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return real[:16] + space + real[20:] + random.Random(7).randbytes(size)


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("wanted", [None, (32, 32)], ids=["same size", "scaled"])
def test_an_answer_keeps_its_colour_profile(wanted, output_format):
    finished = images.finish(encode(corners(), "AVIF", icc_profile=profile()), wanted, output_format)

    assert opened(finished).info["icc_profile"] == profile()


def test_a_source_that_must_be_turned_keeps_its_colour_profile():
    content = encode(corners(), "JPEG", exif=exif(3), icc_profile=profile())

    assert opened(upright(inspected(content))).info["icc_profile"] == profile()
    assert opened(square_png(inspected(content), 32)).info["icc_profile"] == profile()


def test_a_transparent_answer_keeps_its_colour_profile_in_jpeg():
    finished = images.finish(encode(translucent(), icc_profile=profile()), None, "jpeg")

    assert opened(finished).info.get("icc_profile") == profile()


@pytest.mark.parametrize(
    ("output_format", "wanted"),
    [("png", None), ("png", (32, 32)), ("jpeg", (32, 32)), ("webp", None), ("webp", (32, 32))],
    ids=["png", "scaled png", "scaled jpeg", "webp", "scaled webp"],
)
@pytest.mark.parametrize(("mode", "space"), [("CMYK", b"CMYK"), ("L", b"GRAY")], ids=["cmyk", "grey"])
def test_a_profile_of_another_colour_space_does_not_survive_the_conversion(mode, space, output_format, wanted):
    finished = opened(
        images.finish(encode(corners(mode=mode), "JPEG", icc_profile=profile(space)), wanted, output_format)
    )

    assert finished.mode in {"L", "RGB"}
    assert finished.info.get("icc_profile", b"")[16:20] in {b"", {"L": b"GRAY", "RGB": b"RGB "}[finished.mode]}


def test_a_source_with_a_colour_profile_of_megabytes_still_makes_a_square_below_4_mb():
    content = encode(corners(), "JPEG", icc_profile=profile(size=5 * 1024**2))

    assert len(square_png(inspected(content), 32).content) < 4 * 1024**2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_photo_whose_exif_is_cut_off_is_taken_as_it_stands():
    content = encode(corners(), "JPEG", exif=b"Exif\0\0" + EXIF_HEADER + b"\0\2\x01\x12")

    assert layout_of(upright(inspected(content))) == UPRIGHT


def test_a_photo_whose_exif_holds_nonsense_beside_its_orientation_comes_upright_all_the_same():
    upside_down = b"\x01\x12\0\3\0\0\0\1\0\3\0\0"
    directory_that_is_a_text = b"\x01\x4a\0\2\0\0\0\4abc\0"
    tags = EXIF_HEADER + b"\0\2" + upside_down + directory_that_is_a_text + bytes(4)
    content = encode(corners(STORED[3]), "JPEG", exif=b"Exif\0\0" + tags)

    assert layout_of(upright(inspected(content))) == UPRIGHT


def damage(content, seed, first=0):
    """Flip, cut, drop and double bytes, the early ones more often: there are the headers."""
    dice, damaged = random.Random(seed), bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 5, 20])):
        place = dice.randrange(first, min(len(damaged), first + dice.choice([40, 200, 10**6])))
        how = dice.randrange(8)
        if how == 0:
            del damaged[place : place + dice.randrange(1, 9)]
        elif how == 1:
            damaged[place:place] = damaged[place : place + dice.randrange(1, 9)]
        else:
            damaged[place] = dice.choice([0, 1, 127, 128, 255, damaged[place] ^ 1 << dice.randrange(8)])
        if len(damaged) < first + 2:
            break
    return bytes(damaged[: dice.randrange(len(damaged)) if dice.random() < 0.2 else None])


def try_as_source(content):
    try:
        picture = inspected(content, max_megapixels=0.2)
        sent = [upright(picture), square_png(picture, 24), images.prepare(picture, ASKED, (24, 16))]
    except (UnsupportedImage, SourceTooLarge):
        return
    for result in sent:
        opened(result)


def try_as_answer(content):
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(images, "MAX_ANSWER_MEGAPIXELS", 0.2)
            finished = images.finish(content, (24, 16), "png")
    except (UnsupportedImage, SourceTooLarge):
        return
    assert opened(finished).size == (24, 16)


SEEDS = st.integers(0, 10**9)
TAKEN = ["png", "palette png", "png with alpha", "jpeg", "progressive jpeg", "cmyk jpeg", "jpeg of two pictures"]
TAKEN += ["webp", "lossless webp", "moving webp", "gif", "moving gif"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", TAKEN)
@settings(max_examples=120)
@given(SEEDS)
def test_a_damaged_source_is_taken_or_refused_and_nothing_else(name, seed):
    try_as_source(damage(ENCODED[name][0], seed))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", TAKEN)
@settings(max_examples=120)
@given(SEEDS)
def test_a_damaged_answer_is_taken_or_refused_and_nothing_else(name, seed):
    try_as_answer(damage(ENCODED[name][0], seed))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("attempt", [try_as_source, try_as_answer], ids=["source", "answer"])
@settings(max_examples=120)
@given(SEEDS)
def test_a_damaged_avif_is_taken_or_refused_and_nothing_else(attempt, seed):
    attempt(damage(ENCODED["avif"][0], seed))


def test_an_avif_whose_pixels_are_gone_is_refused():
    content = ENCODED["avif"][0]
    start = content.index(b"mdat") + 4

    with pytest.raises(UnsupportedImage):
        inspected(content[:start] + bytes(len(content) - start))


@settings(max_examples=120)
@given(SEEDS)
def test_a_heic_whose_pixels_are_damaged_is_taken_or_refused_and_nothing_else(seed):
    try_as_source(damage(HEIC, seed, first=HEIC.index(b"mdat") + 4))


def test_a_heic_with_an_item_of_an_unreadable_type_does_not_end_the_process():
    content = SIDEWAYS_HEIC.replace(b"Exif\0", b"\xd8xif\0", 1)
    attempt = (
        "import sys\nfrom variations import errors, images\n"
        "try: images.inspect(sys.stdin.buffer.read(), max_megapixels=1)\nexcept errors.UnsupportedImage: pass"
    )

    ended = subprocess.run(
        [sys.executable, "-c", attempt],
        input=content,
        env={**os.environ, "PYTHONPATH": str(FUNCTIONS)},
        check=False,
        capture_output=True,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("content", [HEIC, SIDEWAYS_HEIC, ENCODED["avif"][0]], ids=["heic", "heic on its side", "avif"])
def test_a_photo_whose_data_happen_to_spell_the_name_of_an_item_entry_is_taken(content):
    data = b"\x7finfe\x02" + b"\xff" * 42

    assert inspected(content + struct.pack(">I4s", 8 + len(data), b"free") + data).content_type != ""


MAGIC = st.sampled_from(
    [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBPVP8 ", b"GIF89a", b"\0\0\0\x18ftyp"]
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(MAGIC, st.binary(max_size=200))
@example(b"GIF89a", b"\x10\0\x10\0\0\0\0;")
def test_arbitrary_bytes_are_taken_or_refused_and_nothing_else(magic, content):
    try_as_source(magic + content)
    try_as_answer(magic + content)


def png_with(*chunks, colours=2):
    head = struct.pack(">IIBBBBB", 96, 64, 8, colours, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(bytes(64 * (96 * 3 + 1)))), (b"IEND", b"")]
    written = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + written


def test_exif_that_is_cut_off_spoils_no_picture():
    content = png_with((b"eXIf", b"MM\0*"))

    assert (inspected(content).width, inspected(content).height) == (96, 64)


def test_what_a_decoder_stumbles_over_is_a_source_that_cannot_be_read():
    square = SourceForm(frozenset({"image/png"}), shape="square")

    with pytest.raises(UnsupportedImage, match="damaged or cut off"):
        images.prepare(inspected(png_with(colours=3)), square, (64, 64))  # a palette without colours
