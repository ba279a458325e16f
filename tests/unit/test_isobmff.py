"""How large the pictures in an AVIF really are is found in them, wherever they lie and whatever the file says."""

import contextlib
import io
import itertools
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from variations.errors import UnsupportedImage
from variations.isobmff import Bits, check_boxes, coded_pixels

PICTURES = Path(__file__).parent / "pictures"


def encode(size, mode="RGB", frames=1, **how):
    buffer = io.BytesIO()
    others = [Image.new(mode, size, (place,) * len(mode)) for place in range(1, frames)]
    Image.new(mode, size).save(buffer, "AVIF", speed=10, save_all=frames > 1, append_images=others, **how)
    return buffer.getvalue()


def declared(content, width, height):
    """Have an AVIF say that its pictures have another size."""
    place = content.index(b"ispe") + 8
    return content[:place] + struct.pack(">II", width, height) + content[place + 8 :]


@pytest.mark.parametrize("size", [(1, 1), (97, 65), (300, 200), (2000, 16)], ids=str)
@pytest.mark.parametrize("kind", [{}, {"mode": "RGBA"}, {"frames": 3}, {"mode": "L", "subsampling": "4:0:0"}], ids=str)
def test_an_avif_has_the_pixels_of_its_largest_picture(size, kind):
    assert coded_pixels(encode(size, **kind)) == size[0] * size[1]


@pytest.mark.parametrize("said", [(8, 8), (5000, 5000)])
def test_what_an_avif_says_of_its_size_does_not_matter(said):
    assert coded_pixels(declared(encode((300, 200)), *said)) == 60_000


def test_the_pictures_of_a_track_count_though_no_item_names_them():
    assert coded_pixels(encode((300, 200), frames=3).replace(b"iloc", b"skip")) == 60_000


def test_a_heic_has_no_av1():
    assert coded_pixels((PICTURES / "corners.heic").read_bytes()) == 0


# Ways to write the same file


def box(kind, *content):
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def in_bits(*fields):
    """Write numbers of so many bits each, one behind the other."""
    text = "".join(f"{number:0{bits}b}" for number, bits in fields if bits)
    text += "0" * (-len(text) % 8)
    return int(text or "0", 2).to_bytes(len(text) // 8, "big")


SHORT = [(0, 3), (1, 1), (1, 1), (8, 5)]
SIZE = [(15, 4), (11, 4), (599, 16), (399, 12)]
POINTS = [(0, 12), (8, 5), (1, 1)]  # one operating point of a level that has a tier


def obu(content, kind=1, *, sized=True, extended=False):
    head = bytes([kind << 3 | sized << 1 | extended << 2]) + bytes(extended)
    return head + (bytes([len(content) | 128, 0]) if sized else b"") + content


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(SHORT, id="a still picture"),
        pytest.param([(0, 5), (0, 1), (0, 1), (0, 5), *POINTS], id="a video"),
        pytest.param([(0, 5), (1, 1), (9, 64), (0, 1), (0, 1), (0, 1), (0, 5), *POINTS], id="with its time"),
        pytest.param(
            [(0, 5), (1, 1), (9, 64), (1, 1), (1, 3), (2, 2), (0, 1), (0, 1), (0, 5), *POINTS], id="with its ticks"
        ),
        pytest.param(
            [(0, 5), (1, 1), (9, 64), (1, 1), (0, 32), (0, 1), (0, 1), (0, 5), *POINTS], id="with too many ticks"
        ),
        pytest.param(
            [(0, 4), (0, 1), (1, 1), (9, 64), (0, 1), (1, 1), (6, 5), (0, 42), (1, 1), (1, 5)]
            + 2 * [(0, 12), (3, 5), (1, 1), (5, 15), (1, 1), (7, 4)],
            id="with the model of a decoder",
        ),
        pytest.param([(0, 5), (0, 1), (1, 1), (0, 5), *POINTS, (0, 1)], id="with an optional delay"),
    ],
)
@pytest.mark.parametrize("how", [{}, {"sized": False}, {"extended": True}], ids=str)
def test_a_picture_is_understood_however_it_is_written(fields, how):
    assert coded_pixels(file_of(obu(in_bits(*fields, *SIZE), **how))) == 600 * 400


