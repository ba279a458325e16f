"""Keep the books in DynamoDB: who works on which job, and every paid call before it is made.

States and who moves them:

    (none) ──begin──► running ──finish──► succeeded | partial      never change again
       │               ▲   │  └─finish──► failed ──begin with a redrive──► running
     create      begin │   └─release──► queued          the provider is busy, S3 is down …
       │               └──────────────────┤
       └──────────────────────────────────┘             running ──begin──► running: its lease ran out, its worker died

A worker holds a job by its `run`, for as long as its invocation may last. Every write names the run, so what a
worker does after its lease was taken over has no effect. The record goes when its results expire (TTL).
"""

import contextlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .errors import JobRunning
from .model import Attempt, Job, Order, SourceLocation
from .table import ConditionFailed, Table, without_none

FINISHED = ("succeeded", "partial", "failed")
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Jobs:
    """The job records of the jobs table."""

    table: Table
    expiration_days: int
    clock: Callable[[], float]

    def get(self, job_id: str) -> Job | None:
        """Return a job as it is now, or None."""
        item = self.table.get(job_id)
        return _job(item) if item and "job_state" in item else None

    def new_record(self, order: Order) -> dict[str, Any]:
        """Return the attributes of a job that waits to be begun, and is on its caller's list."""
        now = int(self.clock())
        return {
            "job_state": "queued",
            "job_order": without_none(asdict(order)),
            "run": "none",
            "running_until": 0,
            "created_at": now,
            "attempts": [],
            "expires_at": now + self.expiration_days * DAY_SECONDS,
            # For history.py; `begin` writes neither, so jobs that come in by S3 or queue are on no list.
            "listed_for": order.caller,
            "listed_at": f"{self.clock():.3f}-{order.job_id}",  # no two jobs share it, so pages have clear edges
        }

    def create(self, order: Order) -> None:
        """Write a job down that waits to be begun."""
        self.table.put_together({order.job_id: self.new_record(order)}, {})

    def begin(self, order: Order, *, lease_seconds: float) -> Job:
        """Take a job for this worker, or return it as it is when it has finished.

        Args:
            order: the same for every delivery of the same job; the one on record wins, but for its `redrive`.
            lease_seconds: how long nobody else may touch it: at least until this invocation must have ended.

        Raises:
            JobRunning: another worker has it; `retry_after_seconds` tells when its lease ends.
            StorageFailed, ConfigurationError: as `Table.update`.
        """
        now, run = int(self.clock()), uuid.uuid4().hex
        lease = {"run": run, "until": now + int(lease_seconds) + 1, "now": now}
        try:
            return self._take(order, lease, "attribute_not_exists(job_id) OR job_state = :queued", queued="queued")
        except ConditionFailed:
            item = self.table.get(order.job_id) or self.new_record(order)
        found = _job(item)
        try:
            if found.state == "failed" and order.redrive > found.redrives:
                return self._begin_again(order, lease, found)
            if found.is_finished or found.run == run:
                return found
            if item["running_until"] <= now:
                return self._take_over(order, lease, found)
        except ConditionFailed:
            pass  # somebody else was faster
        left = max(1, int(item["running_until"]) - now)
        raise JobRunning("Another worker holds this job.", retry_after_seconds=left)

    def _take_over(self, order: Order, lease: Mapping[str, Any], found: Job) -> Job:
        """Take a job whose worker died: it held it longer than it may live."""
        return self._take(
            order,
            lease,
            "run = :dead AND job_state = :running",
            "deaths = if_not_exists(deaths, :none) + :one",
            dead=found.run,
            none=0,
            one=1,
        )

    def _begin_again(self, order: Order, lease: Mapping[str, Any], found: Job) -> Job:
        """Begin a failed job anew, because the operator put it back; each redrive counts once."""
        return self._take(
            order,
            lease,
            "job_state = :failed AND run = :found",
            "redrives = :redrive, forgiven = :forgiven, deaths = :none, announced = :no",
            failed="failed",
            found=found.run,
            redrive=order.redrive,
            forgiven=len(found.attempts),
            none=0,
            no=False,
        )

    def _take(self, order: Order, lease: Mapping[str, Any], condition: str, also: str = "", **values: Any) -> Job:
        record = self.new_record(order)
        item = self.table.update(
            order.job_id,
            "SET job_state = :running, run = :run, running_until = :until, expires_at = :expires_at, "
            "job_order = if_not_exists(job_order, :job_order), "
            "created_at = if_not_exists(created_at, :now), attempts = if_not_exists(attempts, :attempts)"
            + (f", {also}" if also else ""),
            condition,
            running="running",
            **lease,
            **values,
            **{name: record[name] for name in ("job_order", "attempts", "expires_at")},
        )
        return _job(item)

    def record_attempt(self, job: Job, variations: Sequence[int]) -> Job:
        """Write down a paid call before it is made, with the numbers of the variations it asks for."""
        attempt = Attempt(len(job.attempts) + 1, tuple(variations), started_at=int(self.clock()))
        return self._write_attempt(job, attempt)

    def record_outcome(self, job: Job, attempt: Attempt) -> Job:
        """Write down how a paid call of this job ended, as `attempt` says it now."""
        return self._write_attempt(job, attempt)

    def release(self, job: Job) -> None:
        """Give a job back: the next delivery of its message goes on with it."""
        self._write(job, "queued", "running_until = :never", never=0)

    def release_after_stumble(self, job: Job) -> None:
        """Give a job back over which the worker stumbled, and count it as if the worker had died."""
        stumbled = "running_until = :never, deaths = if_not_exists(deaths, :never) + :one"
        self._write(job, "queued", stumbled, never=0, one=1)

    def finish(self, job: Job, state: str, error: str | None = None) -> Job:
        """End a job for good; a failed one by the code of its error."""
        self._write(job, state, "finished_at = :now, job_error = :error", now=int(self.clock()), error=error)
        return replace(job, state=state, error=error)

    def record_announcement(self, job: Job) -> None:
        """Write down that the event about the job's end went out, unless it was begun again since."""
        with contextlib.suppress(ConditionFailed):
            self.table.update(job.order.job_id, "SET announced = :yes", "run = :run", yes=True, run=job.run)

    def record_dispatch(self, job: Job) -> None:
        """Write down that the job's message is on the queue."""
        self.table.update(job.order.job_id, "SET dispatched = :yes", "attribute_exists(job_id)", yes=True)

    def record_delivery(self, job: Job) -> None:
        """Write down that the caller has been given the result, the first time that counts."""
        self.table.update(
            job.order.job_id,
            "SET delivered_at = if_not_exists(delivered_at, :now)",
            "attribute_exists(job_id)",
            now=int(self.clock()),
        )

    def _write_attempt(self, job: Job, attempt: Attempt) -> Job:
        place = attempt.number - 1  # one past the end appends; a write that botocore repeats stays one attempt
        self._write(
            job,
            "running",
            f"attempts[{place}] = :attempt",
            attempt=without_none({**asdict(attempt), "variations": list(attempt.variations)}),
        )
        return replace(job, attempts=(*job.attempts[:place], attempt, *job.attempts[place + 1 :]))

    def _write(self, job: Job, state: str, expression: str, **values: Any) -> None:
        try:
            self.table.update(
                job.order.job_id,
                f"SET job_state = :next, {expression}",
                # The next state is allowed too: botocore repeats a write whose answer got lost.
                "run = :run AND job_state IN (:running, :next)",
                run=job.run,
                running="running",
                next=state,
                **values,
            )
        except ConditionFailed:
            raise JobRunning("Another worker took this job over.", retry_after_seconds=60) from None


