"""Find the size to ask a model for, when it cannot make the one a user wants: the result is scaled down later."""

from collections.abc import Iterable

from ..errors import InvalidRequest

GRID = 16  # edges of gpt-image-2 and later are multiples of it: OpenAI image guide, read 2026-11-22
LONGEST_EDGE = 3840
SMALLEST_PIXELS, LARGEST_PIXELS = 655_360, 8_294_400
LONGEST_SHAPE = 3  # to 1


def smallest_covering(size: str, choices: Iterable[str]) -> str:
    """Return the smallest of some sizes that is nowhere smaller than the asked one.

    Raises:
        InvalidRequest: there is none, as pictures are never scaled up.
    """
    if size == "auto":
        return size
    width, height = _edges(size)
    covering = [choice for choice in choices if _edges(choice)[0] >= width and _edges(choice)[1] >= height]
    if not covering:
        raise InvalidRequest(f"The model makes {', '.join(choices)}, and nothing that covers {size}.", param="size")
    return min(covering, key=lambda choice: _edges(choice)[0] * _edges(choice)[1])


def on_the_grid(size: str) -> str:
    """Return the smallest size of the same shape that GPT Image models from 2 on make.

    Raises:
        InvalidRequest: too long for its width, or too large.
    """
    if size == "auto":
        return size
    width, height = _edges(size)
    if max(width, height) > LONGEST_SHAPE * min(width, height):
        raise InvalidRequest(f"The model makes pictures of up to {LONGEST_SHAPE}:1, not {size}.", param="size")
    scale = max(1.0, (SMALLEST_PIXELS / (width * height)) ** 0.5)
    width, height = (-(-edge * scale // GRID) * GRID for edge in (width, height))
    if width * height > LARGEST_PIXELS or max(width, height) > LONGEST_EDGE:
        raise InvalidRequest(
            f"The model makes pictures of up to {LARGEST_PIXELS / 1e6:.1f} megapixels and {LONGEST_EDGE} pixels "
            f"an edge, not {size}.",
            param="size",
        )
    return f"{width:.0f}x{height:.0f}"


def _edges(size: str) -> tuple[int, int]:
    width, height = size.split("x")
    return int(width), int(height)
