"""Name every way in which making variations can fail, and who can do something about it.

    VariationError
    ├── InvalidRequest            what was asked makes no sense; `param` names the field
    │   └── UnsupportedResource   we make variations of images, and nothing else of anything else
    ├── Unauthorized              no client key, or one that is not ours
    ├── NotFound
    │   ├── ModelNotFound         the provider has no such image model
    │   ├── SourceNotFound        the picture is gone, or was replaced
    │   └── JobNotFound           no such job of this caller
    ├── SourceTooLarge            more bytes or pixels than this stack allows
    ├── UnsupportedImage          not a picture, cut off, or a decompression bomb
    ├── JobRunning                somebody is still working on this job
    ├── OutOfTime                 too little of this invocation is left for another paid call
    ├── WorkerDied                the worker died over this job, time and again
    ├── BudgetExhausted           the images of the day are used up
    ├── TooManyRequests           this caller's requests of the minute are used up
    ├── CallsStopped              the operator has stopped all paid calls
    ├── IdempotencyKeyReused      one Idempotency-Key for two different requests
    ├── ResponseTooLarge          the pictures do not fit into the answer
    ├── ProviderError
    │   ├── ProviderRefused       the provider looked at the request and said no
    │   ├── ProviderDenied        our key, account or quota there is no good
    │   ├── ProviderBusy          the provider asks us to come back later
    │   │   └── ProviderDown      it failed so often that nobody asks it for a while
    │   ├── ProviderFailed        5xx, or an answer nobody can read
    │   ├── ProviderUnreachable   no connection: nothing was sent, nothing was billed
    │   └── ProviderTimeout       sent, but no answer in time: may have been billed
    ├── StorageFailed             S3, DynamoDB or the event bus did not do its part
    └── ConfigurationError        a template parameter or a permission is wrong

The tree knows nothing of HTTP or SQS: `http_api` maps it to status codes, `process_jobs` to redeliveries.
"""

from dataclasses import dataclass
from typing import ClassVar


class VariationError(Exception):
    """Say what went wrong in one sentence that tells the user what to do.

    Args:
        message: safe to show to anybody: no key, no stack trace, no image bytes, no name of what belongs to the stack.
        detail: what only the operator is to know, such as the ARN of a secret; the log shows it behind the message.
        param: the request field at fault, as the user wrote it.
        retry_after_seconds: how long to wait, where somebody told us.
        retryable: overrides the class for one case (a 503 may be asked again, a 502 may not).
    """

    code: ClassVar[str] = "internal_error"
    retryable: bool = False
    provider_request_id: str | None = None  # the provider's own name for the call that failed

    def __init__(
        self,
        message: str,
        *,
        detail: str = "",
        param: str | None = None,
        retry_after_seconds: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.detail = detail
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        if retryable is not None:
            self.retryable = retryable

    @property
    def message(self) -> str:
        """Return the sentence, which is all that callers get to see."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message} [{self.detail}]" if self.detail else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class InvalidRequest(VariationError):
    """A field of the request is missing, malformed or out of range; `param` names it."""

    code = "invalid_request"


class UnsupportedResource(InvalidRequest):
    """A direct request names another resource or operation than we have."""

    code = "unsupported_resource"


class Unauthorized(VariationError):
    """The caller showed no client key, or an unknown one."""

    code = "unauthorized"


class NotFound(VariationError):
    """What the request points to does not exist."""

    code = "not_found"


class ModelNotFound(NotFound):
    """The provider does not offer this model, or not for images."""

    code = "model_not_found"


class SourceNotFound(NotFound):
    """The source image is not in the bucket any more, or not the one that started the job."""

    code = "source_not_found"


class JobNotFound(NotFound):
    """There is no such job, or it is another caller's."""

    code = "job_not_found"


class SourceTooLarge(VariationError):
    """The source image has more bytes or pixels than MaxSourceBytes or MaxSourceMegapixels allow."""

    code = "source_too_large"


class UnsupportedImage(VariationError):
    """The source is not an image we read, is cut off, or would explode in memory."""

    code = "unsupported_image"


class JobRunning(VariationError):
    """A worker holds the job; `retry_after_seconds` says when to look again."""

    code = "job_running"
    retryable = True


class OutOfTime(VariationError):
    """Too little of the invocation is left to see another paid call to its end; the next delivery goes on."""

    code = "out_of_time"
    retryable = True


class WorkerDied(VariationError):
    """The worker died while it worked on this job, as often as we let it."""

    code = "worker_died"


class BudgetExhausted(VariationError):
    """DailyImageLimit or DailyImageLimitPerCaller is used up; nothing was paid."""

    code = "budget_exhausted"


class TooManyRequests(VariationError):
    """The caller has sent RequestsPerMinute requests in this minute; `retry_after_seconds` leads to the next."""

    code = "rate_limited"


class CallsStopped(VariationError):
    """The stack parameter ProviderCalls is `stopped`: jobs wait until it is not."""

    code = "calls_stopped"
    retryable = True


class IdempotencyKeyReused(VariationError):
    """The caller sent an Idempotency-Key that stands for another request."""

    code = "idempotency_key_reused"


class ResponseTooLarge(VariationError):
    """The pictures as base64 are more than Lambda may answer; the job keeps them."""

    code = "response_too_large"


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a provider itself says is wrong, out of whichever envelope it came in; empty where it says nothing."""

    message: str = ""
    code: str = ""
    param: str = ""
    status: int = 0


class ProviderError(VariationError):
    """The image provider did not give us what we asked for; `complaint` holds its own words, where it spoke."""

    code = "provider_error"
    complaint: Complaint | None = None


class ProviderRefused(ProviderError):
    """The provider refuses this very request: moderation, or a value it does not take."""

    code = "provider_refused"


class ProviderDenied(ProviderError):
    """The provider does not let us in: wrong key, unverified organisation, no quota. The operator's task."""

    code = "provider_denied"


class ProviderBusy(ProviderError):
    """The provider is rate limiting; nothing was billed and the same request may be sent later."""

    code = "provider_busy"
    retryable = True


class ProviderDown(ProviderBusy):
    """The provider has failed several times in a row; it was not asked, so nothing was billed."""

    code = "provider_down"


class ProviderFailed(ProviderError):
    """The provider broke down or answered garbage; whether it billed is unknown."""

    code = "provider_failed"


class ProviderUnreachable(ProviderError):
    """No connection could be made, so the request was never sent: safe to try again."""

    code = "provider_unreachable"
    retryable = True


class ProviderTimeout(ProviderError):
    """The request was sent and its answer never came: it may have been billed, so it is not repeated."""

    code = "provider_timeout"


class StorageFailed(VariationError):
    """An AWS service we keep our state in failed for a moment."""

    code = "storage_failed"
    retryable = True


class ConfigurationError(VariationError):
    """A template parameter, a secret or a permission of this stack is wrong; the message names it."""

    code = "configuration_error"


def error_from(code: str, message: str, param: str | None = None) -> VariationError:
    """Make the error that a manifest tells of by its code."""
    kinds = [VariationError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    return next((kind for kind in kinds if kind.code == code), VariationError)(message, param=param)
