"""Read what a provider complains of, and translate it into the error tree: the table of what may be tried again.

Retry rules and their sources: 429 was not billed; 500 and 503 may be tried again within MaxAttempts, which is the
user's choice; 502, 504 and 524 come from a proxy behind which the work may have been done, so never.
"""

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from ..errors import (
    Complaint,
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderFailed,
    ProviderRefused,
    VariationError,
)

MAX_MESSAGE_CHARACTERS = 500
LIKE_A_KEY = re.compile(r"\b((sk|xai|gsk|key)[-_]|Bearer )[A-Za-z0-9*._-]{4,}")  # some quote the key they refuse
# SetLimitExceeded: an Ark model that its owner paused (read 2026-11-25).
NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "SetLimitExceeded"}
# OpenAI, Azure ("content_filter" and "contentFilter"), xAI, Ark ("InputImageSensitiveContentDetected" and others).
MODERATION = re.compile(r"moderat|content_?policy|content_?filter|SensitiveContent|safety", re.IGNORECASE)
MODERATION_WORDS = re.compile(r"content policy|moderation|safety system|temporarily blocked", re.IGNORECASE)
NO_MODEL = re.compile(r"\bmodel\b.{0,220}\b(not exist|not found|not available|unknown|mismatch)", re.IGNORECASE)
# OpenAI, Together, Ark.
NO_MODEL_CODE = re.compile(r"model_?not_?(found|available)|unsupported_?model", re.IGNORECASE)
BUSY_SECONDS = 30.0  # where a 429 does not say how long
MAX_BUSY_SECONDS = 3600.0
# What providers call the name of a call, the OpenAI way first; Azure, Cloudflare, and who else is about.
REQUEST_IDS = ("x-request-id", "apim-request-id", "request-id", "x-ms-request-id", "cf-ray")


def parse_complaint(body: bytes, status: int = 0) -> Complaint:
    """Find the provider's message in the error shapes that are about; an HTML page or garbage has none.

    What looks like a key in it is masked.

    Shapes: `{"error": {message, code, param}}`, `{"error": "text"}`, `{"code", "error": "text"}`,
    `{"detail": "text" | [{msg, loc}] | {"error"}}`, `{"message"}` (the servers' own sources, read 2026-11-22).
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return Complaint(status=status)
    return complaint_in(answer, status)


def complaint_in(answer: Any, status: int = 0) -> Complaint:
    """Find the provider's message in a decoded answer."""
    if not isinstance(answer, dict):
        return Complaint(status=status)
    inner = answer.get("error") or answer.get("detail") or answer
    if isinstance(inner, list) and inner:
        inner = inner[0]
    if isinstance(inner, str):
        inner = {"message": inner, "code": answer.get("code")}
    if not isinstance(inner, Mapping):
        return Complaint(status=status)
    message = inner.get("message") or inner.get("msg") or inner.get("error")
    place = inner.get("loc")  # of a FastAPI validation: ["body", "image"]
    return Complaint(
        message=LIKE_A_KEY.sub("[key]", message[:MAX_MESSAGE_CHARACTERS]) if isinstance(message, str) else "",
        code=str(inner.get("code") or inner.get("type") or ""),
        param=str(inner.get("param") or (place[-1] if isinstance(place, list) and place else "")),
        status=status,
    )


def is_moderation(complaint: Complaint) -> bool:
    """Tell whether the provider finds fault with what the picture shows or the prompt says."""
    return bool(MODERATION.search(complaint.code) or MODERATION_WORDS.search(complaint.message))


def error_for(status: int, headers: Mapping[str, str], body: bytes) -> VariationError:
    """Choose the error for an HTTP status other than success.

    Args:
        status: 300 to 599.
        headers: the answer's headers, case-insensitive; only Retry-After and the request's name are read.
        body: the answer's body, of any shape.
    """
    complaint = parse_complaint(body, status)
    error = _by_code(complaint) or _by_status(headers, complaint)
    error.provider_request_id = request_id_in(headers)
    if isinstance(error, ProviderError):
        error.complaint = complaint
    return error


def error_in_success(answer: Mapping[str, Any]) -> VariationError:
    """Choose the error for an answer that says 200 and holds an error all the same.

    Such come from gateways that pass on what somebody behind them said, so they are never tried again, other than
    a 429: nobody knows what was done there.
    """
    complaint = complaint_in(answer)
    status = int(complaint.code) if re.fullmatch(r"[45]\d\d", complaint.code) else 422
    error = error_for(status, {}, json.dumps(answer, default=str).encode())
    error.retryable = error.retryable and status == 429
    return error


def request_id_in(headers: Mapping[str, str]) -> str | None:
    """Return the provider's own name for a call, bounded, where it gives one."""
    found = next((headers[name] for name in REQUEST_IDS if headers.get(name)), None)
    return found[:200] if found else None


def _by_code(complaint: Complaint) -> VariationError | None:
    said = _said(complaint)
    if complaint.code in NO_MONEY:
        return ProviderDenied(f"The provider account has no quota left; add credit there.{said}")
    if NO_MODEL_CODE.fullmatch(complaint.code) or (
        complaint.status in {400, 404, 422} and NO_MODEL.search(complaint.message)
    ):
        return ModelNotFound(f"The provider does not know this model.{said}", param="model")
    if 400 <= complaint.status < 500 and complaint.status != 429 and is_moderation(complaint):
        return ProviderRefused(f"The provider finds the picture or the prompt unacceptable.{said}")
    return None


def _by_status(headers: Mapping[str, str], complaint: Complaint) -> VariationError:
    said, status = _said(complaint), complaint.status
    if status == 429:
        return ProviderBusy(f"The provider asks to come back later.{said}", retry_after_seconds=_retry_after(headers))
    if status in {401, 402, 403}:
        # The provider's own words may quote the key, so they stay out.
        return ProviderDenied(
            f"The provider refused our key, account or credit (HTTP {status}). Put a valid key into the provider "
            "secret, and see that the account may use this model."
        )
    if status in {404, 405, 501}:
        return ProviderFailed(
            f"The provider does not serve this route (HTTP {status}). Check ProviderBaseUrl and ProviderDialect.{said}"
        )
    if 400 <= status < 500 and status != 408:
        return ProviderRefused(
            f"The provider refused the request (HTTP {status}).{said}", param=complaint.param or None
        )
    return ProviderFailed(
        f"The provider failed (HTTP {status}).{said}",
        retryable=status in {500, 503},
        retry_after_seconds=_retry_after(headers) if "Retry-After" in headers else None,
    )


def _said(complaint: Complaint) -> str:
    return f" It says: {complaint.message}" if complaint.message else ""


def _retry_after(headers: Mapping[str, str]) -> float:
    """Read retry-after-ms, or Retry-After in seconds or as a date; nonsense counts as the default."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = _seconds_until(headers.get("Retry-After", ""))
    except (ValueError, TypeError, OverflowError):
        return BUSY_SECONDS
    return min(max(seconds, 1.0), MAX_BUSY_SECONDS) if math.isfinite(seconds) else BUSY_SECONDS


def _seconds_until(moment: str) -> float:
    try:
        return float(moment)
    except ValueError:
        return email.utils.parsedate_to_datetime(moment).timestamp() - time.time()
