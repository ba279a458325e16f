"""Stand-ins for the three Protocols of `variations.service`, over dicts and lists.

They keep the promises of the real classes: tests/contract runs the same cases against both. None has a switch
that makes it fail; a provider fails by its script, and the rest by what is put into it, or left out.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count

from variations.dialects.call import ProviderCall
from variations.errors import (
    BudgetExhausted,
    ConfigurationError,
    JobRunning,
    SourceNotFound,
    SourceTooLarge,
    StorageFailed,
    VariationError,
)
from variations.model import (
    Answer,
    Attempt,
    Job,
    Listing,
    Order,
    Picture,
    SourceLocation,
    SourceObject,
    Take,
    Variation,
)
from variations.orders import is_job_id
from variations.storing import StoringPool


@dataclass(frozen=True)
class Sent:
    """What a provider sends back for one call."""

    images: tuple[bytes, ...] = ()
    request_id: str | None = None
    usage: Mapping[str, object] | None = None
    warnings: tuple[str, ...] = ()
    failure: BaseException | None = None  # that comes when the pictures have come


Step = Sent | BaseException | Callable[[ProviderCall], Sent]


class Clock:
    """Seconds since the epoch, which pass only when a test says so."""

    def __init__(self, now: float = 1_795_305_600.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeProvider:
    """Answer each call with the next step of a script, and remember the calls; list what it is said to offer."""

    def __init__(self, script: Iterable[Step] = (), listing: Listing | BaseException | None = None) -> None:
        self.script = iter(script)
        self.listing = listing or Listing()
        self.listed = 0
        self.calls: list[ProviderCall] = []
        self.deadlines: list[float] = []

    def list_models(self, *, deadline: float) -> Listing:
        self.listed += 1
        if isinstance(self.listing, BaseException):
            raise self.listing
        return self.listing

    def send(self, call: ProviderCall, *, deadline: float, take: Take) -> Answer:
        self.calls.append(call)
        self.deadlines.append(deadline)
        step = next(self.script)
        if isinstance(step, BaseException):
            raise step
        sent = step if isinstance(step, Sent) else step(call)
        for place, image in enumerate(sent.images):
            take(place, image)
        if sent.failure:
            raise sent.failure
        return Answer(len(sent.images) + len(sent.warnings), sent.request_id, sent.usage, sent.warnings)


class OneByOne(StoringPool):
    """A pool that stores each picture before the next one comes, so that a crash has one moment."""

    def submit(self, size: int, store: Callable[[], object]) -> Future:
        stored: Future = Future()
        try:
            stored.set_result(store())
        except VariationError as error:
            stored.set_exception(error)
        return stored


@dataclass(frozen=True)
class Stored:
    """One version of one object."""

    content: bytes
    content_type: str
    metadata: Mapping[str, str]
    version_id: str

    @property
    def etag(self) -> str:
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()


@dataclass
class FakeStorage:
    """Buckets that keep every version of every key, the newest last."""

    results_bucket: str = "results"
    buckets: dict[str, dict[str, list[Stored]]] = field(default_factory=lambda: {"uploads": {}, "results": {}})

    def put(self, bucket: str, key: str, content: bytes, content_type: str, metadata: Mapping[str, str]) -> Stored:
        versions = self._bucket(bucket).setdefault(key, [])
        versions.append(Stored(content, content_type, dict(metadata), f"v{len(versions) + 1}"))
        return versions[-1]

    def get(self, bucket: str, key: str, version_id: str | None = None) -> Stored:
        versions = self._bucket(bucket).get(key, [])
        found = [stored for stored in versions if version_id in (None, stored.version_id)]
        if not found:
            raise SourceNotFound(f"There is no object s3://{bucket}/{key} any more.")
        return found[-1]

    def fetch_source(self, location: SourceLocation, *, max_bytes: int) -> SourceObject:
        stored = self.get(location.bucket, location.key, location.version_id)
        if location.etag and stored.etag != location.etag:
            raise SourceNotFound("The source was replaced by a newer upload.")
        if len(stored.content) > max_bytes:
            raise SourceTooLarge(f"The source has {len(stored.content)} bytes; this stack takes up to {max_bytes}.")
        return SourceObject(location, stored.content, stored.etag, stored.metadata)

    def store_result(self, prefix: str, number: int, picture: Picture, metadata: Mapping[str, str]) -> Variation:
        key = f"{prefix}/variation-{number:02}.{picture.content_type.removeprefix('image/')}"
        if not all(text.isascii() for text in metadata.values()):
            raise StorageFailed("Metadata must be ASCII.")
        if key not in self._bucket(self.results_bucket):
            marks = {"width": str(picture.width), "height": str(picture.height)}
            self.put(self.results_bucket, key, picture.content, picture.content_type, {**metadata, **marks})
        return self._variation(key)

    def list_results(self, prefix: str) -> dict[int, Variation]:
        start = f"{prefix}/variation-"
        keys = [key for key in self._bucket(self.results_bucket) if key.startswith(start)]
        return {int(key.removeprefix(start)[:2]): self._variation(key) for key in sorted(keys)}

    def store_manifest(self, prefix: str, manifest: Mapping[str, object]) -> None:
        content = json.dumps(manifest).encode()
        self.put(self.results_bucket, f"{prefix}/manifest.json", content, "application/json", {})

    def read_manifest(self, prefix: str) -> dict[str, object]:
        return json.loads(self.get(self.results_bucket, f"{prefix}/manifest.json").content)

    def read_manifests_beside(self, source_key: str) -> Iterator[dict[str, object]]:
        for key in sorted(self._bucket(self.results_bucket)):
            job_id = key.removeprefix(f"{source_key}/").removesuffix("/manifest.json")
            if key == f"{source_key}/{job_id}/manifest.json" and is_job_id(job_id):
                yield self.read_manifest(f"{source_key}/{job_id}")

    def _bucket(self, name: str) -> dict[str, list[Stored]]:
        if name not in self.buckets:
            raise ConfigurationError(f"There is no bucket {name}.")
        return self.buckets[name]

    def _variation(self, key: str) -> Variation:
        stored = self.get(self.results_bucket, key)
        return Variation(
            key=key,
            content_type=stored.content_type,
            bytes=len(stored.content),
            width=int(stored.metadata["width"]),
            height=int(stored.metadata["height"]),
            sha256=hashlib.sha256(stored.content).hexdigest(),
        )


@dataclass
class FakeBudget:
    """The images of one endless day."""

    limit: int = 0
    images: int = 0

    def reserve(self, caller: str, images: int) -> str:
        if self.limit and self.images + images > self.limit:
            raise BudgetExhausted("The images are used up.", retry_after_seconds=3600)
        self.images += images
        return "2026-11-22"

    def give_back(self, day: str, caller: str, images: int) -> None:
        self.images -= images


@dataclass
class FakeJobs:
    """The books as a dict of jobs and the ends of their leases, with the conditions of the real table."""

    clock: Callable[[], float] = field(default_factory=Clock)
    jobs: dict[str, Job] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)
    runs: Iterable[int] = field(default_factory=count)

    def begin(self, order: Order, *, lease_seconds: float) -> Job:
        now, old = int(self.clock()), self.jobs.get(order.job_id)
        redriven = bool(old) and old.state == "failed" and order.redrive > old.redrives
        if old and old.is_finished and not redriven:
            return old
        if old and self.leases[order.job_id] > now and old.state == "running":
            raise JobRunning("Another worker holds it.", retry_after_seconds=self.leases[order.job_id] - now)
        changes: dict[str, object] = {}
        if redriven:
            changes = {"redrives": order.redrive, "forgiven": len(old.attempts), "deaths": 0, "announced": False}
        elif old and old.state == "running":
            changes = {"deaths": old.deaths + 1}
        run = f"run-{next(self.runs)}"
        job = replace(old, run=run, state="running", **changes) if old else Job(order, run, "running", now)
        self.jobs[order.job_id], self.leases[order.job_id] = job, now + int(lease_seconds) + 1
        return job

    def record_attempt(self, job: Job, variations: Sequence[int]) -> Job:
        attempt = Attempt(len(job.attempts) + 1, tuple(variations), int(self.clock()))
        return self._write(job, "running", attempts=(*job.attempts, attempt))

    def record_outcome(self, job: Job, attempt: Attempt) -> Job:
        attempts = tuple(attempt if other.number == attempt.number else other for other in job.attempts)
        return self._write(job, "running", attempts=attempts)

    def release(self, job: Job) -> None:
        self._write(job, "queued")
        self.leases[job.order.job_id] = 0

    def release_after_stumble(self, job: Job) -> None:
        deaths = self.jobs[job.order.job_id].deaths + 1
        self._write(job, "queued", deaths=deaths)
        self.leases[job.order.job_id] = 0

    def finish(self, job: Job, state: str, error: str | None = None) -> Job:
        self._write(job, state, error=error)
        return replace(job, state=state, error=error)

    def record_announcement(self, job: Job) -> None:
        if self.jobs[job.order.job_id].run == job.run:
            self.jobs[job.order.job_id] = replace(self.jobs[job.order.job_id], announced=True)

    def _write(self, job: Job, state: str, **changes: object) -> Job:
        now = self.jobs[job.order.job_id]
        if now.run != job.run or now.state not in ("running", state):
            raise JobRunning("Another worker took it over.", retry_after_seconds=60)
        self.jobs[job.order.job_id] = replace(now, state=state, **changes)
        return self.jobs[job.order.job_id]
