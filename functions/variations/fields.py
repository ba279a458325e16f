"""Describe the fields of a request once: how a value is read, and what the OpenAPI document says of it.

A value may be a text, as in forms and object metadata, or a JSON value.
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import InvalidRequest

MAX_EDGE = 3840  # longest edge any known model makes: OpenAI image guide, read 2026-11-22
SIZE = r"[1-9][0-9]{1,3}x[1-9][0-9]{1,3}"

Schema = dict[str, Any]


class Field(Protocol):
    """What every kind of field can do."""

    description: str

    def read(self, name: str, value: Any) -> Any:
        """Return the value as a VariationRequest holds it; raise InvalidRequest that names the field."""

    def schema(self) -> Schema:
        """Return the JSON Schema of its values."""


@dataclass
class Number:
    """A whole number within bounds."""

    description: str
    minimum: int
    maximum: int

    def read(self, name: str, value: Any) -> int:
        """Read a number such as 4 or "4"."""
        bounds = f"from {self.minimum} to {self.maximum}"
        if not re.fullmatch(r"[0-9]{1,4}", str(value).strip()):
            raise InvalidRequest(f"{name} must be a whole number {bounds}, not {_shown(value)}.", param=name)
        number = int(str(value))
        if not self.minimum <= number <= self.maximum:
            raise InvalidRequest(f"{name} must be {bounds}, not {number}.", param=name)
        return number

    def schema(self) -> Schema:
        """Return the bounds."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass
class Choice:
    """One of some words, in any case."""

    description: str
    words: tuple[str, ...]

    def read(self, name: str, value: Any) -> str:
        """Read a word."""
        word = str(value).strip().lower()
        if word not in self.words:
            raise InvalidRequest(f"{name} must be one of {', '.join(self.words)}, not {_shown(value)}.", param=name)
        return word

    def schema(self) -> Schema:
        """Return the words."""
        return {"type": "string", "enum": list(self.words)}


@dataclass
class Text:
    """A text of bounded length."""

    description: str
    max_characters: int

    def read(self, name: str, value: Any) -> str:
        """Read a text; one that no encoding can write, such as half an emoji, is none."""
        if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidRequest(f"{name} must be a text.", param=name)
        if len(value) > self.max_characters:
            raise InvalidRequest(
                f"{name} may have up to {self.max_characters} characters, not {len(value)}.", param=name
            )
        return value

    def schema(self) -> Schema:
        """Return the length."""
        return {"type": "string", "maxLength": self.max_characters}


@dataclass
class Flag:
    """True or false."""

    description: str

    def read(self, name: str, value: Any) -> bool:
        """Read true, false, 1 or 0."""
        known = {"true": True, "1": True, "false": False, "0": False}
        try:
            return known[str(value).strip().lower()]
        except KeyError:
            raise InvalidRequest(f"{name} must be true or false, not {_shown(value)}.", param=name) from None

    def schema(self) -> Schema:
        """Return the type."""
        return {"type": "boolean"}


@dataclass
class Size:
    """A size in pixels, WIDTHxHEIGHT, or `auto`."""

    description: str

    def read(self, name: str, value: Any) -> str:
        """Read a size; whether the model can make it is the dialect's business."""
        size = str(value).strip().lower()
        edges = [int(edge) for edge in size.split("x")] if re.fullmatch(SIZE, size) else []
        if size != "auto" and (not edges or max(edges) > MAX_EDGE):
            raise InvalidRequest(
                f"{name} must be 256x256, 512x512 or 1024x1024 (or auto, or another WIDTHxHEIGHT up to {MAX_EDGE} "
                f"that the model can make), not {_shown(value)}.",
                param=name,
            )
        return size

    def schema(self) -> Schema:
        """Return the form."""
        return {"type": "string", "pattern": f"^(auto|{SIZE})$"}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