def test_the_largest_of_several_headers_counts_though_it_comes_late():
    small = obu(in_bits(*SHORT, (7, 4), (7, 4), (7, 8), (7, 8)))

    assert coded_pixels(file_of(small + obu(bytes(90), kind=6) + obu(in_bits(*SHORT, *SIZE)) + small)) == 600 * 400


def file_of(picture, *, version=1, inside=False, parts=1, numbers=(7,)):
    """Write an AVIF around a picture: it may lie in the box idat, and in several parts."""
    wide = 4 if version == 2 else 2
    keys = [number.to_bytes(wide, "big") for number in numbers]
    head = bytes([3 if version == 2 else 2, 0, 0, 0])
    named = [box(b"infe", head, key, bytes(2), b"av01", b"name\0") for key in keys]
    start = 0 if inside else 16
    cuts = [len(picture) * part // parts for part in range(parts + 1)]
    extents = b"".join(struct.pack(">II", begin, end - begin) for begin, end in itertools.pairwise(cuts))
    way = struct.pack(">H", inside) if version else b""
    item = keys[0] + way + bytes(2) + struct.pack(">IH", start, parts) + extents
    places = box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0x40]), (1).to_bytes(wide, "big"), item)
    entries = box(b"iinf", bytes([version > 0, 0, 0, 0]), len(named).to_bytes(4 if version else 2, "big"), *named)
    data = box(b"free", bytes(8)) if inside else struct.pack(">I4sQ", 1, b"mdat", 16 + len(picture)) + picture
    return data + box(b"meta", bytes(4), entries, places, *([box(b"idat", picture)] if inside else []))


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("inside", [False, True], ids=["in the file", "in a box"])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_picture_is_found_wherever_it_lies(version, inside, parts):
    if not version and inside:
        return
    content = file_of(obu(in_bits(*SHORT, *SIZE)), version=version, inside=inside, parts=parts)

    assert coded_pixels(content) == 600 * 400


# What is made to keep us busy


def relocated(content, *places):
    """Have another table say where the items of a file lie."""
    items = [struct.pack(">HHHIHII", number, 0, 0, 0, 1, *place) for number, place in enumerate(places, start=7)]
    begin, end = content.index(b"meta") + 4, content.index(b"iloc") - 4
    table = box(b"iloc", b"\1\0\0\0\x44\x40", struct.pack(">H", len(items)), *items)
    return content[: begin - 8] + box(b"meta", content[begin:end], table)


def test_cells_of_a_grid_may_be_the_same_and_others_may_not_overlap():
    cell = obu(in_bits(*SHORT, *SIZE)) + obu(bytes(99), kind=6)
    several = file_of(cell, numbers=range(7, 107))
    places = [(16, len(cell))] * 100

    assert coded_pixels(relocated(several, *places)) == 600 * 400
    with pytest.raises(ValueError, match="overlap"):
        coded_pixels(relocated(several, (0, len(several)), (16, len(several))))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(box(b"free") * 20_001, id="boxes"),
        pytest.param(box(b"meta", bytes(4), box(b"free") * 20_001), id="inner boxes"),
        pytest.param(
            box(b"meta", bytes(4), box(b"iloc", bytes(6), b"\0\1", struct.pack(">HHH", 7, 0, 20_001))),
            id="parts of nothing",
        ),
        pytest.param(file_of(obu(b"", kind=2) * 20_001), id="pieces of a picture"),
    ],
)
def test_a_file_of_too_many_pieces_is_refused(content):
    with pytest.raises(UnsupportedImage, match="20,000"):
        coded_pixels(content)


def test_a_box_of_less_than_nothing_is_damage():
    with pytest.raises(ValueError, match="less than nothing"):
        check_boxes(struct.pack(">I4s", 7, b"free"))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda some: box(b"meta", bytes(4), box(b"iloc", some))))
@example(box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", box(b"stco"), box(b"stsz")))))))
def test_any_bytes_can_be_looked_at(content):
    with contextlib.suppress(ValueError, LookupError, UnsupportedImage):
        assert coded_pixels(content) >= 0


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(40, 70)), max_size=9))
def test_bits_are_read_as_they_were_written(numbers):
    read = Bits(in_bits(*numbers))

    assert [read(bits) for _, bits in numbers] == [number for number, _ in numbers]
