"""Translate a provider's HTTP error into the error tree: one place, the table of what may be tried again.

Retry rules and their sources: 429 was not billed; 500 and 503 may be tried again within MaxAttempts, which is the
user's choice; 502, 504 and 524 come from a proxy behind which the work may have been done, so never.
"""

import math
from collections.abc import Mapping

from .dialects.answers import Complaint, parse_complaint
from .errors import (
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    VariationError,
)

NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
BUSY_SECONDS = 30.0  # where a 429 does not say how long
MAX_BUSY_SECONDS = 3600.0


def error_for(status: int, headers: Mapping[str, str], body: bytes) -> VariationError:
    """Choose the error for an HTTP status other than 200.

    Args:
        status: 201 to 599.
        headers: the answer's headers, case-insensitive; only Retry-After is read.
        body: the answer's body, of any shape.
    """
    complaint = parse_complaint(body)
    return _by_code(complaint) or _by_status(status, headers, complaint)


def _by_code(complaint: Complaint) -> VariationError | None:
    said = _said(complaint)
    if complaint.code == "model_not_found":
        return ModelNotFound(f"The provider does not know this model.{said}", param="model")
    if complaint.code in NO_MONEY:
        return ProviderDenied(f"The provider account has no quota left; add credit there.{said}")
    return None


def _by_status(status: int, headers: Mapping[str, str], complaint: Complaint) -> VariationError:
    said = _said(complaint)
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
    """Read Retry-After in seconds; a date or nonsense counts as the default."""
    try:
        seconds = float(headers.get("Retry-After", ""))
    except ValueError:
        return BUSY_SECONDS
    return min(max(seconds, 1.0), MAX_BUSY_SECONDS) if math.isfinite(seconds) else BUSY_SECONDS
