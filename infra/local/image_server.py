"""Serve OpenAI's image API from this machine, over the style engine: a provider without a bill or a network.

    python -m infra.local.image_server --port 8080 --key sk-local

It is strict where OpenAI is strict (content types, unknown parameters, error bodies), so that what works here
works there, and it says what it is: its model is called `local-style-transfer`. Below `/v1` it looks like a
provider; `/_faults` and `/_calls` are for tests (see faults.py). Results served by URL live in memory only.
"""

import argparse
import base64
import contextlib
import hmac
import io
import json
import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, make_server

from infra.local.faults import CallLog, Faults, Switchboard, spoil
from infra.local.image_parameters import (
    IMAGE_MODEL,
    TEXT_MODEL,
    ApiError,
    ImageRequest,
    model_not_found,
    parse_edit,
    parse_variation,
)
from infra.local.results import ResultFiles, content_type, encode
from infra.local.style_engine import EngineClosed, StyleEngine, recolour, seed_for

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
MODELS = {
    name: {"id": name, "object": "model", "created": 1_795_305_600, "owned_by": "local"}  # 2026-11-22
    for name in (IMAGE_MODEL, TEXT_MODEL)
}


class UploadRequest(Request):
    """Read forms within limits: one picture of 50 MB with its fields."""

    max_content_length = 52 * 1024**2
    max_form_memory_size = 1024**2
    max_form_parts = 64

    def _get_file_stream(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO()  # the limits make a temporary file, which would have to be closed, needless


class ImageApp:
    """Answer the API's routes; a WSGI application that may be called from many threads."""

    def __init__(self, key: str, engine: StyleEngine, results: ResultFiles) -> None:
        self._key = key
        self._engine = engine
        self._results = results
        self._calls = CallLog()
        self._switchboard = Switchboard()
        self._stopping = threading.Event()
        self._routes = Map(
            [
                Rule("/v1/models", endpoint=self._list_models, methods=["GET"]),
                Rule("/v1/models/<name>", endpoint=self._show_model, methods=["GET"]),
                Rule("/v1/images/variations", endpoint=self._create_variations, methods=["POST"]),
                Rule("/v1/images/edits", endpoint=self._create_edits, methods=["POST"]),
                Rule("/files/<name>", endpoint=self._send_file, methods=["GET"]),
                Rule("/health", endpoint=self._show_health, methods=["GET"]),
                Rule("/_faults", endpoint=self._set_faults, methods=["PUT"]),
                Rule("/_faults", endpoint=self._clear_faults, methods=["DELETE"]),
                Rule("/_calls", endpoint=self._show_calls, methods=["GET"]),
                Rule("/_calls", endpoint=self._clear_calls, methods=["DELETE"]),
            ]
        )

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one HTTP call, as WSGI has it."""
        started = time.perf_counter()
        response = self._answer(UploadRequest(environ))
        response.headers["x-request-id"] = f"req_{uuid.uuid4().hex}"
        response.headers["openai-processing-ms"] = str(round((time.perf_counter() - started) * 1000))
        return response(environ, start_response)

    def stop(self) -> None:
        """End every wait and let no picture be started, so that the process can exit at once."""
        self._stopping.set()
        self._engine.close()

    def _answer(self, request: Request) -> Response:
        try:
            endpoint, arguments = self._routes.bind_to_environ(request.environ).match()
            answer = partial(endpoint, request, **arguments)
            return self._answer_call(request, answer) if request.path.startswith("/v1/") else answer()
        except ApiError as error:
            return error.as_response()
        except EngineClosed:
            return ApiError(503, "The server is shutting down.", type="server_error").as_response()
        except HTTPException as error:
            message = f"{error.description} ({request.method} {request.path})"
            return ApiError(error.code or 500, message).as_response()
        except Exception:
            logging.getLogger(__name__).exception("%s %s failed", request.method, request.path)
            message = "The server had an error while processing your request."
            return ApiError(500, message, type="server_error").as_response()

    def _answer_call(self, request: Request, answer: Callable[[Faults], Response]) -> Response:
        call, faults = self._calls.begin(request.path), Faults()
        try:
            self._check_key(request)
            call.describe(request)
            faults = self._switchboard.next(request.path)
            faults.refuse()
            response, outcome = answer(faults), "ok"
        except ApiError as error:
            response, outcome = error.as_response(), error.code or str(error.status)
        call.outcome = faults.body or outcome
        return spoil(response, faults, self._stopping)

    def _check_key(self, request: Request) -> None:
        sent = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(sent, f"Bearer {self._key}".encode()):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _list_models(self, _request: Request, _faults: Faults) -> Response:
        return _json({"object": "list", "data": list(MODELS.values())})

    def _show_model(self, _request: Request, _faults: Faults, name: str) -> Response:
        if name not in MODELS:
            raise model_not_found(name, 404)
        return _json(MODELS[name])

    def _create_variations(self, request: Request, faults: Faults) -> Response:
        wanted = parse_variation(request)
        pictures = self._make(wanted, faults)
        if wanted.response_format == "b64_json":
            return _json({"created": int(time.time()), "data": _as_base64(pictures)})
        names = [self._results.add(picture, wanted.output_format) for picture in pictures]
        urls = [{"url": f"{request.host_url}files/{name}"} for name in names]
        return _json({"created": int(time.time()), "data": urls})

    def _create_edits(self, request: Request, faults: Faults) -> Response:
        wanted = parse_edit(request)
        pictures = self._make(wanted, faults)
        return _json(
            {
                "created": int(time.time()),
                "data": _as_base64(pictures),
                "size": f"{wanted.width}x{wanted.height}",
                "quality": wanted.quality,
                "output_format": wanted.output_format,
                "background": wanted.background,
                "usage": _usage(wanted),
            }
        )

    def _make(self, wanted: ImageRequest, faults: Faults) -> list[bytes]:
        self._calls.count("paid")
        vary = recolour if faults.fast else self._engine.vary
        seed = seed_for(wanted.content, wanted.prompt, wanted.seed)
        made = []
        for picture in vary(wanted.source, count=wanted.n, width=wanted.width, height=wanted.height, seed=seed):
            made.append(encode(picture, wanted.output_format, opaque=wanted.background == "opaque"))
            self._calls.count("images")
        return made

    def _send_file(self, _request: Request, name: str) -> Response:
        content = self._results.get(name)
        if content is None:
            raise ApiError(404, "The file does not exist or has expired.")
        return Response(content, mimetype=content_type(name))

    def _show_health(self, _request: Request) -> Response:
        return _json({"status": "ok"})

    def _set_faults(self, request: Request) -> Response:
        try:
            self._switchboard.set(Faults.parse(request.get_json(force=True)))
        except ValueError as error:
            raise ApiError(400, str(error)) from error
        return Response(status=204)

    def _clear_faults(self, _request: Request) -> Response:
        self._switchboard.set(Faults())
        return Response(status=204)

    def _show_calls(self, _request: Request) -> Response:
        return _json(self._calls.as_json())

    def _clear_calls(self, _request: Request) -> Response:
        self._calls.clear()
        return Response(status=204)


def create_app(
    key: str = "sk-local", ttl_seconds: float = 3600, clock: Callable[[], float] = time.monotonic
) -> ImageApp:
    """Put the application together.

    Args:
        key: what callers of /v1 send as their Bearer token.
        ttl_seconds: how long results can be fetched by URL; OpenAI's were valid for 60 minutes.
        clock: seconds, only ever rising.

    """
    return ImageApp(key, StyleEngine(), ResultFiles(ttl_seconds, clock))


def create_server(app: ImageApp, port: int = 0) -> BaseWSGIServer:
    """Bind the application to a port of this machine only, 0 for a free one; a thread answers each call."""
    return make_server(HOST, port, app, threaded=True)


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="OpenAI's image API over a local style engine.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--key", default="sk-local", help="the API key that callers must send")
    parser.add_argument("--ttl-seconds", type=float, default=3600, help="how long result URLs are valid")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app = create_app(options.key, options.ttl_seconds)
    with contextlib.suppress(KeyboardInterrupt):
        server = create_server(app, options.port)
        print(f"http://{HOST}:{server.port}/v1", flush=True)
        server.serve_forever()
    app.stop()


def _as_base64(pictures: Iterable[bytes]) -> list[dict[str, str]]:
    return [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures]


def _usage(wanted: ImageRequest) -> dict[str, Any]:
    """Estimate tokens, one per four letters or 32x32 pixels: of the right shape, not OpenAI's arithmetic."""
    text = -(-len(wanted.prompt) // 4)
    image = wanted.source.width * wanted.source.height // 1024
    made = wanted.n * wanted.width * wanted.height // 1024
    return {
        "input_tokens": text + image,
        "input_tokens_details": {"text_tokens": text, "image_tokens": image},
        "output_tokens": made,
        "total_tokens": text + image + made,
    }


def _json(payload: object) -> Response:
    return Response(json.dumps(payload), mimetype="application/json")


if __name__ == "__main__":
    main()
