"""Speak OpenAI's HTTP dialect to our callers: the resolver, the error envelope, and the one error -> status table."""

import json
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from . import errors
from .errors import VariationError

STATUS: dict[type[VariationError], int] = {
    VariationError: 500,
    errors.InvalidRequest: 400,
    errors.Unauthorized: 401,
    errors.NotFound: 404,
    errors.SourceTooLarge: 413,
    errors.UnsupportedImage: 415,
    errors.ProviderRefused: 422,
    errors.ProviderBusy: 429,
    errors.ConfigurationError: 500,
    errors.ProviderError: 502,
    errors.StorageFailed: 503,
    errors.ProviderTimeout: 504,
    errors.JobRunning: 504,
}
TYPES = {401: "authentication_error", 429: "rate_limit_error"}  # OpenAI's words; others by the status's class

logger = Logger(service="image-variations", child=True)


def status_of(kind: type[VariationError]) -> int:
    """Return the HTTP status of an error class: its own row, or that of its nearest ancestor."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


def resolver() -> APIGatewayRestResolver:
    """Make a resolver whose every failure comes in OpenAI's error envelope, with the request's id."""
    app = APIGatewayRestResolver()

    def refuse(error: VariationError) -> Response[str]:
        log = logger.error if status_of(type(error)) >= 500 else logger.info
        log(error.message, code=error.code, exc_info=error.__cause__)
        return error_response(app, error)

    def apologise(error: Exception) -> Response[str]:
        logger.exception("unexpected error", exc_info=error)
        return error_response(app, VariationError("Something went wrong here; its trace is in the log."))

    def unknown_route(_: NotFoundError) -> Response[str]:
        event = app.current_event
        return error_response(app, errors.NotFound(f"There is no {event.http_method} {event.path}."))

    app.exception_handler(VariationError)(refuse)
    app.exception_handler(Exception)(apologise)
    app.not_found(unknown_route)
    return app


def error_response(app: APIGatewayRestResolver, error: VariationError) -> Response[str]:
    """Write OpenAI's envelope `{"error": {message, type, param, code}}` (openai-python 3.54.0 _exceptions.py)."""
    status = status_of(type(error))
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    envelope = {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    seconds = error.retry_after_seconds
    return json_response(app, envelope, status, {"Retry-After": str(round(seconds))} if seconds else {})


def json_response(
    app: APIGatewayRestResolver, content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response[str]:
    """Answer JSON with an `x-request-id`, as OpenAI does."""
    request_id = app.current_event.request_context.request_id or ""
    return Response(
        status_code=status,
        content_type="application/json",
        body=json.dumps(content, ensure_ascii=False),
        headers={"x-request-id": request_id, **(headers or {})},
    )
