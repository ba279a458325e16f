"""Write the body of a call as a stream of known length: the picture is in memory once, as it came out of S3."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

from urllib3.filepost import encode_multipart_formdata

from .dialects.call import InlinePicture, ProviderCall
from .model import Picture


class Body:
    """Bytes to send, in pieces; each iteration gives them anew."""

    def __init__(self, content_type: str, *pieces: bytes | InlinePicture) -> None:
        self.content_type = content_type
        self.pieces = pieces

    def __len__(self) -> int:
        """Return the length in bytes."""
        return sum(map(len, self.pieces))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes, a picture in base64 chunk by chunk."""
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece


def write_body(call: ProviderCall) -> Body:
    """Write a multipart form where the call has a picture beside its fields, and JSON where it is in one of them."""
    if call.picture is None:
        return _write_json(call.fields)
    return _write_form(call, call.picture)


def _write_form(call: ProviderCall, picture: Picture) -> Body:
    part = (call.picture_field, (call.picture_name, b"", picture.content_type))
    form, content_type = encode_multipart_formdata([*call.fields.items(), part])
    end = form.rindex(b"\r\n--")  # the picture is the last part, and still empty
    return Body(content_type, form[:end], picture.content, form[end:])


def _write_json(fields: Any) -> Body:
    mark, pictures = secrets.token_hex(16), list[InlinePicture]()

    def leave_out(value: InlinePicture) -> str:
        pictures.append(value)
        return mark

    first, *others = json.dumps(fields, default=leave_out).encode().split(mark.encode())
    pieces: list[bytes | InlinePicture] = [first]
    for picture, text in zip(pictures, others, strict=True):
        pieces += [picture, text]
    return Body("application/json", *pieces)
