"""Describe one HTTP call to a provider, so that dialects stay pure and `provider` stays ignorant of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pybase64

from ..model import Adjustment, Picture

# What a user asked for and would miss; the format of a file, say, is put right on our side.
TOLD = {"model": "model", "size": "size", "resolution": "size", "quality": "quality", "user": "user"}
# The part's file name; its content type must be the true one, as OpenAI trusts it over the bytes
# ("unsupported mimetype ('application/octet-stream')": Comfy-Org/ComfyUI #9329, read 2026-11-22).
CHUNK_BYTES = 192 * 1024  # a multiple of 3, as base64 writes three bytes at a time
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """A POST to `path` below the provider's base URL that asks for `n` pictures.

    With a `picture` it is a multipart form of the fields and that picture as a file; without one it is a JSON
    object of the fields, and the picture is in one of them.
    """

    path: str
    fields: Mapping[str, Any]
    n: int
    seed: int
    picture: Picture | None = None
    picture_field: str = "image"
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def picture_name(self) -> str:
        """Return a file name whose ending fits the picture's type."""
        return f"source.{EXTENSIONS[self.picture.content_type]}" if self.picture else ""

    def sending(self, parameter: str, value: str | None, why: str) -> "ProviderCall":
        """Return the call with another value of a field, or without it (None), and tell of it where it matters."""
        if parameter not in self.fields or self.fields[parameter] == value:
            return self
        told = {change.parameter: change for change in self.adjustments}
        if name := TOLD.get(parameter):
            asked = told[name].asked if name in told else str(self.fields[parameter])
            told[name] = Adjustment(name, asked, value, why)
        fields = {**self.fields, parameter: value}
        if value is None:
            del fields[parameter]
        return replace(self, fields=fields, adjustments=tuple(told.values()))


@dataclass(frozen=True, slots=True)
class InlinePicture:
    """A picture as a base64 text in a JSON body, encoded chunk by chunk when it is sent; `head` goes before it."""

    content: bytes = field(repr=False)
    head: str = ""

    def __len__(self) -> int:
        """Return the length of the text in characters."""
        return len(self.head) + (len(self.content) + 2) // 3 * 4

    def __iter__(self) -> Iterator[bytes]:
        """Yield the text."""
        yield self.head.encode()
        content = memoryview(self.content)
        for start in range(0, len(content), CHUNK_BYTES):
            yield pybase64.b64encode(content[start : start + CHUNK_BYTES])


def data_url(picture: Picture) -> InlinePicture:
    """Write a picture as a data: URL."""
    return InlinePicture(picture.content, f"data:{picture.content_type};base64,")


def in_base64(picture: Picture) -> InlinePicture:
    """Write a picture's bytes as base64."""
    return InlinePicture(picture.content)
