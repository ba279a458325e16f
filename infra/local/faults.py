"""Make the development image server misbehave on request, and remember what it was asked.

Tests switch a fault on with `PUT /_faults` and read the calls with `GET /_calls`. It is kept apart from
the server so that the server reads as if it were always well. Switches, all optional:

    path             prefix of the calls to disturb; the default "/v1/images/" spares the model list
    every            disturb each N-th call only
    times            stop after N disturbed calls
    latency_seconds  answer that much later; with body "drip", take that long to send
    status           refuse with this status instead of doing the work, in OpenAI's error envelope ...
    code, type, message, headers    ... with these
    body             one of BODIES: spoil the answer
    fast             make pictures without the neural network, for all calls while the switches are set
"""

import base64
import io
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from werkzeug import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from infra.local.image_parameters import ApiError

BODIES = frozenset(
    {
        "truncated",  # JSON cut in the middle under an honest Content-Length
        "cut",  # the connection closes in the middle of the body
        "garbage",  # not JSON, though it says so
        "html",  # what a proxy in front says
        "empty",  # no body at all
        "error_in_200",  # an error envelope under status 200, as relays do
        "not_an_image",  # text where a picture should be
        "no_data",  # an answer without pictures, as a silent moderation gives
        "fewer",  # one picture less than asked for
        "drip",  # right, but in many small pieces
    }
)
DRIP_PIECES = 50
USUAL_ERRORS = {  # status -> type and code
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


@dataclass(frozen=True)
class Faults:
    """Hold the switches described above; `Faults()` disturbs nothing."""

    path: str = "/v1/images/"
    every: int = 1
    times: int | None = None
    latency_seconds: float = 0.0
    status: int | None = None
    code: str | None = None
    type: str | None = None
    message: str = "The server was told to fail."
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    fast: bool = False

    @classmethod
    def parse(cls, switches: object) -> "Faults":
        """Read the JSON object of `PUT /_faults`.

        Raises:
            ValueError: no object, or a switch or a body that does not exist.

        """
        if not isinstance(switches, dict):
            raise ValueError("The switches must be a JSON object.")  # noqa: TRY004 - the caller's text is wrong
        if unknown := switches.keys() - cls.__dataclass_fields__.keys():
            raise ValueError(f"There is no switch {', '.join(sorted(unknown))}.")
        faults = cls(**switches)
        if faults.body is not None and faults.body not in BODIES:
            raise ValueError(f"There is no body {faults.body!r}; choose from {', '.join(sorted(BODIES))}.")
        if faults.every < 1:
            raise ValueError("The switch every must be at least 1.")
        return faults

    def refuse(self) -> None:
        """Refuse the call if the switches say so.

        Raises:
            ApiError: with the status they name.

        """
        if self.status is not None:
            raise self.error(self.status)

    def error(self, status: int) -> ApiError:
        """Return the error they describe, completed with what OpenAI says under that status."""
        usual_type, usual_code = USUAL_ERRORS.get(status, ("server_error", "server_error"))
        return ApiError(
            status=status,
            message=self.message,
            type=self.type or usual_type,
            code=self.code or usual_code,
            headers=self.headers,
        )


class Switchboard:
    """Decide, for calls that arrive in parallel, which of them are disturbed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set(Faults())

    def set(self, faults: Faults) -> None:
        """Replace the switches and count calls from zero again."""
        with self._lock:
            self._faults, self._calls, self._disturbed = faults, 0, 0

    def next(self, path: str) -> Faults:
        """Return what applies to this call, which counts as one call."""
        with self._lock:
            faults = self._faults
            if not path.startswith(faults.path):
                return Faults()
            self._calls += 1
            spent = faults.times is not None and self._disturbed >= faults.times
            if spent or self._calls % faults.every:
                return Faults(fast=faults.fast)
            self._disturbed += 1
            return faults


def spoil(response: Response, faults: Faults, stopping: threading.Event) -> Response:
    """Apply the latency and the body switch to a finished answer.

    Args:
        response: JSON, of pictures, models or an error.
        faults: what applies to this call.
        stopping: set when the server ends, which cuts every wait short.

    """
    if faults.body != "drip":
        stopping.wait(faults.latency_seconds)
    body = response.get_data()
    half = len(body) // 2
    match faults.body:
        case "truncated":
            response.set_data(body[:half])
        case "cut":
            response.response = [body[:half]]  # Content-Length keeps promising the whole
        case "drip":
            response.response = _drip(body, faults.latency_seconds, stopping)
        case "garbage":
            response.set_data(b"\x00\xff this is not JSON {")
        case "empty":
            response.set_data(b"")
        case "html":
            response.set_data("<html><body><h1>502 Bad Gateway</h1></body></html>")
            response.content_type = "text/html"
        case "error_in_200":
            response.set_data(faults.error(500).as_response().get_data())
        case "not_an_image" | "no_data" | "fewer" as fault:
            response.set_data(json.dumps(_without_pictures(json.loads(body), fault)))
    return response


def _without_pictures(answer: dict[str, Any], fault: str) -> dict[str, Any]:
    pictures = answer.get("data", [])
    if fault == "not_an_image":
        return {**answer, "data": [_not_an_image(picture) for picture in pictures]}
    return {**answer, "data": pictures[:-1] if fault == "fewer" else []}


def _not_an_image(picture: Mapping[str, str]) -> dict[str, str]:
    if url := picture.get("url"):
        return {"url": urljoin(url, "/health")}
    return {"b64_json": base64.b64encode(b"This is not an image.").decode()}


def _drip(body: bytes, seconds: float, stopping: threading.Event) -> Iterator[bytes]:
    step = len(body) // DRIP_PIECES + 1
    for start in range(0, len(body), step):
        yield body[start : start + step]
        stopping.wait(seconds / DRIP_PIECES)


@dataclass
class Call:
    """Note one call below /v1.

    `fields` holds the text fields as they were sent, and the filename of each file part; `content_type` and
    `bytes` describe the first picture; `outcome` is "begun", then "ok", the body fault, or an error code.
    """

    path: str
    model: str | None = None
    n: int | None = None
    size: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None
    bytes: int | None = None
    outcome: str = "begun"

    def describe(self, request: Request) -> None:
        """Note what the request's form says, right or wrong.

        Raises:
            ApiError: 413, if the form is larger than the server takes.

        """
        try:
            form, parts = request.form, list(request.files.items(multi=True))
        except RequestEntityTooLarge as error:
            raise ApiError(413, "The request is too large.", code="request_too_large") from error
        self.model, self.size, self.n = form.get("model"), form.get("size"), form.get("n", type=int)
        self.fields = form.to_dict() | {name: part.filename or "" for name, part in parts}
        if parts:
            self.content_type = parts[0][1].mimetype
            self.bytes = parts[0][1].stream.seek(0, io.SEEK_END)
            parts[0][1].stream.seek(0)


class CallLog:
    """Remember the calls and what a provider would have charged for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._calls: list[Call] = []
            self._counts: Counter[str] = Counter()

    def begin(self, path: str) -> Call:
        """Note that a call has arrived; its fields are filled in as they become known."""
        call = Call(path)
        with self._lock:
            self._calls.append(call)
        return call

    def count(self, what: str) -> None:
        """Add one "paid" generation, begun whether or not it ends, or one of the "images" made."""
        with self._lock:
            self._counts[what] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the body of `GET /_calls`."""
        with self._lock:
            calls = [dict(vars(call)) for call in self._calls]
            return {"paid": self._counts["paid"], "images": self._counts["images"], "calls": calls}
