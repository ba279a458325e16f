"""Read what Images APIs answer: the pictures, or the reason why there are none. Pure functions."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ProviderFailed, ProviderRefused

MAX_MESSAGE_CHARACTERS = 500
LIKE_A_KEY = re.compile(r"\b((sk|xai|gsk|key)[-_]|Bearer )[A-Za-z0-9*._-]{4,}")  # some quote the key they refuse


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """The pictures of an answer in the provider's order: encoded, or the URL (str) where one must be fetched."""

    images: tuple[bytes | str, ...]
    usage: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Complaint:
    """A provider's own error, out of whichever envelope it came in; empty texts where it gave none."""

    message: str = ""
    code: str = ""
    param: str = ""


def parse_answer(body: bytes) -> ParsedAnswer:
    """Read the images out of a 200 answer, in the provider's order.

    Args:
        body: JSON `{"data": [{"b64_json"} | {"url"}], "usage"?}`.

    Raises:
        ProviderRefused: a well-formed answer with an error or no image in it (some hosts moderate silently).
        ProviderFailed: not JSON, or not of this shape.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProviderFailed(
            "The provider answered with something that is not JSON, or is cut off. The call may have been billed."
        ) from error
    if not isinstance(answer, dict):
        raise ProviderFailed("The provider answered JSON of a shape that no Images API has.")
    if answer.get("error"):
        raise ProviderRefused(f"The provider answered with an error: {parse_complaint(body).message}")
    entries = answer.get("data")
    if not isinstance(entries, list) or not entries:
        raise ProviderRefused("The provider answered without any image; it may have moderated the picture.")
    usage = answer.get("usage")
    return ParsedAnswer(tuple(_image(entry) for entry in entries), usage if isinstance(usage, dict) else None)


def _image(entry: Any) -> bytes | str:
    if isinstance(entry, dict):
        encoded, url = entry.get("b64_json"), entry.get("url")
        if isinstance(encoded, str) and encoded:
            try:
                return base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError) as error:
                raise ProviderFailed("The provider sent an image that is not valid base64.") from error
        if isinstance(url, str) and url:
            return url
    raise ProviderFailed("The provider sent an entry with neither b64_json nor url.")


def parse_complaint(body: bytes) -> Complaint:
    """Find the provider's message in the error shapes that are about; an HTML page or garbage has none.

    What looks like a key in it is masked.

    Shapes: `{"error": {message, code, param}}`, `{"error": "text"}`, `{"code", "error": "text"}`,
    `{"detail": "text" | [{msg, loc}] | {"error"}}`, `{"message"}` (facts of the servers' sources, 2026-11-22).
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return Complaint()
    if not isinstance(answer, dict):
        return Complaint()
    inner = answer.get("error") or answer.get("detail") or answer
    if isinstance(inner, list) and inner:
        inner = inner[0]
    if isinstance(inner, str):
        inner = {"message": inner, "code": answer.get("code")}
    if not isinstance(inner, Mapping):
        return Complaint()
    message = inner.get("message") or inner.get("msg") or inner.get("error")
    return Complaint(
        message=LIKE_A_KEY.sub("[key]", message[:MAX_MESSAGE_CHARACTERS]) if isinstance(message, str) else "",
        code=str(inner.get("code") or inner.get("type") or ""),
        param=str(inner.get("param") or ""),
    )
