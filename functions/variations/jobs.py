"""Keep the books in DynamoDB: who works on which job, and every paid call before it is made.

States and who moves them:

    (none) ──begin──► running ──finish──► succeeded | partial | failed     never changes again
                       ▲   │
                 begin │   └─release──► queued          the provider is busy, S3 is down …
                       └──────────────────┘             a lease that ran out counts as released

A worker holds a job by its `run`, for as long as its invocation may last. Every write names the run, so what a
worker does after its lease was taken over has no effect. The record goes when its results expire (TTL).
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from .errors import ConfigurationError, JobRunning, StorageFailed
from .model import Attempt, Job, Order, SourceLocation

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

FINISHED = ("succeeded", "partial", "failed")


@dataclass(frozen=True)
class Jobs:
    """The jobs table, keyed by `job_id`."""

    client: "DynamoDBClient"
    table: str
    expiration_days: int
    clock: Callable[[], float]

    def begin(self, order: Order, *, lease_seconds: float) -> Job:
        """Take a job for this worker, or return it as it is when it has finished.

        Args:
            order: the same for every delivery of the same job.
            lease_seconds: how long nobody else may touch it: at least until this invocation must have ended.

        Raises:
            JobRunning: another worker has it; `retry_after_seconds` tells when its lease ends.
            StorageFailed: DynamoDB failed. ConfigurationError: no such table, or no permission.
        """
        now, run = int(self.clock()), uuid.uuid4().hex
        with _translated():
            try:
                item = self._update(
                    order.job_id,
                    "SET job_state = :running, run = :run, running_until = :until, job_order = :order, "
                    "created_at = if_not_exists(created_at, :now), attempts = if_not_exists(attempts, :none), "
                    "expires_at = :expires_at",
                    "attribute_not_exists(job_id) OR (job_state IN (:queued, :running) AND running_until <= :now)",
                    running="running",
                    queued="queued",
                    run=run,
                    until=now + int(lease_seconds) + 1,
                    order=_without_none(asdict(order)),
                    now=now,
                    none=[],
                    expires_at=now + self.expiration_days * 86_400,
                )
            except ClientError as error:
                if _code(error) != "ConditionalCheckFailedException":
                    raise
                item = self._get(order.job_id)
                if item["job_state"] not in FINISHED and item["run"] != run:
                    raise JobRunning(
                        "Another worker holds this job.",
                        retry_after_seconds=max(1, int(item["running_until"]) - now),
                    ) from error
        return _job(item)

    def record_attempt(self, job: Job, *, images: int) -> Job:
        """Write down a paid call for `images` pictures before it is made."""
        attempt = Attempt(number=len(job.attempts) + 1, images=images, started_at=int(self.clock()))
        return self._write_attempt(job, attempt)

    def record_outcome(self, job: Job, outcome: str, *, request_id: str | None = None) -> Job:
        """Write down how the latest paid call ended: `answered`, or the code of its error."""
        attempt = replace(job.attempts[-1], outcome=outcome, request_id=request_id)
        return self._write_attempt(job, attempt)

    def release(self, job: Job) -> None:
        """Give a job back: the next delivery of its message goes on with it."""
        self._write(job, "queued", "running_until = :never", never=0)

    def finish(self, job: Job, state: str) -> Job:
        """End a job for good."""
        self._write(job, state, "finished_at = :now", now=int(self.clock()))
        return replace(job, state=state)

    def record_announcement(self, job: Job) -> None:
        """Write down that the event about the job's end went out."""
        with _translated():
            self._update(job.order.job_id, "SET announced = :yes", "attribute_exists(job_id)", yes=True)

    def _write_attempt(self, job: Job, attempt: Attempt) -> Job:
        place = attempt.number - 1  # one past the end appends; a write that botocore repeats stays one attempt
        self._write(job, "running", f"attempts[{place}] = :attempt", attempt=_without_none(asdict(attempt)))
        return replace(job, attempts=(*job.attempts[:place], attempt))

    def _write(self, job: Job, state: str, expression: str, **values: Any) -> None:
        with _translated():
            try:
                self._update(
                    job.order.job_id,
                    f"SET job_state = :next, {expression}",
                    # The next state is allowed too: botocore repeats a write whose answer got lost.
                    "run = :run AND job_state IN (:running, :next)",
                    run=job.run,
                    running="running",
                    next=state,
                    **values,
                )
            except ClientError as error:
                if _code(error) != "ConditionalCheckFailedException":
                    raise
                raise JobRunning("Another worker took this job over.", retry_after_seconds=60) from error

    def _update(self, job_id: str, expression: str, condition: str, **values: Any) -> dict[str, Any]:
        updated = self.client.update_item(
            TableName=self.table,
            Key={"job_id": {"S": job_id}},
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues={f":{name}": TypeSerializer().serialize(value) for name, value in values.items()},
            ReturnValues="ALL_NEW",
        )
        return _deserialize(updated["Attributes"])

    def _get(self, job_id: str) -> dict[str, Any]:
        found = self.client.get_item(TableName=self.table, Key={"job_id": {"S": job_id}}, ConsistentRead=True)
        return _deserialize(found["Item"])


def _job(item: dict[str, Any]) -> Job:
    order = dict(item["job_order"])
    return Job(
        order=Order(**{**order, "source": SourceLocation(**order["source"])}),
        run=item["run"],
        state=item["job_state"],
        created_at=int(item["created_at"]),
        attempts=tuple(_attempt(attempt) for attempt in item["attempts"]),
        announced=item.get("announced", False),
    )


def _attempt(item: dict[str, Any]) -> Attempt:
    numbers = {name: int(item[name]) for name in ("number", "images", "started_at")}
    return Attempt(**{**item, **numbers})


def _deserialize(item: Any) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None
    }


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn botocore's exceptions into the error tree."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in {"AccessDeniedException", "ResourceNotFoundException"}:
            raise ConfigurationError(f"The jobs table refuses us: {code}. Deploy the stack again.") from error
        raise StorageFailed(f"The jobs table failed: {code}.") from error
    except BotoCoreError as error:
        raise StorageFailed(f"The jobs table failed: {type(error).__name__}.") from error
