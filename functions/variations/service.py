"""The use cases: work an order through to its end, whatever door it came in by; list the models.

Imports no AWS, no HTTP and no environment: what it needs is handed to it, real or fake.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import CallsStopped, ProviderFailed, SourceNotFound, VariationError, WorkerDied
from .interpreter import Interpreter
from .manifest import Work, write_manifest
from .messages import write_completion
from .model import Attempt, Job, Order, Picture, VariationRequest
from .orders import is_awaited
from .preparation import prepare
from .protocols import Budget, Jobs, Storage
from .rounds import Rounds
from .settings import Settings
from .storing import StoringPool

FINISH_SECONDS = 30.0  # to scale and store ten pictures after an answer that came at the last moment
CALL_SECONDS = 240.0  # so much must be left for a paid call to be begun: gpt-image-2 takes up to 200 s
MAX_DEATHS = 5  # of workers over one job, stumbles included; whatever it is will happen again
STOPPED_SECONDS = 900.0  # how long a job waits before it looks again whether calls are allowed
# Failed for a reason that the operator or time may do away with: such jobs can be put back.
REDRIVABLE = {
    "budget_exhausted",
    "configuration_error",
    "provider_denied",
    "provider_failed",
    "provider_timeout",
    "provider_unreachable",
}


def unguarded(work: Callable[[], None]) -> None:
    """Do the work, whatever became of it before: the guard where there is no circuit breaker."""
    work()


def unmeasured(work: Work, attempts: Sequence[Attempt], error: VariationError | None) -> None:
    """Measure nothing: the measure where nobody looks."""


@dataclass(frozen=True)
class Service:
    """Makes variations with all it needs: an interpreter of the provider, storage, books, and ways to tell.

    `publish` tells of a job that has ended, `set_aside` keeps the order of one that failed for a reason that may go
    away, `guard` does work with the provider unless it is known to be down, `measure` is told of the paid calls that
    were made for a job, and what ended them, whether the job has ended too or has to wait.
    """

    interpreter: Interpreter
    storage: Storage
    jobs: Jobs
    budget: Budget
    publish: Callable[[dict[str, Any]], None]
    set_aside: Callable[[Order, str], None]
    settings: Settings
    guard: Callable[[Callable[[], None]], None] = unguarded
    measure: Callable[[Work, Sequence[Attempt], VariationError | None], None] = unmeasured
    clock: Callable[[], float] = time.time
    storing: StoringPool = field(default_factory=StoringPool)

    def process(self, order: Order, *, seconds: float, late: bool = False) -> Job:
        """Bring a job to its end and announce it; do nothing for one that has ended and was announced.

        Args:
            order: what came in; the same order again continues its job.
            seconds: how long this worker lives at most; the last FINISH_SECONDS are kept for storing.
            late: the order is so old that its record may have expired while its results are still there.

        Raises:
            JobRunning: another worker has the job.
            VariationError: with `retryable` set; the job is released, and the order is to be delivered again.
        """
        if self.settings.provider_calls == "stopped":
            raise CallsStopped("Paid calls are stopped (ProviderCalls).", retry_after_seconds=STOPPED_SECONDS)
        until, lease_ends = time.monotonic() + seconds - FINISH_SECONDS, self.clock() + seconds
        job, manifest = self.jobs.begin(order, lease_seconds=seconds), None
        prefix = job.order.results_prefix
        if not job.is_finished and late and not (job.attempts or job.redrives):
            manifest = self._find_manifest(prefix)  # of a job that ended before its record expired
        if manifest:
            job = self._record_end(job, manifest)
        elif not job.is_finished:
            last_call = until - min(CALL_SECONDS, (seconds - FINISH_SECONDS) / 2)
            work = Work(job, lease_ends=lease_ends)
            job, manifest = self.generate(work, until=until, last_call=last_call, late=late)
            job = self._finish(job, manifest)
        if not job.announced:
            manifest = manifest or self.storage.read_manifest(prefix)
            if job.error in REDRIVABLE and not is_awaited(job.order):  # who waited for the others has been told
                self.set_aside(replace(job.order, redrive=job.redrives + 1), manifest["error"]["message"])
            self.publish(write_completion(manifest, self.settings.results_bucket, prefix))
            self.jobs.record_announcement(job)
        return job

    def _record_end(self, job: Job, manifest: Mapping[str, Any]) -> Job:
        failed = manifest["state"] == "failed"
        return self.jobs.finish(job, manifest["state"], manifest["error"]["code"] if failed else None)

    def _find_manifest(self, prefix: str) -> dict[str, Any] | None:
        with contextlib.suppress(SourceNotFound):
            return self.storage.read_manifest(prefix)
        return None

    def has_variations(self, order: Order) -> bool:
        """Tell whether the same was asked of the same picture before, and went well at least in part."""
        etag = order.source.etag
        return any(
            manifest["source"]["bucket"] == order.source.bucket
            and etag in (None, manifest["source"]["etag"])
            and manifest["options"] == order.options
            and manifest["state"] != "failed"
            for manifest in self.storage.read_manifests_beside(order.source.key)
        )

    def generate(self, work: Work, *, until: float, last_call: float, late: bool = False) -> tuple[Job, dict[str, Any]]:
        """Make and store the variations that a job still lacks. Every image that is paid for goes through here.

        Args:
            work: a job begun by this worker.
            until: `time.monotonic()` seconds by which the provider must have answered.
            last_call: the same, after which no call is begun: it might be cut off, and paid for in vain.
            late: look for stored variations even if no attempt is on record.

        Returns:
            The job with its attempts, and the manifest of one that has ended well, in part or not at all.

        Raises:
            VariationError: with `retryable` set: nothing is wrong with the job, it just has to wait.
        """
        failure, made_before = None, len(work.job.attempts)
        try:
            self._work_on(work, until, last_call, late=late)
        except VariationError as error:
            failure = error
            if error.retryable and not self._is_last_attempt(work, error):
                self.jobs.release(work.job)
                raise
        except Exception:
            with contextlib.suppress(VariationError):  # its lease would end all the same, only later
                self.jobs.release_after_stumble(work.job)
            raise
        finally:
            self.measure(work, work.job.attempts[made_before:], failure)
        return work.job, write_manifest(work, failure, self.clock())

    def _work_on(self, work: Work, until: float, last_call: float, *, late: bool) -> None:
        job = work.job
        if job.deaths >= MAX_DEATHS:
            work.results = self.storage.list_results(job.order.results_prefix)
            raise WorkerDied(
                f"{job.deaths} workers died or stumbled over this job; their log says why. "
                "The picture may be too large for their memory."
            )
        request, picture = prepare(work, self.storage.fetch_source, self.settings)
        if job.attempts or late:
            work.results = self.storage.list_results(job.order.results_prefix)
        self.guard(lambda: self._make_missing(work, request, picture, until, last_call))

    def _finish(self, job: Job, manifest: Mapping[str, Any]) -> Job:
        try:
            self.storage.store_manifest(job.order.results_prefix, manifest)
            return self._record_end(job, manifest)
        except VariationError:
            with contextlib.suppress(VariationError):
                self.jobs.release(job)
            raise

    def _make_missing(
        self, work: Work, request: VariationRequest, picture: Picture, until: float, last_call: float
    ) -> None:
        """Ask for what is not stored yet, in the way the provider wants it, and store it."""
        conversation = self.interpreter.open(request, picture, deadline=until)
        work.warnings.extend(conversation.warnings)
        try:
            if not work.missing:
                conversation.write(1, 0)  # for what there is to tell of it
            Rounds(
                work,
                conversation,
                self.storage,
                self.storing,
                self.jobs,
                self.budget,
                self.settings.max_attempts,
                self.clock,
                strip=self.settings.result_metadata == "strip",
                until=until,
                last_call=last_call,
            ).run()
        finally:
            work.dialect, work.dialect_reason = conversation.manner.dialect.name, conversation.manner.why
            work.adjustments = conversation.adjustments

    def _is_last_attempt(self, work: Work, error: VariationError) -> bool:
        """Tell whether an error that may be tried again must not be, as every missing variation had its calls."""
        spent = (work.calls_lost(number) >= self.settings.max_attempts for number in work.missing)
        return isinstance(error, ProviderFailed) and all(spent)
