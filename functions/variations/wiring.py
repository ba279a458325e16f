"""Put the parts together, once per container: the only module that knows all of them.

Everything is made on first use, and imported where it is made, so that a function pays for nothing it does not
use: the API loads no Pillow, and nothing reads the environment at import.
"""

import functools
import os
import time
from typing import TYPE_CHECKING, Any

from .aws_clients import aws_failures, client
from .errors import StorageFailed
from .keys import ClientKeys, ProviderKey, Secret
from .settings import Settings

if TYPE_CHECKING:
    from .budget import Budget, RequestRate
    from .dialects.known import KnownProvider
    from .front_door import FrontDoor
    from .history import History
    from .jobs import Jobs
    from .model import Order
    from .provider import Provider
    from .service import Service
    from .storage import Storage

MAX_BODY_BYTES = 1_000_000  # SQS takes 1,048,576 with the attributes: quotas of SQS, read 2026-11-25


@functools.cache
def settings() -> Settings:
    """Return the stack's settings.

    Raises:
        ConfigurationError: a parameter is missing or malformed.
    """
    return Settings.from_env(os.environ)


@functools.cache
def client_keys() -> ClientKeys:
    """Return the keys of those who may call the API."""
    return ClientKeys(Secret(client("secretsmanager"), settings().client_keys_secret))


@functools.cache
def known_provider() -> "KnownProvider | None":
    """Return what is known of the provider by its host."""
    from .dialects.known import known_by_host  # noqa: PLC0415

    return known_by_host(settings().provider_base_url)


@functools.cache
def provider() -> "Provider":
    """Return the image provider of this stack."""
    from .provider import Provider  # noqa: PLC0415

    key = ProviderKey(Secret(client("secretsmanager"), settings().provider_secret))
    return Provider(settings().provider_base_url, key, known_provider())


@functools.cache
def jobs() -> "Jobs":
    """Return the books about jobs."""
    from .jobs import Jobs  # noqa: PLC0415
    from .table import Table  # noqa: PLC0415

    return Jobs(Table(client("dynamodb"), settings().jobs_table), settings().result_expiration_days, time.time)


@functools.cache
def budget() -> "Budget":
    """Return the count of the day's images."""
    from .budget import Budget  # noqa: PLC0415

    limits = settings()
    return Budget(jobs().table, limits.daily_image_limit, limits.daily_image_limit_per_caller, time.time)


@functools.cache
def request_rate() -> "RequestRate":
    """Return the count of each caller's requests."""
    from .budget import RequestRate  # noqa: PLC0415

    return RequestRate(jobs().table, settings().requests_per_minute, time.time)


@functools.cache
def storage() -> "Storage":
    """Return the pictures and manifests in S3."""
    from .storage import Storage  # noqa: PLC0415

    return Storage(client("s3"), settings().results_bucket)


@functools.cache
def service() -> "Service":
    """Return the use cases of a worker, over AWS and the provider."""
    from .breaker import Breaker  # noqa: PLC0415
    from .interpreter import Interpreter  # noqa: PLC0415
    from .orders import write_order  # noqa: PLC0415
    from .service import Service  # noqa: PLC0415
    from .telemetry import measure_calls  # noqa: PLC0415

    return Service(
        Interpreter(provider(), known_provider(), settings().provider_dialect),
        storage(),
        jobs(),
        budget(),
        publish,
        lambda order, reason: set_aside(write_order(order), reason),
        settings(),
        Breaker(client("dynamodb"), settings().jobs_table, settings().provider_base_url),
        measure_calls,
    )


@functools.cache
def front_door() -> "FrontDoor":
    """Return what takes requests in over HTTP."""
    from .claims import Claims  # noqa: PLC0415
    from .front_door import FrontDoor  # noqa: PLC0415

    return FrontDoor(jobs(), Claims(jobs().table, jobs()), settings().results_bucket, storage().store_source, send)


@functools.cache
def history() -> "History":
    """Return the lists of callers' jobs."""
    from .history import History  # noqa: PLC0415

    return History(jobs().table, time.time)


def send(order: "Order") -> None:
    """Put an order on the jobs queue.

    Raises:
        StorageFailed: the queue did not take it.
    """
    from .orders import write_order  # noqa: PLC0415

    with aws_failures("The jobs queue"):
        client("sqs").send_message(QueueUrl=settings().jobs_queue_url, MessageBody=write_order(order))


def set_aside(body: str, reason: str) -> None:
    """Put a message on the dead-letter queue, with the reason: for somebody to read, or to put back.

    Raises:
        StorageFailed: the queue did not take it.
    """
    with aws_failures("The dead-letter queue"):
        client("sqs").send_message(
            QueueUrl=settings().dead_letter_queue_url,
            MessageBody=body.encode()[:MAX_BODY_BYTES].decode(errors="ignore"),
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
        )


def publish(event: dict[str, Any]) -> None:
    """Put one event on the stack's bus.

    Raises:
        StorageFailed: the bus did not take it.
    """
    with aws_failures("The event bus"):
        answer = client("events").put_events(Entries=[{**event, "EventBusName": settings().event_bus}])
    if answer["FailedEntryCount"]:
        raise StorageFailed(f"The event bus refused an event: {answer['Entries'][0].get('ErrorCode')}.")


def forget() -> None:
    """Drop everything that is cached, as a new container would."""
    made_once = (
        *(settings, client, client_keys, known_provider, provider),
        *(jobs, budget, request_rate, storage, service, front_door, history),
    )
    for made in made_once:
        made.cache_clear()
