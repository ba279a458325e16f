"""Read what Images APIs answer: the pictures, or the reason why there are none. Pure functions."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ProviderFailed, ProviderRefused
from .refusals import error_in_success

LISTS = ("data", "images", "output")  # where the pictures stand, OpenAI's name first
ENCODED = ("b64_json", "base64", "b64", "image_base64", "image")
LINKED = ("url", "image_url", *ENCODED)
UNREADABLE = "A picture of the provider's answer cannot be read."
MODERATED = "The provider answered without any image; it may have moderated the picture."


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """The pictures of an answer in the provider's order: encoded, or the URL (str) where one must be fetched."""

    images: tuple[bytes | str, ...]
    usage: Mapping[str, Any] | None
    warnings: tuple[str, ...] = ()


def parse_answer(body: bytes) -> ParsedAnswer:
    """Read the images out of a good answer, in the provider's order; one that cannot be read is left out.

    Args:
        body: JSON `{"data": [{"b64_json"} | {"url"}], "usage"?}`, or one of the shapes that are near it: a bare
            array, `images` for `data`, `base64` for `b64_json`, data: URLs, texts for objects.

    Raises:
        ProviderRefused: well-formed, and no image in it (some hosts moderate silently), or an error that says so.
        ProviderFailed: not JSON, not of such a shape, or not one picture that can be read.
        VariationError: another error that is inside.
    """
    try:
        # No NaN or Infinity, which the manifest could not hold.
        return _read(json.loads(body, parse_constant=lambda _: None))
    except (ValueError, RecursionError) as error:
        raise ProviderFailed(
            "The provider answered with something that is not JSON, or is cut off. The call may have been billed."
        ) from error


def _read(answer: Any) -> ParsedAnswer:
    if isinstance(answer, list):
        answer = {"data": answer}
    if not isinstance(answer, dict):
        raise ProviderFailed("The provider answered JSON of a shape that no Images API has.")
    if answer.get("error"):
        raise error_in_success(answer)
    return _parse(answer)


def _parse(answer: Mapping[str, Any]) -> ParsedAnswer:
    entries = [entry for entry in _entries(answer) if not _is_moderated(entry)]
    if not entries:
        raise ProviderRefused(MODERATED)
    images = [_image(entry) for entry in entries]
    found = tuple(image for image in images if image)
    if not found:
        raise ProviderFailed("The provider sent nothing that can be read as a picture. The call may have been billed.")
    usage = answer.get("usage")
    return ParsedAnswer(found, usage if isinstance(usage, dict) else None, (UNREADABLE,) * (len(images) - len(found)))


def _entries(answer: Mapping[str, Any]) -> list[Any]:
    for name in LISTS:
        if isinstance(answer.get(name), list):
            return list(answer[name])
    return [answer] if _image(answer) else []


def _is_moderated(entry: Any) -> bool:
    """Tell whether an entry says that its picture was held back: xAI's flag, or Ark's error in its place."""
    return isinstance(entry, dict) and (entry.get("respect_moderation") is False or bool(entry.get("error")))


def _image(entry: Any) -> bytes | str | None:
    if isinstance(entry, str):
        return _from_text(entry)
    if not isinstance(entry, dict):
        return None
    for name in (*ENCODED, *LINKED):
        value = entry.get(name)
        if isinstance(value, dict):  # {"image_url": {"url": …}}
            value = value.get("url")
        if isinstance(value, str) and value:
            return value if name == "url" and not value.startswith("data:") else _from_text(value)
    return None


def _from_text(text: str) -> bytes | str | None:
    """Decode base64, with or without the head of a data: URL and broken into lines or not; return a URL as it is."""
    if text.startswith(("https://", "http://")):
        return text
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
