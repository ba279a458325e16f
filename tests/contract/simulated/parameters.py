"""Read what a call asks for, as strictly as the real servers do and in OpenAI's words."""

import re
from collections.abc import Collection
from typing import Any

from .calls import Call, Refusal


class Parameters:
    """The fields of a call: text in a form, typed values in JSON."""

    def __init__(self, call: Call, status: int = 400) -> None:
        self.call = call
        self._status = status

    def reject_unknown(self, known: Collection[str]) -> None:
        """Refuse a field, or a part with a picture, that is not named."""
        for name in (*self.call.fields, *(sent.field for sent in self.call.pictures)):
            if name not in known:
                raise self._refuse(name, f"Unknown parameter: '{name}'.", "unknown_parameter")

    def require(self, name: str) -> str:
        """Return a text that must be there."""
        text = self.text(name)
        if not text:
            raise self._refuse(name, f"Missing required parameter: '{name}'.", "missing_required_parameter")
        return text

    def text(self, name: str, default: str = "") -> str:
        """Return a text, or the default for a field that is not there or null."""
        value = self.call.fields.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong_type(name, "a string", value)
        return value

    def prompt(self, longest: int) -> str:
        """Return the prompt, which must be there and have at most so many characters."""
        prompt = self.require("prompt")
        if len(prompt) > longest:
            message = (
                f"Invalid 'prompt': string too long. Expected a string with maximum length {longest}, "
                f"but got a string with length {len(prompt)} instead."
            )
            raise self._refuse("prompt", message, "string_above_max_length")
        return prompt

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one of some texts."""
        value = self.text(name, default)
        if value not in allowed:
            choices = ", ".join(f"'{one}'" for one in allowed)
            message = f"Invalid value: '{value}'. Supported values are: {choices}."
            raise self._refuse(name, message, "invalid_value")
        return value

    def integer(self, name: str, allowed: range, default: int) -> int:
        """Return a whole number, which a form writes in digits and JSON as a number."""
        value: Any = self.call.fields.get(name)
        if value is None:
            return default
        if self.call.kind == "multipart" and re.fullmatch(r"-?[0-9]{1,18}", value):
            value = int(value)
        if type(value) is not int:
            raise self._wrong_type(name, "an integer", value)
        if value not in allowed:
            below = value < allowed[0]
            message = (
                f"Invalid '{name}': integer {'below minimum' if below else 'above maximum'} value. Expected a value "
                f"{'>=' if below else '<='} {allowed[0] if below else allowed[-1]}, but got {value} instead."
            )
            raise self._refuse(name, message, f"integer_{'below_min' if below else 'above_max'}_value")
        return value

    def size(self, name: str = "size") -> tuple[int, int] | None:
        """Return WIDTHxHEIGHT in pixels, or None for anything else."""
        match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", self.text(name))
        return (int(match[1]), int(match[2])) if match else None

    def seed(self) -> int | None:
        """Return the seed, or None where there is none or a negative one, which means any."""
        seed = self.integer("seed", range(-1, 2**63), -1)
        return None if seed < 0 else seed

    def _wrong_type(self, name: str, expected: str, value: object) -> Refusal:
        message = f"Invalid type for '{name}': expected {expected}, but got {type(value).__name__} instead."
        return self._refuse(name, message, "invalid_type")

    def _refuse(self, name: str, message: str, code: str) -> Refusal:
        return Refusal(self._status, message, name, code)
