"""POST /v1/images/variations: what OpenAI's own route was, for any model; POST /v1/uploads: for larger pictures."""

import re
from dataclasses import replace
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.errors import InvalidRequest, JobRunning
from variations.fields import Choice
from variations.front_door import Source
from variations.http_api import (
    answer,
    caller_of,
    count_request,
    error_response,
    json_response,
    request_id_of,
    resolver,
)
from variations.http_body import Body, parse_body, parse_json
from variations.job_answers import deliver, describe
from variations.model import Job, VariationRequest
from variations.options import parse_options
from variations.telemetry import count, logger

app = resolver()
ANSWERING_SECONDS = 4  # between the end of waiting and the gateway's own timeout
CONTENT_TYPE = Choice(
    "Type of the picture.", ("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif", "image/heic")
)
FILENAME = re.compile(r"[^/\x00-\x1f\ud800-\udfff]{1,200}")  # nor half an emoji, which no encoding can write
IDEMPOTENCY_KEY = re.compile(r"[ -~]{1,255}")


@app.post("/images/variations")
def create_variations() -> Response[str]:
    """Make variations, and wait for them as long as the caller and the gateway do."""
    count_request(app)
    event, settings = app.current_event, wiring.settings()
    body = parse_body(
        event.body or "", event.headers.get("content-type") or "", is_base64=bool(event.is_base64_encoded)
    )
    request, warnings = parse_request(body.options)
    door = wiring.front_door()
    job = door.accept(
        request,
        find_source(body),
        caller_of(app),
        idempotency_key=idempotency_key_of(event.headers.get("idempotency-key")),
        is_retry=(event.headers.get("x-stainless-retry-count") or "0") != "0",
        request_id=request_id_of(app),
    )
    logger.thread_safe_append_keys(job_id=job.order.job_id)
    patience = settings.api_timeout_seconds - ANSWERING_SECONDS
    preferred = preferred_wait(event.headers.get("prefer") or "")
    job = door.wait(job, patience if preferred is None else min(preferred, patience))
    if job.is_finished:
        return deliver(app, job, request, warnings)
    if preferred is not None:
        return json_response(app, describe(job, request, warnings), 202, location_of(job))
    count("StillRunning")  # a 504 that is none of our failures
    # The official SDKs send the request again on this header, and then find the same job.
    still = JobRunning("The provider is still at work. Send the same request again; it is not paid for twice.")
    return error_response(app, still, {**location_of(job), "Retry-After": "1", "x-should-retry": "true"})


@app.post("/uploads")
def create_upload() -> Response[str]:
    """Answer a form that uploads one picture of any allowed size; its upload starts the job."""
    count_request(app)
    event, settings = app.current_event, wiring.settings()
    fields = parse_json(event.body or "", is_base64=bool(event.is_base64_encoded))
    filename, content_type = fields.pop("filename", "picture"), fields.pop("content_type", "image/png")
    if not isinstance(filename, str) or not FILENAME.fullmatch(filename) or "${" in filename:
        # S3 replaces ${filename} in a form's key by whatever the uploaded file is called.
        raise InvalidRequest("filename must have 1 to 200 characters, no slash and no ${.", param="filename")
    content_type = CONTENT_TYPE.read("content_type", content_type)
    request, warnings = parse_request(fields)
    job = wiring.front_door().expect(
        request,
        caller_of(app),
        bucket=settings.uploads_bucket,
        prefix=settings.upload_prefix,
        filename=filename,
        request_id=request_id_of(app),
    )
    logger.thread_safe_append_keys(job_id=job.order.job_id)
    form = wiring.storage().presign_upload(
        job.order.source, content_type=content_type, max_bytes=settings.max_source_bytes
    )
    answered = {"job_id": job.order.job_id, "url": form["url"], "fields": form["fields"], "warnings": warnings}
    return json_response(app, answered, 201, location_of(job))


def parse_request(options: Any) -> tuple[VariationRequest, tuple[str, ...]]:
    """Validate options over HTTP's own defaults: one picture, unless more are asked for."""
    settings = wiring.settings()
    return parse_options(options, model=settings.default_model, n=1, size=settings.default_size)


def find_source(body: Body) -> Source:
    """Return the picture of a request; one by URL is fetched, one in S3 is looked up.

    Raises:
        InvalidRequest: the bucket or the URL is not allowed. SourceNotFound: there is no such picture.
    """
    settings = wiring.settings()
    if found := body.location:
        if found.bucket not in {settings.uploads_bucket, *settings.allowed_source_buckets}:
            raise InvalidRequest("Pictures are not taken from that bucket. See AllowedSourceBuckets.", param="image")
        return Source(location=replace(found, etag=wiring.storage().find_etag(found)))
    if body.url:
        from variations.remote_pictures import fetch  # noqa: PLC0415 - few requests name a URL

        hosts = settings.allowed_source_hosts
        return Source(content=fetch(body.url, allowed_hosts=hosts, max_bytes=settings.max_source_bytes))
    return Source(content=body.content)


def idempotency_key_of(header: str | None) -> str | None:
    """Return the caller's own name for the request, None where it has none.

    Raises:
        InvalidRequest: it is longer than 255 characters, or not ASCII.
    """
    if header and not IDEMPOTENCY_KEY.fullmatch(header):
        raise InvalidRequest("An Idempotency-Key has up to 255 ASCII characters.", param="Idempotency-Key")
    return header or None


def preferred_wait(prefer: str) -> float | None:
    """Return how long a caller wants to wait before 202, from the Prefer header (RFC 7240); None if it has no say."""
    if match := re.search(r"\bwait\s*=\s*\"?(\d{1,4})", prefer, re.IGNORECASE):
        return float(match[1])
    return 0.0 if re.search(r"\brespond-async\b", prefer, re.IGNORECASE) else None


def location_of(job: Job) -> dict[str, str]:
    """Return the header that says where the job can be asked for."""
    return {"Location": f"/v1/jobs/{job.order.job_id}"}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request from API Gateway."""
    return answer(app, event, context)