def order_of(item: Mapping[str, Any]) -> Order:
    """Return the order that a record holds."""
    order = dict(item["job_order"])
    order["source"] = SourceLocation(**order["source"])
    order["redrive"] = int(order.get("redrive", 0))
    order["options"] = {name: _plain(value) for name, value in order["options"].items()}
    return Order(**order)


def _job(item: dict[str, Any]) -> Job:
    return Job(
        order=order_of(item),
        run=item["run"],
        state=item["job_state"],
        created_at=int(item["created_at"]),
        attempts=tuple(_attempt(attempt) for attempt in item["attempts"]),
        announced=item.get("announced", False),
        dispatched=item.get("dispatched", False),
        delivered_at=int(item["delivered_at"]) if "delivered_at" in item else None,
        error=item.get("job_error"),
        **{name: int(item.get(name, 0)) for name in ("deaths", "redrives", "forgiven")},
    )


def _plain(value: Any) -> Any:
    """Turn the numbers of an option, which DynamoDB hands back as Decimal, into int."""
    return value if isinstance(value, str | bool) else int(value)


def _attempt(item: dict[str, Any]) -> Attempt:
    numbers = {name: int(value) for name, value in item.items() if name in {"number", "started_at", "milliseconds"}}
    return Attempt(**{**item, **numbers, "variations": tuple(map(int, item["variations"]))})
