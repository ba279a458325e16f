"""Read JSON that holds pictures while it arrives: each is decoded in chunks, and none of its text is kept.

What is not a picture is collected as it is and parsed by `json` in the end, so that this module only has to know
where texts, lists and objects begin and end.
"""

import contextlib
import itertools
import json
import math
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from .base64_text import Base64Text

LONG_BYTES = 4096  # a text that is longer, and may be a picture by its name, is decoded as it comes
MAX_REST_BYTES = 4 * 1024**2  # of all that is no picture: prompts, usage, errors
MAX_DEPTH = 100  # of lists in objects in lists
STRUCTURE = re.compile(rb'["{}\[\]:,]')
HALF_AN_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)\Z")
BACKSLASH = ord("\\")
TAKEN = object()  # what is left in the document of an entry that was taken


class NotJson(Exception):
    """This is no JSON, or is cut off, or more than any answer has."""


@dataclass(slots=True)
class _Container:
    """A list or an object that has not ended; `element` is where in the rest its last element begins."""

    is_object: bool = False
    entries: str | None = None  # by which name a list holds entries
    is_entry: bool = False
    is_link: bool = False  # an object in the place of a picture, with its URL
    key: str | None = None
    has_colon: bool = False
    element: int = 0


class ImageStream:
    """Read one JSON document chunk by chunk.

    Args:
        take: is given each entry of the lists named below, parsed, once it is whole, with the list's name; long
            pictures in it are bytes, or None where they were not base64. Where it returns True, the document has TAKEN
            in its place.
        lists: names of lists whose elements are entries; a list that is the whole document goes by the first of them.
        names: keys under which an entry may have its picture: as base64, or a URL, or an object with a URL.
            An entry may be such a text itself, and the whole document one entry.
    """

    def __init__(self, take: Callable[[str, Any], bool], lists: tuple[str, ...], names: Collection[str]) -> None:
        self._take, self._lists, self._names = take, lists, names
        self._rest = bytearray()
        self._open = [_Container()]
        self._is_text, self._text_start = False, 0  # whether we are within a text, and where in the rest it begins
        self._is_looked_at = False  # whether it was told if this text is a picture
        self._picture: Base64Text | None = None
        self._escape = b""  # the half of one at the end of a chunk
        self._is_escaped = False  # whether the chunk ended on a backslash that escapes what comes next
        self._pictures: dict[str, bytes | None] = {}
        self._numbers = itertools.count()
        self._taken = secrets.token_hex(16)  # no text of a provider can be mistaken for it

    def feed(self, chunk: bytes) -> None:
        """Read a chunk of any length.

        Raises:
            NotJson: so far.
        """
        position = 0
        while position < len(chunk):
            position = (self._read_text if self._is_text else self._read_structure)(chunk, position)
        if len(self._rest) > MAX_REST_BYTES:
            raise NotJson("too much text")

    def finish(self) -> Any:
        """Return the document without what was taken of it.

        Raises:
            NotJson: it is not whole.
        """
        if self._is_text or len(self._open) > 1:
            raise NotJson("cut off")
        return self._parse(self._rest)

    def _read_structure(self, chunk: bytes, start: int) -> int:
        """Read to behind the next character that matters."""
        found = STRUCTURE.search(chunk, start)
        end = found.end() if found else len(chunk)
        self._rest += chunk[start:end]
        if found:
            self._mark(found[0], len(self._rest) - 1)
        return end

    def _mark(self, character: bytes, place: int) -> None:
        around = self._open[-1]
        if character in b'"{[':
            around.element = place
        if character == b'"':
            self._is_text, self._text_start, self._is_looked_at = True, place, False
        elif character in b"{[":
            self._open.append(self._begin(around, is_object=character == b"{"))
            if len(self._open) > MAX_DEPTH:
                raise NotJson("too deep")
        elif character in b"}]":
            if len(self._open) == 1:
                raise NotJson("ends before it has begun")
            self._open.pop()
            self._end_element()
        else:
            around.has_colon = character == b":"

    def _begin(self, around: _Container, *, is_object: bool) -> _Container:
        """Say what a list or an object is, by what it stands in."""
        is_document = len(self._open) == 1
        if is_object:
            is_entry = is_document or around.entries is not None
            return _Container(is_object, is_entry=is_entry, is_link=around.is_entry and around.key in self._names)
        if is_document:
            return _Container(is_object, entries=self._lists[0])
        is_listed = len(self._open) == 2 and around.is_object and around.key in self._lists
        return _Container(is_object, entries=around.key if is_listed else None)

    def _read_text(self, chunk: bytes, start: int) -> int:
        """Read to behind the end of a text, or as much of it as there is."""
        quote = self._find_end(chunk, start)
        end = len(chunk) if quote < 0 else quote
        if self._picture:
            self._picture.feed(self._unescaped(chunk[start:end]))
        else:
            self._rest += chunk[start:end]
            if not self._is_looked_at and len(self._rest) - self._text_start > LONG_BYTES:
                self._is_looked_at = True
                self._look_at(bytes(self._rest[self._text_start + 1 :]))
        if quote < 0:
            return end
        self._end_text()
        return end + 1

    def _find_end(self, chunk: bytes, start: int) -> int:
        """Return where the quote is that ends a text, or -1."""
        begin = start
        while (quote := chunk.find(b'"', begin)) >= 0:
            if not self._is_escape(chunk, start, quote):
                self._is_escaped = False
                return quote
            begin = quote + 1
        self._is_escaped = self._is_escape(chunk, start, len(chunk))
        return -1

    def _is_escape(self, chunk: bytes, start: int, place: int) -> bool:
        """Tell whether an odd number of backslashes stands before a place."""
        first = place
        while first > start and chunk[first - 1] == BACKSLASH:
            first -= 1
        return bool((place - first + (first == start and self._is_escaped)) % 2)

    def _look_at(self, text: bytes) -> None:
        """Begin to decode a long text, if it is a picture by its place and its first letters."""
        around = self._open[-1]
        may_be = around.entries is not None or (
            around.has_colon
            and ((around.is_entry and around.key in self._names) or (around.is_link and around.key == "url"))
        )
        if not may_be:
            return
        text = self._unescaped(text)
        is_data = text.startswith(b"data:")
        if text.startswith((b"http://", b"https://")) or (around.is_entry and around.key == "url" and not is_data):
            self._escape = b""
            return
        del self._rest[self._text_start :]
        self._picture = Base64Text()
        self._picture.feed(text)

    def _unescaped(self, text: bytes) -> bytes:
        """Return a piece of a picture's text without escapes; half of one is kept for the next piece."""
        text, self._escape = self._escape + text, b""
        if b"\\" not in text:
            return text
        if half := HALF_AN_ESCAPE.search(text):
            self._escape, text = half[1], text[: half.start(1)]
        # Latin-1, as the piece may end within a character; whatever is not ASCII is not base64 either.
        unescaped: str = _loads('"' + text.decode("latin-1") + '"', strict=False)
        return unescaped.encode("latin-1", errors="replace")

    def _end_text(self) -> None:
        around = self._open[-1]
        if self._picture:
            if self._escape:
                raise NotJson("half an escape")
            name = f"{self._taken}-{next(self._numbers)}"
            self._pictures[name] = self._picture.finish()
            self._rest += f'"{name}'.encode()
            self._picture = None
        self._rest += b'"'
        if around.is_object and not around.has_colon:
            around.key = _loads(self._rest[self._text_start :], strict=False)
        self._is_text = False
        self._end_element()

    def _end_element(self) -> None:
        """Offer an entry that has ended, and put a mark in its place where it is taken."""
        around = self._open[-1]
        if around.entries is None:
            return
        entry: Any = None
        with contextlib.suppress(NotJson):  # `finish` meets it too
            entry = self._parse(self._rest[around.element :])
        if self._take(around.entries, entry):
            self._rest[around.element :] = f'"{self._taken}"'.encode()

    def _parse(self, text: bytearray) -> Any:
        return self._filled(_loads(text, parse_constant=lambda _: None, parse_float=_number))

    def _filled(self, value: Any) -> Any:
        """Put the pictures and TAKEN where the marks are that stand for them."""
        if isinstance(value, str):
            return TAKEN if value == self._taken else self._pictures.pop(value, value)
        if isinstance(value, list):
            return [self._filled(element) for element in value]
        if isinstance(value, dict):
            return {key: self._filled(element) for key, element in value.items()}
        return value


def _loads(text: str | bytearray, **options: Any) -> Any:
    try:
        return json.loads(text, **options)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error


def _number(text: str) -> float | None:
    """Read a number; NaN and Infinity are None, as the manifest could not hold them."""
    return number if math.isfinite(number := float(text)) else None
