"""The use cases: work an order through to its end, whatever door it came in by; list the models.

Imports no AWS, no HTTP and no environment: what it needs is handed to it, real or fake.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote

from . import images
from .dialects.call import ProviderCall
from .errors import (
    ProviderFailed,
    ProviderTimeout,
    StorageFailed,
    UnsupportedImage,
    VariationError,
    error_from,
)
from .interpreter import Conversation, Interpreter
from .manifest import Work, add_usage, write_manifest
from .messages import write_completion
from .model import Answer, Attempt, Job, Order, Picture, SourceLocation, SourceObject, Variation, VariationRequest
from .preparation import prepare
from .settings import Settings

FINISH_SECONDS = 30.0  # to scale and store ten pictures after an answer that came at the last moment
CALLS_AT_ONCE = 3  # of one job, at a provider that makes fewer pictures a call than are wanted


class Storage(Protocol):
    """Where pictures and manifests are kept: `storage.Storage`, or a fake."""

    def fetch_source(self, location: SourceLocation, *, max_bytes: int) -> SourceObject:
        """Read a source; raise SourceNotFound or SourceTooLarge."""

    def store_result(self, prefix: str, number: int, picture: Picture, metadata: Mapping[str, str]) -> Variation:
        """Write one variation, once."""

    def list_results(self, prefix: str) -> dict[int, Variation]:
        """Return what is stored already, by number."""

    def store_manifest(self, prefix: str, manifest: Mapping[str, Any]) -> None:
        """Write the manifest."""

    def read_manifest(self, prefix: str) -> dict[str, Any]:
        """Read the manifest back."""

    def read_manifests_beside(self, source_key: str) -> Iterator[dict[str, Any]]:
        """Read the manifests of all ended jobs whose results lie beside a source."""


class Jobs(Protocol):
    """Where the books are kept: `jobs.Jobs`, or a fake."""

    def begin(self, order: Order, *, lease_seconds: float) -> Job:
        """Take a job, or return it finished; raise JobRunning while another worker has it."""

    def record_attempt(self, job: Job, variations: Sequence[int]) -> Job:
        """Write down a paid call before it is made."""

    def record_outcome(self, job: Job, attempt: Attempt) -> Job:
        """Write down how it ended."""

    def release(self, job: Job) -> None:
        """Give the job back to the queue."""

    def finish(self, job: Job, state: str) -> Job:
        """End the job for good."""

    def record_announcement(self, job: Job) -> None:
        """Write down that its event went out."""


@dataclass(frozen=True)
class Service:
    """Makes variations with an interpreter of the provider, a storage, the job books, and a way to publish events."""

    interpreter: Interpreter
    storage: Storage
    jobs: Jobs
    publish: Callable[[dict[str, Any]], None]
    settings: Settings
    clock: Callable[[], float] = time.time

    def process(self, order: Order, *, seconds: float) -> Job:
        """Bring a job to its end and announce it; do nothing for one that has ended and was announced.

        Args:
            order: what came in; the same order again continues its job.
            seconds: how long this worker lives at most; the last FINISH_SECONDS are kept for storing.

        Raises:
            JobRunning: another worker has the job.
            VariationError: with `retryable` set; the job is released, and the order is to be delivered again.
        """
        deadline = time.monotonic() + seconds - FINISH_SECONDS
        job, manifest = self.jobs.begin(order, lease_seconds=seconds), None
        prefix = job.order.results_prefix
        if not job.is_finished:
            job, manifest = self.generate(job, deadline=deadline)
            job = self._finish(job, manifest)
        if not job.announced:
            manifest = manifest or self.storage.read_manifest(prefix)
            self.publish(write_completion(manifest, self.settings.results_bucket, prefix))
            self.jobs.record_announcement(job)
        return job

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

    def generate(self, job: Job, *, deadline: float) -> tuple[Job, dict[str, Any]]:
        """Make and store the variations that a job still lacks. Every image that is paid for goes through here.

        Args:
            job: begun by this worker.
            deadline: `time.monotonic()` seconds by which the provider must have answered.

        Returns:
            The job with its attempts, and the manifest of one that has ended well, in part or not at all.

        Raises:
            VariationError: with `retryable` set: nothing is wrong with the job, it just has to wait.
        """
        work, failure = Work(job), None
        try:
            request, picture = prepare(work, self.storage.fetch_source, self.settings)
            self._make_missing(work, request, picture, deadline)
        except VariationError as error:
            if error.retryable and not self._is_last_attempt(work, error):
                self.jobs.release(work.job)
                raise
            failure = error
        return work.job, write_manifest(work, failure, self.clock())

    def _finish(self, job: Job, manifest: Mapping[str, Any]) -> Job:
        try:
            self.storage.store_manifest(job.order.results_prefix, manifest)
            return self.jobs.finish(job, manifest["state"])
        except StorageFailed:
            with contextlib.suppress(VariationError):  # its lease would end all the same, only later
                self.jobs.release(job)
            raise

    def _make_missing(self, work: Work, request: VariationRequest, picture: Picture, deadline: float) -> None:
        """Ask for what is not stored yet, in the way the provider wants it, and store it."""
        if work.job.attempts:
            work.results = self.storage.list_results(work.job.order.results_prefix)
        conversation = self.interpreter.open(request, picture, deadline=deadline)
        work.warnings.extend(conversation.warnings)
        try:
            if not work.missing:
                conversation.write(1, 0)  # for what there is to tell of it
            self._ask_round_by_round(work, conversation, deadline)
        finally:
            work.provider_seconds = conversation.provider_seconds
            work.dialect, work.dialect_reason = conversation.manner.dialect.name, conversation.manner.why
            work.adjustments = conversation.adjustments

    def _ask_round_by_round(self, work: Work, conversation: Conversation, deadline: float) -> None:
        """Ask for every missing variation once, in as few calls as the provider makes of it."""
        asked: set[int] = set()
        while to_ask := [number for number in work.missing if number not in asked]:
            affordable = [number for number in to_ask if work.calls_lost(number) < self.settings.max_attempts]
            if not affordable:
                raise _spent(work, to_ask[0])
            most = conversation.manner.images_per_call
            parts = [affordable[start : start + most] for start in range(0, len(affordable), most)][:CALLS_AT_ONCE]
            for part in self._ask_at_once(work, conversation, parts, deadline):
                asked.update(part)
        if not work.results:
            raise ProviderFailed("The provider's answer holds no picture that can be read.")

    def _ask_at_once(
        self, work: Work, conversation: Conversation, parts: list[list[int]], deadline: float
    ) -> Iterator[list[int]]:
        """Make some paid calls side by side, each on record before and after, and store what they bring.

        Yields the variations that each call was really for. When any of them fails, the others are still brought
        home; the failure is raised in the end.
        """
        failures: list[VariationError] = []
        calls: dict[Future[Answer], Attempt] = {}
        with ThreadPoolExecutor(len(parts)) as pool:
            try:
                for part in parts:
                    call, attempt = self._begin(work, conversation, part)
                    calls[pool.submit(conversation.send, call, deadline=deadline)] = attempt
            except VariationError as error:
                failures.append(error)
            for ended in as_completed(calls):
                try:
                    yield self._take(work, conversation, calls[ended], ended)
                except VariationError as error:
                    failures.append(error)
        if failures:
            raise next((error for error in failures if error.retryable), failures[0])

    def _begin(self, work: Work, conversation: Conversation, part: list[int]) -> tuple[ProviderCall, Attempt]:
        call = conversation.write(len(part), _seed(work.job.order.job_id, part[0]))
        work.job = self.jobs.record_attempt(work.job, part)
        return call, work.job.attempts[-1]

    def _take(self, work: Work, conversation: Conversation, attempt: Attempt, ended: "Future[Answer]") -> list[int]:
        """Put the end of a paid call on record, and store the pictures it brought."""
        try:
            answer = ended.result()
        except VariationError as error:
            outcome = replace(attempt, outcome=error.code, request_id=error.provider_request_id)
            work.job = self.jobs.record_outcome(work.job, outcome)
            raise
        # A provider that makes one whatever n is was asked, and paid, for the first one alone.
        numbers = list(attempt.variations[:1] if answer.came == 1 else attempt.variations)
        outcome = replace(attempt, outcome="answered", request_id=answer.request_id, variations=tuple(numbers))
        with contextlib.suppress(StorageFailed):  # the pictures are here and paid for: store them first of all
            work.job = self.jobs.record_outcome(work.job, outcome)
        work.usage = add_usage(work.usage, answer.usage)
        work.warnings.extend(answer.warnings)
        self._store(work, conversation.request, numbers, answer)
        return numbers

    def _store(self, work: Work, request: VariationRequest, numbers: list[int], answer: Answer) -> None:
        """Store every whole picture of an answer under the numbers it was asked for."""
        order = work.job.order
        for number, content in zip(numbers, answer.images, strict=False):
            try:
                picture = images.finish(content, request.dimensions, request.output_format)
            except UnsupportedImage as error:
                work.warnings.append(f"Variation {number}: {error.message}")
                continue
            if smaller := images.scaled_up(content, picture):
                work.warnings.append(f"Variation {number}: {smaller}")
            work.results[number] = self.storage.store_result(
                order.results_prefix,
                number,
                picture,
                {"job-id": order.job_id, "model": quote(request.model, safe="/:@")},
            )
        if len(answer.images) != len(numbers):
            work.warnings.append(
                f"The provider sent {len(answer.images)} pictures where {len(numbers)} were asked for."
            )

    def _is_last_attempt(self, work: Work, error: VariationError) -> bool:
        """Tell whether an error that may be tried again must not be, as every missing variation had its calls."""
        spent = (work.calls_lost(number) >= self.settings.max_attempts for number in work.missing)
        return isinstance(error, ProviderFailed) and all(spent)


def _spent(work: Work, number: int) -> VariationError:
    """Say that a variation had all its calls, and how the last one ended."""
    last = next(attempt for attempt in reversed(work.job.attempts) if number in attempt.variations)
    why, again = f"{work.calls_lost(number)} paid calls", "Hand the picture in again to start anew."
    if last.outcome in {None, "answered"}:
        return ProviderTimeout(f"{why} were lost on their way (MaxAttempts), so no further one is made. {again}")
    message = f"{why} were made, which is all that MaxAttempts allows; the last one ended as {last.outcome}. {again}"
    return error_from(str(last.outcome), message)


def _seed(job_id: str, number: int) -> int:
    """Return what a server starts from for one variation: the same for the same one, another for every other."""
    return int.from_bytes(hashlib.sha256(f"{job_id}/{number}".encode()).digest()[:4]) >> 1
