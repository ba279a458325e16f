"""Take requests in from callers who wait: make a job of each, or find the job that answers it already.

Identical requests of one caller share a job until its result was delivered: an SDK that sends a request again,
because the first answer took too long, gets the same job and pays nothing (see claims.py).
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass

from .claims import Claim, Claims, fingerprint
from .errors import IdempotencyKeyReused, JobNotFound, StorageFailed
from .jobs import Jobs
from .model import Job, Order, SourceLocation, VariationRequest
from .orders import is_job_id, job_prefix, kept_source_key, upload_key
from .table import without_none

DELIVERY_OPTIONS = ("response_format", "simplify")  # how the answer looks, not what is made
ANSWER_LOST_SECONDS = 600  # so long after its delivery a job still answers a request that says it is a retry
LOST_DISPATCH_SECONDS = 30  # so long a front door may take between writing a job and sending its message
KEY_DAYS = 1  # an Idempotency-Key means the same job for 24 hours
LONGEST_POLL_SECONDS = 1.0
MAX_RACES = 10  # each lost race means that somebody else made the job, so the second look finds it


@dataclass(frozen=True, slots=True)
class Source:
    """A picture as a caller hands it in: bytes, or where it lies in S3 (with its ETag)."""

    content: bytes | None = None
    location: SourceLocation | None = None

    @property
    def identity(self) -> str:
        """Return a text that is the same for the same picture only."""
        if self.location:
            return json.dumps(asdict(self.location))
        return hashlib.sha256(self.content or b"").hexdigest()


@dataclass(frozen=True)
class FrontDoor:
    """Takes requests in, with the job books, a place for sources, and a way to send orders to the workers."""

    jobs: Jobs
    claims: Claims
    results_bucket: str
    store_source: Callable[[str, bytes], None]
    send: Callable[[Order], None]
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def accept(  # noqa: PLR0913 - half of them by name only
        self,
        request: VariationRequest,
        source: Source,
        caller: str,
        *,
        idempotency_key: str | None = None,
        is_retry: bool = False,
        request_id: str | None = None,
    ) -> Job:
        """Return the job that answers a request, a new one if there is none.

        Args:
            request: validated.
            source: the picture.
            caller: whose request it is; callers never share a job.
            idempotency_key: the caller's own name for the request: the same key means the same job for a day.
            is_retry: the client says that it sends the request again.
            request_id: what the caller knows the request by.

        Raises:
            IdempotencyKeyReused: the key stands for another request.
            StorageFailed, ConfigurationError: as the books and S3 say.
        """
        asked = {name: value for name, value in asdict(request).items() if name not in DELIVERY_OPTIONS}
        content = fingerprint(caller, json.dumps(asked, sort_keys=True), source.identity)
        name = fingerprint(caller, idempotency_key) if idempotency_key else content
        for _ in range(MAX_RACES):
            standing = self.claims.find(name)
            if standing and standing.fingerprint != content:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was used for another request. Send a new key with a new request."
                )
            job = self.jobs.get(standing.job_id) if standing else None
            if job and (idempotency_key or self._may_share(job, is_retry=is_retry)):
                return self._dispatch_if_lost(job, source)
            order = self._new_order(request, caller, source.location, request_id)
            days = KEY_DAYS if idempotency_key else self.jobs.expiration_days
            if self.claims.take(Claim(name, content, order.job_id), order, days=days, instead_of=standing):
                return self._dispatch(self.find(order.job_id, caller), source)
        raise StorageFailed("Too many requests of the same content at once. Send it again.", retry_after_seconds=1)

    def expect(  # noqa: PLR0913 - half of them by name only
        self,
        request: VariationRequest,
        caller: str,
        *,
        bucket: str,
        prefix: str,
        filename: str,
        request_id: str | None = None,
    ) -> Job:
        """Write a job down whose picture the caller will upload to S3; its upload starts the job.

        Args:
            request: validated.
            caller: whose job it is.
            bucket: the uploads bucket.
            prefix: where uploads start jobs, with a slash at the end.
            filename: the last part of the picture's key.
            request_id: what the caller knows the request by.
        """
        job_id = uuid.uuid4().hex
        location = SourceLocation(bucket, upload_key(prefix, job_id, filename))
        order = self._order(job_id, location, request, caller, request_id)
        self.jobs.create(order)
        return self.find(job_id, caller)

    def find(self, job_id: str, caller: str) -> Job:
        """Return a caller's own job.

        Raises:
            JobNotFound: there is none, or it is somebody else's; the two look the same from outside.
        """
        job = self.jobs.get(job_id) if is_job_id(job_id) else None  # others name counts, or are no keys at all
        if job is None or job.order.caller != caller:
            raise JobNotFound(f"There is no job {job_id[:64]!r}.")
        return job

    def wait(self, job: Job, seconds: float) -> Job:
        """Return a job as soon as it has ended, or as it is after so many seconds."""
        deadline, pause = self.clock() + seconds, 0.1
        while not job.is_finished and (left := deadline - self.clock()) > 0:
            self.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)
            job = self.find(job.order.job_id, job.order.caller)
        return job

    def _new_order(
        self, request: VariationRequest, caller: str, location: SourceLocation | None, request_id: str | None
    ) -> Order:
        job_id = uuid.uuid4().hex  # nobody can guess it
        source = location or SourceLocation(self.results_bucket, kept_source_key(job_id))
        return self._order(job_id, source, request, caller, request_id)

    def _order(  # the request says all: metadata and presets of the picture have no say
        self, job_id: str, source: SourceLocation, request: VariationRequest, caller: str, request_id: str | None
    ) -> Order:
        options = without_none(asdict(request))
        return Order(job_id, source, job_prefix(job_id), caller, options, request_id, complete=True)

    def _may_share(self, job: Job, *, is_retry: bool) -> bool:
        if not job.is_finished or job.delivered_at is None:
            return True
        return is_retry and self.clock() - job.delivered_at <= ANSWER_LOST_SECONDS

    def _dispatch(self, job: Job, source: Source) -> Job:
        """Store the picture and send the order; both may be done twice without harm."""
        if source.content is not None:
            self.store_source(job.order.source.key, source.content)
        self.send(job.order)
        self.jobs.record_dispatch(job)
        return job

    def _dispatch_if_lost(self, job: Job, source: Source) -> Job:
        """Send the order of a job whose front door died between writing it down and sending it."""
        age = self.clock() - job.created_at
        lost = not job.dispatched and job.state == "queued" and age > LOST_DISPATCH_SECONDS
        return self._dispatch(job, source) if lost else job
