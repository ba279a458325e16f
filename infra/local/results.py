"""Encode finished pictures, and keep those that are fetched by URL."""

import io
import threading
import uuid
from collections.abc import Callable
from typing import Any

from PIL import Image

from infra.local.style_engine import flatten

MAX_STORED_BYTES = 256 * 1024**2
ENCODING: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 1},  # a third of the default's time, an eighth more bytes
    "jpeg": {"quality": 90},
    "webp": {"quality": 90},
}


def encode(picture: Image.Image, output_format: str, *, opaque: bool = False) -> bytes:
    """Return a picture as a file of one of the formats in ENCODING.

    Args:
        picture: RGB or RGBA.
        output_format: a key of ENCODING.
        opaque: lay it on white; JPEG always does.

    """
    if opaque or output_format == "jpeg":
        picture = flatten(picture)
    buffer = io.BytesIO()
    picture.save(buffer, output_format, **ENCODING[output_format])
    return buffer.getvalue()


class ResultFiles:
    """Keep results that are served by URL: for a time, the oldest giving way when there are too many."""

    def __init__(self, ttl_seconds: float, clock: Callable[[], float]) -> None:
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._files: dict[str, tuple[float, bytes]] = {}

    def add(self, content: bytes, suffix: str) -> str:
        """Store a result and return the name nobody can guess."""
        name = f"{uuid.uuid4().hex}.{suffix}"
        with self._lock:
            self._files[name] = (self._clock() + self._ttl_seconds, content)
            while sum(len(kept) for _, kept in self._files.values()) > MAX_STORED_BYTES:
                del self._files[next(iter(self._files))]
        return name

    def get(self, name: str) -> bytes | None:
        """Return a result, or None once it has expired."""
        with self._lock:
            now = self._clock()
            self._files = {kept: file for kept, file in self._files.items() if file[0] > now}
            return self._files[name][1] if name in self._files else None


def content_type(name: str) -> str:
    """Return the media type of a stored result by its name."""
    return f"image/{name.rpartition('.')[2]}"
