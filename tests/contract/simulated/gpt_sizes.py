"""The sizes that GPT Image models make (image guide, read 2026-11-22; their words: a probe of 2026-04-28)."""

from .calls import Refusal
from .parameters import Parameters
from .pictures import same_shape

FIXED_SIZES = {"1024x1024": (1024, 1024), "1024x1536": (1024, 1536), "1536x1024": (1536, 1024)}


def fixed_size(wanted: Parameters, source: tuple[int, int]) -> tuple[int, int]:
    """Return one of the three sizes of gpt-image-1 models."""
    size = wanted.choice("size", (*FIXED_SIZES, "auto"), "auto")
    nearest = "1024x1024" if source[0] == source[1] else "1536x1024" if source[0] > source[1] else "1024x1536"
    return FIXED_SIZES[nearest if size == "auto" else size]


def grid_size(wanted: Parameters, source: tuple[int, int]) -> tuple[int, int]:
    """Return a size that gpt-image-2 and later make; `auto` follows the source and may leave the grid."""
    if wanted.text("size", "auto") == "auto":
        width, height = source
        return same_shape((min(width, 3 * height), min(height, 3 * width)), 1536 * 1024)
    size = wanted.size()
    problem = _problem(*size) if size else "Use 'auto' or WIDTHxHEIGHT."
    if problem or not size:
        message = f"Invalid size '{wanted.text('size')}'. {problem}"
        raise Refusal(400, message, "size", "invalid_value", "image_generation_user_error")
    return size


def _problem(width: int, height: int) -> str:
    """Say what is wrong with a size, in the words of a probe of 2026-04-28."""
    if width % 16 or height % 16:
        return "Width and height must both be divisible by 16."
    if max(width, height) > 3840:
        return "The longest edge must be less than or equal to 3840."
    if max(width, height) > 3 * min(width, height):
        return "The aspect ratio must be at most 3:1."
    if width * height < 655_360:
        return "Requested resolution is below the current minimum pixel budget."
    return "Requested resolution exceeds the current pixel budget." if width * height > 8_294_400 else ""
