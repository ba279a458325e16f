"""Decode base64 while it arrives."""

import io

import pybase64

WHITESPACE = b" \t\r\n\v\f"


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
        self._left, self._is_padded = text[end:], self._is_padded or len(decoded) < end // 4 * 3
        return True
