from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageChops, UnidentifiedImageError

from infra.local.contact_sheet import WIDTH, draw

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

SOURCE: Colour = (10, 80, 200)
COLOURS: list[Colour] = [(200, 20 * place, 255 - 20 * place) for place in range(10)]


def picture(path: Path, size: tuple[int, int] = (64, 64), colour: Colour = SOURCE) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def painted(folder: Path, count: int, size: tuple[int, int] = (64, 64)) -> list[Path]:
    return [picture(folder / f"variation-{place:02}.png", size, COLOURS[place]) for place in range(count)]


def sheet_of(source: Path, variations: Sequence[Path], title: str = "Variations of coffee.jpg") -> Image.Image:
    captions = [f"variation {number} · 64x64" for number in range(1, len(variations) + 1)]
    return draw(source, variations, title=title, captions=captions)


def where(sheet: Image.Image, colour: Colour) -> Box:
    """Return the box that holds every pixel of exactly this colour; all of the box must have it."""
    difference = ImageChops.difference(sheet, Image.new("RGB", sheet.size, colour))
    strongest = ImageChops.lighter(ImageChops.lighter(*difference.split()[:2]), difference.split()[2])
    mask = strongest.point(lambda value: 255 * (value == 0))
    box = mask.getbbox()
    assert box, f"{colour} is nowhere on the sheet"
    assert mask.crop(box).getextrema() == (255, 255), f"{colour} is not one whole rectangle"
    return box


def shape(box: Box) -> float:
    return (box[2] - box[0]) / (box[3] - box[1])


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("count", range(1, 11))
def test_every_variation_has_a_place_of_its_own_in_reading_order(tmp_path: Path, count: int) -> None:
    sheet = sheet_of(picture(tmp_path / "source.png"), painted(tmp_path, count))

    places = [where(sheet, colour) for colour in COLOURS[:count]]
    source = where(sheet, SOURCE)
    assert sheet.width == WIDTH
    assert places == sorted(places, key=lambda box: (box[1], box[0]))
    assert all(source[2] < box[0] for box in places), "the source stands left of all variations"
    assert not any(overlap(one, other) for one in places for other in places if one is not other)
    assert len({(box[2] - box[0], box[3] - box[1]) for box in places}) == 1


def test_source_is_larger_than_any_of_several_variations(tmp_path: Path) -> None:
    sheet = sheet_of(picture(tmp_path / "source.png"), painted(tmp_path, 4))

    source, variation = where(sheet, SOURCE), where(sheet, COLOURS[0])
    assert source[2] - source[0] > 2 * (variation[2] - variation[0])


@pytest.mark.parametrize("size", [(600, 400), (64, 512), (900, 30)], ids=["photo", "tower", "banner"])
def test_pictures_are_shown_whole_and_undistorted_whatever_their_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    sheet = sheet_of(picture(tmp_path / "source.png", size), painted(tmp_path, 2, size))

    for colour in (SOURCE, *COLOURS[:2]):
        assert shape(where(sheet, colour)) == pytest.approx(size[0] / size[1], rel=0.05)


def test_variations_of_different_shapes_share_one_sheet(tmp_path: Path) -> None:
    wide, tall = (
        picture(tmp_path / f"{place}.png", size, COLOURS[place]) for place, size in enumerate([(300, 100), (100, 300)])
    )
    sheet = sheet_of(picture(tmp_path / "source.png"), [wide, tall])

    assert shape(where(sheet, COLOURS[0])) == pytest.approx(3, rel=0.05)
    assert shape(where(sheet, COLOURS[1])) == pytest.approx(1 / 3, rel=0.05)


def test_photo_taken_sideways_comes_upright(tmp_path: Path) -> None:
    photo = Image.new("RGB", (300, 200), SOURCE)
    photo.paste(COLOURS[0], (0, 0, 150, 200))  # left as stored; orientation 6 turns it to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "sideways.png", exif=exif)

    sheet = sheet_of(tmp_path / "sideways.png", [picture(tmp_path / "one.png", colour=COLOURS[9])])

    upper, lower = where(sheet, COLOURS[0]), where(sheet, SOURCE)
    assert upper[1] < lower[1]
    assert (upper[0], upper[2]) == pytest.approx((lower[0], lower[2]), abs=1)


def test_transparent_picture_lies_on_a_checkerboard(tmp_path: Path) -> None:
    logo = Image.new("RGBA", (64, 64))
    logo.paste((*COLOURS[0], 255), (16, 16, 48, 48))
    logo.save(tmp_path / "logo.png")

    sheet = sheet_of(picture(tmp_path / "source.png"), [tmp_path / "logo.png"])

    left, top, right, bottom = where(sheet, COLOURS[0])
    beside = sheet.crop((left - (right - left) // 3, top, left - (right - left) // 6, bottom))
    assert {colour for _, colour in beside.getcolors() or []} == {(255, 255, 255), (235, 235, 235)}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16"])
def test_pictures_of_every_pixel_format_are_drawn(tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"grey.{'tif' if mode == 'CMYK' else 'png'}"
    Image.new(mode, (64, 64)).save(path)

    assert sheet_of(picture(tmp_path / "source.png"), [path]).mode == "RGB"


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path: Path) -> None:
    Image.new("I;16", (64, 64), 100 * 256).save(tmp_path / "scan.png")

    sheet = sheet_of(picture(tmp_path / "source.png"), [tmp_path / "scan.png"])

    assert where(sheet, (100, 100, 100))


@pytest.mark.parametrize(
    "title",
    [
        "k" * 900,
        "写真/夏/🎉.png",
        "Привет",
        "two\nlines\tand a tab",
        "\x00\x1b\u202e",
        "lone \udcff",
        "…" * 900,
        "",
    ],
    ids=["900 characters", "japanese", "cyrillic", "lines", "controls", "surrogate", "ellipses", "empty"],
)
def test_no_title_or_caption_is_too_strange_to_draw(tmp_path: Path, title: str) -> None:
    variations = painted(tmp_path, 10)

    sheet = draw(picture(tmp_path / "source.png"), variations, title=title, captions=[title] * 10)

    right_margin = sheet.crop((WIDTH - 60, 0, WIDTH, 130))
    assert len(right_margin.getcolors() or []) == 1, "the title ends before the margin"
    assert where(sheet, COLOURS[9]), "no caption reaches over a picture"


def test_long_title_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    source, variations = picture(tmp_path / "source.png"), painted(tmp_path, 1)
    titles = [
        "a" + "k" * 900 + "z.png",
        "a" + "k" * 700 + "z.png",
        "b" + "k" * 900 + "z.png",
        "a" + "k" * 900 + "z.jpg",
    ]

    one, shorter, other_start, other_end = (sheet_of(source, variations, title).tobytes() for title in titles)

    assert one == shorter, "only the middle differs, and that is what is cut"
    assert len({one, other_start, other_end}) == 3


def test_accents_the_font_lacks_are_dropped_rather_than_the_letter(tmp_path: Path) -> None:
    source, variations = picture(tmp_path / "source.png"), painted(tmp_path, 1)

    assert sheet_of(source, variations, "café.png") == sheet_of(source, variations, "cafe.png")


def test_sheet_without_variations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one variation"):
        draw(picture(tmp_path / "source.png"), [], title="Nothing", captions=[])


def test_each_variation_needs_its_caption(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        draw(picture(tmp_path / "source.png"), painted(tmp_path, 2), title="Two", captions=["one"])


def test_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_text("<html>")

    with pytest.raises(UnidentifiedImageError, match=r"page\.png"):
        sheet_of(tmp_path / "page.png", painted(tmp_path, 1))
