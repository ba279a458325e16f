"""Draw a contact sheet: the source image on the left, its variations in a grid beside it.

It stands apart from the gallery because one picture travels where a page does not: chats, reviews, slides.

Every measure is in pixels. Variations lie in at most two rows. The source takes the room of as many rows and
as many columns, so both sides end on the same line and the source is the largest wherever there is a choice.
"""

import re
import unicodedata
from bisect import bisect
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from statistics import median
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

WIDTH, MARGIN, HEADER, FOOTER = 1800, 72, 168, 104
GAP, APART = 24, 48  # between variations; between the source and the first of them
PADDING, CAPTION, RADIUS = 14, 48, 14  # of a card
TALLEST, WIDEST = 2 / 3, 16 / 9  # width / height of a cell; what is beyond is letterboxed
# The Studio's colours on paper: functions/studio/foundation.css.
BACKGROUND, SHADOW, TITLE, QUIET = "#f6f4ef", "#281e0f", "#1a1917", "#615d55"
SOURCE, VARIATION = ("#121211", "#f2f0ea"), ("#fffefb", "#1a1917")  # a card and the ink on it


class Box(NamedTuple):
    """A rectangle on the sheet."""

    left: int
    top: int
    width: int
    height: int


def draw(source: Path, variations: Sequence[Path], *, title: str, captions: Sequence[str]) -> Image.Image:
    """Draw the sheet, WIDTH pixels wide and as high as its pictures make it.

    Args:
        source: a picture Pillow can open; like the variations it is turned upright and shown whole.
        variations: 1 to 10 pictures, laid row by row.
        title: any text; what does not fit is cut from its middle.
        captions: one for each variation, in the same order.

    Raises:
        ValueError: there is no variation, or not one caption for each.
        PIL.UnidentifiedImageError: a file is no picture Pillow knows.
    """
    if not variations:
        raise ValueError("a contact sheet needs at least one variation")
    original, *pictures = (_upright(path) for path in (source, *variations))
    rows = min(len(pictures), 2)
    columns = ceil(len(pictures) / rows)
    width = (WIDTH - 2 * MARGIN - APART - (rows + columns - 2) * GAP) // (rows + columns)
    shape = median(picture.width / picture.height for picture in pictures)
    height = round((width - 2 * PADDING) / min(max(shape, TALLEST), WIDEST)) + PADDING + CAPTION
    block = Box(MARGIN, HEADER, rows * (width + GAP) - GAP, rows * (height + GAP) - GAP)

    sheet = Image.new("RGB", (WIDTH, HEADER + block.height + FOOTER), BACKGROUND)
    count = "1 variation" if len(pictures) == 1 else f"{len(pictures)} variations"
    _write(sheet, MARGIN, HEADER // 2, WIDTH - 2 * MARGIN, title, 40, TITLE)
    _write(sheet, MARGIN, sheet.height - FOOTER // 2, WIDTH, f"image-variations · {count}", 18, QUIET)
    _lay(sheet, block, original, f"source · {original.width}x{original.height}", SOURCE)
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(place, columns)
        left = MARGIN + block.width + APART + column * (width + GAP)
        _lay(sheet, Box(left, HEADER + row * (height + GAP), width, height), picture, caption, VARIATION)
    return sheet


def _upright(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        if picture.mode == "I;16":  # convert() would clip sixteen bits to white
            return picture.point(lambda value: value / 256, "L").convert("RGBA")
        return ImageOps.exif_transpose(picture).convert("RGBA")


def _lay(sheet: Image.Image, box: Box, picture: Image.Image, caption: str, tone: tuple[str, str]) -> None:
    """Lay a card on the sheet, the whole picture in its middle and the caption below."""
    card, ink = tone
    _lay_card(sheet, box, card)
    room = Box(box.left + PADDING, box.top + PADDING, box.width - 2 * PADDING, box.height - PADDING - CAPTION)
    scale = min(room.width / picture.width, room.height / picture.height)
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    whole = Image.alpha_composite(_checkerboard(width, height), picture.resize((width, height)))
    sheet.paste(whole, (room.left + (room.width - width) // 2, room.top + (room.height - height) // 2))
    middle = room.top + room.height + CAPTION // 2
    _write(sheet, room.left, middle, room.width, caption, 18 if box.width > 240 else 14, ink)


def _lay_card(sheet: Image.Image, box: Box, colour: str) -> None:
    """Draw a rounded rectangle over its own soft shadow."""
    shape = Image.new("L", (4 * box.width, 4 * box.height))  # drawn large, then reduced: smooth corners
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, *shape.size), 4 * RADIUS, fill=255)
    shape = shape.reduce(4)
    shadow = ImageOps.expand(shape.point(lambda value: value // 5), GAP)
    sheet.paste(SHADOW, (box.left - GAP, box.top - GAP + 6), shadow.filter(ImageFilter.GaussianBlur(8)))
    sheet.paste(colour, (box.left, box.top), shape)


def _checkerboard(width: int, height: int, tile: int = 12) -> Image.Image:
    columns, rows = ceil(width / tile), ceil(height / tile)
    shades = bytes(255 - 20 * ((row + column) % 2) for row in range(rows) for column in range(columns))
    board = Image.frombytes("L", (columns, rows), shades).convert("RGBA")
    return board.resize((columns * tile, rows * tile), Image.Resampling.NEAREST).crop((0, 0, width, height))


def _write(  # noqa: PLR0913, PLR0917 - a drawing primitive
    sheet: Image.Image, left: int, middle: int, room: int, text: str, size: int, ink: str
) -> None:
    """Write one line, its middle cut out when it is wider than `room`."""
    font = ImageFont.load_default(size)
    text = _drawable(text, font)
    if font.getlength(text) > room:
        longest = bisect(range(len(text)), 0, key=lambda kept: ceil(font.getlength(_cut(text, kept)) - room))
        text = _cut(text, longest - 1)
    ImageDraw.Draw(sheet).text((left, middle), text, ink, font, anchor="lm")


def _cut(text: str, kept: int) -> str:
    return f"{text[: ceil(kept / 2)]}…{text[len(text) - kept // 2 :]}"


def _drawable(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Drop accents, and put one ellipsis for each run of letters that the built-in font has no glyph for."""
    letters = unicodedata.normalize("NFD", " ".join(text.split()))
    blank = bytes(font.getmask("\uffff"))
    unknown = {letter for letter in set(letters) if bytes(font.getmask(letter)) == blank}
    unaccented = (letter for letter in letters if not unicodedata.combining(letter))
    return re.sub("…+", "…", "".join("…" if letter in unknown else letter for letter in unaccented))
