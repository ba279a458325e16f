"""Read the body of POST /v1/images/variations: the multipart form that OpenAI SDKs send, or JSON."""

import base64
import binascii
import io
import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from multipart import MultipartError, MultipartParser, MultipartPart

from .errors import InvalidRequest, SourceTooLarge
from .model import SourceLocation

# Lambda takes 6 MB per request, the picture as base64 inside (Lambda quotas, read 2026-11-22); some is envelope.
MAX_BODY_CHARACTERS = 6 * 1024**2 - 64 * 1024
TOO_LARGE = (
    "The picture is too large for this route, which takes about 4.4 MB. Ask POST /v1/uploads for an upload form: "
    "it takes pictures up to MaxSourceBytes."
)
MAX_PARTS = 64
MAX_OPTION_BYTES = 128_000  # 32,000 characters, the longest prompt, of four bytes
# What JSON has to have between its values. A request has a dozen of them, and its prompt may have some within; but of
# 6 MB of `[],` Python would make objects of 130 MB (measured 2026-11-26).
JSON_MARKS = ",[{"
MAX_JSON_MARKS = 40_000
CHARSETS = {"utf8", "utf-8", "ascii", "us-ascii", "latin1", "latin-1", "iso-8859-1"}  # others may take ages: punycode
DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w=.-]+)*;base64,", re.ASCII)
DATA_URL_HEAD = 256  # characters; a search in more would try every way to divide them
HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")  # which no encoding can write
WHITESPACE = string.whitespace.encode()


@dataclass(frozen=True, slots=True)
class Body:
    """What a caller sent: the options, and the picture as bytes, as a place in S3, or as an https URL."""

    options: Mapping[str, Any]
    content: bytes | None = field(default=None, repr=False)
    location: SourceLocation | None = None
    url: str | None = None


def parse_body(body: str, content_type: str, *, is_base64: bool) -> Body:
    """Read a request with its picture.

    Args:
        body: as API Gateway hands it over.
        content_type: the header, with a multipart form's boundary.
        is_base64: whether the gateway encoded the body, as it does for binary types.

    Raises:
        InvalidRequest: malformed, no picture or several; `param` is `image` where the picture is at fault.
        SourceTooLarge: more than the gateway and Lambda carry; the message names the other way.
    """
    if len(body) > MAX_BODY_CHARACTERS:
        raise SourceTooLarge(TOO_LARGE, param="image")
    kind, boundary = _content_type(content_type)
    if kind == "multipart/form-data":
        return _parse_form(_bytes(body) if is_base64 else body.encode(errors="replace"), boundary)
    return _parse_image(parse_json(body, is_base64=is_base64))


def parse_json(body: str, *, is_base64: bool) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        text = (_bytes(body).decode() if is_base64 else body).removeprefix("\ufeff")
        if sum(map(text.count, JSON_MARKS)) > MAX_JSON_MARKS:
            raise InvalidRequest("The JSON has more values than a request knows.")
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is neither a multipart/form-data form nor JSON.") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return fields


def _parse_form(body: bytes, boundary: str) -> Body:
    if not boundary:
        raise InvalidRequest("The Content-Type of the form names no boundary.")
    options: dict[str, Any] = {}
    pictures = []
    # Everything is in memory anyway, so nothing is spooled to a file.
    room = len(body) + 1
    try:
        parser = MultipartParser(io.BytesIO(body), boundary, part_limit=MAX_PARTS, spool_limit=room, memory_limit=room)
        for part in parser:
            if part.name in {"image", "image[]"}:
                pictures.append(part.raw)
            else:
                options[part.name] = _read_option(part)
    except (MultipartError, ValueError, LookupError) as error:
        raise InvalidRequest("The form cannot be read; it may be cut off.") from error
    if len(pictures) != 1:
        raise InvalidRequest(f"Send one picture in the field image, not {len(pictures)}.", param="image")
    return Body(options, content=pictures[0])


def _read_option(part: MultipartPart) -> str:
    if part.size > MAX_OPTION_BYTES:
        raise InvalidRequest(f"The field {part.name[:60]!r} is too long.", param=part.name[:60])
    if part.charset.lower() not in CHARSETS:
        raise InvalidRequest("Send the form's texts in UTF-8.", param=part.name[:60])
    text: str = part.value
    return text


def _parse_image(fields: dict[str, Any]) -> Body:
    image = fields.pop("image", None)
    if not isinstance(image, str) or not image or HALF_A_CHARACTER.search(image):
        raise InvalidRequest(
            "Send the picture in the field image: as base64, a data: URL, s3://bucket/key or an https URL.",
            param="image",
        )
    if location := SourceLocation.from_url(image):
        return Body(fields, location=location)
    if image.startswith("https://"):
        return Body(fields, url=image)
    head = DATA_URL.match(image, 0, DATA_URL_HEAD)
    try:
        text = image[head.end() if head else 0 :].encode("ascii").translate(None, WHITESPACE)  # `base64` prints lines
        return Body(fields, content=base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(
            "The field image is neither base64, a data: URL, s3://bucket/key nor an https URL.", param="image"
        ) from error


def _bytes(body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("The body cannot be read.") from error


def _content_type(header: str) -> tuple[str, str]:
    """Return the type and the boundary that a Content-Type header names, "" where it names none."""
    message = Message()
    try:
        message["Content-Type"] = header
        return message.get_content_type(), str(message.get_param("boundary", ""))
    except (TypeError, ValueError) as error:
        raise InvalidRequest("The Content-Type header cannot be read.") from error
