"""The nouns of image-variations, as frozen dataclasses that every other module shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_N = 10  # OpenAI Images API: n is 1 to 10 (openai-python 3.54.0 image_edit_params.py, read 2026-11-22)


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where a source image lies in S3; `etag` and `version_id` pin the very upload that is meant."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None


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

    `variations` are the numbers, from 1, of those it asks for.
    """

    number: int
    variations: tuple[int, ...]
    started_at: int
    outcome: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it comes in through a door: its id, the picture, where results go, who asked.

    `options` is None for an upload, whose options are the object's metadata. `request_id` is what the caller knows
    the request by: the `x-request-id` of our answer, or the id S3 gave the upload.
    """

    job_id: str
    source: SourceLocation
    results_prefix: str
    caller: str
    options: Mapping[str, Any] | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The record of one order: state `queued`, `running`, `succeeded`, `partial` or `failed`.

    `run` is the worker's claim on it: every later write shows it, so a worker whose lease ran out can write
    nothing any more. `announced` tells whether the event about its end went out, `dispatched` whether its message
    was put on the queue, `delivered_at` when its caller first got the result.
    """

    order: Order
    run: str
    state: str
    created_at: int
    attempts: tuple[Attempt, ...] = ()
    announced: bool = False
    dispatched: bool = False
    delivered_at: int | None = None

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
    """What a provider sent back for one paid call: encoded pictures in its order, and a warning for each other one."""

    images: tuple[bytes, ...] = field(repr=False)
    request_id: str | None = None
    usage: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def came(self) -> int:
        """Count the pictures that came, whether they can be read or not."""
        return len(self.images) + len(self.warnings)
