"""What all simulated servers share: calls are read, counted and answered; pictures are made and handed out."""

import base64
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from werkzeug import Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server

from .calls import Call, Refusal, Upload
from .pictures import paint

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
CREATED = 1_795_305_600  # 2026-11-22
BY_A_PROXY = {502, 504, 520, 522, 524}  # where a provider sits behind Cloudflare or nginx, these are its pages
SERVER_ERROR = ("The server had an error while processing your request.", "server_error")
FAILURES = {
    401: ("Incorrect API key provided: sk-l**al.", "invalid_api_key"),
    402: ("Insufficient balance. Add credit to your account.", "insufficient_credits"),
    403: ("Your organization must be verified to use this model.", None),
    408: ("Request timed out.", "timeout"),
    409: ("The resource is being changed by another request.", "conflict"),
    429: ("Rate limit reached for images per minute. Please slow down.", "rate_limit_exceeded"),
    503: ("The engine is currently overloaded, please try again later.", "server_overloaded"),
}


class Family:
    """A kind of image server; subclasses name the routes and answer them, in OpenAI's shapes if not said otherwise.

    Args:
        fewer: makes at most so many pictures a call.
        moderate: takes the request for one that breaks its rules; a text names a way, where there are several.
        fail: refuses every POST with this status before any work.
        by_url: answers URLs where it may.
        reject_n: the upstream makes one picture a call and refuses more.
        ignore_n: the upstream makes one picture whatever n is.
    """

    NAME = ""
    MODEL = ""
    BASE_PATH = "/v1"
    ROUTES: ClassVar[Mapping[str, str]] = {}  # "METHOD /path" -> name of the method that answers
    HOSTED = True  # behind a proxy of somebody's
    FILES = "/files/"
    MODERATES_SILENTLY = False  # makes nothing, for money, and does not say so

    def __init__(
        self,
        *,
        fewer: int | None = None,
        moderate: bool | str = False,
        fail: int | None = None,
        by_url: bool = False,
        reject_n: bool = False,
        ignore_n: bool = False,
    ) -> None:
        self.fewer, self.moderate, self.fail = fewer, moderate, fail
        self.by_url, self.reject_n, self.ignore_n = by_url, reject_n, ignore_n
        self.key = "sk-local"
        self.url = ""
        self.calls: list[Call] = []
        self.paid = self.images = self.listed = self.text_to_image = 0
        self._lock = threading.Lock()
        self._files: dict[str, bytes] = {}
        routes = {f"GET {self.FILES}<name>": "send_file", **self.ROUTES}
        self._routes = Map([_rule(route, name) for route, name in routes.items()], merge_slashes=False)

    @property
    def base_url(self) -> str:
        """What a user would write as the provider's base URL."""
        return self.url + self.BASE_PATH

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one HTTP call, as WSGI has it."""
        request = Upload(environ)
        response = self._answer_post(request) if request.method == "POST" else self._answer_get(request)
        response.headers["x-request-id"] = f"req_{uuid.uuid4().hex}"
        return response(environ, start_response)

    def _answer_post(self, request: Upload) -> Response:
        call = Call.read(request)
        with self._lock:
            self.calls.append(call)
        try:
            endpoint, arguments = self._match(request)
            self.check_key(request)
            self._fail_early(call)
            response: Response = getattr(self, endpoint)(call, **arguments)
            call.outcome = "made"
        except Refusal as refusal:
            call.outcome = refusal.code or str(refusal.status)
            response = self.refuse(refusal)
        return response

    def _fail_early(self, call: Call) -> None:
        if self.fail:
            raise self.failure(self.fail)
        if call.malformed:
            raise Refusal(400, "We could not parse the JSON body of your request.")

    def _answer_get(self, request: Upload) -> Response:
        try:
            endpoint, arguments = self._match(request)
            if endpoint == "send_file":
                return self.send_file(**arguments)
            self.check_key(request)
            with self._lock:
                self.listed += 1
            response: Response = getattr(self, endpoint)(request, **arguments)
            return response
        except Refusal as refusal:
            return self.refuse(refusal)

    def _match(self, request: Upload) -> tuple[str, Mapping[str, str]]:
        try:
            return self._routes.bind_to_environ(request.environ).match()
        except HTTPException as error:
            raise self.no_route(request, error.code or 404) from error

    def check_key(self, request: Upload) -> None:
        """Refuse a call without the Bearer token."""
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            raise self.failure(401)

    def no_route(self, request: Upload, status: int) -> Refusal:
        """Say that there is nothing here (404), or not for this method (405)."""
        return Refusal(status, f"Invalid URL ({request.method} {request.path})")

    def failure(self, status: int) -> Refusal:
        """Say what an HTTP status means."""
        message, code = FAILURES.get(
            status, SERVER_ERROR if status >= 500 else ("The request cannot be processed.", None)
        )
        return Refusal(status, message, code=code, type="server_error" if status >= 500 else "invalid_request_error")

    def moderation(self) -> Refusal:
        """Say that the request breaks the rules."""
        message = "Your request was rejected by the safety system."
        return Refusal(400, message, code="content_policy_violation")

    def refuse(self, refusal: Refusal) -> Response:
        """Write a refusal, or the page of the proxy in front."""
        if self.HOSTED and refusal.status in BY_A_PROXY:
            page = f"<html><head><title>{refusal.status}</title></head><body>cloudflare</body></html>"
            return Response(page, refusal.status, mimetype="text/html")
        body = self.error_body(refusal)
        if isinstance(body, str):
            return Response(body, refusal.status, mimetype="text/plain")
        response = answer(body, refusal.status)
        if refusal.status == 429:
            response.headers["Retry-After"] = "1"
        return response

    def error_body(self, refusal: Refusal) -> Any:
        """Return the JSON of an error, or a plain text; here OpenAI's envelope."""
        names = {"message": refusal.message, "type": refusal.type, "param": refusal.param, "code": refusal.code}
        return {"error": names | refusal.more}

    def make(
        self, n: int, size: tuple[int, int], output_format: str, seed: int | None = None, step: int = 1
    ) -> list[bytes]:
        """Make pictures once everything is validated, which is what the provider charges for.

        Args:
            n: how many are asked for.
            size: width and height in pixels.
            output_format: `png`, `jpeg` or `webp`.
            seed: what the first picture depends on; every picture is a new one without.
            step: what is added to the seed for the next picture.
        """
        if self.moderate and not self.MODERATES_SILENTLY:
            raise self.moderation()
        count = min(1 if self.ignore_n else n, n if self.fewer is None else self.fewer)
        count = 0 if self.moderate else count
        with self._lock:
            self.paid += 1
            first = self.images
            self.images += count
        numbers = [first + i if seed is None else seed + i * step for i in range(count)]
        return [paint(size, number, output_format) for number in numbers]

    def take_as_text_to_image(self) -> None:
        """Count a call whose picture the server has not seen."""
        with self._lock:
            self.text_to_image += 1

    def entries(self, pictures: Iterable[bytes], *, by_url: bool = False) -> list[dict[str, Any]]:
        """Return what `data` of an answer holds: each picture in base64, or a URL of this server for it."""
        if by_url:
            return [{"url": self.publish(picture)} for picture in pictures]
        return [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures]

    def publish(self, picture: bytes) -> str:
        """Serve a picture to anybody who knows its URL."""
        name = uuid.uuid4().hex + (".png" if picture.startswith(b"\x89PNG") else ".jpg")
        self._files[name] = picture
        return f"{self.url}{self.FILES}{name}"

    def send_file(self, name: str) -> Response:
        """Send a published picture."""
        if name not in self._files:
            raise Refusal(404, "The file does not exist or has expired.")
        return Response(self._files[name], mimetype="image/png" if name.endswith(".png") else "image/jpeg")


def _rule(route: str, name: str) -> Rule:
    method, path = route.split()
    return Rule(path, endpoint=name, methods=[method])


def answer(body: Any, status: int = 200) -> Response:
    """Write a JSON answer."""
    return Response(json.dumps(body), status, mimetype="application/json")


def made(data: list[dict[str, Any]], **more: Any) -> Response:
    """Write the answer of an Images API."""
    return answer({"created": int(time.time()), "data": data, **more})


def listing(*models: Mapping[str, Any], **more: Any) -> Response:
    """Write OpenAI's list of models."""
    return answer(
        {"object": "list", "data": [{"object": "model", "created": CREATED} | more | dict(m) for m in models]}
    )


class Quiet(WSGIRequestHandler):
    """Say nothing of the requests; a connection ends with its answer, so that no thread outlives the server."""

    protocol_version = "HTTP/1.0"

    def log_request(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve(family: type[Family], **options: Any) -> Iterator[Family]:
    """Run a server of a family on a free port of this machine."""
    app = family(**options)
    server = make_server(HOST, 0, app, threaded=True, request_handler=Quiet)
    setattr(server, "daemon_threads", False)  # noqa: B010 - untyped; closing then waits for the last calls' threads
    app.url = f"http://{HOST}:{server.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
