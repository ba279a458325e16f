"""Pictures of one colour: what the simulated servers make, and what they can tell about the ones they are sent."""

import base64
import binascii
import io
import re
from functools import lru_cache

from PIL import Image

DATA_URL = re.compile(r"data:(?P<type>[\w/+.-]*);base64,(?P<content>.*)", re.DOTALL)
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@lru_cache(maxsize=256)
def paint(size: tuple[int, int], number: int, output_format: str) -> bytes:
    """Encode a picture (width, height) in the colour of a number; equal arguments give equal bytes.

    Args:
        size: in pixels.
        number: a running number or a seed; numbers within 2**24 of each other have different colours.
        output_format: `png`, `jpeg` or `webp`.
    """
    mixed = number * 0x9E3779B1 & 0xFFFFFF  # neighbours get colours far apart, which JPEG cannot confuse
    buffer = io.BytesIO()
    image = Image.new("RGB", size, (mixed >> 16, mixed >> 8 & 255, mixed & 255))
    image.save(buffer, output_format, **({"compress_level": 1} if output_format == "png" else {}))
    return buffer.getvalue()


def inspect(content: bytes) -> tuple[str, tuple[int, int]] | None:
    """Return the true media type and the size of a picture, or None for what is not a whole PNG, JPEG or WebP."""
    try:
        with Image.open(io.BytesIO(content), formats=list(FORMATS)) as image:
            image.load()
            return FORMATS[image.format or ""], image.size
    except (OSError, SyntaxError, ValueError):
        return None


def from_base64(text: str) -> bytes | None:
    """Decode base64 strictly; None where it is not."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def from_data_url(url: object) -> tuple[str, bytes] | None:
    """Return the media type that a `data:` URL claims and its content, or None for anything else."""
    match = DATA_URL.fullmatch(url) if isinstance(url, str) else None
    content = from_base64(match["content"]) if match else None
    return (match["type"], content) if match and content is not None else None


def same_shape(size: tuple[int, int], pixels: int, step: int = 1) -> tuple[int, int]:
    """Scale a size to about so many pixels, with edges that are multiples of a step."""
    scale = (pixels / (size[0] * size[1])) ** 0.5
    width, height = (max(step, round(edge * scale / step) * step) for edge in size)
    return width, height
