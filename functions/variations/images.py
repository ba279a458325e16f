"""Check pictures, put them upright, and bring them to the asked size and format.

Type and dimensions come from the header, and the pixel limits are applied before anything is decoded. Only the
worker imports this module, so that no other function pays for Pillow.
"""

import functools
import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageOps, UnidentifiedImageError

from .containers import check_item_names, has_metadata_behind, is_surely_whole
from .dialects.dialect import SourceForm
from .errors import SourceTooLarge, UnsupportedImage
from .model import Picture

Image.MAX_IMAGE_PIXELS = None  # `_check_pixels` is stricter, adjustable, and raises our own errors

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
ORIENTATION = 0x0112  # EXIF 2.32, tag Orientation; 1 is upright
LYING = {5, 6, 7, 8}  # on their side, so that width and height change places
TURNS = {  # EXIF orientation -> what puts it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MAX_ANSWER_MEGAPIXELS = 50  # six times what the largest model of today makes (8.3: OpenAI image guide, 2026-11-22)
MAX_PROFILE_BYTES = 1024**2  # colour profiles have kilobytes; one of megabytes would crowd the picture out
SCALING = threading.Lock()  # decoded pictures are large, and two at a time are no faster on the part of a core we have
JPEG_QUALITY = 95  # for sources that must be encoded again: no visible loss


def inspect(content: bytes, *, max_megapixels: float) -> Picture:
    """Tell what a source picture is, and refuse what no provider should get.

    Args:
        content: the bytes of a PNG, JPEG, WebP, GIF, AVIF or HEIC file; its name and claims do not matter.
        max_megapixels: millions of pixels above which it is too large.

    Returns:
        The picture with its true type, and its size as a viewer sees it (EXIF rotation applied).

    Raises:
        UnsupportedImage: not one of these formats, damaged, cut off, or a decompression bomb.
        SourceTooLarge: more pixels than `max_megapixels`.
    """
    if not content:
        raise UnsupportedImage("The source is empty: 0 bytes. Upload the picture again.")
    with _readable("The source"), _open(content) as image:
        width, height = image.size
        _check_pixels("The source", width * height, max_megapixels)
        content_type = TYPES[str(image.format)]
        turned = _orientation(image, content) in LYING
        _check_whole(image, content)
    return Picture(content, content_type, *((height, width) if turned else (width, height)))


def prepare(picture: Picture, form: SourceForm, dimensions: tuple[int, int] | None) -> Picture:
    """Bring a source into the form that a provider understands, untouched where it has it already.

    Args:
        picture: any picture `inspect` let through.
        form: types, bytes and shape that the provider takes. Where it must be cropped, the middle is kept, a little
            above the centre; where it must have fewer bytes, edges lose a quarter until it has.
        dimensions: (width, height) in pixels of the wanted variations, or None.
    """
    with _readable("The source"), _open(picture.content) as image:
        orientation = _orientation(image, picture.content)
        fits = picture.content_type in form.types and len(picture.content) <= form.max_bytes
        if orientation == 1 and fits and form.shape == "any":
            return picture
        if form.shape == "any":
            shaped = _turned(image, orientation)
        else:
            width, height = dimensions or ((1024, 1024) if form.shape == "square" else (picture.width, picture.height))
            if form.shape == "square":
                width = height = max(width, height)
            # A JPEG decodes at a fraction of its size: 24 MP in a third of the memory.
            image.draft("RGB", (height, width) if orientation in LYING else (width, height))
            shaped = _plain(fit(_turned(image, orientation), width, height))
        keep_jpeg = "image/jpeg" in form.types and picture.content_type != "image/gif"
        keep_jpeg = keep_jpeg and not shaped.has_transparency_data
        while True:
            made = _encode(shaped, "jpeg" if keep_jpeg else "png", quality=JPEG_QUALITY)
            if len(made.content) <= form.max_bytes:
                return made
            shaped = fit(shaped, max(1, shaped.width * 3 // 4), max(1, shaped.height * 3 // 4))


def finish(content: bytes, dimensions: tuple[int, int] | None, output_format: str) -> Picture:
    """Bring an answer's image to exactly the asked size and format; return it as it is where it fits already.

    Args:
        content: the encoded image a provider sent.
        dimensions: (width, height) in pixels, or None to keep what the provider chose.
        output_format: png, jpeg or webp.

    Raises:
        UnsupportedImage: the provider sent something that is not a whole image.
    """
    with _readable("The answer"), _open(content) as image:
        if (megapixels := image.width * image.height / 1e6) > MAX_ANSWER_MEGAPIXELS:
            raise UnsupportedImage(f"The answer has {megapixels:.0f} megapixels, more than any known model makes.")
        wanted = dimensions or image.size
        if image.size == wanted and TYPES[str(image.format)] == f"image/{output_format}":
            _check_whole(image, content)
            return Picture(content, f"image/{output_format}", *wanted)
        with SCALING:
            return _encode(fit(image, *wanted), output_format)


def scaled_up(content: bytes, picture: Picture) -> str | None:
    """Say so where a picture that `finish` made is larger than the image it was made of."""
    if picture.content is content:
        return None
    with _readable("The answer"), _open(content) as image:
        if image.width >= picture.width and image.height >= picture.height:
            return None
        return (
            f"The provider made {image.width}x{image.height}, which was scaled up to {picture.width}x{picture.height}."
        )


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scale and crop an image to exactly width x height pixels, keeping its upper middle (heads are there)."""
    if image.size == (width, height):
        return image
    plain = _plain(image)
    return ImageOps.fit(plain, (width, height), Image.Resampling.LANCZOS, centering=(0.5, 0.4))


def _plain(image: Image.Image) -> Image.Image:
    """Return an image as RGB or RGBA, whatever mode its file has."""
    if image.mode.startswith("I;16"):  # Pillow would clip sixteen bits to white
        image = image.point(lambda value: value / 256).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _orientation(image: Image.Image, content: bytes) -> int:
    """Return which of EXIF's eight orientations a picture is in, and decode it only where there is no other way."""
    # Pillow decodes every PNG that has no EXIF before its pixels, as there may be some behind them.
    try:
        exif = image.getexif() if has_metadata_behind(content) else Image.Image.getexif(image)
    except struct.error:  # EXIF that is cut off tells nothing, and spoils no picture
        return 1
    orientation: int = exif.get(ORIENTATION, 1)
    return orientation


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image the right way up. Not by ImageOps.exif_transpose, which stumbles over odd EXIF."""
    method = TURNS.get(orientation)
    return image if method is None else image.transpose(method)


def _encode(image: Image.Image, output_format: str, *, quality: int = 90) -> Picture:
    profile = image.info.get("icc_profile") or b""  # without it a wide-gamut photograph changes its colours
    if image.mode not in {"RGB", "RGBA"} | (set() if output_format == "webp" else {"L", "LA"}):  # WebP has no grey
        image = _plain(image)
    if output_format == "jpeg" and image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    fits = profile[16:20] == (b"GRAY" if image.mode.startswith("L") else b"RGB ") and len(profile) <= MAX_PROFILE_BYTES
    buffer = io.BytesIO()
    image.save(buffer, output_format, quality=quality, icc_profile=profile if fits else None)
    return Picture(buffer.getvalue(), f"image/{output_format}", *image.size)


def _check_pixels(what: str, pixels: int, max_megapixels: float) -> None:
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


def _check_whole(image: Image.Image, content: bytes) -> None:
    """Make sure that a file is not cut off: by its marks, or by decoding as little as shows it."""
    if is_surely_whole(content):
        return
    if image.format == "JPEG":
        image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
    image.load()


def _open(content: bytes) -> Image.Image:
    if content[4:8] == b"ftyp":  # the ISO container of HEIC and AVIF (ISO/IEC 14496-12, 4.3)
        check_item_names(content)
        _register_heic()
        return Image.open(io.BytesIO(content), formats=("HEIF", "AVIF"))
    return Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "GIF"))


@contextmanager
def _readable(what: str) -> Iterator[None]:
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
