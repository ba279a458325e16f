"""Read options as people write them (object metadata, form fields, JSON) into a VariationRequest.

All doors share this one reading, so `n` means the same on an upload and over HTTP. Values may be strings
("4", "true") or JSON values; a wrong one raises InvalidRequest that names the field.
"""

import re
from collections.abc import Callable, Mapping
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import Any

from .errors import InvalidRequest
from .model import MAX_N, VariationRequest

MAX_PROMPT_CHARACTERS = 32_000  # openai-python 3.54.0 image_edit_params.py, read 2026-11-22
MAX_USER_CHARACTERS = 256
MAX_EDGE = 3840  # longest edge any known model makes: OpenAI image guide, read 2026-11-22

Reader = Callable[[str, Any], Any]


def parse_options(
    options: Mapping[str, Any], *, model: str, n: int, size: str
) -> tuple[VariationRequest, tuple[str, ...]]:
    """Validate options over the stack's defaults.

    Args:
        options: what the user set; names in any case, `-` and `_` alike. Empty strings count as not set.
        model: DefaultModel of the stack.
        n: how many variations when the user does not say, 1 to 10.
        size: DefaultSize of the stack.

    Returns:
        The request, and one warning per option that we do not know (newer clients may send more than we read).

    Raises:
        InvalidRequest: a value is malformed or out of range; `param` is the field.
    """
    named = {name.lower().replace("-", "_"): value for name, value in options.items()}
    warnings = tuple(
        f"The option {name[:60]!r} is not known and was ignored." for name in sorted(named.keys() - READERS.keys())
    )
    chosen: dict[str, Any] = {"model": model, "n": n, "size": size}
    for name, read in READERS.items():
        if named.get(name) not in (None, ""):
            chosen[name] = read(name, named[name])
    if not chosen["model"]:
        raise InvalidRequest("Name a model, or set the stack parameter DefaultModel.", param="model")
    return VariationRequest(**chosen), warnings


def decode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Decode S3 user metadata values, which S3 hands back RFC 2047 encoded where they are not ASCII.

    Source: S3 user guide, "Working with object metadata", read 2026-11-22.
    """
    return {name: _decode_header(value) for name, value in metadata.items()}


def _decode_header(value: str) -> str:
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (MessageError, LookupError, ValueError):
        return value


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,4}", str(value).strip()):
        raise InvalidRequest(f"{name} must be a whole number from 1 to {MAX_N}, not {_shown(value)}.", param=name)
    number = int(str(value))
    if not 1 <= number <= MAX_N:
        raise InvalidRequest(f"{name} must be from 1 to {MAX_N}, not {number}.", param=name)
    return number


def _boolean(name: str, value: Any) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    try:
        return known[str(value).strip().lower()]
    except KeyError:
        raise InvalidRequest(f"{name} must be true or false, not {_shown(value)}.", param=name) from None


def _size(name: str, value: Any) -> str:
    size = str(value).strip().lower()
    if size == "auto":
        return size
    match = re.fullmatch(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})", size)
    if not match or max(int(edge) for edge in match.groups()) > MAX_EDGE:
        raise InvalidRequest(
            f"{name} must be 256x256, 512x512 or 1024x1024 (or auto, or another WIDTHxHEIGHT up to {MAX_EDGE} "
            f"that the model can make), not {_shown(value)}.",
            param=name,
        )
    return size


def _one_of(*choices: str) -> Reader:
    def read(name: str, value: Any) -> str:
        choice = str(value).strip().lower()
        if choice not in choices:
            raise InvalidRequest(f"{name} must be one of {', '.join(choices)}, not {_shown(value)}.", param=name)
        return choice

    return read


def _text(max_characters: int) -> Reader:
    def read(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a text.", param=name)
        if not value.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidRequest(f"{name} has characters that are no text.", param=name)
        if len(value) > max_characters:
            raise InvalidRequest(f"{name} may have up to {max_characters} characters, not {len(value)}.", param=name)
        return value

    return read


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


READERS: dict[str, Reader] = {
    "model": _text(200),
    "n": _integer,
    "size": _size,
    "response_format": _one_of("url", "b64_json"),
    "quality": _one_of("standard", "hd", "low", "medium", "high", "auto"),
    "style": _one_of("vivid", "natural"),
    "user": _text(MAX_USER_CHARACTERS),
    "prompt": _text(MAX_PROMPT_CHARACTERS),
    "strength": _one_of("subtle", "balanced", "strong"),
    "output_format": _one_of("png", "jpeg", "webp"),
    "simplify": _boolean,
}
