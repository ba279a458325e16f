"""Whether a picture file is whole can be told without decoding it, or is left to a decoder."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from variations.containers import has_metadata_behind, is_surely_whole


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
