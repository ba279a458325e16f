"""The use cases: work an order through to its end, whatever door it came in by; list the models.

Imports no AWS, no HTTP and no environment: what it needs is handed to it, real or fake.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from . import dialects, images
from .dialects.call import ProviderCall
from .errors import ProviderFailed, ProviderTimeout, StorageFailed, UnsupportedImage, VariationError
from .manifest import Work, write_manifest
from .messages import write_completion
from .model import Answer, Job, Order, Picture, SourceLocation, SourceObject, Variation, VariationRequest
from .options import decode_metadata, parse_options
from .settings import Settings

FINISH_SECONDS = 30.0  # to scale and store ten pictures after an answer that came at the last moment


class Provider(Protocol):
    """Who makes the pictures: `provider.Provider`, or a fake."""

    def send(self, call: ProviderCall, *, deadline: float) -> Answer:
        """Send one paid call; raise a ProviderError or ModelNotFound."""


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


class Jobs(Protocol):
    """Where the books are kept: `jobs.Jobs`, or a fake."""

    def begin(self, order: Order, *, lease_seconds: float) -> Job:
        """Take a job, or return it finished; raise JobRunning while another worker has it."""

    def record_attempt(self, job: Job, *, images: int) -> Job:
        """Write down a paid call before it is made."""

    def record_outcome(self, job: Job, outcome: str, *, request_id: str | None = None) -> Job:
        """Write down how it ended."""

    def release(self, job: Job) -> None:
        """Give the job back to the queue."""

    def finish(self, job: Job, state: str) -> Job:
        """End the job for good."""

    def record_announcement(self, job: Job) -> None:
        """Write down that its event went out."""


@dataclass(frozen=True)
class Service:
    """Makes variations with a provider, a storage, the job books, and a way to publish events."""

    provider: Provider
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
            manifest = self.generate(job, deadline=deadline)
            job = self._finish(job, manifest)
        if not job.announced:
            manifest = manifest or self.storage.read_manifest(prefix)
            self.publish(write_completion(manifest, self.settings.results_bucket, prefix))
            self.jobs.record_announcement(job)
        return job

    def generate(self, job: Job, *, deadline: float) -> dict[str, Any]:
        """Make and store the variations that a job still lacks. Every image that is paid for goes through here.

        Args:
            job: begun by this worker.
            deadline: `time.monotonic()` seconds by which the provider must have answered.

        Returns:
            The manifest of a job that has ended well, in part or not at all.

        Raises:
            VariationError: with `retryable` set: nothing is wrong with the job, it just has to wait.
        """
        work, failure = Work(job), None
        try:
            request, picture = self._prepare(work)
            self._make_missing(work, request, picture, deadline)
        except VariationError as error:
            if error.retryable and not self._is_last_attempt(work, error):
                self.jobs.release(work.job)
                raise
            failure = error
        return write_manifest(work, failure, self.clock())

    def _finish(self, job: Job, manifest: Mapping[str, Any]) -> Job:
        try:
            self.storage.store_manifest(job.order.results_prefix, manifest)
            return self.jobs.finish(job, manifest["state"])
        except StorageFailed:
            with contextlib.suppress(VariationError):  # its lease would end all the same, only later
                self.jobs.release(job)
            raise

    def _prepare(self, work: Work) -> tuple[VariationRequest, Picture]:
        """Fetch the source, and read and check it and its options."""
        limits, order = self.settings, work.job.order
        work.source = self.storage.fetch_source(order.source, max_bytes=limits.max_source_bytes)
        work.request, warnings = parse_options(
            decode_metadata(work.source.metadata) if order.options is None else order.options,
            model=limits.default_model,
            n=limits.upload_variations,
            size=limits.default_size,
        )
        work.warnings.extend(warnings)
        work.picture = images.inspect(work.source.content, max_megapixels=limits.max_source_megapixels)
        return work.request, work.picture

    def _make_missing(self, work: Work, request: VariationRequest, picture: Picture, deadline: float) -> None:
        """Ask for what is not stored yet, in the way the provider wants it, and store it."""
        dialect = dialects.resolve(self.settings.provider_dialect, request.model)
        work.dialect = dialect.NAME
        if work.job.attempts:
            work.results = self.storage.list_results(work.job.order.results_prefix)
        edge = max(request.dimensions or (1024, 1024))
        sent = images.square_png(picture, edge) if dialect.SQUARE_PNG else images.upright(picture)
        call = dialect.build(request, sent, len(work.missing))
        work.adjustments = call.adjustments
        if not work.missing:
            return
        self._store(work, request, self._pay(work, call, deadline))

    def _pay(self, work: Work, call: ProviderCall, deadline: float) -> Answer:
        """Make one paid call, on record before and after."""
        if work.billable_attempts >= self.settings.max_attempts:
            raise ProviderTimeout(
                f"{work.billable_attempts} paid calls were lost on their way (MaxAttempts), so no further one is made. "
                "Hand the picture in again to start anew."
            )
        work.job = self.jobs.record_attempt(work.job, images=len(work.missing))
        started = time.monotonic()
        try:
            answer = self.provider.send(call, deadline=deadline)
        except VariationError as error:
            work.job = self.jobs.record_outcome(work.job, error.code)
            raise
        finally:
            work.provider_seconds = time.monotonic() - started
        with contextlib.suppress(StorageFailed):  # the pictures are here and paid for: store them first of all
            work.job = self.jobs.record_outcome(work.job, "answered", request_id=answer.request_id)
        work.usage = answer.usage
        return answer

    def _store(self, work: Work, request: VariationRequest, answer: Answer) -> None:
        """Store every whole picture of an answer under the numbers that are missing."""
        order = work.job.order
        asked = work.missing
        for number, content in zip(asked, answer.images, strict=False):
            try:
                picture = images.finish(content, request.dimensions, request.output_format)
            except UnsupportedImage as error:
                work.warnings.append(f"Variation {number}: {error.message}")
                continue
            work.results[number] = self.storage.store_result(
                order.results_prefix,
                number,
                picture,
                {"job-id": order.job_id, "model": quote(request.model, safe="/:@")},
            )
        if not work.results:
            raise ProviderFailed("The provider's answer holds no picture that can be read.")
        if len(answer.images) != len(asked):
            work.warnings.append(f"The provider sent {len(answer.images)} pictures where {len(asked)} were asked for.")

    def _is_last_attempt(self, work: Work, error: VariationError) -> bool:
        return isinstance(error, ProviderFailed) and work.billable_attempts >= self.settings.max_attempts
