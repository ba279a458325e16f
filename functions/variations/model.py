"""The nouns of image-variations, as frozen dataclasses that every other module shares."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

S3_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.{1,1024})", re.DOTALL)
MAX_KEY_BYTES = 1024  # S3 user guide, "Naming objects", read 2026-11-22
MAX_N = 10  # OpenAI Images API: n is 1 to 10 (openai-python 3.54.0 image_edit_params.py, read 2026-11-22)


def is_text(value: Any, max_bytes: int) -> bool:
    """Tell whether a value is a text of at most so many bytes in UTF-8; half an emoji is none."""
    try:
        return isinstance(value, str) and len(value.encode()) <= max_bytes
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where a source image lies in S3; `etag` and `version_id` pin the very upload that is meant."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None

    @classmethod
    def from_url(cls, url: str) -> "SourceLocation | None":
        """Read `s3://bucket/key`; return None for any other text."""
        match = S3_URL.fullmatch(url)
        return cls(match[1], match[2]) if match else None

    @property
    def is_whole(self) -> bool:
        """Tell whether it is made of texts that S3 could have given; what comes in from outside may not be."""
        parts = (self.bucket, self.key, self.version_id or "none", self.etag or "none")
        return all(is_text(part, MAX_KEY_BYTES) and part for part in parts)


@dataclass(frozen=True, slots=True)
class SourceObject:
    """A source as it came out of S3: bytes nobody has looked at yet, and its user metadata."""

    location: SourceLocation
    content: bytes = field(repr=False)
    etag: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Picture:
    """A checked picture: encoded bytes with their true type and its size in pixels as a viewer sees it."""

    content: bytes = field(repr=False)
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class VariationRequest:
    """What is asked of the provider, validated once by `options.parse_options`.

    `size` is `WIDTHxHEIGHT` in pixels or `auto`; every optional field is None when the user did not set it.
    """

    model: str
    n: int = 1
    size: str = "1024x1024"
    response_format: str = "url"
    quality: str | None = None
    style: str | None = None
    user: str | None = None
    prompt: str | None = None
    strength: str = "balanced"
    output_format: str = "png"
    simplify: bool = False

    @property
    def dimensions(self) -> tuple[int, int] | None:
        """Return (width, height) in pixels, or None where the provider chooses."""
        if self.size == "auto":
            return None
        width, height = self.size.split("x")
        return int(width), int(height)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One parameter that the provider was not asked for as the user wrote it, and why."""

    parameter: str
    asked: str
    sent: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Variation:
    """One stored result: an object in the results bucket."""

    key: str
    content_type: str
    bytes: int
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One paid call. `outcome` is None until the provider answered: a worker that dies leaves it so.

    `variations` are the numbers, from 1, of those it asks for. `milliseconds` is how long the provider took.
    """

    number: int
    variations: tuple[int, ...]
    started_at: int
    outcome: str | None = None
    request_id: str | None = None
    milliseconds: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it comes in through a door: its id, the picture, where results go, who asked.

    `options` are what was said with the order itself. Unless it is `complete`, the object's metadata and the presets
    beside it have a say too. With `only_missing` it is for nothing where the same was asked of the same picture
    before. A `redrive` above that on record begins a failed job again. `request_id` is what the caller knows the
    request by: the `x-request-id` of our answer, the id S3 gave the upload, or the caller's own.
    """

    job_id: str
    source: SourceLocation
    results_prefix: str
    caller: str
    options: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    complete: bool = False
    only_missing: bool = False
    redrive: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """The record of one order: state `queued`, `running`, `succeeded`, `partial` or `failed`.

    `run` is the worker's claim on it: every later write shows it, so a worker whose lease ran out can write
    nothing any more. `announced` tells whether the event about its end went out, `dispatched` whether its message
    was put on the queue, `delivered_at` when its caller first got the result, `error` by which code it failed.
    `deaths` counts the workers that died over it, `redrives` how often it was begun again after it had failed; the
    first `forgiven` attempts are of no account since then.
    """

    order: Order
    run: str
    state: str
    created_at: int
    attempts: tuple[Attempt, ...] = ()
    announced: bool = False
    dispatched: bool = False
    delivered_at: int | None = None
    error: str | None = None
    deaths: int = 0
    redrives: int = 0
    forgiven: int = 0

    @property
    def is_finished(self) -> bool:
        """Tell whether the job has ended and will never change again."""
        return self.state in {"succeeded", "partial", "failed"}


@dataclass(frozen=True, slots=True)
class ImageModel:
    """A model as the provider lists it.

    `image` is True when it surely makes variations, False when it surely does not, None when nobody knows.
    `shutdown_date` is the day it dies, `YYYY-MM-DD`, where the provider says so.
    """

    id: str
    created: int
    owned_by: str
    image: bool | None
    shutdown_date: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a provider lists: its models, and the name of the known provider that the list gives away, if any."""

    models: tuple[ImageModel, ...] = ()
    family: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a provider answered one paid call, beside the pictures, which were handed on as they came.

    `came` counts the pictures, those that cannot be read included; for each of these there is a warning.
    """

    came: int
    request_id: str | None = None
    usage: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()


Take = Callable[[int, bytes], None]  # is given each picture once it is whole, with its place in the answer, from 0
