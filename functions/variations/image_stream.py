"""Read JSON that holds pictures while it arrives: each is decoded in chunks, and none of its text is kept.

What is not a picture is collected as it is and parsed by `json` in the end, so that this module only has to know
where texts, lists and objects begin and end.
"""

import contextlib
import io
import itertools
import json
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import pybase64

LONG_BYTES = 4096  # a text that is longer, and may be a picture by its name, is decoded as it comes
MAX_REST_BYTES = 4 * 1024**2  # of all that is no picture: prompts, usage, errors
STRUCTURE = re.compile(rb'["{}\[\]:,]')
HALF_AN_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)\Z")
WHITESPACE = b" \t\r\n\v\f"
BACKSLASH = ord("\\")
TAKEN = object()  # what is left in the document of an entry that was taken


class Base64Text:
    """Decode base64 that comes in pieces, with or without white space and the head of a data: URL."""

    def __init__(self) -> None:
        self._decoded = io.BytesIO()  # gives its bytes away without a copy
        self._left = b""  # of the last four characters
        self._is_valid, self._is_padded = True, False

    def feed(self, text: bytes) -> None:
        """Decode a piece. The first one must hold the whole head of a data: URL."""
        if text.startswith(b"data:") and not self._left and not self._decoded.tell():
            text = text.partition(b",")[2]
        if self._is_valid:
            text = self._left + text
            # White space is so rare that it is looked for only where there is something wrong.
            self._is_valid = self._decode(text) or self._decode(text.translate(None, WHITESPACE))

    def finish(self) -> bytes | None:
        """Return what was decoded, or None where the text was not base64."""
        is_whole = self._is_valid and not self._left.translate(None, WHITESPACE)
        return self._decoded.getvalue() if is_whole else None

    def _decode(self, text: bytes) -> bool:
        """Decode as many fours of characters as there are; return False, and change nothing, if one is wrong."""
        end = len(text) - len(text) % 4
        try:
            decoded = pybase64.b64decode(memoryview(text)[:end], validate=True)
        except ValueError:
            return False
        if self._is_padded and text:
            return False
        self._decoded.write(decoded)
        self._left, self._is_padded = text[end:], len(decoded) < end // 4 * 3
        return True


@dataclass(slots=True)
class _Container:
    """A list or an object that has not ended; `element` is where in the rest its last element begins."""

    is_object: bool = False
    entries: str | None = None  # by which name it holds entries
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
        names: keys under which a text may be a picture; a text in a list may be one too.
    """

    def __init__(self, take: Callable[[str, Any], bool], lists: tuple[str, ...], names: Collection[str]) -> None:
        self._take, self._lists, self._names = take, lists, names
        self._rest = bytearray()
        self._open = [_Container()]
        self._is_text, self._text_start = False, 0  # whether we are within a text, and where in the rest it begins
        self._picture: Base64Text | None = None
        self._escape = b""  # the half of one at the end of a chunk
        self._is_escaped = False  # whether the chunk ended on a backslash that escapes what comes next
        self._pictures: dict[str, bytes | None] = {}
        self._numbers = itertools.count()
        self._taken = secrets.token_hex(16)  # no text of a provider can be mistaken for it

    def feed(self, chunk: bytes) -> None:
        """Read a chunk of any length.

        Raises:
            ValueError: this is no JSON, or one with more text than any answer has.
        """
        position = 0
        while position < len(chunk):
            position = (self._read_text if self._is_text else self._read_structure)(chunk, position)
        if len(self._rest) > MAX_REST_BYTES:
            raise ValueError("too much text")

    def finish(self) -> Any:
        """Return the document without what was taken of it.

        Raises:
            ValueError, RecursionError: it is no whole JSON.
        """
        if self._is_text or len(self._open) > 1:
            raise ValueError("cut off")
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
            self._is_text, self._text_start = True, place
        elif character in b"{[":
            self._open.append(_Container(character == b"{", self._entries(around) if character == b"[" else None))
        elif character in b"}]":
            if len(self._open) == 1:
                raise ValueError("ends before it has begun")
            self._open.pop()
            self._end_element()
        else:
            around.has_colon = character == b":"

    def _entries(self, around: _Container) -> str | None:
        """Return by which name the list that begins here holds entries, if it does."""
        if len(self._open) == 1:
            return self._lists[0]
        return around.key if len(self._open) == 2 and around.is_object and around.key in self._lists else None

    def _read_text(self, chunk: bytes, start: int) -> int:
        """Read to behind the end of a text, or as much of it as there is."""
        quote = self._find_end(chunk, start)
        end = len(chunk) if quote < 0 else quote
        if self._picture:
            self._decode(self._picture, chunk[start:end])
        else:
            self._rest += chunk[start:end]
            if self._is_long_picture():
                self._picture, text = Base64Text(), bytes(self._rest[self._text_start + 1 :])
                del self._rest[self._text_start :]
                self._decode(self._picture, text)
        if quote < 0:
            return end
        self._end_text()
        return end + 1

    def _find_end(self, chunk: bytes, start: int) -> int:
        """Return where the quote is that ends a text, or -1."""
        quote, begin = start, start
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

    def _is_long_picture(self) -> bool:
        """Tell whether the text that is being read is longer than most, and may be a picture by its place."""
        around = self._open[-1]
        begin = self._text_start + 1
        if len(self._rest) - begin <= LONG_BYTES or (around.is_object and not around.has_colon):
            return False
        may_be = around.key in self._names if around.is_object else len(self._open) > 1
        return may_be and not self._rest.startswith((b"http://", b"https://"), begin)

    def _decode(self, picture: Base64Text, text: bytes) -> None:
        text = self._escape + text
        self._escape = b""
        if b"\\" in text:
            if half := HALF_AN_ESCAPE.search(text):
                self._escape, text = half[1], text[: half.start(1)]
            text = json.loads(b'"' + text + b'"', strict=False).encode(errors="replace")
        picture.feed(text)

    def _end_text(self) -> None:
        around = self._open[-1]
        if self._picture:
            if self._escape:
                self._picture.feed(b"\\")
            name = f"{self._taken}-{next(self._numbers)}"
            self._pictures[name] = self._picture.finish()
            self._rest += f'"{name}'.encode()
            self._picture, self._escape = None, b""
        self._rest += b'"'
        if around.is_object and not around.has_colon:
            around.key = json.loads(self._rest[self._text_start :], strict=False)
        self._is_text = False
        self._end_element()

    def _end_element(self) -> None:
        """Offer an entry that has ended, and put a mark in its place where it is taken."""
        around = self._open[-1]
        if around.entries is not None:
            with contextlib.suppress(RecursionError):  # `finish` meets it too
                if self._take(around.entries, self._parse(self._rest[around.element :])):
                    self._rest[around.element :] = f'"{self._taken}"'.encode()

    def _parse(self, text: bytearray) -> Any:
        # No NaN or Infinity, which the manifest could not hold.
        return self._filled(json.loads(text, parse_constant=lambda _: None))

    def _filled(self, value: Any) -> Any:
        """Put the pictures and TAKEN where the marks are that stand for them."""
        if isinstance(value, str):
            return TAKEN if value == self._taken else self._pictures.pop(value, value)
        if isinstance(value, list):
            return [self._filled(element) for element in value]
        if isinstance(value, dict):
            return {key: self._filled(element) for key, element in value.items()}
        return value
