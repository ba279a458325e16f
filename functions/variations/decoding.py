"""Open picture files for Pillow, as far as none of its decoders comes to harm or does any.

Type and dimensions come from the header, and the limits are applied before anything is decoded.
"""

import functools
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from .containers import check_pieces, is_ours, is_surely_whole
from .errors import SourceTooLarge, UnsupportedImage
from .isobmff import check_boxes, coded_pixels

Image.MAX_IMAGE_PIXELS = None  # `check_pixels` is stricter, adjustable, and raises our own errors

# Pillow's name of a format -> media type. Its other forty decoders (EPS, PSD, WMF ...) stay shut.
TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with a second picture behind it, as many phones make
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
}
BOMB_PIXELS = 178_956_970  # where Pillow itself calls a picture a decompression bomb (Pillow 13, Image.py)


def check_pixels(what: str, pixels: int, max_megapixels: float) -> None:
    """Refuse a picture of more pixels than are taken, with the advice that fits.

    Raises:
        UnsupportedImage: so many that no camera made them.
        SourceTooLarge: more than `max_megapixels` million.
    """
    if pixels > BOMB_PIXELS:
        raise UnsupportedImage(
            f"{what} declares {pixels / 1e6:.0f} megapixels, which looks like a decompression bomb. "
            "Take a picture of a usual size."
        )
    if pixels > max_megapixels * 1e6:
        raise SourceTooLarge(
            f"{what} has {pixels / 1e6:.1f} megapixels; this stack takes up to {max_megapixels:g} "
            "(MaxSourceMegapixels). Scale it down and upload it again."
        )


def check_whole(image: Image.Image, content: bytes) -> None:
    """Make sure that a file is not cut off: by its marks, or by decoding as little as shows it."""
    if is_surely_whole(content):
        return
    if image.format == "JPEG":
        image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
    image.load()


def pixels_in(image: Image.Image, content: bytes) -> int:
    """Return how many pixels a picture has, by its header or by what is really in the file: by the larger number."""
    declared = image.width * image.height
    return max(declared, coded_pixels(content)) if image.format in {"AVIF", "HEIF"} else declared


def open_unknown(content: bytes) -> Image.Image:
    """Open a file that nobody has looked at yet, as `open_known` does.

    Raises:
        UnsupportedImage: too many pieces to be a picture's.
    """
    check_pieces(content)
    return open_known(content)


def open_known(content: bytes) -> Image.Image:
    """Open a file by its header, within `readable`: who does not raise may still raise when it is decoded."""
    formats: tuple[str, ...] = ("PNG", "JPEG", "WEBP", "GIF")
    if content[4:8] == b"ftyp":  # the ISO container of HEIC and AVIF (ISO/IEC 14496-12, 4.3)
        check_boxes(content)
        _register_heic()
        formats = ("HEIF", "AVIF")
    try:
        return Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:
        if is_ours(content):
            raise ValueError("it begins well") from error
        raise


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn everything a decoder may raise on hostile bytes into UnsupportedImage."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise UnsupportedImage(
            f"{what} is not a PNG, JPEG, WebP, GIF, AVIF or HEIC image. Check that it opens in a viewer."
        ) from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        AssertionError,
        EOFError,
        MemoryError,
        RuntimeError,
        struct.error,
    ) as error:
        raise UnsupportedImage(
            f"{what} is damaged or cut off. Check that it opens in a viewer, and send it again."
        ) from error


@functools.cache
def _register_heic() -> None:
    import pi_heif  # noqa: PLC0415 - loads libheif, which few pictures need

    pi_heif.register_heif_opener()
