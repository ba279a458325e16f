"""Write the manifest: the JSON that tells users what became of a job."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from .errors import VariationError
from .model import Adjustment, Job, Picture, SourceObject, Variation, VariationRequest

# The last two come from reading our own key, before anything is sent.
SURELY_NOT_BILLED = {
    "provider_busy",
    "provider_unreachable",
    "invalid_request",
    "storage_failed",
    "configuration_error",
}


@dataclass
class Work:
    """What is known of a job while it is worked on; a failure leaves the later fields empty.

    `stored` counts the variations that this invocation has stored, `lease_ends` is when somebody else may take the job
    over, in seconds since the epoch.
    """

    job: Job
    source: SourceObject | None = None
    source_bytes: int | None = None
    picture: Picture | None = None
    request: VariationRequest | None = None
    dialect: str | None = None
    dialect_reason: str | None = None
    adjustments: tuple[Adjustment, ...] = ()
    warnings: list[str] = field(default_factory=list)
    results: dict[int, Variation] = field(default_factory=dict)
    usage: Mapping[str, Any] | None = None
    stored: int = 0
    lease_ends: float = math.inf

    @property
    def missing(self) -> list[int]:
        """Return the numbers, from 1, of the variations that were asked for and are not stored."""
        asked = self.request.n if self.request else 0
        return [number for number in range(1, asked + 1) if number not in self.results]

    def calls_lost(self, number: int) -> int:
        """Count the calls for a variation that is not stored, and that may have been billed all the same.

        Those before the job was last put back after it had failed do not count.
        """
        return sum(
            number in attempt.variations and attempt.outcome not in SURELY_NOT_BILLED
            for attempt in self.job.attempts[self.job.forgiven :]
        )

    @property
    def state(self) -> str:
        """Return how the job ends if it ends now."""
        if not self.results:
            return "failed"
        return "partial" if self.missing or not self.request else "succeeded"


def write_manifest(work: Work, error: VariationError | None, finished_at: float) -> dict[str, Any]:
    """Describe a finished job, with every field present whatever became of it.

    Args:
        work: all that was learnt.
        error: why it did not succeed, or why it is only partial.
        finished_at: seconds since the epoch.
    """
    order, request = work.job.order, work.request
    return {
        "job_id": order.job_id,
        "state": work.state,
        "caller": order.caller,
        "options": dict(order.options),
        "request": asdict(request) if request else None,
        "source": {
            "bucket": order.source.bucket,
            "key": order.source.key,
            "version_id": order.source.version_id,
            "etag": work.source.etag if work.source else order.source.etag,
            "content_type": work.picture.content_type if work.picture else None,
            "bytes": work.source_bytes,
            "width": work.picture.width if work.picture else None,
            "height": work.picture.height if work.picture else None,
        },
        "model": request.model if request else None,
        "dialect": work.dialect,
        "dialect_reason": work.dialect_reason,
        "request_id": order.request_id,
        "provider_request_ids": [attempt.request_id for attempt in work.job.attempts if attempt.request_id],
        "adjustments": [asdict(adjustment) for adjustment in work.adjustments],
        "warnings": work.warnings,
        "results": [asdict(work.results[number]) for number in sorted(work.results)],
        "usage": work.usage,
        "attempts": [asdict(attempt) for attempt in work.job.attempts],
        "timings": {
            "created": work.job.created_at,
            "created_at": _iso(work.job.created_at),
            "finished_at": _iso(finished_at),
            "provider_seconds": sum(attempt.milliseconds or 0 for attempt in work.job.attempts) / 1000,
        },
        "error": {"code": error.code, "message": error.message, "param": error.param} if error else None,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def add_usage(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what two calls used together: numbers add up, the rest is as the later one says."""
    if one is None or other is None:
        return other if one is None else one
    return {**one, **{name: _sum(one.get(name), value) for name, value in other.items()}}


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return add_usage(one, other)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return one + other if numbers else other
