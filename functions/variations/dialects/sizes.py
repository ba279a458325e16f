"""Find the size to ask a model for, when it cannot make the one a user wants: the result is scaled down later.

Which family of models makes which sizes is in RULES, the most special first; of a model that no row fits nothing
is known, so it is asked for just what the user wants.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..errors import InvalidRequest

USUAL = ("256x256", "512x512", "1024x1024", "1536x1024", "1024x1536", "2048x2048", "3840x2160", "auto")


class SizeRule(Protocol):
    """What sizes a family of models makes."""

    def to_ask(self, size: str) -> str:
        """Return the size to ask for, `WIDTHxHEIGHT` or `auto`, that nowhere is smaller than the wanted one.

        Raises:
            InvalidRequest: there is none, as pictures are never scaled up on purpose.
        """


@dataclass(frozen=True, slots=True)
class AsWanted:
    """Nothing is known: the model is asked for what is wanted, and only common sizes are recommended."""

    def to_ask(self, size: str) -> str:
        """Return the wanted size."""
        return size


@dataclass(frozen=True, slots=True)
class Fixed:
    """A handful of sizes and no other; `auto` only where `chooses` is set."""

    sizes: tuple[str, ...]
    chooses: bool = True

    def to_ask(self, size: str) -> str:
        """Return the smallest of them that covers the wanted one."""
        if size == "auto":
            return size if self.chooses else self.sizes[-1]
        width, height = edges(size)
        covering = [known for known in self.sizes if edges(known)[0] >= width and edges(known)[1] >= height]
        if not covering:
            known = ", ".join(self.sizes)
            raise InvalidRequest(f"The model makes {known}, and nothing that covers {size}.", param="size")
        return min(covering, key=_pixels)


@dataclass(frozen=True, slots=True)
class Free:
    """Any size within bounds: edges in steps and of some length, so many pixels in all, up to `ratio` to 1.

    `instead` names sizes that are asked for otherwise than these rules say.
    """

    step: int = 1
    least_pixels: int = 0
    shortest_edge: int = 1
    most_pixels: int | None = None
    longest_edge: int | None = None
    ratio: float | None = None
    instead: Mapping[str, str] | None = None

    def to_ask(self, size: str) -> str:
        """Return the smallest size of the same shape that the model makes."""
        if size == "auto":
            return size
        if self.instead and size in self.instead:
            return self.instead[size]
        width, height = edges(size)
        if self.ratio and max(width, height) > self.ratio * min(width, height):
            raise InvalidRequest(f"The model makes pictures of up to {self.ratio:g}:1, not {size}.", param="size")
        scale = max(1.0, (self.least_pixels / (width * height)) ** 0.5)
        scaled = (max(edge * scale, self.shortest_edge) for edge in (width, height))
        width, height = (int(-(-edge // self.step) * self.step) for edge in scaled)
        if width * height > (self.most_pixels or width * height) or max(width, height) > (
            self.longest_edge or max(width, height)
        ):
            raise InvalidRequest(f"The model makes pictures of up to {self._limits()}, not {size}.", param="size")
        return f"{width}x{height}"

    def _limits(self) -> str:
        pixels = f"{self.most_pixels / 1e6:.1f} megapixels" if self.most_pixels else ""
        edge = f"{self.longest_edge} pixels an edge" if self.longest_edge else ""
        return " and ".join(filter(None, (pixels, edge)))


SQUARES = ("256x256", "512x512", "1024x1024")
# Of GPT Image 1 and 1.5: openai-python 3.54.0 image_edit_params.py, read 2026-11-22.
GPT_IMAGE_1 = Fixed(("1024x1024", "1536x1024", "1024x1536"))
# From GPT Image 2 on: OpenAI image guide, read 2026-11-22. Small squares are asked as the one they are trained on.
GPT_IMAGE_2 = Free(
    step=16,
    least_pixels=655_360,
    most_pixels=8_294_400,
    longest_edge=3840,
    ratio=3,
    instead=dict.fromkeys(("256x256", "512x512"), "1024x1024"),
)
RULES: tuple[tuple[re.Pattern[str], SizeRule], ...] = (
    (re.compile(r"(^|/)(gpt-image-1(\D|$)|chatgpt-image)"), GPT_IMAGE_1),
    (re.compile(r"(^|/)gpt-image"), GPT_IMAGE_2),
    (re.compile(r"(^|/)dall-e-2$"), Fixed(SQUARES, chooses=False)),
)


def rule_of(model: str) -> SizeRule:
    """Return what is known of the sizes a model makes."""
    return next((rule for pattern, rule in RULES if pattern.search(model)), AsWanted())


def always(rule: SizeRule) -> Callable[[str], SizeRule]:
    """Return what gives the same rule for every model."""
    return lambda _: rule


def to_be_had(rule: SizeRule) -> list[str]:
    """Return those of the usual sizes that a user may ask for."""
    if isinstance(rule, AsWanted):
        return [*SQUARES, "auto"]
    return [size for size in USUAL if _can(rule, size)]


def edges(size: str) -> tuple[int, int]:
    """Return (width, height) of a size such as 1024x768."""
    width, height = size.split("x")
    return int(width), int(height)


def _can(rule: SizeRule, size: str) -> bool:
    try:
        return bool(rule.to_ask(size))
    except InvalidRequest:
        return False


def _pixels(size: str) -> int:
    width, height = edges(size)
    return width * height
