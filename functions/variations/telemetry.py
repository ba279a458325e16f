"""Tell the operator what happens: the logger of all functions, and metrics in CloudWatch's embedded metric format.

A metric is a line of the log that CloudWatch reads. Every call here makes and writes its own line, as the worker's
threads share nothing but stdout; Powertools' `Metrics` keeps one set for all of them. The first dimension is
`service`, which the template sets to the stack's name, so that two stacks in one account are told apart.
"""

import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics

from . import errors, wiring
from .errors import StorageFailed, VariationError

if TYPE_CHECKING:
    from .manifest import Work
    from .model import Attempt, Job

NAMESPACE = "ImageVariations"
UNITS = {  # of every metric there is; docs/operations.md says what they mean
    "MessagesReceived": "Count",
    "MessagesUnreadable": "Count",
    "QueueAge": "Milliseconds",
    "JobsSucceeded": "Count",
    "JobsPartial": "Count",
    "JobsFailed": "Count",
    "JobsReturned": "Count",
    "JobsSkipped": "Count",
    "ImagesStored": "Count",
    "ImagesToday": "Count",
    "ImagesTodayShare": "Percent",
    "Attempts": "Count",
    "ProviderLatency": "Milliseconds",
    "InputTokens": "Count",
    "OutputTokens": "Count",
    "ProviderBusy": "Count",
    "ProviderDenied": "Count",
    "ProviderFailed": "Count",
    "ProviderRefused": "Count",
    "ProviderTimeout": "Count",
    "ProviderUnreachable": "Count",
    "ModelNotFound": "Count",
    "CircuitOpen": "Count",
    "ConfigurationErrors": "Count",
    "StillRunning": "Count",
    "Unauthorized": "Count",
    "Stumbles": "Count",
}
FAILURES = {  # outcome of an attempt -> metric
    kind.code: kind.__name__
    for kind in (
        errors.ProviderBusy,
        errors.ProviderDenied,
        errors.ProviderFailed,
        errors.ProviderRefused,
        errors.ProviderTimeout,
        errors.ProviderUnreachable,
        errors.ModelNotFound,
    )
}
TOKENS = {  # metric -> what OpenAI calls it, and what those do who keep to the words of its chat API
    "InputTokens": ("input_tokens", "prompt_tokens"),
    "OutputTokens": ("output_tokens", "completion_tokens"),
}

# Lambda takes a line without level or RFC 3339 timestamp for INFO, and drops it where LogLevel is above that (Lambda
# guide, "Log-level filtering", read 2026-11-26): so all lines have both, those of metrics the level that is asked for.
logger = Logger(use_rfc3339=True, utc=True)
LEVELS = {"WARNING": "WARN"}  # what Lambda calls it


def emit(measured: Mapping[str, float | Sequence[float]], **dimensions: str) -> None:
    """Write what was measured as one line of the log, with the keys of the logger; nothing where there is nothing.

    Args:
        measured: metric of UNITS -> its value, or its values.
        dimensions: under which, beside the service, the same is counted once more; each combination is billed as a
            metric of its own.
    """
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    for name, value in measured.items():
        for one in value if isinstance(value, Sequence) else [value]:
            metrics.add_metric(name, UNITS[name], one)
    if not metrics.metric_set:
        return
    if dimensions:
        metrics.add_dimensions(service=metrics.service or NAMESPACE, **dimensions)
    level = logging.getLevelName(logger.log_level)
    keys = {name: key for name, key in logger.thread_safe_get_current_keys().items() if name not in dimensions}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {**keys, "level": LEVELS.get(level, level), "timestamp": now, **metrics.serialize_metric_set()}
    sys.stdout.write(f"{json.dumps(line, separators=(',', ':'))}\n")  # in one piece, as print() is not


def count(name: str) -> None:
    """Count one of something."""
    emit({name: 1})


def measure_calls(work: "Work", attempts: Sequence["Attempt"], error: VariationError | None) -> None:
    """Measure the paid calls that one invocation made for a job, whether the job has ended with them or has to wait.

    Args:
        work: the job as it is now.
        attempts: those of this invocation alone.
        error: why it did not succeed.
    """
    request = work.request
    if isinstance(error, errors.ConfigurationError):
        logger.error(str(error), code=error.code)  # with what only the operator is to know
    logger.thread_safe_append_keys(model=request.model if request else None, dialect=work.dialect)
    failures = Counter(FAILURES[attempt.outcome] for attempt in attempts if attempt.outcome in FAILURES)
    counts = {
        "Attempts": len(attempts),
        "CircuitOpen": int(isinstance(error, errors.ProviderDown)),
        "ConfigurationErrors": int(isinstance(error, errors.ConfigurationError)),
    }
    emit({name: number for name, number in {**counts, **failures}.items() if number})
    if request and work.dialect and (brought := _brought(work, attempts)):
        # Only of models that did answer: what callers write into `model` must not become metrics that are paid for.
        emit(brought, model=quote(request.model, safe="/:@"), dialect=work.dialect)  # dimensions are ASCII


def _brought(work: "Work", attempts: Sequence["Attempt"]) -> dict[str, float | Sequence[float]]:
    """Return what calls brought that were answered, or at least begun to be."""
    took = [attempt.milliseconds or 0 for attempt in attempts if attempt.outcome == "answered"]
    usage = work.usage or {}
    told = {metric: next((usage[name] for name in names if name in usage), None) for metric, names in TOKENS.items()}
    tokens = {name: number for name, number in told.items() if isinstance(number, int | float)}
    stored = {"ImagesStored": work.stored} if work.stored else {}
    return {**({"ProviderLatency": took} if took else {}), **stored, **tokens}


def tell_end(job: "Job") -> None:
    """Tell how a job ended, and measure it unless an earlier delivery of the same has done so."""
    logger.thread_safe_append_keys(request_id=job.order.request_id, caller=job.order.caller)  # as on record
    logger.info(
        "job had ended before" if job.announced else "job ended",
        state=job.state,
        error=job.error,
        key=job.order.source.key,
        attempts=len(job.attempts),
        provider_request_ids=[attempt.request_id for attempt in job.attempts if attempt.request_id],
    )
    if job.announced:
        return
    # All three each time, zeros too: the alarm divides one by the sum of them.
    ends = {f"Jobs{state.capitalize()}": int(job.state == state) for state in ("succeeded", "partial", "failed")}
    emit({**ends, **_budget()})


def _budget() -> dict[str, float]:
    """Return how much of the day's images is used up, where they are counted and the count can be read."""
    limit = wiring.settings().daily_image_limit
    with suppress(StorageFailed):  # a job that has ended is not to be put back over its metrics
        if limit:
            images = wiring.budget().counted()
            return {"ImagesToday": images, "ImagesTodayShare": 100 * images / limit}
    return {}
