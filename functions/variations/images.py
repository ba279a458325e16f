"""Check pictures, put them upright, and bring them to the asked size and format.

Only the worker imports this module, so that no other function pays for Pillow.
"""

import io
import struct
import threading

from PIL import Image, ImageOps

from .containers import has_metadata_behind
from .decoding import TYPES, check_pixels, check_whole, open_known, open_unknown, pixels_in, readable
from .dialects.dialect import SourceForm
from .errors import UnsupportedImage
from .metadata import without_metadata
from .model import Picture

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


def inspect(content: bytes, *, max_megapixels: float, strip: bool = False) -> Picture:
    """Tell what a source picture is, and refuse what no provider should get.

    Args:
        content: the bytes of a PNG, JPEG, WebP, GIF, AVIF or HEIC file; its name and claims do not matter.
        max_megapixels: millions of pixels above which it is too large.
        strip: drop its metadata, as far as `prepare` will not do so anyway.

    Returns:
        The picture with its true type, and its size as a viewer sees it (EXIF rotation applied).

    Raises:
        UnsupportedImage: not one of these formats, damaged, cut off, a decompression bomb, or in too many pieces.
        SourceTooLarge: more pixels than `max_megapixels`.
    """
    if not content:
        raise UnsupportedImage("The source is empty: 0 bytes. Upload the picture again.")
    with readable("The source"), open_unknown(content) as image:
        check_pixels("The source", pixels_in(image, content), max_megapixels)
        content_type, orientation = TYPES[str(image.format)], _orientation(image, content)
        size = image.size[::-1] if orientation in LYING else image.size
        check_whole(image, content)
        if strip and orientation == 1:  # `prepare` puts any other upright, and needs to know how
            content = without_metadata(content)
    return Picture(content, content_type, *size)


def prepare(picture: Picture, form: SourceForm, dimensions: tuple[int, int] | None) -> Picture:
    """Bring a source into the form that a provider understands, untouched where it has it already.

    What is written anew has no metadata but its colour profile.

    Args:
        picture: any picture `inspect` let through.
        form: types, bytes and shape that the provider takes. Where it must be cropped, the middle is kept, a little
            above the centre; where it must have fewer bytes, edges lose a quarter until it has.
        dimensions: (width, height) in pixels of the wanted variations, or None.
    """
    with readable("The source"), open_known(picture.content) as image:
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


def finish(content: bytes, dimensions: tuple[int, int] | None, output_format: str, *, strip: bool = False) -> Picture:
    """Bring an answer's image to exactly the asked size and format; return it as it is where it fits already.

    Args:
        content: the encoded image a provider sent.
        dimensions: (width, height) in pixels, or None to keep what the provider chose.
        output_format: png, jpeg or webp.
        strip: drop the metadata of one that fits; what is written anew has none but its colour profile.

    Raises:
        UnsupportedImage: the provider sent something that is not a whole image.
    """
    with readable("The answer"), open_unknown(content) as image:
        if (megapixels := pixels_in(image, content) / 1e6) > MAX_ANSWER_MEGAPIXELS:
            raise UnsupportedImage(f"The answer has {megapixels:.0f} megapixels, more than any known model makes.")
        orientation = _orientation(image, content)
        size = image.size[::-1] if orientation in LYING else image.size
        wanted = dimensions or size
        if orientation == 1 and size == wanted and TYPES[str(image.format)] == f"image/{output_format}":
            check_whole(image, content)
            return Picture(without_metadata(content) if strip else content, f"image/{output_format}", *wanted)
        with SCALING:
            return _encode(fit(_turned(image, orientation), *wanted), output_format)


def scaled_up(content: bytes, picture: Picture) -> str | None:
    """Say so where a picture that `finish` made is larger than the image it was made of."""
    if picture.content is content:
        return None
    with readable("The answer"), open_known(content) as image:
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
    # Pillow would copy the comment of a JPEG, and nothing else.
    image.save(buffer, output_format, quality=quality, icc_profile=profile if fits else None, comment=None)
    return Picture(buffer.getvalue(), f"image/{output_format}", *image.size)
