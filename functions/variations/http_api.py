"""Speak OpenAI's HTTP dialect to our callers: the resolver, the error envelope, and the one error -> status table."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware

from . import errors, wiring
from .errors import VariationError
from .telemetry import count, logger

STATUS: dict[type[VariationError], int] = {
    VariationError: 500,
    errors.InvalidRequest: 400,
    errors.Unauthorized: 401,
    errors.NotFound: 404,
    errors.SourceTooLarge: 413,
    errors.ResponseTooLarge: 413,
    errors.UnsupportedImage: 415,
    errors.ProviderRefused: 422,
    errors.IdempotencyKeyReused: 422,
    errors.ProviderBusy: 429,
    errors.BudgetExhausted: 429,
    errors.TooManyRequests: 429,
    errors.ConfigurationError: 500,
    errors.ProviderError: 502,
    errors.StorageFailed: 503,
    errors.CallsStopped: 503,
    errors.ProviderTimeout: 504,
    errors.JobRunning: 504,
    errors.OutOfTime: 504,
}
MAX_LOGGED_PATH = 200  # characters
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
TYPES = {401: "authentication_error", 429: "rate_limit_error"}  # OpenAI's words; others by the status's class

# On every answer; the template gives the gateway's own answers the same. Programs ignore them; they are for the browser
# that a link or a page leads here: it is not to take an answer for a page or a script (nosniff), run, load or frame
# anything in it (Content-Security-Policy), tell where it has been (Referrer-Policy), keep presigned URLs in its cache
# (Cache-Control), or come without TLS to a domain that stands in front of API Gateway, which itself refuses that
# (Strict-Transport-Security). Source: OWASP, REST Security Cheat Sheet, "Security Headers", read 2026-11-26.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}
# The one origin is named whoever asks, so an answer is the same for all and needs no `Vary: Origin`.
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "{origin}",
    "Access-Control-Allow-Methods": "GET,POST,OPTIONS",
    "Access-Control-Allow-Headers": "Authorization,Content-Type,Idempotency-Key,Prefer",
    "Access-Control-Expose-Headers": "Location,Retry-After,x-request-id,x-should-retry,x-ratelimit-limit-requests,"
    "x-ratelimit-remaining-requests,x-ratelimit-reset-requests",
    "Access-Control-Max-Age": "600",
}


def status_of(kind: type[VariationError]) -> int:
    """Return the HTTP status of an error class: its own row, or that of its nearest ancestor."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


def resolver() -> APIGatewayRestResolver:
    """Make a resolver whose every failure comes in OpenAI's error envelope, with the request's id."""
    app = APIGatewayRestResolver()

    def name_request(app: APIGatewayRestResolver, next_middleware: NextMiddleware) -> Response[Any]:
        logger.thread_safe_append_keys(request_id=request_id_of(app), caller=caller_of(app))
        return next_middleware(app)

    def refuse(error: VariationError) -> Response[str]:
        log = logger.error if status_of(type(error)) >= 500 else logger.info
        log(str(error), code=error.code, exc_info=error.__cause__)
        if isinstance(error, errors.ConfigurationError):
            count("ConfigurationErrors")
        return error_response(app, error)

    def apologise(error: Exception) -> Response[str]:
        logger.exception("unexpected error", exc_info=error)
        count("Stumbles")
        return error_response(app, VariationError("Something went wrong here; its trace is in the log."))

    def unknown_route(_: NotFoundError) -> Response[str]:
        event = app.current_event
        return error_response(app, errors.NotFound(f"There is no {event.http_method} {event.path[:200]}."))

    app.use([name_request])
    app.exception_handler(VariationError)(refuse)
    app.exception_handler(Exception)(apologise)
    app.not_found(unknown_route)
    return app


def error_response(
    app: APIGatewayRestResolver, error: VariationError, headers: Mapping[str, str] | None = None
) -> Response[str]:
    """Write OpenAI's envelope `{"error": {message, type, param, code}}` (openai-python 3.54.0 _exceptions.py)."""
    status = status_of(type(error))
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    envelope = {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    seconds = error.retry_after_seconds
    wait = {"Retry-After": str(max(1, math.ceil(seconds)))} if seconds else {}
    return json_response(app, envelope, status, {**wait, **(headers or {})})


def count_request(app: APIGatewayRestResolver) -> None:
    """Count a request of its caller's minute; its answer says what is left, in the headers that OpenAI uses for it.

    Raises:
        TooManyRequests: it was one too many; OpenAI's SDKs send it again in the next minute.
        StorageFailed, ConfigurationError: it could not be counted.
    """
    left = wiring.request_rate().count(caller_of(app))
    if left is None:
        return
    counts = {"limit": left.limit, "remaining": left.remaining, "reset": f"{left.reset_seconds}s"}
    app.context["rate"] = {f"x-ratelimit-{name}-requests": str(count) for name, count in counts.items()}
    if not left.granted:
        raise errors.TooManyRequests(
            f"These are more than {left.limit} requests in a minute (RequestsPerMinute). Send it again in "
            f"{left.reset_seconds} seconds.",
            retry_after_seconds=left.reset_seconds,
        )


def caller_of(app: APIGatewayRestResolver) -> str:
    """Return who is calling: the name the authorizer gave, or with IAM the ARN that signed the request."""
    context = context_of(app)
    name = (context.get("authorizer") or {}).get("caller") or (context.get("identity") or {}).get("userArn")
    return str(name or "unknown")


def context_of(app: APIGatewayRestResolver) -> dict[str, Any]:
    """Return what the gateway tells of a request; nothing where somebody else invokes the function."""
    return app.current_event.raw_event.get("requestContext") or {}


def request_id_of(app: APIGatewayRestResolver) -> str:
    """Return what the caller knows the request by: its own `x-request-id` if it sent one, else the gateway's."""
    own = app.current_event.headers.get("x-request-id") or ""
    return own if REQUEST_ID.fullmatch(own) else str(context_of(app).get("requestId", ""))


def answer(app: APIGatewayRestResolver, event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Resolve a request; add what every answer bears, and let pages of CorsOrigin read it: none where that is empty."""
    if event.get("httpMethod") == "OPTIONS":
        answered: dict[str, Any] = {"statusCode": 204, "multiValueHeaders": {}, "body": "", "isBase64Encoded": False}
    else:
        answered = app.resolve(event, context)
        asked = {"method": event["httpMethod"], "path": event["path"][:MAX_LOGGED_PATH]}
        logger.info("answered", **asked, status=answered["statusCode"])
    try:
        cors_origin = wiring.settings().cors_origin
    except errors.ConfigurationError:  # the answer says so already
        cors_origin = ""
    headers = {**SECURITY_HEADERS, **(CORS_HEADERS if cors_origin else {})}
    for name, value in headers.items():  # unless the answer has one of its own, as pages do
        answered["multiValueHeaders"].setdefault(name, [value.format(origin=cors_origin)])
    return answered


def json_response(
    app: APIGatewayRestResolver, content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response[str]:
    """Answer JSON with an `x-request-id`, as OpenAI does."""
    return Response(
        status_code=status,
        content_type="application/json",
        body=json.dumps(content, ensure_ascii=False),
        headers={"x-request-id": request_id_of(app), **app.context.get("rate", {}), **(headers or {})},
    )
