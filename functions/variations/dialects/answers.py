"""Read what Images APIs answer: the pictures, or the reason why there are none; no network in here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..base64_text import Base64Text
from ..errors import ProviderFailed, ProviderRefused
from ..image_stream import TAKEN, ImageStream, NotJson
from .refusals import error_in_success

LISTS = ("data", "images", "output")  # where the pictures stand, OpenAI's name first
ENCODED = ("b64_json", "base64", "b64", "image_base64", "image")
NAMES = (*ENCODED, "url", "image_url")
UNREADABLE = "A picture of the provider's answer cannot be read."
GARBAGE = "The provider answered with something that is not JSON, or is cut off. The call may have been billed."
MODERATED = "The provider answered without any image; it may have moderated the picture."


@dataclass(frozen=True, slots=True)
class Remainder:
    """What an answer holds beside its pictures: what they cost, and a warning for each that cannot be read."""

    usage: Mapping[str, Any] | None
    warnings: tuple[str, ...] = ()


class AnswerReader:
    """Read a good answer while it arrives, in the provider's order; a picture that cannot be read is left out.

    Answers are JSON `{"data": [{"b64_json"} | {"url"}], "usage"?}`, or one of the shapes that are near it: a bare
    array, `images` for `data`, `base64` for `b64_json`, data: URLs, texts for objects.

    Args:
        take: is given each picture as soon as it is whole: its bytes, or the URL (str) where it must be fetched.
    """

    def __init__(self, take: Callable[[bytes | str], None]) -> None:
        self._take = take
        self._stream = ImageStream(self._read_entry, LISTS, NAMES)
        self._list: str | None = None  # some answer the same pictures in two of them

    def feed(self, chunk: bytes) -> None:
        """Read a chunk of any length.

        Raises:
            ProviderFailed: not JSON.
        """
        try:
            self._stream.feed(chunk)
        except NotJson as error:
            raise ProviderFailed(GARBAGE) from error

    def finish(self) -> Remainder:
        """Read the rest, when the answer has ended.

        Raises:
            ProviderRefused: well-formed, and no image in it (some hosts moderate silently), or an error that says so.
            ProviderFailed: not JSON, cut off, not of such a shape, or not one picture that can be read.
            VariationError: another error that is inside.
        """
        try:
            answer = self._stream.finish()
        except NotJson as error:
            raise ProviderFailed(GARBAGE) from error
        if isinstance(answer, list):
            answer = {LISTS[0]: answer}
        if not isinstance(answer, dict):
            raise ProviderFailed("The provider answered JSON of a shape that no Images API has.")
        if answer.get("error"):
            raise error_in_success(answer)
        return self._settle(answer)

    def _settle(self, answer: Mapping[str, Any]) -> Remainder:
        """Tell what the answer was, where its lists have been read."""
        lists = [answer[name] for name in (self._list, *LISTS) if name and isinstance(answer.get(name), list)]
        if not lists and (alone := _image(answer)):
            self._list = ""
            self._take(alone)
        left = [entry for entry in (lists[0] if lists else []) if entry is not TAKEN and not _is_moderated(entry)]
        if self._list is None:
            if left:
                raise ProviderFailed(
                    "The provider sent nothing that can be read as a picture. The call may have been billed."
                )
            raise ProviderRefused(MODERATED)
        usage = answer.get("usage")
        return Remainder(usage if isinstance(usage, dict) else None, (UNREADABLE,) * len(left))

    def _read_entry(self, name: str, entry: Any) -> bool:
        """Take the picture of an entry, if there is one."""
        found = None if _is_moderated(entry) or self._list not in {None, name} else _image(entry)
        if found:
            self._list = name
            self._take(found)
        return bool(found)


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """The pictures of an answer in the provider's order: encoded, or the URL (str) where one must be fetched."""

    images: tuple[bytes | str, ...]
    usage: Mapping[str, Any] | None
    warnings: tuple[str, ...] = ()


def _is_moderated(entry: Any) -> bool:
    """Tell whether an entry says that its picture was held back: xAI's flag, or Ark's error in its place."""
    return isinstance(entry, dict) and (entry.get("respect_moderation") is False or bool(entry.get("error")))


def _image(entry: Any) -> bytes | str | None:
    """Return the picture of an entry, or the URL of it, under the first name that has one."""
    if not isinstance(entry, dict):
        return _picture(entry)
    for name in NAMES:
        value = entry.get(name)
        if isinstance(value, dict):  # {"image_url": {"url": …}}
            value = value.get("url")
        if name == "url" and isinstance(value, str) and value and not value.startswith("data:"):
            return value
        if found := _picture(value):
            return found
    return None


def _picture(value: Any) -> bytes | str | None:
    """Return what was decoded already, decode what is base64 or a data: URL, or return a URL as it is."""
    if isinstance(value, bytes) or (isinstance(value, str) and value.startswith(("https://", "http://"))):
        return value
    if not isinstance(value, str):
        return None
    text = Base64Text()
    text.feed(value.encode(errors="replace"))
    return text.finish()
