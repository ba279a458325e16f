"""Whether a picture file is whole can be told without decoding it, or is left to a decoder."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from variations.containers import (
    MAX_PIECES,
    MAX_SCANS,
    check_pieces,
    has_metadata_behind,
    is_ours,
    is_surely_whole,
    jpeg_segments,
    png_chunks,
)
from variations.errors import UnsupportedImage


def draw(kind, **options):
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


FILES = {kind: draw(kind) for kind in ("PNG", "JPEG", "WEBP")}
every_file = pytest.mark.parametrize("content", FILES.values(), ids=FILES)


@every_file
def test_a_whole_file_is_whole(content):
    assert is_surely_whole(content)


@every_file
@given(st.data())
def test_a_file_that_is_cut_off_anywhere_is_not_surely_whole(content, data):
    assert not is_surely_whole(content[: data.draw(st.integers(0, len(content) - 1))])


@given(st.data())
def test_a_png_of_which_one_byte_is_wrong_is_not_surely_whole(data):
    spoilt = bytearray(FILES["PNG"])
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= data.draw(st.integers(1, 255))

    assert not is_surely_whole(bytes(spoilt))


def test_what_stands_behind_a_png_does_not_matter():
    assert is_surely_whole(FILES["PNG"] + b"and more")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_of_a_jpeg_or_webp_with_something_behind_a_decoder_must_tell(kind):
    assert not is_surely_whole(FILES[kind] + b"and more")


@pytest.mark.parametrize("kind", ["GIF", "AVIF"])
def test_of_other_formats_a_decoder_must_tell(kind):
    assert not is_surely_whole(draw(kind))


@given(st.binary(max_size=100) | st.binary(max_size=100).map(b"\x89PNG\r\n\x1a\n".__add__))
def test_any_bytes_can_be_looked_at(content):
    assert is_surely_whole(content) in {True, False}
    assert has_metadata_behind(content) in {True, False}


def chunk(kind, content=b""):
    buffer = io.BytesIO()
    PngImagePlugin.putchunk(buffer, kind, content)
    return buffer.getvalue()


END = chunk(b"IEND")


@pytest.mark.parametrize("kind", [b"eXIf", b"iTXt", b"tEXt", b"zTXt"])
def test_metadata_behind_the_pixels_of_a_png_are_noticed_and_those_before_are_none(kind):
    plain = FILES["PNG"]
    head = plain.index(b"IDAT") - 4

    assert not has_metadata_behind(plain)
    assert has_metadata_behind(plain.removesuffix(END) + chunk(kind, b"x\0y") + END)
    assert not has_metadata_behind(plain[:head] + chunk(kind, b"x\0y") + plain[head:])


@every_file
def test_metadata_behind_the_end_are_none(content):
    assert not has_metadata_behind(content + chunk(b"eXIf"))


# Pieces


def jpeg_of_scans(count):
    """Write a progressive JPEG that sends its last scan again and again."""
    plain = draw("JPEG", progressive=True)
    last = plain.rindex(b"\xff\xda")
    return plain[:last] + plain[last:-2] * (count - plain.count(b"\xff\xda") + 1) + plain[-2:]


def jpeg_of_pieces(count, first=b""):
    plain = draw("JPEG")
    begin, between = b"\xff\xd8" + first, b"\xff\xfe\0\2"
    there = len(list(jpeg_segments(plain)))
    return begin + between * (count - there) + plain[2:]


def png_of_pieces(count):
    plain = FILES["PNG"]
    return plain[:-12] + chunk(b"teSt") * (count - len(list(png_chunks(plain)))) + plain[-12:]


def webp_of_pieces(count):
    body = FILES["WEBP"][12:] + b"teSt\0\0\0\0" * (count - 1)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


@pytest.mark.parametrize(
    ("made", "most", "message"),
    [
        pytest.param(jpeg_of_scans, MAX_SCANS, "100 scans", id="scans of a JPEG"),
        pytest.param(jpeg_of_pieces, MAX_PIECES, "20,000", id="segments of a JPEG"),
        pytest.param(png_of_pieces, MAX_PIECES, "20,000", id="chunks of a PNG"),
        pytest.param(webp_of_pieces, MAX_PIECES, "20,000", id="chunks of a WebP"),
    ],
)
def test_a_file_of_just_as_many_pieces_as_are_read_is_taken_and_of_one_more_is_not(made, most, message):
    check_pieces(made(most))

    with pytest.raises(UnsupportedImage, match=message):
        check_pieces(made(most + 1))


@pytest.mark.parametrize("hidden", [b"\xff\xd9", b"\xff\xff\xff", b"\xff\xd8", b"\xff\xdd\0\4\0\0"])
def test_segments_are_counted_whatever_stands_before_them(hidden):
    with pytest.raises(UnsupportedImage):
        check_pieces(jpeg_of_pieces(MAX_PIECES + 2, hidden))


def test_scans_of_a_picture_within_another_and_behind_it_are_none_of_it():
    other = jpeg_of_scans(90)
    inner = b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(other)) + other for _ in range(2))

    check_pieces(other[:2] + inner + other[2:] + other)


@given(st.binary(max_size=100) | st.binary(max_size=100).map(b"\xff\xd8".__add__))
def test_any_bytes_have_few_pieces(content):
    check_pieces(content)
    assert b"".join(bytes(part) for _, part in jpeg_segments(content)) in content


def test_restarts_are_no_pieces():
    buffer = io.BytesIO()
    Image.new("L", (1300, 1300)).save(buffer, "JPEG", restart_marker_blocks=1)

    assert buffer.getvalue().count(b"\xff\xd0") * 8 > MAX_PIECES
    check_pieces(buffer.getvalue())


# Beginnings


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
def test_a_file_is_ours_by_its_beginning(kind):
    assert is_ours(draw(kind)[:12])
    assert not is_ours(b"\0" + draw(kind))


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "ICO", "JPEG2000"])
def test_files_of_other_formats_are_not_ours(kind):
    assert not is_ours(draw(kind))
